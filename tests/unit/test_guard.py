"""What must not pass without a person: every reason, and everything next to it that passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bridge.domain.records import Header, ImportSource
from bridge.engine.detect import Detection
from bridge.engine.guard import (
    EMPTY,
    GROWN,
    OLDER,
    REASON_TEXTS,
    REWRITTEN,
    SAME_TIME,
    SCHOOL_YEAR,
    SHRUNKEN,
    UNPROTECTED,
    WRONG_INSTITUTION,
    GuardPolicy,
    Limits,
    Situation,
    held_for,
)
from bridge.ports import ExpectedRoll, InstitutionState
from tests.support.engine import MORNING, OTHER_SCHOOL, SCHOOL, TOWN, found, header, pupil

EARLIER, LATER = MORNING - timedelta(hours=1), MORNING + timedelta(hours=1)


def last(at: datetime = MORNING, times: Mapping[str, datetime] | None = None) -> InstitutionState:
    return InstitutionState(TOWN, SCHOOL, "d", at, times or {"KMD": at}, at, "run")


def reasons(
    *,
    head: Header | None = None,
    expected: str | None = SCHOOL,
    configured: frozenset[str] | None = None,
    state: InstitutionState | None = None,
    is_empty: bool = False,
    stored: Mapping[str, int] | None = None,
    gone: Mapping[str, int] | None = None,
    policy: GuardPolicy | None = None,
    digest: str = "d",
    created: Mapping[str, int] | None = None,
    updated: Mapping[str, int] | None = None,
    unprotected: int = 0,
    earlier: Mapping[str, int] | None = None,
    rolls: Sequence[ExpectedRoll] = (),
) -> tuple[str, ...]:
    made = found(*([] if is_empty else [pupil("ane")]), head=head)
    detection = Detection(
        stored=Counter(stored or {}),
        gone=Counter(gone or {}),
        created=Counter(created or {}),
        updated=Counter(updated or {}),
        unprotected=unprotected,
    )
    given = Situation(MORNING, digest, expected, configured, state, earlier or {}, rolls)
    return held_for(policy or GuardPolicy(), made, detection, given)


class TestTheInstitution:
    def test_that_was_asked_for_passes(self) -> None:
        assert reasons(expected=SCHOOL) == ()

    def test_that_nobody_can_have_asked_for_passes(self) -> None:
        assert reasons(expected=None) == ()

    def test_other_than_was_asked_for_is_held(self) -> None:
        assert reasons(expected=OTHER_SCHOOL) == (WRONG_INSTITUTION,)

    def test_that_is_not_configured_is_held(self) -> None:
        assert reasons(expected=None, configured=frozenset({OTHER_SCHOOL})) == (WRONG_INSTITUTION,)

    def test_among_the_configured_passes(self) -> None:
        assert reasons(expected=None, configured=frozenset({SCHOOL, OTHER_SCHOOL})) == ()


class TestTime:
    def test_nothing_is_older_than_nothing(self) -> None:
        assert reasons(state=None) == ()

    def test_of_export_that_goes_back_is_held(self) -> None:
        assert reasons(head=header(at=EARLIER, times={}), state=last()) == (OLDER,)

    def test_of_export_that_stands_still_passes(self) -> None:
        assert reasons(state=last()) == ()

    def test_of_one_source_that_goes_back_is_held_though_the_export_is_newer(self) -> None:
        head = header(at=LATER, times={"KMD": LATER, "TEA": EARLIER})
        assert reasons(head=head, state=last(times={"KMD": MORNING, "TEA": MORNING})) == (OLDER,)

    def test_of_a_new_source_is_compared_with_nothing(self) -> None:
        assert reasons(head=header(at=LATER, times={"NEW": EARLIER}), state=last()) == ()

    def test_of_a_source_that_left_does_not_matter(self) -> None:
        assert reasons(head=header(at=LATER, times={}), state=last()) == ()


class TestPeople:
    def test_none_where_there_were_some_is_held(self) -> None:
        assert reasons(is_empty=True, stored={"affiliation.student": 1}) == (EMPTY,)
        assert reasons(is_empty=True, gone={"contribution": 1}, state=None) == (EMPTY,)

    def test_none_where_there_were_none_passes(self) -> None:
        assert reasons(is_empty=True) == ()


class TestShrinking:
    @pytest.mark.parametrize(
        ("gone", "stored", "is_held"),
        [
            (25, 100, False),
            (26, 100, True),
            (2, 2, False),
            (3, 3, True),
            (3, 12, False),
            (3, 11, True),
            (0, 0, False),
        ],
    )
    def test_is_held_above_the_share_and_at_least_the_number(
        self, gone: int, stored: int, *, is_held: bool
    ) -> None:
        assert GuardPolicy(25.0, 3).exceeded_by(gone, stored) is is_held

    def test_of_any_one_kind_is_enough(self) -> None:
        stored = {"affiliation.student": 500, "affiliation.employee": 10}
        assert reasons(stored=stored, gone={"affiliation.employee": 5}, state=last()) == (SHRUNKEN,)

    def test_of_several_kinds_each_below_the_threshold_passes(self) -> None:
        stored = {"affiliation.student": 100, "membership": 100}
        assert reasons(stored=stored, gone={"affiliation.student": 25, "membership": 25}, state=last()) == ()

    def test_follows_the_municipalitys_own_threshold(self) -> None:
        policy = GuardPolicy(max_deleted_percent=5.0, min_deleted=1)
        assert reasons(stored={"group": 10}, gone={"group": 1}, policy=policy, state=last()) == (SHRUNKEN,)

    def test_in_small_steps_within_the_window_is_seen_as_the_large_one_that_it_is(self) -> None:
        steps = {"stored": {"affiliation.student": 90}, "gone": {"affiliation.student": 18}, "state": last()}
        assert reasons(**steps) == ()
        assert reasons(**steps, earlier={"affiliation.student": 10}) == (SHRUNKEN,)

    def test_above_an_absolute_number_is_held_whatever_is_stored(self) -> None:
        policy = GuardPolicy(max_deleted=40)
        many = {"stored": {"affiliation.student": 5000}, "state": last(), "policy": policy}
        assert reasons(**many, gone={"affiliation.student": 40}) == ()
        assert reasons(**many, gone={"affiliation.student": 41}) == (SHRUNKEN,)

    def test_of_one_kind_follows_the_limits_of_that_kind(self) -> None:
        policy = GuardPolicy(kinds={"membership": Limits(max_deleted_percent=90)})
        given = {"stored": {"membership": 100, "group": 100}, "policy": policy, "state": last()}
        assert reasons(**given, gone={"membership": 80}) == ()
        assert reasons(**given, gone={"group": 80}) == (SHRUNKEN,)

    def test_at_one_institution_follows_its_own_policy(self) -> None:
        policy = GuardPolicy(institutions={SCHOOL: GuardPolicy(max_deleted_percent=90)})
        assert reasons(stored={"group": 10}, gone={"group": 8}, policy=policy, state=last()) == ()


class TestGrowingAndRewriting:
    def test_of_too_many_new_people_is_held(self) -> None:
        stored = {"affiliation.student": 100}
        assert reasons(stored=stored, created={"affiliation.student": 50}, state=last()) == ()
        assert reasons(stored=stored, created={"affiliation.student": 51}, state=last()) == (GROWN,)

    def test_of_new_teaching_groups_passes_unless_a_limit_names_them(self) -> None:
        many = {"stored": {"membership": 10}, "created": {"membership": 500}, "state": last()}
        assert reasons(**many) == ()
        assert reasons(**many, policy=GuardPolicy(kinds={"membership": Limits(max_created=100)})) == (GROWN,)

    def test_of_too_many_changed_people_is_held(self) -> None:
        assert reasons(stored={"contribution": 100}, updated={"contribution": 61}, state=last()) == (REWRITTEN,)

    def test_the_same_number_of_other_people_is_held(self) -> None:
        """Totals stand still while everyone is replaced."""
        counts = {"affiliation.student": 100}
        assert reasons(stored=counts, gone=counts, created=counts, state=last()) == (SHRUNKEN, GROWN)

    def test_of_the_first_snapshot_is_never_too_much(self) -> None:
        assert reasons(created={"affiliation.student": 900}, state=None) == ()


class TestProtection:
    def test_that_several_people_lose_at_once_is_held(self) -> None:
        assert reasons(unprotected=5, state=last()) == ()
        assert reasons(unprotected=6, state=last()) == (UNPROTECTED,)


class TestTwoWordsOfOneMoment:
    def test_that_differ_are_held(self) -> None:
        assert reasons(digest="other", state=last()) == (SAME_TIME,)

    def test_that_agree_pass(self) -> None:
        assert reasons(digest="d", state=last()) == ()


class TestASchoolYear:
    NEXT = "2027/2028"

    def roll(self, **more: Any) -> tuple[str, ...]:
        head = replace(header(at=LATER), sources=(ImportSource("KMD", LATER, self.NEXT),))
        return reasons(head=head, state=replace(last(), school_years={"KMD": "2026-2027"}), **more)

    def window(self, institution: str = "") -> ExpectedRoll:
        return ExpectedRoll(TOWN, institution, EARLIER, LATER, "anna", EARLIER)

    def test_that_begins_is_held_as_one(self) -> None:
        assert self.roll() == (SCHOOL_YEAR,)

    def test_written_otherwise_is_the_same(self) -> None:
        head = replace(header(at=LATER), sources=(ImportSource("KMD", LATER, "2026/27"),))
        assert reasons(head=head, state=replace(last(), school_years={"KMD": "2026-2027"})) == ()

    def test_of_a_source_that_rolls_later_is_a_roll_of_its_own(self) -> None:
        sources = (ImportSource("KMD", LATER, self.NEXT), ImportSource("TEA", LATER, self.NEXT))
        years = {"KMD": self.NEXT, "TEA": "2026/2027"}
        head = replace(header(at=LATER), sources=sources)
        assert reasons(head=head, state=replace(last(), school_years=years)) == (SCHOOL_YEAR,)

    def test_that_is_expected_passes_with_all_its_new_groups_and_classes(self) -> None:
        changes = {"gone": {"group": 30, "membership": 600}, "created": {"affiliation.student": 60}}
        stored = {"group": 30, "membership": 600, "affiliation.student": 600}
        assert self.roll(rolls=[self.window()], stored=stored, **changes) == ()

    def test_that_is_expected_elsewhere_is_held(self) -> None:
        assert self.roll(rolls=[self.window(OTHER_SCHOOL)]) == (SCHOOL_YEAR,)

    @pytest.mark.parametrize("label", ["affiliation.student", "contribution", "guardianship"])
    def test_that_is_expected_does_not_excuse_an_exodus(self, label: str) -> None:
        counts = {"stored": {label: 100}, "gone": {label: 36}}
        assert self.roll(rolls=[self.window()], **counts) == (SCHOOL_YEAR, SHRUNKEN)

    def test_that_is_expected_does_not_excuse_an_exodus_in_two_steps(self) -> None:
        counts = {"stored": {"affiliation.student": 80}, "gone": {"affiliation.student": 20}}
        assert self.roll(rolls=[self.window()], **counts) == ()
        assert self.roll(rolls=[self.window()], **counts, earlier={"affiliation.student": 20}) == (
            SCHOOL_YEAR,
            SHRUNKEN,
        )

    def test_that_is_expected_does_not_excuse_lost_protections_in_two_steps(self) -> None:
        assert self.roll(rolls=[self.window()], unprotected=5) == ()
        assert self.roll(rolls=[self.window()], unprotected=5, earlier={UNPROTECTED: 1}) == (
            SCHOOL_YEAR,
            UNPROTECTED,
        )

    def test_that_is_expected_does_not_excuse_that_everybody_is_somebody_else(self) -> None:
        stored = {"contribution": 300, "affiliation.student": 100}
        others = {"updated": {"contribution": 200, "affiliation.student": 100}, "stored": stored}
        assert self.roll(rolls=[self.window()], **others) == (SCHOOL_YEAR, REWRITTEN)
        many = {"created": {"affiliation.student": 60}, "stored": stored}
        assert self.roll(rolls=[self.window()], **many) == (SCHOOL_YEAR, GROWN)

    def test_that_is_expected_lets_everybody_move_up(self) -> None:
        moved = {"updated": {"affiliation.student": 600}, "stored": {"affiliation.student": 600}}
        assert self.roll(rolls=[self.window()], **moved) == ()

    @pytest.mark.parametrize("year", ["2025/2026", "2028/2029"])
    def test_that_is_not_the_next_one_is_held_though_one_is_expected(self, year: str) -> None:
        head = replace(header(at=LATER), sources=(ImportSource("KMD", LATER, year),))
        state = replace(last(), school_years={"KMD": "2026-2027"})
        assert reasons(head=head, state=state, rolls=[self.window()]) == (SCHOOL_YEAR,)


def test_every_reason_that_applies_is_told() -> None:
    told = reasons(
        head=header(at=EARLIER),
        expected=OTHER_SCHOOL,
        state=last(),
        is_empty=True,
        stored={"contribution": 9},
        gone={"contribution": 9},
    )
    assert told == (WRONG_INSTITUTION, OLDER, EMPTY, SHRUNKEN)
    assert set(told) <= REASON_TEXTS.keys()
