"""On a real RabbitMQ: the command says which queues are there, and does not start where one is otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon
from tests.support.events import EventCorner
from tests.support.exports import Export
from tests.support.rabbitmq import require_rabbitmq, url
from tests.support.world import DAYS, World

SMALL = "280555.xml"


@pytest.fixture
def corner() -> Iterator[EventCorner]:
    require_rabbitmq()
    with EventCorner() as corner:
        yield corner


@pytest.fixture
def world(tmp_path: Path, corner: EventCorner) -> World:
    world = World(tmp_path / "world")
    corner.wanted()
    configure(world, corner, ["#"])
    return world


def configure(world: World, corner: EventCorner, queue: Any) -> None:
    secret = world.secret("broker-url", url(corner.port))
    world.settings["broker"] = {"url_file": secret, "exchange": corner.name, "queues": {corner.queue: queue}}
    world.write()


def occupy(corner: EventCorner) -> None:
    with corner.connected() as connection:
        connection.channel().queue_declare(corner.queue, durable=True)


def test_check_names_the_queues_that_are_still_to_be_made(world: World, corner: EventCorner) -> None:
    answer = world.run("check", "--json").ended(0)
    assert f"makes the queues that are not there: {corner.queue}" in answer.stdout
    assert not corner.is_there(corner.queue)


@pytest.mark.parametrize(("verb", "code"), [("check", 1), ("run", 2)])
def test_a_queue_that_is_otherwise_is_told_and_nothing_starts(
    world: World, corner: EventCorner, verb: str, code: int
) -> None:
    occupy(corner)
    said = world.run(verb).ended(code)
    told = " ".join((said.stdout + said.stderr).split())
    assert f"the queue {corner.queue} exists already, its x-dead-letter-exchange is not set" in told
    assert "Nothing was changed. Delete it" in told


@pytest.mark.parametrize(
    ("queue", "told"),
    [
        ({"keys": ["#"], "limit": 3}, "unknown key; "),
        ({"keys": []}, "list should have at least 1 item"),
        (["0751..person"], "'0751..person' is no binding key; write one like 0101.person.* or 0101.#"),
        ({"keys": ["#"], "kind": "stream", "delivery_limit": 3}, "a stream has neither a delivery_limit nor"),
        ({"keys": ["#"], "keep": "3d"}, "only a stream has keep"),
    ],
)
def test_a_mistake_in_a_queue_is_told_by_its_own_line(
    world: World, corner: EventCorner, queue: Any, told: str
) -> None:
    configure(world, corner, queue)
    said = world.run("check").ended(2)
    assert f"broker.queues.{corner.queue}" in said.stderr and told in " ".join(said.stderr.split())


def test_the_daemon_makes_the_queue_fills_it_again_and_warns_of_nothing_else(
    world: World, corner: EventCorner
) -> None:
    world.drop_bytes(SMALL, Export.of(DAYS[0] / SMALL).cut(3).bytes())
    world.sync()

    def last() -> int:
        ((number,),) = world.rows("SELECT max(sequence) FROM events")
        return int(number)

    def is_full() -> bool:
        return corner.is_there(corner.queue) and corner.count() == last()

    world.settings["web"] = {"listen": "127.0.0.1:0"}
    world.write()
    with Daemon(world.config) as daemon:
        daemon.start()
        daemon.wait_until(is_full, "the queue has every event of the log")
        corner.delete()
        before = last()
        world.drop_bytes(SMALL, Export.of(DAYS[1] / SMALL).cut(4).bytes())
        daemon.wait_until(lambda: last() > before and is_full(), "the queue that was deleted has them all again")
    made = [line for line in daemon.log_text().splitlines() if '"warning"' in line or '"error"' in line]
    assert [json.loads(line)["event"] for line in made if "queue.made" in line] == ["queue.made", "queue.made"]
    assert not [line for line in made if "queue.made" not in line]
    (first, *_) = corner.drain()
    assert first[0].routing_key.startswith("0751.") and first[1].delivery_mode == 2


def test_status_counts_what_waits_for_the_broker(world: World) -> None:
    world.drop_bytes(SMALL, Export.of(DAYS[0] / SMALL).cut(3).bytes())
    world.sync()
    (town,) = world.run("status", "--json").ended(0).json["municipalities"]
    assert town["publish"]["waiting"] == town["last_sequence"] > 0
    assert town["publish"]["trouble"] is None
