"""Whatever the bridge tells, and by whichever lines of a mapping, a roster is whole and its changes are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bridge.connector import Command
from bridge.domain.entities import Kind
from bridge.mapping import Ref, load_mapping, resolve
from tests.support.engine import mapping_of
from tests.support.oneroster import (
    OTHER,
    SCHOOL,
    TEACHER,
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
from tests.support.oneroster_desk import LAST_YEAR, SETTINGS, YEAR, Desk, dangling

ROOT = Path(__file__).parents[2]


@pytest.fixture
def desk() -> Desk:
    return Desk()


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
