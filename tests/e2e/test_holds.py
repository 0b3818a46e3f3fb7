"""A snapshot that would do harm waits for a person, and a person's word counts for that snapshot alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.testing.aula_receiver import AulaReceiver
from tests.support.exports import Export
from tests.support.scim import ScimServer
from tests.support.world import (
    DAYS,
    MUNICIPALITY,
    World,
    aula_target,
    scim_target,
    webhook_secret,
)

FIRST, SECOND = "101001", "101002"
PUPILS = 10


@dataclass
class School:
    """Two small schools of tests/data, brought to both targets; then one export after another."""

    world: World
    scim: ScimServer
    aula: AulaReceiver

    def base(self, number: str) -> Export:
        """The export of the first day, cut down to ten pupils and five others."""
        return Export.of(DAYS[0] / f"{number}.xml").cut(PUPILS)

    def bring(self, export: Export | bytes, number: str = FIRST) -> Any:
        """Drop one export and sync; returns what the sync says."""
        self.world.drop_bytes(f"{number}.xml", export if isinstance(export, bytes) else export.bytes())
        return self.world.sync()

    def everything(self) -> Any:
        """The state without runs, audit and holds, and all that both targets have."""
        return (
            self.world.tables(frozenset({"runs", "audit", "holds", "hold_bodies"})),
            self.scim.resources("/Users"),
            self.scim.resources("/Groups"),
            self.aula.objects,
            len(self.aula.received),
        )

    def pupils(self, number: str = FIRST) -> set[str]:
        """The user ids of the pupils of a school, as Aula has them."""
        return {
            thing["user_id"]
            for subject, thing in self.aula.objects.items()
            if subject.startswith("affiliation/")
            and (thing["institution_number"], thing["kind"]) == (number, "student")
        }

    def users(self) -> set[str]:
        return {user["userName"] for user in self.scim.resources("/Users")}


@pytest.fixture(scope="module")
def server() -> Iterator[ScimServer]:
    with ScimServer() as server:
        yield server


@pytest.fixture
def school(tmp_path: Path, server: ScimServer) -> Iterator[School]:
    """After day 1. The server is shared, so it is emptied first."""
    for endpoint in ("/Users", "/Groups"):
        for resource in server.resources(endpoint):
            server.call("DELETE", f"{endpoint}/{resource['id']}")
    world, secret = World(tmp_path / "world", institutions=[FIRST, SECOND]), webhook_secret()
    with AulaReceiver(secret) as aula:
        world.municipality["targets"] = {
            "platform": scim_target(world, server.url, server.token),
            "aula": aula_target(world, aula.url, secret),
        }
        world.write()
        found = School(world, server, aula)
        world.drop_bytes(f"{SECOND}.xml", found.base(SECOND).bytes())
        found.bring(found.base(FIRST))
        assert world.holds("--all") == []
        assert len(found.pupils()) == PUPILS
        yield found


def _spoilt(school: School, how: str) -> Export:
    """An export of which nothing but what is named is wrong."""
    base = school.base(FIRST).later(days=1)
    match how:
        case "empty":
            return base.emptied()
        case "shrunken":
            return base.without_pupils(60)
        case "older":
            return base.renamed("Ny skole").later(days=-2)
        case "older_export":
            return school.base(FIRST).renamed("Ny skole").exported_later(days=-1)
        case "older_source":
            return school.base(FIRST).renamed("Ny skole").later(days=-1).exported_later(days=2)
        case "wrong_institution":
            return school.base(SECOND).later(days=1).renamed("Ny skole")
        case "wrong_institution_recorded":
            return school.base(SECOND)
        case "not_configured":
            return base.numbered("999999")
    raise AssertionError(how)


REASONS = {
    "empty": ["empty", "shrunken"],  # where nobody is left, more than the threshold is gone too
    "older": ["older"],
    "older_export": ["older"],
    "older_source": ["older"],
    "wrong_institution": ["wrong_institution"],
    "wrong_institution_recorded": ["wrong_institution"],
    "not_configured": ["wrong_institution"],
}


@pytest.mark.parametrize("how", REASONS)
def test_a_harmful_snapshot_is_held_with_its_reason_and_nothing_is_touched(school: School, how: str) -> None:
    before, export = school.everything(), _spoilt(school, how)
    school.world.drop_bytes(f"{FIRST}.xml", export.bytes())
    told = school.world.run("plan", "--json").ended(0).json
    assert [(s["institution"], s["result"]) for s in told["snapshots"]] == [(FIRST, "held")]
    assert told["targets"] == {f"{MUNICIPALITY}/platform": [], f"{MUNICIPALITY}/aula": []}

    status = school.world.sync()  # a held snapshot is shown and is no failure
    (hold,) = school.world.holds()
    assert (hold["institution"], hold["reasons"], hold["state"]) == (FIRST, REASONS[how], "open")
    assert hold["origin"] == f"{FIRST}.xml"
    assert len(hold["explained"]) == len(hold["reasons"])
    assert school.everything() == before

    assert status["well"] is False
    assert f"Hold {hold['id']}: approve or reject" in status["attention"][0]
    assert school.world.run("status").ended(1).stdout.startswith(f"! Hold {hold['id']}")

    school.bring(export)  # again: one hold a content
    assert [one["id"] for one in school.world.holds("--all")] == [hold["id"]]
    assert school.everything() == before


def test_only_the_deletions_of_a_shrunken_snapshot_are_held(school: School) -> None:
    export = _spoilt(school, "shrunken").renamed("Ny skole")
    pupils, users = school.pupils(), school.users()
    school.world.drop_bytes(f"{FIRST}.xml", export.bytes())
    told = school.world.run("plan", "--json").ended(0).json
    assert [(s["institution"], s["result"]) for s in told["snapshots"]] == [(FIRST, "held")]
    assert not [step for steps in told["targets"].values() for step in steps if step["operation"] == "deleted"]
    assert any(told["targets"].values())
    status = school.world.sync()
    (hold,) = school.world.holds()
    assert (hold["subject"], hold["reasons"]) == ("deletions", ["shrunken"])
    assert (school.pupils(), school.users()) == (pupils, users)
    names = {thing["name"] for subject, thing in school.aula.objects.items() if subject.startswith("institution/")}
    assert "Ny skole" in names
    assert "approve or reject the deletions of institution" in status["attention"][0]

    school.bring(export.later(hours=1))  # again: one hold of the same people
    assert [one["id"] for one in school.world.holds("--all")] == [hold["id"]]


def test_a_part_of_the_deletions_can_be_approved_and_the_rest_refused(school: School) -> None:
    export = _spoilt(school, "shrunken")
    gone = sorted(school.pupils() - {export.user_id(record) for record in export.pupils})
    school.bring(export)
    number = str(school.world.holds()[0]["id"])
    told = school.world.run("holds", "preview", number, "--json").ended(0).json
    assert [s for s in told["targets"][f"{MUNICIPALITY}/aula"] if s["operation"] == "deleted"]
    assert len(school.pupils()) == PUPILS, "a preview decides nothing"
    assert "stranger" in school.world.run("holds", "approve", number, "--only", "stranger").ended(1).stderr
    school.world.run("holds", "approve", number, "--only", gone[0], "--only", gone[1]).ended(0)
    school.world.sync()
    assert gone[0] not in school.users() and len(school.pupils()) == PUPILS - 2
    (rest,) = school.world.holds()
    assert (str(rest["id"]), rest["people"]) == (number, gone[2:])
    school.world.run("holds", "reject", number).ended(0)
    status = school.bring(export.later(hours=1))
    assert school.world.holds() == [] and len(school.pupils()) == PUPILS - 2
    assert any(f"Hold {number} was rejected: 4 people" in note for note in status["notes"])


def test_two_people_are_needed_where_the_municipality_says_so(school: School) -> None:
    school.world.municipality["guard"]["two_people"] = True
    school.world.write()
    school.bring(_spoilt(school, "shrunken"))
    number = str(school.world.holds()[0]["id"])
    told = school.world.run("holds", "approve", number).ended(0).stdout
    assert "1 more person has to approve it too" in told
    assert "2 different people" in school.world.run("holds", "approve", number).ended(1).stderr
    assert "own login" in school.world.run("holds", "approve", number, "--by", "another").ended(1).stderr
    school.world.sync()
    assert len(school.pupils()) == PUPILS


def test_a_roll_is_expected_by_one_person_alone_only_where_one_decides(school: School) -> None:
    until = (datetime.now(UTC) + timedelta(days=20)).date().isoformat()
    told = school.world.run("holds", "expect", "--until", until).ended(0).stdout
    assert "is expected from" in told and f"until {until} 23:59 (Europe/Copenhagen)" in told
    assert "all" in school.world.run("holds", "expected").ended(0).stdout
    assert "A new school year passes by itself" in " ".join(school.world.sync()["notes"])
    assert "no such institution" in (
        school.world.run("holds", "expect", "--until", until, "--institution", "999999").ended(2).stderr
    )
    assert "not expected any more" in school.world.run("holds", "unexpect").ended(0).stdout
    assert "not expected so" in school.world.run("holds", "unexpect").ended(1).stderr
    assert school.world.run("holds", "expected", "--json").ended(0).json == {"expected": []}
    far = (datetime.now(UTC) + timedelta(days=70)).date().isoformat()
    assert "60 days" in school.world.run("holds", "expect", "--until", far).ended(1).stderr
    school.world.municipality["guard"]["two_people"] = True
    school.world.write()
    soon = (datetime.now(UTC) + timedelta(days=10)).date().isoformat()
    told = school.world.run("holds", "expect", "--until", soon).ended(0).stdout
    assert "is not expected yet" in told and f"skolebro holds expect --until {soon}" in told
    assert "2 different people" in school.world.run("holds", "expect", "--until", soon).ended(1).stderr


def test_show_explains_and_names_whom_by_user_id(school: School) -> None:
    export = _spoilt(school, "shrunken")
    left = {export.user_id(record) for record in export.pupils}
    gone = school.pupils() - left
    assert len(gone) == 6
    school.bring(export)
    (hold,) = school.world.holds()
    number = str(hold["id"])
    shown = school.world.run("holds", "show", number, "--json").ended(0).json
    assert shown["people"] == sorted(gone)
    assert shown["counts"]["affiliation.deleted"] == 6
    assert shown["counts"]["affiliation.student.stored"] == PUPILS
    text = school.world.run("holds", "show", number).ended(0).stdout
    assert "more would be deleted than the threshold allows" in text
    assert ", ".join(sorted(gone)) in text
    assert f"skolebro holds approve {number}" in text


def test_an_approved_snapshot_goes_through_and_no_other(school: School) -> None:
    approved, other = _spoilt(school, "shrunken"), _spoilt(school, "empty").later(hours=1)
    school.bring(approved)
    (hold,) = school.world.holds()
    answer = school.world.run("holds", "approve", str(hold["id"]), "--by", "skoleleder", "--json").ended(0).json
    assert (answer["state"], answer["decided_by"]) == ("approved", "skoleleder")
    assert len(school.pupils()) == PUPILS, "a decision alone changes nothing"

    school.bring(other)
    left = {approved.user_id(record) for record in approved.pupils}
    assert school.pupils() == left
    assert len(left) == 4
    staff = {approved.user_id(record) for record in approved.records} - left
    second = {school.base(SECOND).user_id(record) for record in school.base(SECOND).records}
    assert school.users() == left | staff | second

    held = {one["id"]: (one["state"], one["reasons"]) for one in school.world.holds("--all")}
    assert held.pop(hold["id"]) == ("applied", ["shrunken"])
    assert list(held.values()) == [("open", ["empty", "shrunken"])]


def test_approval_of_one_content_is_none_of_a_similar_one(school: School) -> None:
    school.bring(_spoilt(school, "empty"))
    (hold,) = school.world.holds()
    school.world.run("holds", "reject", str(hold["id"])).ended(0)
    similar = _spoilt(school, "empty").later(minutes=1)
    before = school.everything()
    school.bring(similar)
    (new,) = school.world.holds()
    assert new["id"] != hold["id"]
    assert school.everything() == before


@pytest.mark.parametrize("how", ["empty", "older", "wrong_institution"])
def test_every_kind_of_hold_can_be_approved(school: School, how: str) -> None:
    export = _spoilt(school, how)
    school.bring(export)
    (hold,) = school.world.holds()
    plan_before = school.world.run("plan", "--json").ended(0).json
    assert not any(plan_before["targets"].values())
    school.world.run("holds", "approve", str(hold["id"])).ended(0)
    announced = school.world.run("plan", "--json").ended(0).json["targets"]
    assert any(announced.values())

    received = len(school.aula.received)
    school.world.sync()
    assert len(school.aula.received) - received == len(announced[f"{MUNICIPALITY}/aula"])
    assert [one["state"] for one in school.world.holds("--all")] == ["applied"]
    names = {
        thing["institution_number"]: thing["name"]
        for subject, thing in school.aula.objects.items()
        if subject.startswith("institution/")
    }
    if how == "empty":
        assert school.pupils() == set()
    else:  # the wrong institution's content is recorded as what it is: the other school's
        assert names[FIRST if how == "older" else SECOND] == "Ny skole"
    assert len(school.pupils(SECOND)) == PUPILS


def test_a_rejected_content_stays_refused(school: School) -> None:
    export = _spoilt(school, "empty")
    school.bring(export)
    (hold,) = school.world.holds()
    before = school.everything()
    school.world.run("holds", "reject", str(hold["id"])).ended(0)
    school.world.sync()
    school.bring(export)
    assert [(one["id"], one["state"]) for one in school.world.holds("--all")] == [(hold["id"], "rejected")]
    assert school.world.holds() == []
    assert school.everything() == before
    last = school.world.rows("SELECT institution, result, reason FROM runs ORDER BY number DESC LIMIT 1")
    assert last == [(FIRST, "refused", "rejected")]


@pytest.mark.parametrize("decision", [None, "approve"])
def test_a_later_good_snapshot_ends_a_hold(school: School, decision: str | None) -> None:
    school.bring(_spoilt(school, "shrunken"))
    (hold,) = school.world.holds()
    good = school.base(FIRST).later(days=2).renamed("Ny skole")
    if decision:
        school.world.run("holds", decision, str(hold["id"])).ended(0)
    school.bring(good)
    state = "applied" if decision else "superseded"
    assert [one["state"] for one in school.world.holds("--all")] == [state]
    assert len(school.pupils()) == PUPILS
    objects = school.aula.objects.values()
    assert {"institution_number": FIRST, "name": "Ny skole"} in objects
    school.world.run("holds", "approve", str(hold["id"])).ended(1)


def test_deciding_twice_is_refused(school: School) -> None:
    school.bring(_spoilt(school, "empty"))
    (hold,) = school.world.holds()
    number = str(hold["id"])
    school.world.run("holds", "reject", number).ended(0)
    for verb in ("approve", "reject"):
        answer = school.world.run("holds", verb, number).ended(1)
        assert answer.stderr == (
            f"skolebro: hold {number} is not open any more: it is rejected; nothing was changed\n"
        )
        assert answer.stdout == ""
    assert [one["state"] for one in school.world.holds("--all")] == ["rejected"]
    said = [json.loads(record) for (record,) in school.world.rows("SELECT record FROM audit")]
    assert [one["kind"] for one in said if one["kind"].startswith("hold.")] == ["hold.opened", "hold.rejected"]


def test_a_hold_that_is_not_there_cannot_be_decided(school: School) -> None:
    assert "there is no hold 7" in school.world.run("holds", "approve", "7").ended(1).stderr
    assert "there is no hold 7" in school.world.run("holds", "show", "7").ended(2).stderr
