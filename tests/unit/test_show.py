"""`skolebro status` shows of subscriptions what there is, and no column that would be empty."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bridge.cli import show
from bridge.observe import InstitutionStatus, Status

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ROW = InstitutionStatus("101", "101001", NOW, NOW, "unchanged", None, NOW, 0)


def status(*rows: InstitutionStatus, notes: tuple[str, ...] = ()) -> Status:
    return Status(NOW, (), (), rows, (), (), 0, "0:00", notes=notes)


def shown(seen: Status, capsys: pytest.CaptureFixture[str]) -> list[str]:
    show.status(seen, json=False)
    return capsys.readouterr().out.splitlines()


def heads(lines: list[str]) -> list[str]:
    return lines[1].replace("last run", "last_run").replace("next try", "next_try").split()


def test_a_source_without_agreements_has_no_column_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert heads(shown(status(ROW), capsys)) == ["municipality", "institution", "recorded", "last_run", "at"]


def test_agreements_and_next_tries_have_a_column_where_there_are_some(capsys: pytest.CaptureFixture[str]) -> None:
    ended = replace(ROW, agreement="withdrawn", agreement_at=NOW)
    failing = replace(
        ROW, institution="101002", agreement="agreed", reason="timeout", retry_at=NOW + timedelta(hours=1)
    )
    lines = shown(status(ended, failing), capsys)
    assert heads(lines)[-3:] == ["reason", "agreement", "next_try"]
    assert lines[2].rstrip().endswith("withdrawn since 2026-03-02")
    assert lines[3].rstrip().endswith("timeout  agreed                      2026-03-02T13:00:00+00:00")


def test_an_institution_that_waits_for_its_first_snapshot_was_never_recorded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    new = InstitutionStatus("101", "101001", None, None, None, None, None, None, agreement="agreed")
    assert shown(status(new), capsys)[2].split() == ["101", "101001", "never", "agreed"]


def test_a_note_needs_nobody_and_is_shown_after_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(status(ROW, notes=("Institution 101005: agreed, but not configured.",)), capsys)
    assert lines[0] == "All well."
    assert lines[-2] == "Institution 101005: agreed, but not configured."


def test_a_program_gets_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    show.status(status(replace(ROW, agreement="missing"), notes=("x",)), json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["institutions"][0]["agreement"], told["notes"]) == ("missing", ["x"])
