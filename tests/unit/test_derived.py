"""What is derived from stored entities is sent like them: it begins, changes and ends with what it is made of."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.connector import Capabilities
from bridge.domain.entities import DERIVED, ENTITY_TYPES, PUBLISHED_KINDS, Kind
from bridge.domain.outcomes import Delivered, Rejected
from bridge.domain.records import Header, ImportSource, Record
from bridge.engine.desire import Early, everything, render
from bridge.engine.guard import GuardPolicy
from bridge.engine.refresh import announce
from bridge.engine.views import Scope
from bridge.mapping import Choice, load_mapping, resolve
from tests.support.anything import WHOLE_LINE, schools
from tests.support.engine import (
    LEADER,
    MORNING,
    OTHER_SCHOOL,
    SCHOOL,
    TEACHER,
    TOWN,
    Bench,
    group,
    header,
    pupil,
    teacher,
)

MAPPING = load_mapping("egil/ss12000")
RESOURCES = MAPPING.resources
EXTENSION = "urn:scim:schemas:extension:sis:school:1.0:User"
FREE = GuardPolicy(max_deleted_percent=100.0, deletion_grace=timedelta(0))
CLASS = (group("1A"), pupil("ane"), pupil("bo"))


@pytest.fixture
def bench() -> Bench:
    bench = Bench(mapping=MAPPING, policy=FREE, capabilities=Capabilities())
    bench.target_policy = replace(bench.target_policy, max_deleted_percent=100.0)
    bench.rendering = replace(bench.rendering, scope=Scope(TOWN, name="Prøveby"))
    return bench


def sent(bench: Bench, *records: Record, **options: Any) -> list[tuple[str, str]]:
    bench.take(*records, **options)
    return [(command.operation.value, command.resource) for command in bench.drain()]


def one(bench: Bench, kind: Kind, *key: str) -> Any:
    return bench.target.documents.get(bench.rendering.scope.id(kind, key))


def activity(bench: Bench) -> Any:
    return one(bench, Kind.TEACHING, SCHOOL, "1A")


def identity(bench: Bench, kind: Kind, *key: str) -> dict[str, str]:
    return {"value": bench.rendering.scope.id(kind, key)}


# ---------------------------------------------------------------- a group's teaching


def test_a_group_that_nobody_teaches_has_no_teaching(bench: Bench) -> None:
    assert ("created", "Activity") not in sent(bench, *CLASS)


def test_a_teacher_who_comes_and_goes_begins_and_ends_the_teaching(bench: Bench) -> None:
    sent(bench, *CLASS)
    assert sent(bench, *CLASS, teacher("tea", ["1A"])) == [
        ("created", "Teacher"),
        ("created", "Employment"),
        ("created", "Activity"),
    ]
    assert activity(bench)["teachers"] == [identity(bench, Kind.AFFILIATION, SCHOOL, "tea", "employee")]
    assert activity(bench)["groups"] == [identity(bench, Kind.GROUP, SCHOOL, "1A")]
    assert sent(bench, *CLASS) == [("deleted", "Activity"), ("deleted", "Employment"), ("deleted", "Teacher")]


def test_a_second_teacher_changes_the_teaching_and_not_the_class(bench: Bench) -> None:
    sent(bench, *CLASS, teacher("tea", ["1A"]))
    steps = sent(bench, *CLASS, teacher("tea", ["1A"]), teacher("two", ["1A"]))
    assert steps[-1] == ("updated", "Activity")
    assert ("updated", "StudentGroup") not in steps
    assert len(activity(bench)["teachers"]) == 2


def test_a_new_name_changes_both_and_a_new_pupil_only_the_class(bench: Bench) -> None:
    staff = teacher("tea", ["1A"])
    sent(bench, *CLASS, staff)
    assert sent(bench, group("1A", "Ny"), *CLASS[1:], staff) == [
        ("updated", "StudentGroup"),
        ("updated", "Activity"),
    ]
    assert sent(bench, group("1A", "Ny"), *CLASS[1:], pupil("carl"), staff) == [
        ("created", "Student"),
        ("updated", "StudentGroup"),
    ]


def test_an_employment_that_does_not_go_there_is_not_named(bench: Bench) -> None:
    """The teacher without whom it cannot be is filtered away; the pupils' class stays."""
    sent(bench, *CLASS, teacher("tea", ["1A"]), teacher("two", ["1A"]))
    kept = [
        replace(r, when={"user_id": Choice(frozenset({"two"}))}) if r.name == "Teacher" else r
        for r in MAPPING.resources
    ]
    bench.refresh(replace(MAPPING, resources=tuple(kept), digest="another"))
    bench.drain()
    assert one(bench, Kind.AFFILIATION, SCHOOL, "tea", "employee") is None
    assert activity(bench)["teachers"] == [identity(bench, Kind.AFFILIATION, SCHOOL, "two", "employee")]


