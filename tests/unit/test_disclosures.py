"""The record of processing says what the mappings and the masking do."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from bridge.domain.sheets import inert
from tests.support.process import run
from tests.support.world import MUNICIPALITY, World

OWN = """extends: scim/core
mapping: own
purpose: "=Accounts | classes"
resources:
  User:
    when: {kinds: student}
    fields:
      emails: null
      cpr: {from: civil_registration_number, purpose: enrolment, legal_basis: databeskyttelsesloven § 11}
      phoneNumbers: [{value: {from: mobile_phone.number, purpose: messages}}]
  Group: null
institutions:
  "101001": {resources: {User: {fields: {cpr: null}}}}
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A platform by a mapping of its own, and an Aula that only observes."""
    made = World(
        tmp_path / "world",
        targets={
            "platform": {"connector": "scim", "base_url": "http://127.0.0.1:1", "mapping": "own.yaml"},
            "aula": {"connector": "aula", "institutions": ["101002"]},
        },
    )
    (made.root / "own.yaml").write_text(OWN, encoding="utf-8")
    return made


def told(world: World) -> dict[str, dict[str, Any]]:
    answer = world.run("disclosures", "--format", "json").ended(0).json
    return {one["target"]: one for one in answer["recipients"]}


def field(recipient: dict[str, Any], place: str, institutions: str = "all but 101001") -> dict[str, Any]:
    (found,) = [
        one for one in recipient["fields"] if one["field"] == place and one["institutions"] == institutions
    ]
    return dict(found)


def test_each_recipient_is_told_with_its_system_its_scope_and_whether_anything_is_sent(world: World) -> None:
    platform, aula = told(world)["platform"], told(world)["aula"]
    assert (platform["system"], platform["institutions"], platform["is_sent"]) == (
        "http://127.0.0.1:1",
        "all",
        True,
    )
    assert (aula["institutions"], aula["is_sent"]) == ("101002", False)


def test_each_field_is_told_with_whose_it_is_and_why(world: World) -> None:
    number = field(told(world)["platform"], "cpr")
    assert (number["people"], number["purpose"]) == (["pupils"], "enrolment")
    assert number["legal_basis"] == "databeskyttelsesloven § 11"


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("name.givenName", "the alias instead"),
        ("displayName", "the alias instead"),
        ("phoneNumbers[].value", "left out"),
        ("userName", "as it is"),
        ("cpr", "as it is"),
    ],
)
def test_each_field_is_told_with_what_protection_does_to_it(world: World, place: str, shown: str) -> None:
    assert field(told(world)["platform"], place)["when_protected"] == shown


def test_a_school_with_rules_of_its_own_is_told_by_itself(world: World) -> None:
    fields = told(world)["platform"]["fields"]
    assert {one["institutions"] for one in fields if one["field"] == "cpr"} == {"all but 101001"}
    assert {one["institutions"] for one in fields if one["field"] == "userName"} == {"all but 101001", "101001"}


def test_what_the_configuration_does_not_send_is_not_told(world: World) -> None:
    platform = told(world)["platform"]
    assert not [
        one for one in platform["fields"] if one["field"].startswith("emails") or one["resource"] == "Group"
    ]


def test_the_document_is_readable_and_no_value_breaks_its_tables(world: World) -> None:
    text = world.run("disclosures").ended(0).stdout
    assert f"## {MUNICIPALITY}/platform" in text
    assert "- Purpose: =Accounts \\| classes (mapping `own`)" in text
    assert "is sent NOTHING (it only observes)" in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in tables} == {9}


def test_a_spreadsheet_runs_nothing_of_it(world: World) -> None:
    rows = list(csv.DictReader(io.StringIO(world.run("disclosures", "--format", "csv").ended(0).stdout)))
    assert {row["recipient"] for row in rows} == {"platform", "aula"}
    of_type = next(row for row in rows if row["field"] == "userType")
    assert (of_type["people"], of_type["is_personal"]) == ("pupils", "yes")
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_cell_that_would_be_run_is_shown_as_text(start: str) -> None:
    assert inert(f"{start}1+1") == f"'{start}1+1"


@pytest.mark.parametrize("text", ["", "1=1", "Ærø", "'"])
def test_other_cells_stay(text: str) -> None:
    assert inert(text) == text


def test_a_mapping_that_does_not_say_why_is_refused_with_the_line_by_every_verb(world: World) -> None:
    (world.root / "own.yaml").write_text(OWN.replace(", purpose: messages", ""), encoding="utf-8")
    for verb in (("check", "--offline"), ("disclosures",), ("sync",)):
        said = world.run(*verb).ended(2).stderr
        assert "own.yaml:10: resources.User.fields.phoneNumbers[].value: expected a purpose" in said


# ---------------------------------------------------------------- skolebro mapping


def test_mapping_list_says_who_uses_which(world: World) -> None:
    rows = {
        row["name"]: row["used_by"] for row in world.run("mapping", "list", "--json").ended(0).json["mappings"]
    }
    assert rows["own"] == [f"{MUNICIPALITY}/platform"]
    assert rows["aula/observe"] == [f"{MUNICIPALITY}/aula"]
    assert rows["scim/core"] == []


def test_mapping_show_tells_every_field_with_what_it_extends(world: World) -> None:
    shown = json.loads(run(["mapping", "show", "own.yaml", "--json"], world.root).ended(0).stdout)
    cpr = [one for one in shown["fields"] if one["field"] == "cpr"]
    assert [(one["institution"], one["personal"], one["legal_basis"]) for one in cpr] == [
        (None, True, "databeskyttelsesloven § 11")
    ]
    assert {one["when"]["kinds"]["is"][0] for one in shown["fields"]} == {"student"}
    assert (
        "What is not named here is never sent."
        in run(["mapping", "show", "scim/core"], world.root).ended(0).stdout
    )


def test_mapping_show_of_what_is_none_says_which_there_are(world: World) -> None:
    assert "known are: aula/agreement" in run(["mapping", "show", "scim/kore"], world.root).ended(2).stderr
