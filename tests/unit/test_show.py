"""`skolebro status` shows of subscriptions what there is, and no column that would be empty."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bridge.cli import show
from bridge.domain.entities import Kind
from bridge.domain.ids import TargetId, canonical_id
from bridge.engine.decide import Rule
from bridge.observe import InstitutionStatus, Status
from bridge.ports import Approval, Drift, Hold

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


def open_hold(*approvals: Approval) -> Hold:
    people = ("ane", "bo", "carl")
    return Hold(
        id=7,
        municipality="101",
        institution="101001",
        subject="deletions",
        target=None,
        digest="d",
        reasons=("shrunken",),
        counts={},
        people=people,
        state="open",
        opened_at=NOW,
        origin="a.xml",
        approvals=approvals,
    )


def test_a_hold_tells_who_approved_which_part_and_how_many_are_needed(capsys: pytest.CaptureFixture[str]) -> None:
    earlier = NOW - timedelta(hours=25)
    said = open_hold(Approval("anna", earlier), Approval("bent", NOW, ("ane", "bo")), Approval("carla", NOW))
    show.hold(said, False, Rule(2), NOW)
    told = [line.strip() for line in capsys.readouterr().out.splitlines() if "approved by" in line]
    assert told == [
        "all of it: approved by anna at 2026-03-01T11:00:00+00:00, carla at 2026-03-02T12:00:00+00:00; "
        "1 of 2 people needed",
        "only 2 of it (ane, bo): approved by bent at 2026-03-02T12:00:00+00:00; 1 of 2 people needed",
    ]


def test_a_second_person_who_approves_another_part_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    show.decided(open_hold(Approval("anna", NOW), Approval("bent", NOW, ("ane",))), False, 2)
    told = " ".join(capsys.readouterr().out.split())
    assert "1 more person has to approve it too" in told
    assert "another part of it, which counts apart" in told


def drift_hold(**counts: int) -> Hold:
    labels = {label.replace("_", "."): number for label, number in counts.items()}
    return replace(
        open_hold(), subject="drift", target="101/platform", institution="", groups=("101001/1A",), counts=labels
    )


def test_a_hold_of_accounts_that_are_missing_at_the_target_does_not_say_that_they_would_go(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show.hold(drift_hold(person_missing=3, group_changed=1, person_stored=3), False, Rule(), NOW)
    told = capsys.readouterr().out
    assert "  would be made again (3): ane, bo, carl" in told
    assert "  groups that would be set right (1): 101001/1A" in told
    show.hold(drift_hold(person_missing=2, person_leftover=1), False, Rule(), NOW)
    assert "  would be made again or be deleted there (3): ane, bo, carl" in capsys.readouterr().out


def test_a_hold_of_new_accounts_at_a_target_does_not_say_that_they_would_go(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show.hold(replace(open_hold(), target="101/platform", counts={"person.created": 3}), False, Rule(), NOW)
    assert "  would be created (3): ane, bo, carl" in capsys.readouterr().out


def test_an_approved_hold_says_what_carries_it_out(capsys: pytest.CaptureFixture[str]) -> None:
    show.decided(replace(drift_hold(person_missing=3), state="approved", decided_by="anna"), False)
    assert capsys.readouterr().out == (
        "Hold 7 is approved by anna: the running daemon or the next sync reads 101/platform again and sets right "
        "what still differs.\n"
    )


def test_a_long_list_of_differences_is_cut_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    target = TargetId("101/platform")
    ids = [canonical_id("101", Kind.PERSON, (f"user{n}",)) for n in range(45)]
    rows = [Drift(target, one, Kind.PERSON, "missing", (), 0, "open", NOW) for one in ids]
    keys = {(target, one): (f"user{n}",) for n, one in enumerate(ids)}
    show.differences(rows, keys, 40)
    told = capsys.readouterr().out
    assert "user39 " in told and "user40 " not in told
    assert told.endswith("and 5 more: --all shows them.\n")
    show.differences(rows, keys, None)
    assert "user44 " in (told := capsys.readouterr().out) and "more" not in told


def test_a_program_gets_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    show.status(status(replace(ROW, agreement="missing"), notes=("x",)), json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["institutions"][0]["agreement"], told["notes"]) == ("missing", ["x"])


def test_an_approval_of_a_part_says_how_many_it_lets_go(capsys: pytest.CaptureFixture[str]) -> None:
    said = replace(open_hold(Approval("anna", NOW, ("ane",))), state="approved", decided_by="anna", decided_at=NOW)
    show.decided(said, False)
    told = " ".join(capsys.readouterr().out.split())
    assert "Hold 7 is approved by anna for 1 of 3 people: the running daemon" in told
    assert told.endswith("Who was left out stays, and waits on under number 7.")


def test_an_approval_of_a_part_of_a_snapshot_says_that_all_else_is_recorded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = replace(open_hold(Approval("anna", NOW, ("ane", "101001/1A"))), state="approved", decided_by="anna")
    show.decided(replace(said, subject="snapshot", groups=("101001/1A",)), False)
    told = " ".join(capsys.readouterr().out.split())
    assert "for 1 of 3 people and 1 of 1 groups" in told
    assert "Everything else of the snapshot is recorded with it: class moves" in told
    assert "waits under a new number" in told


def test_an_approval_of_all_of_it_names_no_part(capsys: pytest.CaptureFixture[str]) -> None:
    show.decided(replace(open_hold(Approval("anna", NOW)), state="approved", decided_by="anna"), False)
    assert capsys.readouterr().out.startswith("Hold 7 is approved by anna: the running daemon")
