"""`skolebro report` over the first day: what Aula will see, in counts that were made from the XML itself."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from bridge.cli.common import who
from tests.support.sheets import sheet
from tests.support.world import DAYS, MUNICIPALITY, RUN_RECORD, World, exports

AULA = f"{MUNICIPALITY}/aula"
TARGETS = {
    "aula": {"connector": "aula"},
    "small": {"connector": "aula", "institutions": ["280555"]},
    "platform": {"connector": "webhook", "url": "http://127.0.0.1:1/", "secret_file": "secret"},
}
SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cywgMzIgYnl0ZXMh"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("report") / "world", targets={"aula": {"connector": "aula"}})
    made.drop(*exports(DAYS[0]))
    made.sync()
    made.secret("secret", SECRET)
    made.municipality["targets"] = TARGETS
    made.write()
    return made


def _report(world: World, *args: str) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = world.run("report", AULA, "--json", *args).ended(0).json["reports"]
    assert found["target"] == AULA
    return found


def _counts(found: dict[str, Any]) -> dict[tuple[str, str], int]:
    return {(row["institution"], row["code"]): row["count"] for row in found["counts"]}


def _elements(file: Path) -> Iterator[tuple[str, Any]]:
    """Every element of an export with its local name."""
    return ((str(element.tag).rpartition("}")[2], element) for element in etree.parse(file).iter())


def _names() -> set[str]:
    """Every name, number, street and address of the exports, longer than a common word."""
    local = {"FirstName", "FamilyName", "CivilRegistrationNumber"}
    local |= {"StreetAddress", "EmailAddress", "BirthDate", "GroupName", "InstitutionName"}
    texts = (one.text for file in exports(DAYS[0]) for tag, one in _elements(file) if tag in local)
    return {text for text in texts if text and len(text) > 4}


def test_people_are_those_of_the_exports(world: World) -> None:
    counts = _counts(_report(world))
    for file in exports(DAYS[0]):
        records = [one for tag, one in _elements(file) if tag == "InstitutionPerson"]
        for kind, tag in (("student", "Student"), ("employee", "Employee")):
            known = {_user(one) for one in records if one.find(f"{{*}}{tag}") is not None}
            assert counts[file.stem, kind] == len(known)
        contacts = {_user(one) for tag, one in _elements(file) if tag == "ContactPerson"}
        assert counts[file.stem, "contact"] == len(contacts)


def _user(element: Any) -> str:
    return str(element.findtext(".//{*}UserId"))


def test_ids_are_told_when_they_are_asked_for_and_not_before(world: World) -> None:
    assert "findings" not in _report(world)
    found = _report(world, "--ids")["findings"]
    assert {"institution": "101001", "code": "protected", "id": "u0700007"} in found
    assert Counter((one["institution"], one["code"]) for one in found) == {
        place: number for place, number in _counts(_report(world)).items() if place[1] not in _COUNTED
    }


_COUNTED = {"student", "employee", "external", "contact", "no_role"}


@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",)])
@pytest.mark.parametrize("ids", [(), ("--ids",)])
def test_nobody_is_named_and_without_ids_nobody_is_told_apart(
    world: World, form: tuple[str, ...], ids: tuple[str, ...]
) -> None:
    said = world.run("report", *form, *ids, "--since", "2026-01-01").ended(0)
    text = said.stdout + said.stderr
    assert [name for name in _names() if name in text] == []
    assert ("u0700007" in text) is bool(ids)


def test_a_spreadsheet_gets_a_line_a_count_or_a_line_a_finding(world: World) -> None:
    rows = sheet(world.run("report", AULA, "--csv").ended(0).stdout)
    assert {(r["institution"], r["code"]): int(r["count"]) for r in rows} == _counts(_report(world))
    listed = sheet(world.run("report", AULA, "--format", "csv", "--ids").ended(0).stdout)
    assert [(r["institution"], r["code"], r["id"]) for r in listed] == [
        (one["institution"], one["code"], one["id"]) for one in _report(world, "--ids")["findings"]
    ]


def test_every_target_that_reports_does_within_its_own_scope(world: World) -> None:
    found = world.run("report", "--json", "--since", "2026-01-01").ended(0).json["reports"]
    assert [one["target"] for one in found] == [AULA, f"{MUNICIPALITY}/small"]
    assert {row["institution"] for row in found[1]["counts"]} == {"280555"}


def test_what_was_recorded_since_is_counted_by_entity_and_operation(world: World) -> None:
    counts = _counts(_report(world, "--since", "2026-01-01"))
    assert counts["101001", "changed.institution.created"] == 1
    told = sum(number for (_, code), number in counts.items() if code.startswith("changed."))
    assert told == world.rows("SELECT count(*) FROM events")[0][0]
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert _counts(_report(world, "--since", later)) == _counts(_report(world))


def test_nothing_is_changed_by_looking(world: World) -> None:
    before = world.tables()
    world.run("report").ended(0)
    assert world.tables() == before
    world.run("report", "--ids").ended(0)
    now = world.tables(RUN_RECORD | _AUDIT)
    assert now == {name: rows for name, rows in before.items() if name not in _AUDIT}


_AUDIT = frozenset({"audit"})


def _looks(world: World) -> list[dict[str, Any]]:
    """What the audit chain says of who was told ids."""
    rows = [json.loads(row) for (row,) in world.rows("SELECT record FROM audit ORDER BY seq")]
    return [row for row in rows if row["kind"] == "report.read"]


@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",)])
def test_who_is_told_ids_is_written_down_once_for_each_target_without_an_id(
    world: World, form: tuple[str, ...]
) -> None:
    before = len(_looks(world))
    world.run("report", *form).ended(0)
    assert len(_looks(world)) == before, "counts are about nobody"
    world.run("report", *form, "--ids").ended(0)
    wide, small = _looks(world)[before:]
    found = _report(world, "--ids")["findings"]
    assert (wide["actor"], wide["municipality"], wide["target"]) == (who(), MUNICIPALITY, AULA)
    assert (wide["institutions"], wide["count"]) == (sorted({one["institution"] for one in found}), len(found))
    assert (small["target"], small["institutions"]) == (f"{MUNICIPALITY}/small", ["280555"])
    assert not any(one["id"] in json.dumps([wide, small]) for one in found)
    world.run("audit", "verify").ended(0)


def test_nothing_is_shown_where_it_cannot_be_written_down(tmp_path: Path) -> None:
    world = World(tmp_path / "world", targets={"aula": {"connector": "aula"}})
    world.drop(DAYS[0] / "101001.xml")
    world.sync()
    world.edit("CREATE TRIGGER refuses BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END")
    for form in ((), ("--json",), ("--csv",)):
        said = world.run("report", "--ids", *form)
        assert (said.returncode != 0, said.stdout) == (True, "")
        assert "u0700007" not in said.stderr
    world.run("report").ended(0)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("0751/x",), f"no target '0751/x'; there are {AULA}"),
        ((f"{MUNICIPALITY}/platform",), "has nothing to report"),
        (("--json", "--csv"), "--json and --csv"),
        (("--since", "yesterday"), "--since yesterday"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(world: World, args: tuple[str, ...], told: str) -> None:
    assert told in world.run("report", *args).ended(2).stderr


def test_a_mapping_that_does_not_fit_is_named(tmp_path: Path) -> None:
    target = {"connector": "aula", "mapping": "aula/agreement"}
    world = World(tmp_path / "world", targets={"aula": target})
    world.drop(DAYS[0] / "280555.xml")
    world.sync()
    assert "needs institutions of a person; use the mapping aula/observe" in world.run("report").ended(2).stderr


def test_whoever_loses_the_number_is_told_by_user_id_and_a_relation_by_its_child(tmp_path: Path) -> None:
    world = World(tmp_path / "world", targets={"aula": {"connector": "aula"}})
    text = (DAYS[0] / "280555.xml").read_bytes()
    number = b"<c:CivilRegistrationNumber>1807165198</c:CivilRegistrationNumber>"
    kind = b"<c:CivilRegistrationNumberType>CPR_VERIFIED</c:CivilRegistrationNumberType>"
    assert number + kind in text
    text = text.replace(number + kind, b"")
    text = text.replace(b'relation="Far"', b'relation="Officielt tilknyttet person"', 1)
    world.drop_bytes("280555.xml", text)
    world.sync()
    found = _report(world, "--ids")["findings"]
    assert [one["id"] for one in found if one["code"] == "student_without_identity"] == ["u0702388"]
    assert Counter(one["code"] for one in found)["other_relation"] == 1