def test_a_teacher_who_is_kept_away_takes_the_employment_along(bench: Bench) -> None:
    """Nothing but the person has changed, and two others show that."""
    is_open = {"protected": Choice(frozenset({False}))}
    kept = [replace(r, when=is_open) if r.name == "Teacher" else r for r in RESOURCES]
    bench.rendering = replace(bench.rendering, mapping=replace(MAPPING, resources=tuple(kept), digest="another"))
    sent(bench, *CLASS, teacher("tea", ["1A"]), teacher("two", ["1A"]))
    assert sent(bench, *CLASS, teacher("tea", ["1A"], protected=True), teacher("two", ["1A"])) == [
        ("updated", "Activity"),
        ("deleted", "Employment"),
        ("deleted", "Teacher"),
    ]
    assert activity(bench)["teachers"] == [identity(bench, Kind.AFFILIATION, SCHOOL, "two", "employee")]


def test_a_group_that_has_not_begun_has_no_teaching_yet(bench: Bench) -> None:
    bench.rendering = replace(bench.rendering, early=Early(timedelta(days=10), bench.clock.now))
    far = group("1A", from_date=(MORNING + timedelta(days=30)).date().isoformat())
    assert ("created", "Activity") not in sent(bench, far, *CLASS[1:], teacher("tea", ["1A"]))
    bench.clock.forward(days=21)
    announce(bench.store, bench.rendering, bench.clock.now)
    assert [command.resource for command in bench.drain()] == ["StudentGroup", "Activity"]


def test_who_leads_or_teaches_is_told_as_that(bench: Bench) -> None:
    both = teacher("tea", ["1A"], roles=(TEACHER, LEADER))
    sent(bench, *CLASS, both, teacher("two", ["1A"], roles=(replace(TEACHER, value="consultant"),)))
    roles = {
        user: one(bench, Kind.AFFILIATION, SCHOOL, user, "employee")["employmentRole"] for user in ("tea", "two")
    }
    assert roles == {"tea": "Rektor", "two": "Annan personal"}


# ---------------------------------------------------------------- what waits


def test_what_must_refer_to_something_waits_until_that_is_there(bench: Bench) -> None:
    """Sent without, it would be refused for good."""
    bench.target.capabilities = Capabilities(references="remote")
    bench.take(*CLASS, teacher("tea", ["1A"]))
    bench.target.about = {bench.rendering.scope.id(Kind.PERSON, ("tea",)): Rejected("invalid")}
    bench.drain()
    assert one(bench, Kind.AFFILIATION, SCHOOL, "tea", "employee") is None
    assert (
        bench.delivery(bench.rendering.scope.id(Kind.AFFILIATION, (SCHOOL, "tea", "employee"))).state == "pending"
    )
    assert "teachers" not in activity(bench) or activity(bench)["teachers"] == []
    bench.target.about = {}
    with bench.store.write() as uow:
        uow.retry_rejected(bench.rendering.target, None, bench.clock.at)
    bench.drain()
    remote = bench.delivery(bench.rendering.scope.id(Kind.AFFILIATION, (SCHOOL, "tea", "employee"))).remote_id
    assert activity(bench)["teachers"] == [{"value": remote}]


# ---------------------------------------------------------------- the municipality


def test_the_municipality_is_there_as_long_as_one_of_its_schools(bench: Bench) -> None:
    steps = sent(bench, *CLASS)
    assert steps[:2] == [("created", "Organisation"), ("created", "SchoolUnit")]
    assert one(bench, Kind.MUNICIPALITY, TOWN)["displayName"] == "Prøveby"
    assert one(bench, Kind.INSTITUTION, SCHOOL)["organisation"] == identity(bench, Kind.MUNICIPALITY, TOWN)
    bench.rendering = replace(bench.rendering, scope=Scope(TOWN, frozenset({OTHER_SCHOOL}), "Prøveby"))
    bench.refresh()
    for hold in bench.holds("open"):
        bench.decide(hold.id, approve=True)
    bench.refresh()
    bench.drain()
    assert bench.target.documents == {}


def test_a_new_name_of_the_municipality_is_told(bench: Bench) -> None:
    sent(bench, *CLASS)
    bench.rendering = replace(bench.rendering, scope=Scope(TOWN, name="Ny|by"))
    bench.refresh()
    assert [(command.resource, command.document) for command in bench.drain()] == [
        ("Organisation", one(bench, Kind.MUNICIPALITY, TOWN))
    ]
    assert one(bench, Kind.MUNICIPALITY, TOWN)["displayName"] == "Ny|by"
    assert not bench.drain()


