"""What an operator may rely on who asks `skolebro` about the past."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.exports import Export
from tests.support.process import Result, background
from tests.support.world import DAYS, World

pytestmark = pytest.mark.slow  # real processes by the dozen; the engine is told of in tests/unit

SMALL = "280555.xml"
SCHOOL = "280555"
_DAY = 86_400_000_000  # of microseconds, as times are stored


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A small school of which two days were recorded, and a broker that is not there."""
    world = World(tmp_path_factory.mktemp("past") / "world")
    world.municipality["targets"] = {"aula": {"connector": "aula"}}
    url = world.secret("broker-url", "amqp://guest:guest@127.0.0.1:1//")
    world.settings["broker"] = {"url_file": url}
    world.write()
    first = Export.of(DAYS[0] / SMALL).cut(6)
    world.drop_bytes(SMALL, first.bytes())
    world.sync()
    world.drop_bytes(SMALL, first.later(days=1).renamed("Nyt navn").bytes())
    world.sync()
    return world


def ask(world: World, *words: str) -> Any:
    return world.run(*words, "--json").ended(0).json


def numbers(world: World, *words: str) -> list[int]:
    return [int(event["sequence"]) for event in ask(world, "events", *words)["events"]]


def end_of(world: World) -> int:
    number: int = world.rows("SELECT last FROM sequences")[0][0]
    return number


def lines(answer: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.stdout.splitlines()]


def last_record(world: World) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(world.rows("SELECT record FROM audit ORDER BY seq DESC LIMIT 1")[0][0])
    return record


# ---------------------------------------------------------------- events


def test_events_are_narrowed_by_what_they_are_about(past: World) -> None:
    end = end_of(past)
    assert numbers(past, "--last", "3") == [end - 2, end - 1, end]
    assert numbers(past, "--after", str(end - 2), "--limit", "1") == [end - 1]
    assert numbers(past, "--until-sequence", "2") == [1, 2]
    renamed = ask(past, "events", "--entity", "institution", "--operation", "updated")["events"]
    assert [event["changed"] for event in renamed] == [["name"]]
    by_type = numbers(past, "--type", "skolebro.institution.updated.v1", "--institution", SCHOOL)
    assert by_type == [int(renamed[0]["sequence"])]
    assert numbers(past, "--subject", renamed[0]["subject"], "--last", "9") == [1, *by_type]
    assert numbers(past, "--institution", "999999") == []


def test_events_of_somebody_are_found_by_their_user_id_and_a_table_names_it(past: World) -> None:
    told = ask(past, "events", "--entity", "person", "--limit", "1")["events"][0]
    (user_id,) = told["key"]
    wanted = numbers(past, "--subject", told["subject"])
    bare = told["subject"].partition("/")[2]
    assert wanted == numbers(past, "--subject", user_id) == numbers(past, "--subject", bare) != []
    assert user_id in past.run("events", "--subject", user_id).ended(0).stdout
    (group,) = ask(past, "events", "--entity", "group", "--limit", "1")["events"]
    assert numbers(past, "--subject", "/".join(group["key"])) == numbers(past, "--subject", group["subject"]) != []


def test_events_are_narrowed_by_when_they_were_recorded(past: World) -> None:
    at = ask(past, "events", "--last", "1")["events"][0]["time"]
    assert end_of(past) in numbers(past, "--since", at, "--limit", "1000")
    assert 1 not in numbers(past, "--since", at, "--limit", "1000")
    assert len(numbers(past, "--until", at, "--limit", "1000")) == end_of(past)
    assert numbers(past, "--since", "2100-01-01") == []


