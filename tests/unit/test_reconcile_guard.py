"""When much has drifted, a person decides before anything is set right."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from tests.support.engine import person_id
from tests.support.reconcile import ANE, BO, Town, large_school, small_school, users


@pytest.fixture
def town() -> Town:
    return small_school()


@pytest.fixture
def large() -> Town:
    return large_school()


class TestGuard:
    def test_much_that_is_missing_is_not_made_again_unasked(self, large: Town) -> None:
        for identity in users(range(30)):
            large.platform.lose(identity)
        assert large.read("restore").hold == 1
        assert large.read("restore").hold == 1
        assert len(large.holds()) == 1
        assert len(large.platform.holds) == 71

    def test_little_is(self, large: Town) -> None:
        for identity in users(range(20)):
            large.platform.lose(identity)
        assert len(large.read("restore").mended) == 20
        assert (len(large.platform.holds), large.holds()) == (101, [])

    def test_an_approval_is_carried_out_once_though_more_has_drifted_since(self, large: Town) -> None:
        for identity in users(range(30)):
            large.platform.lose(identity)
        large.read("restore")
        large.decide(1, approve=True)
        large.platform.lose(users(range(31))[30])
        report = large.read("restore")
        assert len(report.mended) == 31, "one alone is not too much"
        assert len(large.platform.holds) == 101

    def test_one_persons_approval_sets_nothing_right_where_two_are_needed_by_now(self, large: Town) -> None:
        for identity in users(range(30)):
            large.platform.lose(identity)
        large.read("restore")
        large.decide(1, approve=True, by="anna")
        large.target_policy = replace(large.target_policy, people_needed=2)
        assert large.read("restore").mended == frozenset()
        assert [(hold.state, [one.by for one in hold.approvals]) for hold in large.holds()] == [("open", ["anna"])]

    def test_a_rejection_is_not_asked_for_again(self, large: Town) -> None:
        for identity in users(range(30)):
            large.platform.lose(identity)
        large.read("restore")
        large.decide(1, approve=False)
        for _ in range(2):
            report = large.read("restore")
            assert (report.hold, report.mended, report.left) == (None, frozenset(), 31 - 1)
        assert [hold.state for hold in large.holds()] == ["rejected"]

    def test_a_question_is_over_when_nothing_differs_any_more(self, large: Town) -> None:
        kept = copy.deepcopy(large.platform.holds)
        for identity in users(range(30)):
            large.platform.lose(identity)
        large.read("restore")
        large.platform.holds = kept
        large.read("restore")
        assert [hold.state for hold in large.holds()] == ["superseded"]

    def test_a_report_takes_no_question_back(self, large: Town) -> None:
        for identity in users(range(30)):
            large.platform.lose(identity)
        large.read("restore")
        large.read("report")
        assert [hold.state for hold in large.holds()] == ["open"]

    def test_a_small_school_that_is_gone_as_a_whole_is_not_believed(self, town: Town) -> None:
        for identity in (ANE, BO, person_id("tea")):
            town.platform.lose(identity)
        assert (town.read("restore").hold, len(town.platform.holds)) == (1, 1)

    def test_an_empty_answer_deletes_and_makes_nothing(self, large: Town) -> None:
        large.platform.holds.clear()
        assert (large.read("restore").hold, large.platform.holds) == (1, {})


def test_a_yes_counts_for_what_was_asked_of_each_and_not_for_what_was_asked_of_another(large: Town) -> None:
    """What differed, and is missing by the next reading, was not asked about as others that are missing were."""
    (other,) = users(range(30, 31))
    for identity in users(range(30)):
        large.platform.lose(identity)
    large.platform.document(other)["familyName"] = "Andet"
    assert large.read("restore").hold == 1
    large.decide(1, approve=True)
    large.platform.lose(other)
    assert large.read("report").mended == set(users(range(30)))
