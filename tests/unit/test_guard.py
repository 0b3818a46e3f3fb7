"""What must not pass without a person: every reason, and everything next to it that passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest

from bridge.domain.records import Header
from bridge.engine.detect import Detection
from bridge.engine.guard import EMPTY, OLDER, REASON_TEXTS, SHRUNKEN, WRONG_INSTITUTION, GuardPolicy, held_for
from bridge.ports import InstitutionState
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
) -> tuple[str, ...]:
    made = found(*([] if is_empty else [pupil("ane")]), head=head)
    detection = Detection(stored=Counter(stored or {}), gone=Counter(gone or {}))
    return held_for(policy or GuardPolicy(), made, expected, configured, state, detection, MORNING)


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
        assert reasons(is_empty=True, stored={"contribution": 1}) == (EMPTY,)

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
        assert reasons(stored=stored, gone={"affiliation.employee": 5}) == (SHRUNKEN,)

    def test_of_several_kinds_each_below_the_threshold_passes(self) -> None:
        stored = {"affiliation.student": 100, "membership": 100}
        assert reasons(stored=stored, gone={"affiliation.student": 25, "membership": 25}) == ()

    def test_follows_the_municipalitys_own_threshold(self) -> None:
        policy = GuardPolicy(max_deleted_percent=5.0, min_deleted=1)
        assert reasons(stored={"group": 10}, gone={"group": 1}, policy=policy) == (SHRUNKEN,)


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
