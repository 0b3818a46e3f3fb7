"""On a real RabbitMQ: with the rights that are printed a vendor reads its own queue, and can do nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika
import pytest

from bridge.adapters.publish_pika import PikaPublisher
from bridge.adapters.queues_pika import EventQueue, PikaQueues
from bridge.app.vendor_rights import Rights, hashed
from tests.support.events import TOWN, event
from tests.support.rabbitmq import HOST, url
from tests.support.rabbitmq_node import Node

PASSWORD = "correct horse"
EXCHANGE = "skolebro.events"
BOOKS, FILMS = "vendor.books", "vendor.films"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A broker with two vendors' queues: one vendor by the commands that are printed, one by the JSON."""
    folder = tmp_path_factory.mktemp("node")
    with Node(folder) as node:
        queues = [EventQueue(name, (f"{TOWN}.person.*",), 20, f"{name}.dead", None) for name in (BOOKS, FILMS)]
        PikaQueues(url(node.port), EXCHANGE, queues).declare()
        for command in Rights(BOOKS, "/").commands():
            node.control(*command[1:], *([PASSWORD] if "add_user" in command else []))
        told = folder / "rights.json"
        told.write_text(json.dumps(Rights(FILMS, "/").definitions(hashed(PASSWORD, b"salt"))))
        node.control("import_definitions", str(told))
        publisher = PikaPublisher(url(node.port), EXCHANGE)
        publisher.publish([event(1)])
        publisher.close()
        yield node


@contextmanager
def channel(node: Node, user: str) -> Iterator[Any]:
    credentials = pika.PlainCredentials(user, PASSWORD)
    connection = pika.BlockingConnection(pika.ConnectionParameters(HOST, node.port, "/", credentials))
    try:
        yield connection.channel()
    finally:
        if connection.is_open:
            connection.close()


@pytest.mark.parametrize("user", [BOOKS, FILMS])
def test_its_user_reads_its_own_queue(node: Node, user: str) -> None:
    with channel(node, user) as mine:
        for method, properties, _ in mine.consume(user, inactivity_timeout=10):
            assert method is not None, "nothing came"
            assert properties.message_id == event(1).id
            mine.basic_nack(method.delivery_tag)
            break


def _publish(exchange: str, key: str) -> Callable[[Any], Any]:
    def publish(mine: Any) -> None:
        mine.confirm_delivery()
        mine.basic_publish(exchange, key, b"{}")

    return publish


@pytest.mark.parametrize("user", [BOOKS, FILMS])
@pytest.mark.parametrize(
    "forbidden",
    [
        pytest.param(lambda mine: next(mine.consume("vendor.movies")), id="read the queue of another"),
        pytest.param(lambda mine: next(mine.consume(f"{BOOKS}.dead")), id="read dead letters"),
        pytest.param(lambda mine: next(mine.consume("vendorXbooks")), id="read a queue of a name like its own"),
        pytest.param(lambda mine: mine.queue_declare("mine", durable=True), id="declare a queue"),
        pytest.param(lambda mine: mine.queue_declare("", exclusive=True), id="declare a queue for itself"),
        pytest.param(lambda mine: mine.queue_bind(BOOKS, EXCHANGE, "#"), id="bind a queue to more"),
        pytest.param(lambda mine: mine.queue_bind(FILMS, EXCHANGE, "#"), id="bind the other queue to more"),
        pytest.param(lambda mine: mine.queue_unbind(BOOKS, EXCHANGE, f"{TOWN}.person.*"), id="unbind a queue"),
        pytest.param(lambda mine: mine.queue_delete(BOOKS), id="delete a queue"),
        pytest.param(lambda mine: mine.queue_delete(FILMS), id="delete the other queue"),
        pytest.param(lambda mine: mine.exchange_declare("mine"), id="declare an exchange"),
        pytest.param(lambda mine: mine.exchange_delete(EXCHANGE), id="delete the exchange"),
        pytest.param(_publish(EXCHANGE, f"{TOWN}.person.created"), id="publish an event"),
        pytest.param(_publish("", BOOKS), id="publish into a queue"),
        pytest.param(_publish(f"{BOOKS}.fill", f"{TOWN}.person.created"), id="fill a queue"),
    ],
)
def test_its_user_may_not(node: Node, user: str, forbidden: Callable[[Any], Any]) -> None:
    with channel(node, user) as mine, pytest.raises(pika.exceptions.ChannelClosedByBroker) as closed:
        forbidden(mine)
    assert closed.value.reply_code == 403


def test_a_vendor_may_not_read_the_queue_of_the_other(node: Node) -> None:
    for user, other in ((BOOKS, FILMS), (FILMS, BOOKS)):
        with channel(node, user) as mine, pytest.raises(pika.exceptions.ChannelClosedByBroker) as closed:
            next(mine.consume(other))
        assert closed.value.reply_code == 403


def test_without_a_hash_nobody_logs_in(node: Node, tmp_path: Path) -> None:
    told = tmp_path / "rights.json"
    told.write_text(json.dumps(Rights("vendor.nobody", "/").definitions("")))
    node.control("import_definitions", str(told))
    for password in ("", PASSWORD):
        credentials = pika.PlainCredentials("vendor.nobody", password)
        with pytest.raises(pika.exceptions.AMQPConnectionError):
            pika.BlockingConnection(pika.ConnectionParameters(HOST, node.port, "/", credentials))
