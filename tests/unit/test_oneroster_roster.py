"""A roster is whole: every reference in it leads somewhere, and what changes in it has a new time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from connectors.oneroster.years import Calendar
from tests.support.oneroster import (
    OTHER,
    SCHOOL,
    gone,
    group,
    org_id,
    school,
)
from tests.support.oneroster_desk import LAST_YEAR, SETTINGS, YEAR, Desk, dangling


@pytest.fixture
def desk() -> Desk:
    return Desk()


# ---------------------------------------------------------------- what is made here


def test_schools_belong_to_the_district(desk: Desk) -> None:
    desk.tell(school(), school(OTHER))
    orgs = {org.id: org for org in desk.roster().orgs}
    (district,) = (org for org in orgs.values() if org.type == "district")
    assert district.name == "Prøveby"
    assert {*district.children} == {org_id(), org_id(OTHER)}
    assert orgs[org_id()].parent == district.id


def test_an_empty_shelf_is_a_district_without_schools_in_this_school_year(desk: Desk) -> None:
    roster = desk.roster()
    assert [(org.type, org.children) for org in roster.orgs] == [("district", ())]
    assert [one.title for one in roster.sessions] == ["2026/2027", "2026/2027"]
    assert [*roster.courses, *roster.classes, *roster.users, *roster.enrollments] == []


def test_a_school_year_has_one_term(desk: Desk) -> None:
    desk.tell(school(), group("1A"))
    year, term = sorted(desk.roster().sessions, key=lambda one: one.type)
    assert (year.title, year.school_year, year.begin, year.end) == (
        "2026/2027",
        "2027",
        date(2026, 8, 1),
        date(2027, 8, 1),
    )
    assert (term.type, term.parent, year.children) == ("term", year.id, (term.id,))
    assert desk.roster().classes[0].terms == (term.id,)


def test_a_school_has_one_course(desk: Desk) -> None:
    desk.tell(school(), group("1A"), group("Hold", groupType="teaching"))
    (course,) = desk.roster().courses
    assert (course.school, course.title) == (org_id(), f"Skolen {SCHOOL}")
    assert {one.course for one in desk.roster().classes} == {course.id}


def test_a_course_for_each_type_of_group_if_that_is_set() -> None:
    desk = Desk(replace(SETTINGS, course="group_type"))
    desk.tell(school(), group("1A"), group("1B"), group("Hold", groupType="teaching"), group("X", groupType=None))
    assert sorted(course.title.partition(",")[0] for course in desk.roster().courses) == [
        "Andre grupper",
        "Hold",
        "Klasser",
    ]
    assert dangling(desk.roster()) == []
    desk.tell(gone(group("Hold")))
    assert {course.code for course in desk.roster().courses if course.is_gone} == {f"{SCHOOL}-teaching"}


# ---------------------------------------------------------------- the school year turns


def test_when_the_year_turns_a_class_gets_the_new_term_and_a_new_time(desk: Desk) -> None:
    desk.tell(school(), group("1A"))
    before = desk.roster()
    desk.clock.at = datetime(2027, 7, 31, 22, 0, tzinfo=UTC)  # midnight in Denmark
    after = desk.roster()
    assert after.year.title == "2027/2028"
    assert before.classes[0].terms != after.classes[0].terms
    assert after.classes[0].changed_at == desk.clock.at
    gone_ones = {one.id for one in after.sessions if one.is_gone}
    assert gone_ones == {one.id for one in before.sessions}
    assert dangling(after) == []


def test_a_minute_before_it_turns_nothing_is_another(desk: Desk) -> None:
    desk.tell(school(), group("1A"))
    before = desk.roster()
    desk.clock.at = datetime(2027, 7, 31, 21, 59, tzinfo=UTC)
    assert desk.roster() == before


def test_the_ended_year_is_told_as_gone_for_as_long_as_tombstones_are(desk: Desk) -> None:
    desk.tell(school(), group("1A"))
    desk.clock.at = datetime(2027, 10, 29, tzinfo=UTC)
    assert any(one.is_gone for one in desk.roster().sessions)
    desk.clock.at = datetime(2027, 11, 1, tzinfo=UTC)
    assert not any(one.is_gone for one in desk.roster().sessions)


def test_a_class_of_last_year_keeps_its_year_alive(desk: Desk) -> None:
    desk.tell(school(), group("1A", **YEAR), group("1B", **LAST_YEAR))
    roster = desk.roster()
    assert sorted({one.title for one in roster.sessions if not one.is_gone}) == ["2025/2026", "2026/2027"]
    assert dangling(roster) == []


@pytest.mark.parametrize(
    ("first", "last", "begins"),
    [
        (None, None, 2026),
        (date(2026, 8, 1), date(2027, 7, 31), 2026),
        (date(2024, 8, 1), date(2029, 7, 31), 2026),
        (date(2027, 8, 1), date(2028, 7, 31), 2027),
        (date(2025, 8, 1), date(2026, 7, 31), 2025),
        (date(9999, 1, 1), None, 2027),
        (None, date(1, 1, 1), 2025),
    ],
)
def test_a_class_is_in_the_year_that_it_goes_on_in(first: date | None, last: date | None, begins: int) -> None:
    calendar = Calendar.at("08-01", datetime(2026, 11, 20, tzinfo=UTC))
    assert calendar.of(first, last).begins.year == begins


def test_a_year_may_begin_in_january() -> None:
    year = Calendar.at("01-01", datetime(2026, 11, 20, tzinfo=UTC)).current
    assert (year.title, year.school_year) == ("2026", "2026")
