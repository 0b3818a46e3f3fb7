"""The record of processing says what the mappings and the masking do."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.adapters.state_folder import has_database
from bridge.domain.errors import StoreUnavailable
from bridge.domain.sheets import inert
from bridge.domain.spans import spelled
from tests.support.process import run
from tests.support.sheets import sheet
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


def test_how_long_is_told_in_words(world: World) -> None:
    world.municipality["guard"]["deletion_grace"] = "36h"
    world.municipality["targets"]["platform"]["leavers"] = {"retention": "30d"}
    world.write()
    assert told(world)["platform"]["retention"] == (
        "deleted 1 day and 12 hours after somebody has left the last school; where the platform can put accounts "
        "to sleep, they sleep for 30 days first"
    )


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (timedelta(days=1), "1 day"),
        (timedelta(days=14, hours=1, minutes=1, seconds=2), "14 days, 1 hour, 1 minute and 2 seconds"),
        (timedelta(minutes=90), "1 hour and 30 minutes"),
        (timedelta(0), "0 seconds"),
        (timedelta(milliseconds=5), "0 seconds"),
    ],
)
def test_a_span_is_spelled_as_people_say_it(span: timedelta, said: str) -> None:
    assert spelled(span) == said


PLATFORM = f"{MUNICIPALITY}/platform"


def stands(world: World) -> tuple[str, bool, str, str, str]:
    """The platform's standing and `is_sent` in JSON, both in CSV, and what the document says of it."""
    one = told(world)["platform"]
    rows = sheet(world.run("disclosures", "--format", "csv").ended(0).stdout)
    ((standing, is_sent),) = {(r["standing"], r["is_sent"]) for r in rows if r["recipient"] == "platform"}
    lines = world.run("disclosures").ended(0).stdout.partition(f"## {PLATFORM}")[2].splitlines()
    (said,) = [line.rpartition("; it")[0] or line for line in lines[:4] if line.startswith("- Recipient")]
    return one["standing"], one["is_sent"], standing, is_sent, said.partition("127.0.0.1:1; ")[2]


def test_without_a_state_folder_it_tells_how_each_will_begin_and_makes_none(world: World) -> None:
    assert stands(world) == ("active", True, "active", "yes", "is sent the following")
    assert told(world)["aula"]["standing"] == "observed"
    world.municipality["targets"]["platform"]["start"] = "shadow"
    world.write()
    assert stands(world)[:4] == ("shadow", False, "shadow", "no")
    assert not (world.root / "state").exists()


def test_what_is_in_shadow_or_retired_is_said_to_be_sent_nothing(world: World) -> None:
    world.municipality["targets"]["platform"]["start"] = "shadow"
    world.write()
    world.sync()
    *found, said = stands(world)
    assert found == ["shadow", False, "shadow", "no"]
    assert said.startswith("is sent NOTHING yet (it is in shadow)")
    world.run("target", "activate", PLATFORM, "--yes", "--no-probe").ended(0)
    assert stands(world) == ("active", True, "active", "yes", "is sent the following")
    world.run("target", "retire", PLATFORM, "--yes").ended(0)
    *found, said = stands(world)
    assert found == ["retired", False, "retired", "no"]
    assert said.startswith("is sent NOTHING any more (it is retired) and keeps what it was sent")
    assert told(world)["aula"]["standing"] == "observed"


def test_one_that_asked_for_nothing_more_is_said_to_be_gone_and_one_that_is_away_is_still_sent_to(
    world: World,
) -> None:
    world.sync()
    for reason, standing in (("gone", "gone"), ("connection_failed", "active"), ("unauthorised", "active")):
        world.edit(
            "UPDATE target_states SET pause_reason = ?, paused_until = ? WHERE target = ?", reason, 2**52, PLATFORM
        )
        assert stands(world)[0] == standing


def test_where_the_state_cannot_be_read_nothing_is_said(world: World) -> None:
    (world.root / "state").mkdir()
    (world.root / "state" / "skolebro.db").write_text("no database")
    assert world.run("disclosures").ended(3).stdout == ""


def test_a_folder_that_nobody_can_look_into_is_not_taken_for_none(tmp_path: Path) -> None:
    assert not has_database(tmp_path)
    with pytest.raises(StoreUnavailable, match="cannot be looked into"):
        has_database(tmp_path / ("s" * 300))


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
    rows = sheet(world.run("disclosures", "--format", "csv").ended(0).stdout)
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
