"""One person from several institutions: every tie of the merge rule is decided by one thing."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.entities import Contribution, Person, Role
from bridge.engine.merge import SourceTimes, merge
from tests.support.engine import MORNING, STEADY, human

EVENING = MORNING + timedelta(hours=12)


def says(
    name: str, institution: str, role: Role = Role.STUDENT, source: str | None = "KMD", **fields: Any
) -> Contribution:
    return Contribution(institution, "ane", role, source, human("ane", given_name=name, **fields))


def name_of(times: SourceTimes, *contributions: Contribution) -> str:
    """The name that wins, in whatever order the contributions are heard."""
    names = {_name(merge(order, times)) for order in permutations(contributions)}
    assert len(names) == 1, "the order in which contributions are heard decides"
    return names.pop()


def _name(person: Person | None) -> str:
    assert person is not None
    return person.given_name


def test_nobody_comes_of_no_contribution() -> None:
    assert merge([], {}) is None


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (Role.STUDENT, Role.EMPLOYEE),
        (Role.EMPLOYEE, Role.EXTERNAL),
        (Role.EXTERNAL, Role.CONTACT),
        (Role.CONTACT, Role.NONE),
    ],
)
def test_the_better_role_wins_over_a_newer_source_and_a_lower_number(better: Role, worse: Role) -> None:
    times = {"2": {"KMD": MORNING}, "1": {"KMD": EVENING}}
    assert name_of(times, says("Best", "2", better), says("Worse", "1", worse)) == "Best"


def test_of_equal_roles_the_newest_source_wins_over_a_lower_number() -> None:
    times = {"2": {"KMD": EVENING}, "1": {"KMD": MORNING}}
    assert name_of(times, says("New", "2"), says("Old", "1")) == "New"


def test_a_source_time_counts_for_its_own_institution_and_source_only() -> None:
    times = {"1": {"KMD": MORNING, "TEA": EVENING}, "2": {"KMD": EVENING, "TEA": MORNING}}
    assert name_of(times, says("One", "1", source="TEA"), says("Two", "2", source="TEA")) == "One"


def test_a_known_source_time_wins_over_an_unknown_one() -> None:
    assert name_of({"2": {"KMD": MORNING}}, says("Known", "2"), says("Unknown", "1")) == "Known"


def test_of_equal_roles_and_times_the_lowest_institution_number_wins() -> None:
    times = {"101001": {"KMD": MORNING}, "101002": {"KMD": MORNING}}
    assert name_of(times, says("Lowest", "101001"), says("Higher", "101002")) == "Lowest"


def test_of_unknown_times_the_lowest_institution_number_wins() -> None:
    assert name_of({}, says("Lowest", "101001", source=None), says("Higher", "101002")) == "Lowest"


def test_a_person_is_protected_when_only_the_worst_contribution_says_so() -> None:
    hidden = says("Worst", "2", Role.NONE, protected=True)
    merged = merge([says("Best", "1"), hidden], {})
    assert merged is not None
    assert (merged.given_name, merged.protected) == ("Best", True)


def test_all_other_fields_come_from_the_best_contribution_alone() -> None:
    merged = merge([says("Best", "1"), says("Worse", "2", Role.CONTACT, email="a@b.example", gender="K")], {})
    assert merged == human("ane", given_name="Best")


@STEADY
@given(
    st.lists(st.tuples(st.sampled_from(Role), st.booleans(), st.sampled_from(["KMD", "TEA", None])), max_size=5)
)
def test_protection_and_the_winner_never_depend_on_the_order(told: list[tuple[Role, bool, str | None]]) -> None:
    times = {str(n): {"KMD": MORNING + timedelta(hours=n % 2)} for n in range(5)}
    heard = [
        says(f"N{n}", str(n), role, source, protected=hidden) for n, (role, hidden, source) in enumerate(told)
    ]
    merged = merge(heard, times)
    assert merged == merge(heard[::-1], times)
    assert (merged is not None and merged.protected) == any(hidden for _, hidden, _ in told)
