"""`skolebro plan` names what a person should know of before a sync, and counts the rest."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from bridge.cli import foresee
from bridge.domain.changes import Operation
from bridge.engine.guard import EMPTY, REASON_TEXTS
from bridge.engine.plan import Plan, Step
from bridge.ports import Run

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def run(institution: str | None, result: str, reason: str | None = None, changes: int = 0, aside: int = 0) -> Run:
    return Run("run", "0751", institution, NOW, result, reason, "incoming/x.xml", "digest", changes, aside)


def plan(*runs: Run, **fields: object) -> Plan:
    known = {"targets": {}, "held": (), "unavailable": {}, **fields}
    return Plan(runs, **known)  # type: ignore[arg-type]  # what a test leaves out is empty


def shown(found: Plan, capsys: pytest.CaptureFixture[str]) -> list[str]:
    foresee.planned(found, json=False)
    return capsys.readouterr().out.splitlines()


def test_a_snapshot_that_would_be_held_is_named_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(plan(run("101001", "held", EMPTY)), capsys)
    assert lines[0] == f"! would be held: 101001: {REASON_TEXTS[EMPTY]}"
    assert lines[1] == "Snapshots: 0 to record with 0 changes, 0 unchanged"


def test_one_that_would_be_refused_is_named_by_its_origin_where_it_names_no_institution(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = shown(plan(run(None, "refused", "not_well_formed")), capsys)
    assert lines[0].startswith("! would be refused: incoming/x.xml: the document is broken XML")


def test_an_institution_that_gives_nothing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(plan(run("101002", "failed", "agreement_missing")), capsys)
    assert lines[0].startswith("! gives nothing: 101002: the data agreement is missing")


def test_what_is_as_it_should_be_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [
        run("101001", "recorded", changes=3, aside=2),
        run("101002", "recorded", changes=4),
        run("1", "unchanged"),
    ]
    assert "Snapshots: 2 to record with 7 changes and 2 records set aside, 1 unchanged" in shown(
        plan(*runs), capsys
    )


def test_a_source_that_gives_nothing_is_told_with_why(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(plan(unavailable={"0751": "timeout: STIL gave no complete answer"}), capsys)
    assert lines[0].endswith("this plan is of what is stored: timeout: STIL gave no complete answer")


def test_without_targets_it_says_that_nothing_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(plan(), capsys)[-1] == "No target is configured: nothing is sent."


def test_a_program_gets_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    step = Step(Operation.CREATED, "User", "person", ("ane",))
    found = plan(run("101001", "recorded", changes=1), targets={"0751/platform": [step]}, held=("0751/other",))
    foresee.planned(found, json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["snapshots"][0]["changes"] == 1
    assert told["targets"]["0751/platform"][0]["key"] == ["ane"]
    assert (told["held"], told["unavailable"]) == (["0751/other"], {})
