"""A municipality moves from a file to a server: by the commands, with everything that it had."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.postgres import database
from tests.support.world import DAYS, World

FILES = [DAYS[0] / "280555.xml"]
KEPT = ("municipalities", "institutions", "holds", "quarantined", "audit_head")


@pytest.fixture
def url() -> Iterator[str]:
    with database() as url:
        yield url


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One school in a state folder."""
    world = World(tmp_path / "world")
    world.drop(*FILES)
    world.sync()
    return world


def move(world: World, url: str) -> None:
    world.settings["database"] = {"url_file": world.secret("database-url", url)}
    world.write()


def told(world: World) -> dict[str, Any]:
    status = world.run("status", "--json").json  # 1 where something needs a person
    for row in status["institutions"]:
        del row["freshness_seconds"]
    return {name: status[name] for name in KEPT}


def test_everything_that_was_in_the_file_is_on_the_server_and_work_goes_on_there(world: World, url: str) -> None:
    before = told(world)
    move(world, url)
    copied = world.run("db", "copy", "state/skolebro.db", "--json").ended(0).json["tables"]
    rows = {one["table"]: one["rows"] for one in copied}
    assert rows["entities"] == world.rows("SELECT count(*) FROM entities")[0][0] > 100
    assert all(len(one["sha256"]) == 64 for one in copied)
    assert told(world) == before
    assert world.run("audit", "verify", "--json").ended(0).json["ok"]
    world.sync()
    assert told(world)["municipalities"] == before["municipalities"], "nothing is new"


def test_what_is_on_a_server_goes_back_into_a_file(world: World, url: str) -> None:
    before = told(world)
    move(world, url)
    world.run("db", "copy", "state/skolebro.db").ended(0)
    said = world.run("db", "backup", "backup.db").ended(0).stdout
    assert "every table is the same by count and hash" in said
    file = world.root / "backup.db"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    del world.settings["database"]
    world.write()
    file.replace(world.root / "state" / "skolebro.db")
    assert told(world) == before


def test_a_copy_into_a_database_with_something_in_it_changes_nothing(world: World, url: str) -> None:
    move(world, url)
    world.run("db", "copy", "state/skolebro.db").ended(0)
    again = world.run("db", "copy", "state/skolebro.db").ended(3)
    assert "is not empty" in again.stderr and "nothing was changed" in again.stderr


def test_the_schema_is_made_before_it_is_needed(world: World, url: str) -> None:
    move(world, url)
    assert world.run("db", "migrate", "--json").ended(0).json["schema"] > "0006"
    assert told(world)["institutions"] == []


def test_another_machine_needs_the_key_of_the_first(world: World, url: str, tmp_path: Path) -> None:
    move(world, url)
    assert told(world)["institutions"] == []
    other = World(tmp_path / "other")
    move(other, url)
    refused = other.run("status").ended(3)
    assert "copy the file subject.key" in refused.stderr
    key = other.root / "state" / "subject.key"
    key.write_bytes((world.root / "state" / "subject.key").read_bytes())
    assert told(other)["institutions"] == []


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("mysql://somewhere/skolebro", 2, "database: the URL"),
        ("postgresql://nobody:canary@127.0.0.1:1/skolebro", 3, "cannot be reached"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_by_its_place_and_without_a_password(
    world: World, text: str, code: int, said: str
) -> None:
    move(world, text)
    refused = world.run("status").ended(code)
    assert said in refused.stderr
    assert "canary" not in refused.stderr


def test_roles_need_a_database_that_is_shared(world: World) -> None:
    assert "database.url_file" in world.run("run", "--role", "ingest").ended(2).stderr
    assert "allowed are deliver, ingest, publish, web" in world.run("run", "--role", "all").ended(2).stderr
    assert "there is no `database`" in world.run("db", "copy", "state/skolebro.db").ended(2).stderr
