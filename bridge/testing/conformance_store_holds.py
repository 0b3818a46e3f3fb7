"""What every store promises of decisions in parts, of who is kept, of expected rolls and of what runs deleted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.domain.entities import Kind
from bridge.domain.errors import StoreError
from bridge.ports import Approval, ExpectedRoll, Hold, KeptPerson, Store
from bridge.testing.store_samples import AWKWARD, NOW, OTHER_SCHOOL, SCHOOL, TOWN, hold, later, run

_ELSEWHERE = "999"


def decided_hold() -> Hold:
    """A hold whose every field has a value."""
    return replace(
        hold(state="approved"),
        subject="deletions",
        target="147/minuddannelse",
        decided_at=later(60),
        decided_by="Åse Ø.",
        groups=(f"{SCHOOL}/3A", f"{SCHOOL}/{AWKWARD}"),
        withheld=((Kind.PERSON, ("jens1234",)), (Kind.MEMBERSHIP, (SCHOOL, "3A", AWKWARD))),
        approvals=(Approval("bo", later(50)), Approval("Åse Ø.", later(60), ("jens1234", AWKWARD))),
        summary={"leaving": ("jens1234", AWKWARD), "no groups": ()},
        notified_at=later(5),
        reminded_at=later(55),
        export_time=later(-5),
    )


class DecisionConformance:
    """`put_hold`, and all that a hold can hold."""

    def test_every_field_of_a_hold_comes_back(self, store: Store) -> None:
        with store.write() as uow:
            number = uow.add_hold(decided_hold(), None)
        with store.read() as reader:
            found = reader.hold(number)
            assert reader.holds() == [found]
        assert found is not None
        assert _comparable(found) == _comparable(replace(decided_hold(), id=number))

    def test_a_new_hold_has_been_told_to_nobody(self, store: Store) -> None:
        with store.write() as uow:
            found = uow.hold(uow.add_hold(hold(), None))
        assert found is not None
        assert (found.notified_at, found.reminded_at) == (None, None)
        assert (found.groups, found.withheld, found.approvals, dict(found.summary)) == ((), (), (), {})

    def test_a_hold_that_is_put_back_is_changed_whole_and_alone(self, store: Store) -> None:
        with store.write() as uow:
            first, second = uow.add_hold(hold(), None), uow.add_hold(hold(), None)
            uow.put_hold(replace(decided_hold(), id=first))
        with store.read() as reader:
            changed, other = reader.holds()
        assert _comparable(changed) == _comparable(replace(decided_hold(), id=first))
        assert other == replace(hold(), id=second)

    def test_what_was_put_can_be_taken_back(self, store: Store) -> None:
        with store.write() as uow:
            number = uow.add_hold(decided_hold(), None)
            uow.put_hold(replace(hold(), id=number))
        with store.read() as reader:
            assert reader.hold(number) == replace(hold(), id=number)

    def test_a_hold_that_is_put_back_keeps_its_bytes(self, store: Store) -> None:
        with store.write() as uow:
            number = uow.add_hold(hold(), b"<eksport/>")
            uow.put_hold(replace(hold(), id=number, notified_at=NOW))
            assert uow.hold_body(number) == b"<eksport/>"

    def test_a_hold_that_was_never_opened_cannot_be_put_back(self, store: Store) -> None:
        with pytest.raises(StoreError), store.write() as uow:
            uow.put_hold(replace(hold(), id=7))
        with store.read() as reader:
            assert reader.holds() == []

    def test_a_hold_that_is_put_back_in_a_broken_unit_stays_as_it_was(self, store: Store) -> None:
        with store.write() as uow:
            number = uow.add_hold(hold(), None)
        with store.write() as uow:
            uow.put_hold(replace(hold(), id=number, notified_at=NOW))
            uow.rollback()
        with store.read() as reader:
            assert reader.hold(number) == replace(hold(), id=number)


class KeptConformance:
    """`kept_people`, `put_kept_person`, `drop_kept_person`."""

    def test_kept_people_come_by_user_id_each_as_last_put(self, store: Store) -> None:
        anna, bo = KeptPerson(TOWN, "anna", None, "Åse Ø.", NOW), KeptPerson(TOWN, AWKWARD, later(60), "bo", NOW)
        with store.write() as uow:
            for kept in (bo, replace(anna, until=later(9), kept_by="bo"), anna):
                uow.put_kept_person(kept)
            uow.put_kept_person(KeptPerson(_ELSEWHERE, "anna", None, "bo", NOW))
        with store.read() as reader:
            assert reader.kept_people(TOWN) == [bo, anna]
            assert [kept.municipality for kept in reader.kept_people(_ELSEWHERE)] == [_ELSEWHERE]
            assert reader.kept_people("000") == []

    def test_somebody_who_is_let_go_is_kept_nowhere_but_elsewhere(self, store: Store) -> None:
        with store.write() as uow:
            for town in (TOWN, _ELSEWHERE):
                uow.put_kept_person(KeptPerson(town, "anna", None, "bo", NOW))
            assert uow.drop_kept_person(TOWN, "anna")
            assert not uow.drop_kept_person(TOWN, "anna")
            assert not uow.drop_kept_person(TOWN, "nobody")
        with store.read() as reader:
            assert reader.kept_people(TOWN) == []
            assert len(reader.kept_people(_ELSEWHERE)) == 1


class RollConformance:
    """`expected_rolls`, `add_expected_roll`, `drop_expected_rolls`."""

    def test_expected_rolls_are_remembered_oldest_first(self, store: Store) -> None:
        rolls = [
            ExpectedRoll(TOWN, "", later(60), later(120), "Åse Ø.", NOW),
            ExpectedRoll(TOWN, SCHOOL, NOW, later(30), "bo", later(1)),
            ExpectedRoll(TOWN, SCHOOL, NOW, later(30), "bo", later(1)),
        ]
        with store.write() as uow:
            for roll in rolls:
                uow.add_expected_roll(roll)
            uow.add_expected_roll(replace(rolls[0], municipality=_ELSEWHERE))
        with store.read() as reader:
            assert reader.expected_rolls(TOWN) == rolls
            assert reader.expected_rolls(_ELSEWHERE) == [replace(rolls[0], municipality=_ELSEWHERE)]
            assert reader.expected_rolls("000") == []

    def test_a_window_that_is_dropped_takes_no_other_along(self, store: Store) -> None:
        roll = ExpectedRoll(TOWN, SCHOOL, NOW, later(30), "bo", NOW)
        others = [
            replace(roll, institution=""),
            replace(roll, closes_at=later(31)),
            replace(roll, opens_at=later(1)),
        ]
        with store.write() as uow:
            for one in (roll, *others, replace(roll, opened_by="eva"), replace(roll, municipality=_ELSEWHERE)):
                uow.add_expected_roll(one)
            uow.drop_expected_rolls(TOWN, SCHOOL, NOW, later(30))
            uow.add_expected_roll(roll)
        with store.read() as reader:
            assert reader.expected_rolls(TOWN) == [*others, roll]
            assert len(reader.expected_rolls(_ELSEWHERE)) == 1


class RunConformance:
    """`runs_of`, and what a run counted as gone."""

    def test_a_run_remembers_what_it_deleted(self, store: Store) -> None:
        gone = {"group": 3, "affiliation.student": 120}
        with store.write() as uow:
            uow.add_run(replace(run("r1"), gone=gone))
            uow.add_run(run("r2"))
        with store.read() as reader:
            found = reader.runs_by_id(["r1", "r2"])
            assert dict(found["r1"].gone) == gone
            assert dict(found["r2"].gone) == {}
            assert [dict(one.gone) for one in reader.runs(1) + reader.last_runs()] == [{}, {}]

    def test_the_runs_of_one_institution_come_oldest_first_from_a_moment_on(self, store: Store) -> None:
        with store.write() as uow:
            for number in range(4):
                uow.add_run(run(f"r{number}", seconds=number))
            uow.add_run(run("other", school=OTHER_SCHOOL, seconds=3))
            uow.add_run(run("whole", school=None, seconds=3))
            uow.add_run(replace(run("elsewhere", seconds=3), municipality=_ELSEWHERE))
        with store.read() as reader:
            assert [one.id for one in reader.runs_of(TOWN, SCHOOL, later(2))] == ["r2", "r3"]
            assert [one.id for one in reader.runs_of(TOWN, SCHOOL, later(2) + timedelta(microseconds=1))] == ["r3"]
            assert reader.runs_of(TOWN, SCHOOL, later(4)) == []
            assert reader.runs_of(TOWN, SCHOOL, NOW)[0] == run("r0")


class HoldsConformance(DecisionConformance, KeptConformance, RollConformance, RunConformance):
    """All of them."""


def _comparable(one: Hold) -> Hold:
    """A summary's lists may come back as any sequence."""
    return replace(one, summary={heading: tuple(keys) for heading, keys in one.summary.items()})
