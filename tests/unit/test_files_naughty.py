"""Whatever somebody is called comes back as it was told, or is refused with a reason that quotes nobody."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from lxml import etree

from bridge.connector import Command, Delivered, Outcome, Rejected
from connectors import ims_enterprise, oneroster, sds
from tests.support import itslearning
from tests.support import oneroster as told
from tests.support.files import FileDesk, tables, unzip
from tests.support.naughty import NAUGHTY
from tests.unit import test_sds as school_data

pytestmark = pytest.mark.parametrize("text", NAUGHTY, ids=lambda text: ascii(text)[:30])

FORMULAS = ("neutralise", "refuse", "keep")


def outcome_of(desk: FileDesk, *commands: Command) -> bool:
    """Tell these after one another; whether all were taken."""
    outcomes: list[Outcome] = []
    for command in commands:
        outcomes += desk.tell(command)
    for outcome in outcomes:
        assert isinstance(outcome, Delivered | Rejected)
        if isinstance(outcome, Rejected):
            assert re.fullmatch("[a-z_]+", outcome.reason)
            assert re.fullmatch("[A-Za-z]+", outcome.field or "")
    return all(isinstance(outcome, Delivered) for outcome in outcomes)


def shown(text: str, formulas: str) -> set[str]:
    """What a reader of CSV may find."""
    return {text, f"'{text}"} if formulas == "neutralise" else {text}


def is_dangerous(text: str) -> bool:
    return text.startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize("formulas", FORMULAS)
@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_oneroster(text: str, formulas: str, version: str) -> None:
    desk = FileDesk(oneroster.csv_connector, {"formulas": formulas, "version": version})
    named = [
        told.school(name=text),
        told.command("class", (told.SCHOOL, "1A"), {"title": text, "classCode": text, "school": told.org_id()}),
        told.user("anna", givenName=text, familyName=text),
    ]
    is_taken = outcome_of(desk, *named)
    is_id_taken = outcome_of(desk, told.school(told.OTHER), told.user("bo", identifier=text, username=text))
    rows = written(desk)
    if is_taken:
        assert {row["givenName"] for row in rows["users"] if row["username"] == "anna"} <= shown(text, formulas)
        assert {row["title"] for row in rows["classes"]} <= shown(text, formulas)
        assert {row["name"] for row in rows["orgs"]} & shown(text, formulas)
        assert formulas != "refuse" or not is_dangerous(text)
    if is_id_taken and desk.drop.puts:
        assert [row["username"] for row in rows["users"] if row["identifier"] == text] == [text]
    if formulas == "neutralise":
        assert not any(is_dangerous(cell) for some in rows.values() for row in some for cell in row.values())


@pytest.mark.parametrize("formulas", FORMULAS)
def test_sds(text: str, formulas: str) -> None:
    desk = FileDesk(sds.connector, {"formulas": formulas, "as": "zip"})
    named = [school_data.school(name=text), school_data.group("1A", title=text)]
    is_taken = outcome_of(desk, *named, school_data.user("anna", givenName=text, familyName=text))
    is_id_taken = outcome_of(desk, school_data.school(told.OTHER), school_data.user("bo", username=text))
    rows = written(desk)
    if is_taken:
        assert {row["familyName"] for row in rows["users"] if row["username"] == "anna"} <= shown(text, formulas)
        assert {row["title"] for row in rows["classes"]} <= shown(text, formulas)
        assert formulas != "refuse" or not is_dangerous(text)
    if is_id_taken and desk.drop.puts and "users" in rows:
        assert text in {row["username"] for row in rows["users"]} or len(rows["users"]) < 2
    if formulas == "neutralise":
        assert not any(is_dangerous(cell) for some in rows.values() for row in some for cell in row.values())


def written(desk: FileDesk) -> dict[str, Any]:
    desk.next_day()
    return tables(unzip(desk.drop.puts[-1][1])) if desk.drop.puts else {}


@pytest.mark.parametrize(
    "make",
    [
        lambda text: itslearning.person("anna", given=text, family=text, userid=text),
        lambda text: itslearning.person("anna", sourcedId=text),
        lambda text: itslearning.person("anna", institutionrole=text),
        lambda text: itslearning.person("anna", email=text),
    ],
)
def test_ims_enterprise_person(text: str, make: Callable[[str], Command]) -> None:
    desk = FileDesk(ims_enterprise.connector)
    person = make(text)
    if not outcome_of(desk, itslearning.school(), person):
        return
    desk.next_day()
    root = etree.fromstring(desk.drop.puts[-1][1], etree.XMLParser(huge_tree=True, resolve_entities=False))
    (found,) = root.iter("person")
    document = person.document or {}
    assert found.findtext("sourcedid/id") == document["sourcedId"]
    assert found.findtext("name/n/given") == document["given"]
    assert found.findtext("name/n/family") == document["family"]
    assert found.findtext("userid") == document["userid"]
    assert (found.findtext("email") or "") == document.get("email", "")
    assert found.find("institutionrole").get("institutionroletype") == document["institutionrole"]
    assert not [one for one in root.iter() if one.tag not in _TAGS]


_TAGS = {
    *(
        "enterprise",
        "properties",
        "datasource",
        "datetime",
        "person",
        "group",
        "sourcedid",
        "source",
        "id",
        "userid",
    ),
    *("name", "fn", "n", "family", "given", "email", "institutionrole", "grouptype", "scheme", "typevalue"),
    *("description", "short"),
}


def test_ims_enterprise_groups(text: str) -> None:
    desk = FileDesk(ims_enterprise.connector)
    if not outcome_of(desk, itslearning.school(name=text), itslearning.group("1A", name=text, sourcedId=text)):
        return
    desk.tell(itslearning.person("anna"), itslearning.member("anna", "1A"))
    desk.next_day()
    root = etree.fromstring(desk.drop.puts[-1][1])
    assert [one.findtext("description/short") for one in root.iter("group")] == [text, text]
    assert [one.findtext("sourcedid/id") for one in root.iter("membership")] == [text]