def test_a_table_of_events_names_nobody_and_a_reading_of_values_is_written_down(past: World) -> None:
    name = next(
        event["data"]["object"]["given_name"]
        for event in ask(past, "events", "--entity", "person", "--data")["events"]
    )
    record = last_record(past)
    assert (record["kind"], record["what"], record["entity"]) == ("history.read", "events", "person")
    table = past.run("events", "--entity", "person", "--limit", "1").ended(0).stdout
    assert "skolebro.person.created.v1" in table and name not in table
    assert last_record(past) == record


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("events", "--entity", "pupil"), "allowed are institution, group, person"),
        (("events", "--subject", "nosuch"), "allowed are a user id, <institution>/<group id> and <entity>/"),
        (("events", "--type", "person.created"), "allowed are skolebro.institution.created.v1"),
        (("events", "--since", "yesterday"), "--since yesterday"),
        (("events", "--until", "2026-01-01", "--until-sequence", "1"), "give the one that is meant"),
        (("replay", "--from", "the beginning"), "--from the beginning"),
        (("snapshot", "--as-of", "-"), "--as-of -"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_wrong_question_ends_with_2(past: World, words: tuple[str, ...], says: str) -> None:
    answer = past.run(*words).ended(2)
    assert answer.stdout == ""
    assert says in answer.stderr


# ---------------------------------------------------------------- the state, and the way from it


def test_the_snapshot_as_of_a_number_and_what_was_replayed_from_there_is_the_snapshot_now(past: World) -> None:
    now = past.run("snapshot").ended(0).json
    then = past.run("snapshot", "--as-of", "100").ended(0).json
    assert (then["municipality"], then["sequence"], now["sequence"]) == ("0751", 100, end_of(past))
    held = {one["subject"]: (one["entityversion"], one["object"]) for one in then["entities"]}
    for event in lines(past.run("replay", "--from", "101").ended(0)):
        is_gone = ".deleted." in event["type"]
        held[event["subject"]] = (event["entityversion"], None if is_gone else event["data"]["object"])
    expected = {one["subject"]: (one["entityversion"], one["object"]) for one in now["entities"]}
    assert {subject: what for subject, what in held.items() if what[1] is not None} == expected
    assert 'civil_registration_number"' not in json.dumps(now)
    past.run("audit", "verify").ended(0)


def test_a_replay_is_cloud_events_and_is_written_down(past: World) -> None:
    found = lines(past.run("replay", "--from", "3", "--to", "5", "--institution", SCHOOL).ended(0))
    assert [int(event["sequence"]) for event in found] == [3, 4, 5]
    assert {event["specversion"] for event in found} == {"1.0"} and all(event["data"]["object"] for event in found)
    record = last_record(past)
    assert (record["kind"], record["what"], record["from"], record["to"]) == ("history.read", "replay", 3, 5)


def test_a_replay_to_a_broker_that_is_away_says_so_and_is_written_down(past: World) -> None:
    answer = past.run("replay", "--from", "1", "--publish").ended(1)
    assert answer.stdout == "" and "nothing was published again" in answer.stderr
    record = last_record(past)
    assert (record["kind"], record["count"], record["outcome"]) == ("events.replayed", 0, "broker_failed")
    past.run("audit", "verify").ended(0)


# ---------------------------------------------------------------- retention


def test_what_is_older_than_the_retention_goes_and_a_new_subscriber_still_gets_everything(tmp_path: Path) -> None:
    world = World(tmp_path / "world", sections={"history": {"retention": "10d"}})
    first = Export.of(DAYS[0] / SMALL).cut(6)
    world.drop_bytes(SMALL, first.bytes())
    world.sync()
    world.drop_bytes(SMALL, first.later(days=1).renamed("Nyt navn").bytes())
    world.sync()
    floor = end_of(world)
    world.edit("UPDATE events SET time = time - ?", 11 * _DAY)
    world.drop_bytes(SMALL, first.later(days=2).renamed("Et navn til").bytes())
    world.sync()
    before = world.run("snapshot").ended(0).json

    foreseen = ask(world, "history", "compact", "--dry-run")["logs"]
    assert [(one["before"], one["floor"], one["removed"]) for one in foreseen] == [(0, floor, 0)]
    (done,) = ask(world, "history", "compact")["logs"]
    assert (done["floor"], done["removed"], done["held_by"]) == (floor, 1, None)
    assert "nothing older than its retention" in world.run("history", "compact").ended(0).stdout

    assert world.run("snapshot").ended(0).json == before == world.run("snapshot", "--as-of", "9999").ended(0).json
    held = {event["subject"]: event["data"]["object"] for event in lines(world.run("replay").ended(0))}
    assert held == {one["subject"]: one["object"] for one in before["entities"]}
    for words in (("replay", "--from", "5"), ("events", "--after", "5"), ("snapshot", "--as-of", "5")):
        answer = world.run(*words).ended(2)
        assert f"before {floor + 1} was compacted" in answer.stderr and "take the snapshot" in answer.stderr
    told = world.run("events", "--limit", "3").ended(0).stdout
    assert f"The log up to {floor} is compacted" in told.splitlines()[0]
    world.run("audit", "verify").ended(0)


def test_the_daemon_keeps_the_log_to_its_retention(tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    first = Export.of(DAYS[0] / SMALL).cut(6)
    for number, name in enumerate(("Et navn", "Et andet navn"), start=1):
        world.drop_bytes(SMALL, first.later(days=number).renamed(name).bytes())
        world.sync()
    world.edit("UPDATE events SET time = time - ?", 31 * _DAY)
    floor = end_of(world)
    with background(["run", "--config", "skolebro.yaml"], world.root) as daemon:
        daemon.until(lambda: world.rows("SELECT floor FROM sequences") == [(floor,)])
        daemon.signal(signal.SIGTERM)
        told = [json.loads(line) for line in daemon.end().ended(0).stderr.splitlines()]
    (line,) = [one for one in told if one["event"] == "history.compacted"]
    assert (line["municipality"], line["sequence"], line["count"]) == ("0751", floor, 1)
