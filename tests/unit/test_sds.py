"""School Data Sync gets the same set of files each time, with nobody in them who belongs nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from bridge.connector import Command, ContractBroken, Rejected
from bridge.testing.conformance_target import ReadsBackConformance, Samples, ShelfReceiver, TargetConformance
from connectors.sds import SdsTarget, connector
from tests.support.files import FileDesk, killed_at, read_csv, tables, unzip
from tests.support.oneroster import OTHER, SCHOOL, TOWN, class_id, command, gone, org_id, user_id

HEADERS = {
    "orgs.csv": "sourcedId,name,type,parentSourcedId",
    "users.csv": "sourcedId,username,givenName,familyName,password,activeDirectoryMatchId,email,phone,sms",
    "roles.csv": "userSourcedId,orgSourcedId,role,sessionSourcedId,grade,isPrimary,roleStartDate,roleEndDate",
    "classes.csv": "sourcedId,orgSourcedId,title,sessionSourcedIds,courseSourcedId",
    "enrollments.csv": "classSourcedId,userSourcedId,role",
}


def school(number: str = SCHOOL, **fields: Any) -> Command:
    return command(
        "org", (number,), {"name": f"Skolen {number}", "identifier": number, "type": "school", **fields}
    )


def group(name: str, number: str = SCHOOL, **fields: Any) -> Command:
    return command("class", (number, name), {"title": f"Klasse {name}", "org": org_id(number), **fields})


def role(name: str, number: str = SCHOOL, **fields: str) -> dict[str, Any]:
    return {"school": number, "kind": "staff", "roles": [name], **fields}


def user(name: str, *roles: Mapping[str, Any], **fields: Any) -> Command:
    told = {"username": name, "givenName": name.title(), "familyName": "Holm"}
    return command("user", (name,), {**told, "roles": list(roles or [role("student", grade="01")]), **fields})


def member(name: str, group_name: str, role: str = "student", number: str = SCHOOL) -> Command:
    told = {"user": user_id(name), "class": class_id(group_name, number), "role": [role]}
    return command("enrollment", (number, group_name, name), told)


TOLD = [
    school(),
    school(OTHER),
    group("1A"),
    group("1B", OTHER),
    user("anna"),
    user("bo", role("teacher"), role("principal", OTHER)),
    member("anna", "1A"),
    member("bo", "1A", "teacher"),
]


def desk(*told: Command, **settings: Any) -> FileDesk:
    made = FileDesk(connector, settings)
    made.tell(*(told or TOLD))
    return made


def test_five_files_with_exact_headers_come_every_time() -> None:
    made = desk()
    made.next_day()
    made.tell(user("anna", givenName="Ann"))
    made.next_day()
    assert [name for name, _ in made.drop.puts] == [*HEADERS, *HEADERS]
    assert {name: ",".join(read_csv(content)[0]) for name, content in made.drop.files.items()} == HEADERS


def test_every_row_is_there_and_every_reference_leads_somewhere() -> None:
    made = desk(*TOLD, user("off", role("student", "999999")), member("off", "1A"), member("anna", "9Z"))
    counts = made.next_day()
    rows = tables(made.drop.files)
    assert counts is not None
    assert counts.counts == {name: len(some) for name, some in rows.items()}
    assert counts.counts == {"orgs": 2, "users": 2, "roles": 3, "classes": 2, "enrollments": 2}
    there = {name: {row["sourcedId"] for row in rows[name]} for name in ("orgs", "users", "classes")}
    assert {row["orgSourcedId"] for row in rows["classes"] + rows["roles"]} <= there["orgs"]
    assert {row["userSourcedId"] for row in rows["roles"] + rows["enrollments"]} == there["users"]
    assert {row["classSourcedId"] for row in rows["enrollments"]} <= there["classes"]
    assert {row["password"] for row in rows["users"]} == {""}


def test_roles_have_their_school_grade_and_one_primary() -> None:
    made = desk()
    made.next_day()
    rows = tables(made.drop.files)["roles"]
    assert {(r["userSourcedId"], r["orgSourcedId"], r["role"], r["grade"], r["isPrimary"]) for r in rows} == {
        (user_id("anna"), org_id(), "student", "01", "true"),
        (user_id("bo"), org_id(), "teacher", "", "true"),
        (user_id("bo"), org_id(OTHER), "principal", "", "false"),
    }


def test_one_archive_where_that_is_asked_for() -> None:
    made = desk(**{"as": "zip"})
    made.next_day()
    ((name, content),) = made.drop.puts
    assert name == f"sds-{TOWN}.zip"
    assert [*unzip(content)] == [*HEADERS]


def test_nothing_new_is_not_handed_over_again_and_the_bytes_are_the_same_in_any_order() -> None:
    one, two = desk(**{"as": "zip"}), desk(*reversed(TOLD), **{"as": "zip"})
    one.next_day()
    two.next_day()
    assert one.drop.puts == two.drop.puts
    one.restart()
    assert one.next_day() is None
    assert two.next_day() is None


def test_no_files_before_there_is_anybody() -> None:
    assert desk(school(), group("1A")).next_day() is None


@pytest.mark.parametrize("line", ["handed_over_ids", "handed_over"])
def test_killed_before_it_is_noted_the_same_files_leave_again(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = desk()
    with monkeypatch.context() as patch:
        patch.setattr(type(made.shelf), "set_note", killed_at(line, type(made.shelf).set_note))
        with pytest.raises(KeyboardInterrupt):
            made.next_day()
    made.restart()
    assert made.next_day() is not None
    assert made.drop.puts[:5] == made.drop.puts[5:]


def test_files_that_lack_many_do_not_leave_until_that_is_accepted() -> None:
    made = desk(school(), *(user(f"u{n}") for n in range(10)))
    made.next_day()
    made.tell(gone(user("u1")), gone(user("u2")))
    with pytest.raises(ContractBroken, match=r"2 of 10 users.*accept_loss: 1-2 "):
        made.next_day()
    made.restart(accept_loss="1-2")
    assert made.next_day() is not None


@pytest.mark.parametrize(
    ("told", "refusal"),
    [
        (user("anna", givenName="An\nna"), Rejected("line_break", "givenName")),
        (user("anna", givenName="An\u2028na"), Rejected("line_break", "givenName")),
        (user("anna", familyName="Ho\x00lm"), Rejected("control_character", "familyName")),
        (user("anna", username="=anna"), Rejected("formula", "username")),
        (user("anna", username=None), Rejected("required_missing", "username")),
        (user("anna", {"school": SCHOOL, "roles": ["=x"]}), Rejected("formula", "roles")),
        (group("1A", title="\r"), Rejected("line_break", "title")),
        (group("1A", org=None), Rejected("required_missing", "org")),
        (replace(user("anna"), resource="person"), Rejected("resource_not_configured", "person")),
    ],
)
def test_what_sds_cannot_take_is_refused_and_the_next_is_taken(told: Command, refusal: Rejected) -> None:
    first, second = desk().tell(told, user("erik"))
    assert first == refusal
    assert not isinstance(second, Rejected)


def test_a_formula_in_a_name_is_neutralised_or_refused() -> None:
    made = desk(school(), user("anna", givenName="=1+1"))
    made.next_day()
    assert tables(made.drop.files)["users"][0]["givenName"] == "'=1+1"
    assert desk(formulas="refuse").tell(user("anna", givenName="=1+1")) == [Rejected("formula", "givenName")]


class TestContract(TargetConformance, ReadsBackConformance):
    @pytest.fixture
    def receiver(self) -> ShelfReceiver:
        return ShelfReceiver()

    @pytest.fixture
    def target(self, receiver: ShelfReceiver) -> SdsTarget:
        made = FileDesk(connector, shelf=receiver).target
        assert isinstance(made, SdsTarget)
        return made

    @pytest.fixture
    def samples(self) -> Samples:
        return Samples.of("user", "person", {"user_id": "astr1234"}, {"user_id": "cars1234"}, _user)


def _user(identifier: str, name: str) -> dict[str, Any]:
    return {"sourcedId": identifier, "username": name.lower(), "givenName": name, "roles": [role("student")]}


def test_of_what_is_gone_nothing_stays() -> None:
    made = desk()
    made.tell(gone(user("anna")))
    assert made.shelf.get("user", user_id("anna")) is None
    assert [one.id for one in made.target.read_back(["user"])] == [user_id("bo")]
