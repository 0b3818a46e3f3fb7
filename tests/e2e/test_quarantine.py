"""One bad record stops itself: the real command lists it, keeps what is stored, and lets it go by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.exports import COMMON, Export
from tests.support.world import DAYS, MUNICIPALITY, World

SCHOOL = "280555"
GOOD = Export.of(DAYS[0] / f"{SCHOOL}.xml").cut(6)


def broken(hours: int, element: str = "FamilyName") -> tuple[bytes, str]:
    """A later export in which the first pupil lacks an element, and that pupil's user id."""
    export = GOOD.copy().later(hours=hours)
    person = export.person(export.pupils[0])
    user_id = export.user_id(export.pupils[0])
    gone = person.find(f"{{{COMMON}}}{element}")
    assert gone is not None
    person.remove(gone)
    return export.bytes(), user_id


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A small school that has been recorded once."""
    world = World(tmp_path / "world")
    world.drop_bytes("export.xml", GOOD.bytes())
    world.sync()
    return world


def records(world: World, *args: str) -> list[dict[str, Any]]:
    listed: Sequence[dict[str, Any]] = world.run("quarantine", "list", "--json", *args).ended(0).json["records"]
    return list(listed)


def stored(world: World) -> list[tuple[Any, ...]]:
    """Every living entity by kind and key."""
    return sorted(world.rows("SELECT kind, key FROM entities WHERE body IS NOT NULL"))


def test_a_good_export_sets_nothing_aside(world: World) -> None:
    assert records(world) == []
    assert world.run("quarantine", "list").ended(0).stdout == "No record is set aside.\n"


def test_a_bad_record_is_listed_counted_and_released_and_takes_nothing_away(world: World) -> None:
    before = stored(world)
    content, user_id = broken(1)
    world.drop_bytes("export.xml", content)
    told = world.sync()
    assert (told["quarantined"], told["municipalities"][0]["quarantined"]) == (1, 1)
    (place,) = told["set_aside"]
    assert (place["institution"], place["reason"]) == (SCHOOL, "missing_name")
    assert user_id not in str(told["set_aside"])
    (record,) = records(world)
    assert record["path"].startswith("Institution/InstitutionPerson[")
    assert (record["municipality"], record["institution"], record["user_id"]) == (MUNICIPALITY, SCHOOL, user_id)
    assert "name" in record["what"] and "school" in record["remedy"]
    assert record["since"] and (record["run"],) in world.rows("SELECT id FROM runs")
    assert stored(world) == before
    world.drop_bytes("export.xml", GOOD.copy().later(hours=2).bytes())
    assert world.sync()["quarantined"] == 0
    assert records(world) == []
    assert stored(world) == before


def test_a_record_without_identity_is_known_by_its_place(world: World) -> None:
    before = stored(world)
    world.drop_bytes("export.xml", broken(1, "UserId")[0])
    world.sync()
    (record,) = records(world)
    assert (record["reason"], record["user_id"]) == ("missing_user_id", None)
    assert stored(world) == before


def test_people_read_where_it_stands_why_and_what_to_do_and_no_name(world: World) -> None:
    content, user_id = broken(1)
    world.drop_bytes("export.xml", content)
    world.sync()
    shown = world.run("quarantine", "list").ended(0).stdout
    for word in (user_id, SCHOOL, "InstitutionPerson[", "missing_name", "What to do", "stays"):
        assert word in shown
    export = GOOD.copy()
    person = export.person(export.pupils[0])
    for name in ("FirstName", "FamilyName", "CivilRegistrationNumber"):
        assert str(person.findtext(f"{{{COMMON}}}{name}")) not in shown


def test_what_is_odd_is_listed_only_when_asked_for(world: World) -> None:
    odd = GOOD.copy().later(hours=1)
    odd.set(odd.person(odd.pupils[0]), "Gender", "X")
    world.drop_bytes("export.xml", odd.bytes())
    assert world.sync()["quarantined"] == 0
    assert records(world) == []
    (record,) = records(world, "--noted")
    assert (record["severity"], record["reason"], record["user_id"]) == ("noted", "unknown_gender", None)
    told = world.run("quarantine", "list", "--noted").ended(0).stdout
    assert "stays" not in told and "release" not in told, "nothing of it was set aside"
    assert "What is only noted is used" in told


def test_the_list_is_narrowed_and_cut_short(world: World) -> None:
    export = GOOD.copy().later(hours=1)
    for record in export.pupils[:3]:
        person = export.person(record)
        gone = person.find(f"{{{COMMON}}}FamilyName")
        assert gone is not None
        person.remove(gone)
    world.drop_bytes("export.xml", export.bytes())
    world.sync()
    assert len(records(world, "--institution", SCHOOL, "--municipality", MUNICIPALITY)) == 3
    answer = world.run("quarantine", "list", "--limit", "2", "--json").ended(0).json
    assert (len(answer["records"]), answer["more"]) == (2, 1)
    assert "and 1 more" in world.run("quarantine", "list", "--limit", "2").ended(0).stdout


@pytest.mark.parametrize(("option", "value"), [("--institution", "999999"), ("--municipality", "0999")])
def test_a_place_that_is_not_ours_is_a_mistake(world: World, option: str, value: str) -> None:
    ended = world.run("quarantine", "list", option, value).ended(2)
    assert value in ended.stderr and ended.stdout == ""


def test_a_record_is_set_aside_since_the_first_time(world: World) -> None:
    found = []
    for hours in (1, 2):
        world.drop_bytes("export.xml", broken(hours)[0])
        world.sync()
        found += [(record["run"], record["since"]) for record in records(world)]
    assert found[0] == found[1]
