"""A roster is whole: every reference in it leads somewhere, and what changes in it has a new time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bridge.connector import Command, Shelved
from bridge.domain.entities import Kind
from bridge.domain.errors import StoreUnavailable
from bridge.mapping import Ref, load_mapping, resolve
from bridge.testing.memory_shelf import MemoryShelf
from connectors.oneroster.objects import Roster
from connectors.oneroster.roster import RosterSettings, compose
from connectors.oneroster.shelving import shelve
from connectors.oneroster.years import Calendar
from tests.support.engine import mapping_of
from tests.support.oneroster import (
    OTHER,
    PUPIL,
    SCHOOL,
    TEACHER,
    TOWN,
    Clock,
    agent,
    class_id,
    enrollment_id,
    gone,
    group,
    member,
    org_id,
    role,
    school,
    user,
    user_id,
)

ROOT = Path(__file__).parents[2]
SETTINGS = RosterSettings(municipality=TOWN, district_name="Prøveby")
YEAR = {"beginDate": "2026-08-01", "lastDate": "2027-07-31"}
LAST_YEAR = {"beginDate": "2025-08-01", "lastDate": "2026-07-31"}


class Desk:
    """A shelf, what is put on it, and the roster that it makes."""

    def __init__(self, settings: RosterSettings = SETTINGS) -> None:
        self.clock = Clock()
        self.shelf: MemoryShelf = MemoryShelf(self.clock)
        self.settings = settings

    def tell(self, *commands: Command) -> None:
        self.clock.at += timedelta(minutes=1)
        shelve(self.shelf, commands)

    def roster(self) -> Roster:
        return compose(self.shelf, self.settings, self.clock())


@pytest.fixture
def desk() -> Desk:
    return Desk()


def references(roster: Roster) -> list[tuple[str, str]]:
    """Every reference and the collection in which it should be found."""
    found = [("orgs", org.parent) for org in roster.orgs if org.parent]
    found += [("orgs", child) for org in roster.orgs for child in org.children]
    found += [("sessions", s.parent) for s in roster.sessions if s.parent]
    found += [("sessions", child) for s in roster.sessions for child in s.children]
    found += [("orgs", course.school) for course in roster.courses]
    found += [("orgs", one.school) for one in roster.classes]
    found += [("courses", one.course) for one in roster.classes]
    found += [("sessions", term) for one in roster.classes for term in one.terms]
    found += [("users", one.user) for one in roster.enrollments]
    found += [("classes", one.class_) for one in roster.enrollments]
    found += [("orgs", one.school) for one in roster.enrollments]
    found += [("orgs", held.org) for one in roster.users for held in one.roles]
    found += [("users", end) for one in roster.users for end in one.agents]
    return found + [("users", one.id) for one in roster.demographics]


def dangling(roster: Roster) -> list[tuple[str, str]]:
    ids = {
        name: {one.id for one in getattr(roster, name)}
        for name in ("orgs", "sessions", "courses", "classes", "users")
    }
    return [(home, one) for home, one in references(roster) if one not in ids[home]]


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


class _Busy(MemoryShelf):
    """Somebody puts something on it in the middle of the first readings."""

    def __init__(self, clock: Clock, interruptions: int) -> None:
        super().__init__(clock)
        self.interruptions = interruptions

    def all(self, collection: str, *, after: int = 0) -> Iterator[Shelved]:
        rows = list(super().all(collection, after=after))
        if collection == "org" and self.interruptions:
            self.interruptions -= 1
            shelve(self, [school(), user(f"anna{self.interruptions}")])
        return iter(rows)


def test_a_roster_is_never_half_of_one_state_and_half_of_another(desk: Desk) -> None:
    desk.shelf = _Busy(desk.clock, 3)
    assert len(desk.roster().users) == 3


def test_a_shelf_that_never_rests_is_no_roster_at_all(desk: Desk) -> None:
    desk.shelf = _Busy(desk.clock, 1000)
    with pytest.raises(StoreUnavailable):
        desk.roster()


def test_an_identifier_of_a_school_may_be_any(desk: Desk) -> None:
    desk.tell(school(identifier="DK-101001"), user("anna"))
    assert [one.org for one in desk.roster().users[0].roles] == [org_id()]


# ---------------------------------------------------------------- whatever happens


_LIFE: list[Callable[[], Command]] = [
    school,
    lambda: school(name="Et andet navn"),
    lambda: group("1A", title="1.A", lastDate="2026-12-31"),
    lambda: user("anna", enabledUser=False),
    lambda: school(OTHER),
    lambda: group("1A", **YEAR),
    lambda: group("1B", OTHER, **LAST_YEAR),
    lambda: user("anna"),
    lambda: user("bo", TEACHER, role("aide", "teacher", number=OTHER)),
    lambda: user("mor", roles=[]),
    lambda: agent("anna", "mor"),
    lambda: member("anna", "1A"),
    lambda: member("bo", "1B", role="teacher", number=OTHER),
    lambda: gone(school()),
    lambda: gone(school(OTHER)),
    lambda: gone(group("1A")),
    lambda: gone(user("anna")),
    lambda: gone(user("bo")),
    lambda: gone(user("mor")),
    lambda: gone(agent("anna", "mor")),
    lambda: gone(member("anna", "1A")),
]


@given(
    st.lists(st.tuples(st.sampled_from(_LIFE), st.integers(0, 60)), max_size=25),
    st.sampled_from(["school", "group_type"]),
)
def test_whatever_was_told_every_reference_leads_somewhere(
    life: list[tuple[Callable[[], Command], int]], course: str
) -> None:
    desk = Desk(replace(SETTINGS, course=course))  # type: ignore[arg-type]  # one of the two
    for told, days in life:
        desk.clock.at += timedelta(days=days)
        desk.tell(told())
        assert dangling(desk.roster()) == []


@given(st.lists(st.tuples(st.sampled_from(_LIFE), st.integers(0, 20)), max_size=25))
def test_who_asks_for_what_is_newer_ends_with_the_same_roster(
    life: list[tuple[Callable[[], Command], int]],
) -> None:
    """A client that polls by dateLastModified misses nothing, and keeps nothing that is gone."""
    desk = Desk()
    known: dict[str, dict[str, object]] = {}
    seen = datetime.min.replace(tzinfo=UTC)
    for told, days in life:
        desk.clock.at += timedelta(days=days)
        desk.tell(told())
        roster = desk.roster()
        newest = seen
        for name in ("orgs", "courses", "classes", "users", "enrollments"):
            for one in getattr(roster, name):
                if one.changed_at > seen:
                    known.setdefault(name, {})[one.id] = one
                    newest = max(newest, one.changed_at)
        seen = newest
        for name in ("orgs", "courses", "classes", "users", "enrollments"):
            live = {one.id: replace(one, changed_at=seen) for one in getattr(roster, name) if not one.is_gone}
            held = {
                key: replace(one, changed_at=seen)  # type: ignore[type-var]
                for key, one in known.get(name, {}).items()
                if not one.is_gone  # type: ignore[attr-defined]
            }
            assert held == live


# ---------------------------------------------------------------- the preset


def test_the_preset_makes_documents_that_a_roster_is_made_of(desk: Desk) -> None:
    mapping = load_mapping("oneroster/core")
    pupil = {"kind": "student", "institution_number": SCHOOL, "level": "7", "roles": [{"value": "pupil"}]}
    staff = {"kind": "employee", "institution_number": OTHER, "level": None, "roles": [{"value": "leader"}]}
    views: list[tuple[Kind, Command, dict[str, object]]] = [
        (Kind.INSTITUTION, school(), {"name": "Skolen", "institution_number": SCHOOL}),
        (Kind.INSTITUTION, school(OTHER), {"name": None, "institution_number": OTHER}),
        (
            Kind.GROUP,
            group("7A"),
            {
                "name": "7.A",
                "group_id": "7A",
                "type": {"value": "main"},
                "level": "7",
                "from_date": "2026-08-01",
                "to_date": "2027-07-31",
                "institution": Ref(Kind.INSTITUTION, org_id()),
            },
        ),
        (
            Kind.PERSON,
            user("anna"),
            {
                "user_id": "anna",
                "given_name": "Anna",
                "family_name": "Holm",
                "kinds": ["student", "employee"],
                "affiliations": [pupil, staff],
                "civil_registration_number": "0101011234",
                "birth_date": "2001-01-01",
            },
        ),
        (
            Kind.MEMBERSHIP,
            member("anna", "7A"),
            {
                "kinds": ["student"],
                "person": Ref(Kind.PERSON, user_id("anna")),
                "group": Ref(Kind.GROUP, class_id("7A")),
                "institution": Ref(Kind.INSTITUTION, org_id()),
            },
        ),
    ]
    ids = {one: one for one in (org_id(), user_id("anna"), class_id("7A"))}
    for kind, told, view in views:
        made = mapping.render(kind, {"id": told.id, **view})
        assert made is not None
        assert made[0].name == told.resource
        desk.tell(replace(told, document=resolve(made[1], ids)))
    roster = desk.roster()
    (anna,) = roster.users
    assert [(one.org, one.role) for one in anna.roles] == [(org_id(), "student"), (org_id(OTHER), "principal")]
    assert (anna.grades, anna.user_ids) == (("07",), (("UNI-Login", "anna"),))
    (seven,) = roster.classes
    assert (seven.title, seven.type, seven.grades) == ("7.A", "homeroom", ("07",))
    assert [(one.id, one.role) for one in roster.enrollments] == [(enrollment_id("anna", "7A"), "student")]
    assert {org.name for org in roster.orgs} == {"Skolen", OTHER, "Prøveby"}
    assert "0101011234" not in repr(roster)
    assert "2001" not in repr(roster)


def test_the_lines_for_demographics_and_parents_are_what_a_roster_understands(desk: Desk) -> None:
    page = (ROOT / "docs" / "how-to" / "oneroster.md").read_text(encoding="utf-8")
    shown = page.partition("## Demographics and parents")[2].partition("\n## ")[0].replace("…", "tests")
    lines = [line.removeprefix("    ") for line in shown.splitlines() if line.startswith("    ")]
    middle = next(number for number, line in enumerate(lines) if line.startswith("#"))
    birth, parents = yaml.safe_load("\n".join(lines[:middle])), yaml.safe_load("\n".join(lines[middle:]))
    preset = yaml.safe_load((ROOT / "mappings" / "oneroster" / "core.yaml").read_text(encoding="utf-8"))
    preset["resources"]["user"]["fields"] |= birth["user"]["fields"]
    preset["resources"]["user"] |= parents["user"]
    preset["resources"]["agent"] = parents["agent"]
    mapping = mapping_of(yaml.safe_dump(preset, sort_keys=False, allow_unicode=True))
    desk.tell(school())
    for told, kinds in ((user("anna"), ["student"]), (user("mor"), ["contact"])):
        worn = [{"kind": "student", "institution_number": SCHOOL, "roles": []}] if "student" in kinds else []
        view = {
            "user_id": told.key[0],
            "kinds": kinds,
            "birth_date": "2019-04-01",
            "gender": "K",
            "affiliations": worn,
        }
        made = mapping.render(Kind.PERSON, {"id": told.id, **view})
        assert made is not None
        desk.tell(replace(told, document=made[1]))
    ids = {one: one for one in (org_id(), user_id("anna"), user_id("mor"))}
    tie = {
        "child": Ref(Kind.PERSON, user_id("anna")),
        "contact": Ref(Kind.PERSON, user_id("mor")),
        "institution": Ref(Kind.INSTITUTION, org_id()),
        "relation": {"value": "mother"},
    }
    made = mapping.render(Kind.GUARDIANSHIP, {"id": agent("anna", "mor").id, **tie})
    assert made is not None
    desk.tell(replace(agent("anna", "mor"), document=resolve(made[1], ids)))
    users = {one.username: one for one in desk.roster().users}
    assert (users["anna"].agents, users["mor"].agents) == ((user_id("mor"),), (user_id("anna"),))
    assert [one.role for one in users["mor"].roles] == ["parent"]
    assert {one.sex for one in desk.roster().demographics} == {"female"}