def test_a_school_that_gets_its_name_late_has_its_pupils_and_classes_then(bench: Bench) -> None:
    """Without a name it does not go there, and nothing that is its own."""
    sent(bench, *CLASS, teacher("tea", ["1A"]), head=header(name=None))
    assert {*bench.target.documents} == {
        bench.rendering.scope.id(Kind.MUNICIPALITY, (TOWN,)),
        *(bench.rendering.scope.id(Kind.PERSON, (user,)) for user in ("ane", "bo", "tea")),
    }
    later = header(at=MORNING + timedelta(hours=1), times={"KMD": MORNING})
    steps = sent(bench, *CLASS, teacher("tea", ["1A"]), head=later)
    assert [step for step in steps if step[0] == "updated"] == [("updated", "Student")] * 2
    assert one(bench, Kind.PERSON, "ane")[EXTENSION]["enrolments"] == [identity(bench, Kind.INSTITUTION, SCHOOL)]
    assert activity(bench)["owner"] == identity(bench, Kind.INSTITUTION, SCHOOL)


def test_a_pupil_is_enrolled_at_the_schools_that_the_target_sees(bench: Bench) -> None:
    sent(bench, *CLASS)
    assert one(bench, Kind.PERSON, "ane")[EXTENSION]["enrolments"] == [identity(bench, Kind.INSTITUTION, SCHOOL)]
    sent(bench, group("2A"), pupil("ane", "2A"), head=header(OTHER_SCHOOL), expected=OTHER_SCHOOL)
    assert len(one(bench, Kind.PERSON, "ane")[EXTENSION]["enrolments"]) == 2


def test_another_id_of_the_municipality_there_is_told_with_its_schools(bench: Bench) -> None:
    bench.target.capabilities = Capabilities(references="remote")
    sent(bench, *CLASS)
    bench.rendering = replace(bench.rendering, scope=Scope(TOWN, name="Nyby"))
    bench.refresh()
    bench.target.script = [Delivered("moved")]
    assert [command.resource for command in bench.drain()] == ["Organisation", "SchoolUnit"]
    assert one(bench, Kind.INSTITUTION, SCHOOL)["organisation"] == {"value": "moved"}


# ---------------------------------------------------------------- never stored, never published


def test_derived_kinds_have_ids_of_their_own_and_no_entity() -> None:
    assert not {*DERIVED} & {*ENTITY_TYPES, *PUBLISHED_KINDS}
    scope = Scope(TOWN)
    assert scope.id(Kind.GROUP, (SCHOOL, "1A")) != scope.id(Kind.TEACHING, (SCHOOL, "1A"))


def test_the_event_log_does_not_know_them(bench: Bench) -> None:
    sent(bench, *CLASS, teacher("tea", ["1A"]))
    with bench.store.read() as reader:
        kinds = {event.subject.split("/")[0] for event in reader.events(TOWN, 0, 1_000)}
    assert "group" in kinds
    assert not kinds & {kind.value for kind in DERIVED}


# ---------------------------------------------------------------- always


DAYS = st.lists(st.tuples(st.sampled_from([SCHOOL, OTHER_SCHOOL]), schools()), min_size=1, max_size=4)


@WHOLE_LINE
@given(DAYS, st.sampled_from(["remote", "canonical"]))
def test_day_by_day_leads_to_what_a_new_target_would_get(
    days: list[tuple[str, list[Record]]], references: Any
) -> None:
    bench = Bench(mapping=MAPPING, policy=replace(FREE, max_updated_percent=None, max_created_percent=None))
    bench.target_policy = replace(bench.target_policy, max_deleted_percent=100.0)
    bench.target.capabilities = Capabilities(references=references)
    for school, records in days:
        bench.clock.forward(hours=30)
        at = bench.clock.at
        bench.take(
            *records, head=Header(school, "Skolen", at, (ImportSource("KMD", at, "2026-2027"),)), expected=school
        )
        for hold in bench.holds("open"):
            bench.decide(hold.id, approve=True)
        bench.apply_approved()
        bench.drain()
    with bench.store.read() as reader:
        wanted = {
            bench.rendering.scope.id(kind, key): made.body
            for kind, keys in everything(reader, bench.rendering).items()
            for key, made in render(reader, bench.rendering, kind, keys).items()
        }
        desired = reader.desired_hashes(bench.rendering.target, wanted)
    assert bench.target.documents.keys() == wanted.keys()
    assert all(digest is not None for digest in desired.values())
    if references == "canonical":
        ids = {str(identity): str(identity) for identity in wanted}
        assert bench.target.documents == {identity: resolve(body, ids) for identity, body in wanted.items()}
