"""OneRoster as files: a loader that knows nothing of us finds every row, and every reference leads somewhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bridge.connector import Command, ContractBroken, Rejected, TargetUnavailable
from bridge.testing.conformance_target import ReadsBackConformance, Samples, ShelfReceiver, TargetConformance
from bridge.testing.memory_shelf import MemoryDrop
from connectors.oneroster import OneRosterCsvTarget, csv_connector
from connectors.oneroster.csv_config import OneRosterCsvConfig
from tests.support.files import FileDesk, Rows, killed_at, read_csv, tables, unzip
from tests.support.oneroster import (
    OTHER,
    TEACHER,
    TOLD,
    TOWN,
    agent,
    class_id,
    gone,
    group,
    member,
    org_id,
    role,
    school,
    user,
    user_id,
)

_COMMON = "sourcedId,status,dateLastModified,"
_FLAGS = (
    "americanIndianOrAlaskaNative,asian,blackOrAfricanAmerican,nativeHawaiianOrOtherPacificIslander,white,"
    "demographicRaceTwoOrMoreRaces,hispanicOrLatinoEthnicity"
)
_HEADERS = {
    "academicSessions": _COMMON + "title,type,startDate,endDate,parentSourcedId,schoolYear",
    "orgs": _COMMON + "name,type,identifier,parentSourcedId",
    "courses": _COMMON + "schoolYearSourcedId,title,courseCode,grades,orgSourcedId,subjects,subjectCodes",
    "classes": _COMMON
    + "title,grades,courseSourcedId,classCode,classType,location,schoolSourcedId,termSourcedIds,subjects,"
    "subjectCodes,periods",
    "enrollments": _COMMON + "classSourcedId,schoolSourcedId,userSourcedId,role,primary,beginDate,endDate",
    "demographics": _COMMON + f"birthDate,sex,{_FLAGS},countryOfBirthCode,stateOfBirthAbbreviation,cityOfBirth,"
    "publicSchoolResidenceStatus",
}
_USERS_1_1 = (
    "enabledUser,orgSourcedIds,role,username,userIds,givenName,familyName,middleName,identifier,email,sms,phone,"
    "agentSourcedIds,grades,password"
)
_USERS_1_2 = (
    "enabledUser,username,userIds,givenName,familyName,middleName,identifier,email,sms,phone,agentSourcedIds,grades,"
    "password,userMasterIdentifier,preferredGivenName,preferredMiddleName,preferredFamilyName,primaryOrgSourcedId,"
    "pronouns"
)
_ROLES = "userSourcedId,roleType,role,beginDate,endDate,orgSourcedId,userProfileSourcedId"
HEADERS = {
    "1.1": {**_HEADERS, "users": _COMMON + _USERS_1_1},
    "1.2": {**_HEADERS, "users": _COMMON + _USERS_1_2, "roles": _COMMON + _ROLES},
}
FILES = {
    "1.1": "academicSessions categories classes classResources courses courseResources demographics enrollments "
    "lineItems orgs resources results users",
    "1.2": "academicSessions categories classes classResources courses courseResources demographics enrollments "
    "lineItemLearningObjectiveIds lineItems lineItemScoreScales orgs resources resultLearningObjectiveIds results "
    "resultScoreScales roles scoreScales userProfiles userResources users",
}
REFERENCES = {
    "parentSourcedId": ("academicSessions", "orgs"),
    "orgSourcedId": ("orgs",),
    "orgSourcedIds": ("orgs",),
    "primaryOrgSourcedId": ("orgs",),
    "schoolSourcedId": ("orgs",),
    "courseSourcedId": ("courses",),
    "classSourcedId": ("classes",),
    "termSourcedIds": ("academicSessions",),
    "userSourcedId": ("users",),
    "agentSourcedIds": ("users",),
}
VERSIONS = ["1.1", "1.2"]


class Desk(FileDesk):
    def last(self) -> dict[str, bytes]:
        return unzip(self.drop.puts[-1][1])

    def rows(self) -> dict[str, Rows]:
        return tables(self.last())


def desk(*told: Command, **settings: Any) -> Desk:
    made = Desk(csv_connector, settings)
    made.tell(*(told or TOLD))
    return made


def ids(rows: Rows, status: str | None = None) -> set[str]:
    return {row["sourcedId"] for row in rows if status is None or row["status"] == status}


# ---------------------------------------------------------------- all there is


@pytest.mark.parametrize("version", VERSIONS)
class TestBulk:
    def test_each_file_has_its_header_and_the_manifest_names_every_file(self, version: str) -> None:
        made = desk(version=version)
        made.target.hand_over()
        files = made.last()
        manifest = {row["propertyName"]: row["value"] for row in read_csv(files.pop("manifest.csv"))[1]}
        assert {name: ",".join(read_csv(content)[0]) for name, content in files.items()} == {
            f"{name}.csv": header for name, header in HEADERS[version].items()
        }
        listed = {f"file.{name}" for name in FILES[version].split()}
        assert manifest == {
            "manifest.version": "1.0",
            "oneroster.version": version,
            **{one: "bulk" if one.removeprefix("file.") in HEADERS[version] else "absent" for one in listed},
        }

    def test_a_loader_finds_every_object_and_every_reference(self, version: str) -> None:
        told = [*TOLD, user("mor", role("parent"), givenName="Mor"), agent("anna", "mor"), user("off", number="9")]
        made = desk(*told, version=version, course="group_type")
        counts = made.target.hand_over()
        rows = made.rows()
        expected = {"orgs": 3, "classes": 2, "courses": 2, "academicSessions": 2, "users": 5, "enrollments": 3}
        assert expected.items() <= {name: len(some) for name, some in rows.items()}.items()
        assert counts is not None
        assert counts.counts == {name: len(some) for name, some in rows.items() if name != "manifest"}
        there = {name: ids(some) for name, some in rows.items() if name != "manifest"}
        assert all(len(there[name]) == len(rows[name]) for name in there), "an id twice"
        for name in there:
            for row in rows[name]:
                for column, homes in REFERENCES.items():
                    wanted = set(filter(None, row.get(column, "").split(",")))
                    assert wanted <= set().union(*(there[home] for home in homes)), (name, column)
        assert there["demographics"] <= there["users"]

    def test_status_and_time_are_empty_and_who_is_gone_is_not_there(self, version: str) -> None:
        made = desk(version=version, max_lost_percent=100)
        made.target.hand_over()
        made.tell(gone(member("anna", "1A")), gone(user("anna")))
        made.next_day()
        rows = made.rows()
        rows.pop("manifest")
        assert {(row["status"], row["dateLastModified"]) for some in rows.values() for row in some} == {("", "")}
        assert ids(rows["users"]) == {user_id("bo"), user_id("carl")}
        assert len(rows["enrollments"]) == 2

    def test_the_same_roster_gives_the_same_bytes(self, version: str) -> None:
        one, two = desk(version=version), desk(*reversed(TOLD), version=version)
        two.clock.at += timedelta(seconds=77)
        one.target.hand_over()
        two.target.hand_over()
        assert one.drop.puts == two.drop.puts

    def test_nothing_new_is_not_handed_over_again(self, version: str) -> None:
        made = desk(version=version)
        assert made.target.hand_over() is not None
        assert made.next_day() is None
        made.restart()
        assert made.next_day() is None
        assert len(made.drop.puts) == 1


def test_users_are_written_as_their_version_says() -> None:
    old, new = desk(version="1.1"), desk(version="1.2")
    old.target.hand_over()
    new.target.hand_over()
    (bo_1,) = [row for row in old.rows()["users"] if row["sourcedId"] == user_id("bo")]
    (bo_2,) = [row for row in new.rows()["users"] if row["sourcedId"] == user_id("bo")]
    assert (bo_1["role"], bo_1["orgSourcedIds"]) == ("teacher", f"{org_id()},{org_id(OTHER)}")
    assert bo_1["userIds"] == bo_2["userIds"] == "{UNI-Login:bo}"
    assert bo_2["primaryOrgSourcedId"] == org_id()
    held = [row for row in new.rows()["roles"] if row["userSourcedId"] == user_id("bo")]
    assert {(row["role"], row["roleType"], row["orgSourcedId"]) for row in held} == {
        ("teacher", "primary", org_id()),
        ("principal", "primary", org_id(OTHER)),
    }


def test_demographics_are_absent_where_none_are_told() -> None:
    made = desk(school(), group("1A"), user("anna"), member("anna", "1A"))
    made.target.hand_over()
    assert "demographics.csv" not in made.last()
    assert b"file.demographics,absent" in made.last()["manifest.csv"]


def test_a_roster_without_anybody_is_not_handed_over() -> None:
    made = desk(school(), group("1A"))
    assert made.target.hand_over() is None
    made.tell(user("anna"))
    assert made.next_day() is not None


def test_a_file_leaves_at_most_as_often_as_set() -> None:
    made = desk(every="6h")
    made.target.hand_over()
    made.tell(user("dorte"))
    made.clock.at += timedelta(hours=5)
    assert made.target.hand_over() is None
    made.clock.at += timedelta(hours=1)
    assert made.target.hand_over() is not None


def test_another_place_is_given_all_though_nothing_changed() -> None:
    made = desk()
    made.target.hand_over()
    made.restart(drop_folder=Path("elsewhere"))
    assert made.next_day() is not None


# ---------------------------------------------------------------- what changed


@pytest.mark.parametrize("version", VERSIONS)
class TestDelta:
    def test_the_first_is_all_and_the_next_what_changed(self, version: str) -> None:
        made = desk(version=version, mode="delta", max_lost_percent=50)
        made.target.hand_over()
        assert b"file.users,bulk" in made.last()["manifest.csv"]
        made.clock.at += timedelta(hours=1)
        made.tell(user("dorte"), gone(member("anna", "1A")))
        made.next_day()
        rows = made.rows()
        assert b"file.users,delta" in made.last()["manifest.csv"]
        assert ids(rows["users"], "active") == {user_id("dorte")} == ids(rows["users"])
        assert len(ids(rows["enrollments"], "tobedeleted")) == 1
        assert rows["orgs"] == rows["classes"] == []
        assert all(row["dateLastModified"].endswith("Z") for row in rows["users"] + rows["enrollments"])

    def test_no_file_takes_the_place_of_another(self, version: str) -> None:
        made = desk(version=version, mode="delta")
        for name in ("dorte", "erik", "freja"):
            made.tell(user(name))
            made.next_day()
        assert [name for name, _ in made.drop.puts] == [f"oneroster-{TOWN}-{n:06}.zip" for n in (1, 2, 3)]

    def test_whoever_applies_all_of_them_has_what_a_bulk_file_has(self, version: str) -> None:
        made, whole = desk(version=version, mode="delta"), desk(version=version, max_lost_percent=100)
        days: list[list[Command]] = [
            [],
            [user("dorte"), member("dorte", "1A"), gone(member("carl", "1B", number=OTHER))],
            [user("bo", TEACHER), group("1C"), member("bo", "1C", role="teacher")],  # no principal any more
            [gone(member("anna", "1A")), gone(user("anna"))],
            [user("anna"), member("anna", "1C")],
        ]
        state: dict[str, dict[str, Any]] = {}
        made.restart(max_lost_percent=100)
        for told in days:
            for one in (made, whole):
                one.tell(*told)
                assert one.next_day() is not None
            if b"file.users,bulk" in made.last()["manifest.csv"]:
                state.clear()  # nobody has demographics any more: that is told by a whole file
            for name, rows in made.rows().items():
                for row in rows if name != "manifest" else []:
                    kept = state.setdefault(name, {})
                    kept.pop(row["sourcedId"], None)
                    if row["status"] != "tobedeleted":
                        kept[row["sourcedId"]] = row | {"status": "", "dateLastModified": ""}
            expected = {
                name: {row["sourcedId"]: row for row in rows}
                for name, rows in whole.rows().items()
                if name != "manifest"
            }
            assert state == expected

    def test_killed_after_the_file_was_left_the_next_has_it_all_again(
        self, version: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = desk(version=version, mode="delta")
        made.target.hand_over()
        made.tell(user("bo", TEACHER))  # loses a role
        for line in ("handed_over_ids", "handed_over"):
            with monkeypatch.context() as patch:
                patch.setattr(type(made.shelf), "set_note", killed_at(line, type(made.shelf).set_note))
                with pytest.raises(KeyboardInterrupt):
                    made.next_day()
            made.restart()
        before = made.drop.puts[-1]
        assert made.next_day() is not None
        assert made.drop.puts[-1] == before
        assert len(made.drop.files) == 2

    def test_one_that_is_late_by_more_than_the_tombstones_is_whole_again(self, version: str) -> None:
        made = desk(version=version, mode="delta", tombstones="30d")
        made.target.hand_over()
        made.clock.at += timedelta(days=40)
        made.tell(user("dorte"))
        made.target.hand_over()
        assert b"file.users,bulk" in made.last()["manifest.csv"]
        assert len(made.rows()["users"]) == 4

    def test_who_is_nowhere_any_more_is_told_by_a_whole_file(self, version: str) -> None:
        made = desk(version=version, mode="delta", max_lost_percent=50)
        made.target.hand_over()
        made.tell(user("carl", role("student", number="999999")))  # a school that is not sent
        made.next_day()
        assert b"file.users,bulk" in made.last()["manifest.csv"]
        assert user_id("carl") not in ids(made.rows()["users"])

    def test_another_form_starts_with_all_there_is(self, version: str) -> None:
        made = desk(version=version, mode="delta")
        made.target.hand_over()
        made.restart(version="1.1" if version == "1.2" else "1.2")
        made.next_day()
        assert b"file.users,bulk" in made.last()["manifest.csv"]


def test_a_year_later_the_new_term_is_told_though_nobody_changed() -> None:
    made = desk(mode="delta", tombstones="400d", max_lost_percent=100)
    made.target.hand_over()
    made.clock.at += timedelta(days=300)
    made.target.hand_over()
    titles = {(row["title"], row["status"]) for row in made.rows()["academicSessions"]}
    assert titles == {("2027/2028", "active")}  # 1A has dates of the year before, which stays
    assert ids(made.rows()["classes"]) == {class_id("1A"), class_id("1B", OTHER)}


# ---------------------------------------------------------------- too much lost


def test_a_file_that_lacks_many_does_not_leave_until_it_is_accepted() -> None:
    many = [school(), *(user(f"u{n}") for n in range(20))]
    made = desk(*many)
    made.target.hand_over()
    made.tell(*(gone(user(f"u{n}")) for n in range(3)))
    with pytest.raises(ContractBroken, match=r"3 of 20 users.*accept_loss: 1-3 "):
        made.next_day()
    made.restart(accept_loss="1-2")
    with pytest.raises(ContractBroken):
        made.next_day()
    made.restart(accept_loss="1-3")
    assert made.next_day() is not None
    made.tell(*(gone(user(f"u{n}")) for n in range(3, 6)))
    with pytest.raises(ContractBroken, match="accept_loss: 2-3 "):
        made.next_day()


# ---------------------------------------------------------------- what a spreadsheet would run


def test_a_formula_in_a_name_is_neutralised_and_a_phone_is_left_alone() -> None:
    made = desk(school(name="=1+1"), user("anna", givenName="=cmd|' /C calc'!A0", phone="+45 12 34 56 78"))
    made.target.hand_over()
    rows = made.rows()
    assert rows["users"][0]["givenName"] == "'=cmd|' /C calc'!A0"
    assert rows["users"][0]["phone"] == "+45 12 34 56 78"
    assert rows["courses"][0]["title"] == "'=1+1"
    assert "'=1+1" in {row["name"] for row in rows["orgs"]}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_formulas_are_refused_or_kept_as_set(start: str) -> None:
    told = [school(), user("anna", givenName=f"{start}x")]
    assert desk(formulas="refuse").tell(*told)[1] == Rejected("formula", "givenName")
    made = desk(*told, formulas="keep")
    made.target.hand_over()
    assert made.rows()["users"][0]["givenName"] == f"{start}x"


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"username": "=anna"}, Rejected("formula", "username")),
        ({"identifier": "@anna"}, Rejected("formula", "identifier")),
        ({"familyName": "Ho\x00lm"}, Rejected("control_character", "familyName")),
        ({"familyName": "Ho\ud800lm"}, Rejected("control_character", "familyName")),
        ({"grades": ["1,2"]}, Rejected("sign_of_a_list", "grades")),
        ({"userIds": [{"type": "UNI-Login", "identifier": "a},{x:b"}]}, Rejected("sign_of_a_list", "userIds")),
        ({"userIds": [{"type": "UNI:Login", "identifier": "a"}]}, Rejected("sign_of_a_list", "userIds")),
        ({"demographics": {"birthDate": "=1"}}, Rejected("formula", "demographics")),
    ],
)
def test_what_cannot_be_written_is_refused_and_the_next_is_taken(
    fields: dict[str, Any], refusal: Rejected
) -> None:
    first, second = desk().tell(user("dorte", **fields), user("erik"))
    assert first == refusal
    assert not isinstance(second, Rejected)


# ---------------------------------------------------------------- the contract of a target


class _Conformance(TargetConformance, ReadsBackConformance):
    @pytest.fixture
    def receiver(self) -> ShelfReceiver:
        return ShelfReceiver()

    @pytest.fixture
    def target(self, receiver: ShelfReceiver) -> OneRosterCsvTarget:
        made = Desk(csv_connector, shelf=receiver).target
        assert isinstance(made, OneRosterCsvTarget)
        return made

    def stays(self, document: Mapping[str, Any]) -> Collection[str]:
        return {"101001", "student"}


class TestUsers(_Conformance):
    @pytest.fixture
    def samples(self) -> Samples:
        return Samples.of("user", "person", {"user_id": "astr1234"}, {"user_id": "cars1234"}, _user)


def _user(identifier: str, name: str) -> dict[str, Any]:
    return {
        "sourcedId": identifier,
        "username": f"{name.lower()}@skole.example",
        "givenName": name,
        "grades": ["07"],
        "roles": [{"school": "101001", "kind": "student", "roles": ["student"]}],
    }


# ---------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    "settings",
    [
        {"mode": "delta", "name": "oneroster.zip"},
        {"name": "../oneroster.zip"},
        {"name": ".hidden.zip"},
        {"name": "{municipality.__class__}.zip"},
        {"name": "{}.zip"},
        {"accept_loss": "12"},
        {"every": "1s"},
        {"drop_folder": None},
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OneRosterCsvConfig(**{"drop_folder": Path("out"), **settings})


def test_a_drop_that_is_away_leaves_all_for_the_next_time() -> None:
    class Away(MemoryDrop):
        def put(self, name: str, content: bytes) -> None:
            raise TargetUnavailable("connect_failed")

    made = Desk(csv_connector, drop=Away())
    made.tell(*TOLD)
    with pytest.raises(TargetUnavailable):
        made.target.hand_over()
    made.drop = MemoryDrop()
    made.restart()
    assert made.next_day() is not None
