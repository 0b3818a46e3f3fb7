"""Who is on a roster has a role at a school, and who loses the last one is told as gone."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from bridge.domain.errors import StoreUnavailable
from tests.support.oneroster import (
    OTHER,
    PUPIL,
    TEACHER,
    agent,
    gone,
    group,
    member,
    org_id,
    role,
    school,
    user,
    user_id,
)
from tests.support.oneroster_desk import YEAR, BusyShelf, Desk, dangling


@pytest.fixture
def desk() -> Desk:
    return Desk()


# ---------------------------------------------------------------- people


def test_somebody_at_two_schools_has_a_primary_role_at_each(desk: Desk) -> None:
    desk.tell(
        school(),
        school(OTHER),
        user("bo", role("aide", "teacher", "principal"), role("aide", "aide", number=OTHER)),
    )
    (bo,) = desk.roster().users
    assert [(one.org, one.role, one.is_primary) for one in bo.roles] == [
        (org_id(), "teacher", True),
        (org_id(), "principal", False),
        (org_id(OTHER), "aide", True),
    ]


def test_where_no_role_is_known_the_kind_gives_one(desk: Desk) -> None:
    desk.tell(school(), user("bo", role("aide")))
    assert [one.role for one in desk.roster().users[0].roles] == ["aide"]


def test_who_has_no_role_at_a_known_school_is_left_out(desk: Desk) -> None:
    desk.tell(school(), group("1A"), user("bo", role("aide", number="999999")), member("bo", "1A"))
    roster = desk.roster()
    assert roster.users == ()
    assert roster.enrollments == ()


def test_a_role_at_a_school_that_is_gone_is_told_no_more(desk: Desk) -> None:
    desk.tell(school(), school(OTHER), user("bo", TEACHER, role("aide", number=OTHER)))
    desk.tell(gone(school(OTHER)))
    (bo,) = desk.roster().users
    assert [one.org for one in bo.roles] == [org_id()]
    assert bo.changed_at == desk.clock.at


def test_another_name_of_a_school_is_news_of_the_school_only(desk: Desk) -> None:
    desk.tell(school(), group("1A"), user("anna"), member("anna", "1A"))
    before = desk.roster()
    desk.tell(school(name="Et andet navn"))
    after = desk.roster()
    assert [one.changed_at for one in after.courses] == [desk.clock.at]
    for name in ("classes", "users", "enrollments"):
        assert getattr(after, name) == getattr(before, name)


def test_who_was_only_at_a_school_that_is_gone_is_gone(desk: Desk) -> None:
    desk.tell(school(), group("1A"), user("anna"), member("anna", "1A"))
    desk.tell(gone(school()))
    roster = desk.roster()
    (anna,) = roster.users
    assert (anna.is_gone, anna.given_name, anna.email, anna.is_enabled) == (True, "", None, False)
    assert all(one.is_gone and one.changed_at == desk.clock.at for one in (*roster.classes, *roster.enrollments))
    assert dangling(roster) == []


def test_what_is_gone_has_no_name(desk: Desk) -> None:
    desk.tell(school(), group("1A"), user("anna"), member("anna", "1A"))
    desk.tell(gone(member("anna", "1A")), gone(user("anna")), gone(group("1A")))
    roster = desk.roster()
    assert "Anna" not in repr(roster.users)
    assert "Klasse" not in repr(roster.classes)
    assert all(one.is_gone for one in (*roster.users, *roster.classes, *roster.enrollments))


def test_what_is_gone_is_forgotten_at_last(desk: Desk) -> None:
    desk.tell(school(), group("1A"), user("anna"), user("bo"), member("anna", "1A"))
    desk.tell(gone(member("anna", "1A")), gone(user("anna")))
    desk.clock.at += timedelta(days=92)
    roster = desk.roster()
    assert [one.username for one in roster.users] == ["bo"]
    assert roster.enrollments == ()


def test_parents_and_children_name_each_other(desk: Desk) -> None:
    desk.tell(school(), user("anna"), user("mor", roles=[]), agent("anna", "mor"))
    users = {one.username: one for one in desk.roster().users}
    assert users["anna"].agents == (user_id("mor"),)
    assert users["mor"].agents == (user_id("anna"),)
    assert [one.role for one in users["mor"].roles] == ["parent"]


def test_a_parent_who_is_gone_is_no_agent_and_the_child_has_changed(desk: Desk) -> None:
    desk.tell(school(), user("anna"), user("mor", roles=[]), agent("anna", "mor"))
    desk.tell(gone(agent("anna", "mor")), gone(user("mor", roles=[])))
    users = {one.username: one for one in desk.roster().users}
    assert users["anna"].agents == ()
    assert users["anna"].changed_at == desk.clock.at
    assert users["mor"].is_gone


def test_an_enrollment_has_the_days_of_its_class(desk: Desk) -> None:
    desk.tell(school(), group("1A", **YEAR), user("anna"), member("anna", "1A"))
    (one,) = desk.roster().enrollments
    assert (one.begin, one.end, one.primary) == (date(2026, 8, 1), date(2027, 8, 1), False)
    desk.tell(group("1A", beginDate="2026-08-01", lastDate="2026-12-31"))
    (one,) = desk.roster().enrollments
    assert (one.end, one.changed_at) == (date(2027, 1, 1), desk.clock.at)


def test_demographics_are_those_that_the_mapping_sends(desk: Desk) -> None:
    told = {"birthDate": "2019-04-01", "sex": "female"}
    desk.tell(school(), user("anna", demographics=told), user("bo"))
    (one,) = desk.roster().demographics
    assert (one.id, one.birth_date, one.sex) == (user_id("anna"), "2019-04-01", "female")
    desk.tell(gone(user("anna")))
    assert "2019" not in repr(desk.roster().demographics)


def test_nonsense_in_a_document_breaks_nothing(desk: Desk) -> None:
    desk.tell(
        school(name=None),
        group("1A", beginDate="tomorrow", lastDate="9999-12-31", grades=[None, 7, {}], groupType={"x": 1}),
        user("anna", PUPIL, givenName=None, userIds="x", grades="07", email=["a"], demographics=[1]),
        member("anna", "1A"),
    )
    roster = desk.roster()
    assert roster.classes[0].grades == ("7",)
    assert (roster.users[0].given_name, roster.users[0].grades, roster.users[0].user_ids) == ("", ("07",), ())
    assert roster.enrollments[0].end is None


def test_a_roster_is_never_half_of_one_state_and_half_of_another(desk: Desk) -> None:
    desk.shelf = BusyShelf(desk.shelf, 3)
    assert len(desk.roster().users) == 3


def test_a_shelf_that_never_rests_is_no_roster_at_all(desk: Desk) -> None:
    desk.shelf = BusyShelf(desk.shelf, 1000)
    with pytest.raises(StoreUnavailable):
        desk.roster()


def test_an_identifier_of_a_school_may_be_any(desk: Desk) -> None:
    desk.tell(school(identifier="DK-101001"), user("anna"))
    assert [one.org for one in desk.roster().users[0].roles] == [org_id()]
