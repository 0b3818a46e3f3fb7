"""One person from several institutions: every tie of the merge rule is decided by one thing."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.entities import Contribution, Kind, Person, Phone, Role
from bridge.domain.privacy import WITHHELD_NAME, visible
from bridge.engine.merge import SourceTimes, merge
from tests.support.anything import STEADY
from tests.support.engine import MORNING, OTHER_SCHOOL, SCHOOL, Bench, header, human, pupil

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
    assert name_of({}, says("Lowest", "101001", source="NEW"), says("Higher", "101002")) == "Lowest"


def test_a_person_is_protected_when_only_the_worst_contribution_says_so() -> None:
    hidden = says("Worst", "2", Role.NONE, protected=True)
    merged = merge([says("Best", "1"), hidden], {})
    assert merged is not None
    assert (merged.given_name, merged.protected) == ("Best", True)


def test_all_other_fields_come_from_the_best_contribution_alone() -> None:
    merged = merge([says("Best", "1"), says("Worse", "2", Role.CONTACT, email="a@b.example", gender="K")], {})
    assert merged == human("ane", given_name="Best")


@pytest.mark.parametrize("worst", [Role.EMPLOYEE, Role.CONTACT, Role.NONE])
def test_a_number_is_protected_when_only_the_worst_contribution_says_so(worst: Role) -> None:
    open_number, hidden = Phone("12345678"), Phone("12345678", protected=True)
    merged = merge([says("Best", "1", mobile_phone=open_number), says("Worst", "2", worst, home_phone=hidden)], {})
    assert merged is not None
    assert (merged.mobile_phone, merged.home_phone) == (hidden, None)


def test_the_protection_of_one_number_says_nothing_of_another() -> None:
    other = Phone("87654321", protected=True)
    merged = merge([says("Best", "1", mobile_phone=Phone("12345678")), says("Worst", "2", work_phone=other)], {})
    assert merged is not None
    assert merged.mobile_phone == Phone("12345678")


def test_a_protected_person_without_an_alias_at_the_best_source_gets_none_from_another() -> None:
    alias = {"alias_given_name": "Rose", "alias_family_name": "Have"}
    merged = merge([says("Best", "1", protected=True), says("Worse", "2", protected=True, **alias)], {})
    assert merged is not None
    assert (merged.alias_given_name, merged.alias_family_name) == (None, None)
    assert (visible(merged).given_name, visible(merged).family_name) == WITHHELD_NAME


def test_an_alias_of_the_best_source_stays_though_another_source_states_the_protection() -> None:
    best = says("Best", "1", alias_given_name="Rose", alias_family_name="Have")
    merged = merge([best, says("Worse", "2", protected=True)], {})
    assert merged is not None
    assert (visible(merged).given_name, visible(merged).family_name) == ("Rose", "Have")


def test_a_person_goes_with_the_last_contribution_and_not_before() -> None:
    bench = Bench()
    for hour, school, records in (
        (0, SCHOOL, ("ane", "bo")),
        (0, OTHER_SCHOOL, ("ane", "carl")),
        (1, SCHOOL, ("bo",)),
    ):
        head = header(school, at=MORNING + timedelta(hours=hour))
        assert bench.take(*map(pupil, records), head=head, expected=school) == ("recorded", None)
    assert ("ane",) in bench.entities(Kind.PERSON)
    head = header(OTHER_SCHOOL, at=MORNING + timedelta(hours=1))
    assert bench.take(pupil("carl"), head=head, expected=OTHER_SCHOOL) == ("recorded", None)
    assert bench.entities(Kind.PERSON).keys() == {("bo",), ("carl",)}


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
    assert (merged is None) == all(source is None for _, _, source in told)
    assert merged is None or merged.protected == any(hidden for _, hidden, _ in told)
    assert merged is None or told[int(merged.given_name[1:])][2] is not None
