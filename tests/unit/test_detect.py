"""What is stored against what a snapshot shows: exactly the difference, and nothing lost to a bad record."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.changes import Operation
from bridge.domain.entities import ENTITY_TYPES, Contribution, Entity, Kind, Membership, Person, Phone
from bridge.domain.ids import Key
from bridge.domain.records import Header, Quarantined, Record
from bridge.engine.detect import Detection, detect
from bridge.engine.merge import merge
from bridge.engine.normalise import Normalised, normalise
from tests.support.anything import STEADY, schools
from tests.support.engine import (
    MORNING,
    OTHER_SCHOOL,
    SCHOOL,
    TOWN,
    external,
    group,
    header,
    human,
    living,
    parent,
    pupil,
    rows_of,
    teacher,
)
from tests.support.stores import new_store

SCOPED = tuple(kind for kind in ENTITY_TYPES if kind is not Kind.PERSON)
EVENING = MORNING + timedelta(hours=12)
Days = list[tuple[str, list[Record]]]
DAYS = st.lists(st.tuples(st.sampled_from([SCHOOL, OTHER_SCHOOL]), schools()), min_size=1, max_size=5)


class Town:
    """A store with nothing but detection in front of it."""

    def __init__(self) -> None:
        self.store = new_store()
        self.times: dict[str, dict[str, datetime]] = {}

    def show(self, *records: Record, head: Header | None = None) -> Detection:
        """Detect one institution's snapshot and store what it brings."""
        return self.bring(normalise([head or header(), *records]))

    def bring(self, found: Normalised) -> Detection:
        self.times[found.header.institution_number] = {s.name: s.time for s in found.header.sources}
        with self.store.write() as uow:
            detection = detect(uow, TOWN, found, self.times)
            uow.put_entities(TOWN, detection.rows)
        return detection

    def keys(self, kind: Kind) -> set[Key]:
        return set(living(self.store, kind))

    def person(self, user: str) -> Person:
        entity = living(self.store, Kind.PERSON)[user,]
        assert isinstance(entity, Person)
        return entity


def steps(detection: Detection) -> list[tuple[str, str, Key]]:
    return [(change.operation.value, change.kind.value, change.key) for change in detection.changes]


def lost(town: Town, before: dict[Kind, set[Key]]) -> dict[Kind, set[Key]]:
    gone = {kind: keys - town.keys(kind) for kind, keys in before.items()}
    return {kind: keys for kind, keys in gone.items() if keys}


def everything(town: Town) -> dict[Kind, set[Key]]:
    return {kind: town.keys(kind) for kind in Kind}


# ---------------------------------------------------------------- one institution


class TestOneInstitution:
    def test_a_snapshot_seen_twice_is_no_difference(self) -> None:
        records: list[Record] = [group("1A"), pupil("ane", contacts=[parent("mor")]), teacher("bo", ["1A"])]
        town = Town()
        town.show(*records)
        again = town.show(*records)
        assert (again.changes, again.rows, again.people) == ([], [], set())

    def test_a_class_move_is_an_updated_affiliation_and_a_membership_for_another(self) -> None:
        town = Town()
        town.show(group("1A"), group("1B"), pupil("ane", "1A"))
        moved = town.show(group("1A"), group("1B"), pupil("ane", "1B"))
        assert steps(moved) == [
            ("updated", "affiliation", (SCHOOL, "ane", "student")),
            ("deleted", "membership", (SCHOOL, "1A", "ane")),
            ("created", "membership", (SCHOOL, "1B", "ane")),
        ]
        assert moved.changes[0].fields == ("main_group",)

    def test_a_contribution_is_stored_and_never_reported(self) -> None:
        town = Town()
        detection = town.show(pupil("ane"))
        assert town.keys(Kind.CONTRIBUTION) == {(SCHOOL, "ane")}
        assert Kind.CONTRIBUTION not in {change.kind for change in detection.changes}

    def test_what_was_there_and_what_goes_is_counted_by_kind_and_role(self) -> None:
        town = Town()
        town.show(pupil("ane"), pupil("bo"), teacher("carl"))
        detection = town.show(pupil("ane"))
        assert (detection.stored["affiliation.student"], detection.gone["affiliation.student"]) == (2, 1)
        assert (detection.stored["affiliation.employee"], detection.gone["affiliation.employee"]) == (1, 1)
        assert sorted(detection.gone_people) == ["bo", "carl"]

    def test_an_entity_that_comes_back_has_the_same_id_and_a_higher_version(self) -> None:
        town = Town()
        town.show(pupil("ane"))
        first = rows_of(town.store, Kind.PERSON)["ane",]
        town.show(group("1A"))
        town.show(pupil("ane"))
        again = rows_of(town.store, Kind.PERSON)["ane",]
        assert (first.id, first.version, again.version) == (again.id, 1, 3)

    def test_a_changed_phone_flag_is_one_changed_field(self) -> None:
        town = Town()
        town.show(pupil("ane", mobile_phone=Phone("20202020")))
        changed = town.show(pupil("ane", mobile_phone=Phone("20202020", protected=True)))
        assert [change.fields for change in changed.changes] == [("mobile_phone",)]


@STEADY
@given(schools(), schools())
def test_storing_what_is_detected_leaves_exactly_what_the_snapshot_shows(a: list[Record], b: list[Record]) -> None:
    town = Town()
    town.show(*a)
    found = normalise([header(), *b])
    town.bring(found)
    assert {kind: living(town.store, kind) for kind in SCOPED} == {k: dict(found.entities[k]) for k in SCOPED}
    heard = [c for c in found.entities[Kind.CONTRIBUTION].values() if isinstance(c, Contribution)]
    assert living(town.store, Kind.PERSON) == {(c.user_id,): merge([c], town.times) for c in heard}


@STEADY
@given(st.lists(schools(), min_size=1, max_size=4))
def test_a_snapshot_detected_again_changes_nothing(days: list[list[Record]]) -> None:
    town = Town()
    for day in days:
        town.show(*day)
    again = town.show(*days[-1])
    assert (again.changes, again.rows) == ([], [])


@STEADY
@given(st.lists(st.tuples(st.sampled_from([SCHOOL, OTHER_SCHOOL]), schools()), min_size=2, max_size=5))
def test_versions_never_fall_and_rise_by_one_with_every_reported_change(
    days: list[tuple[str, list[Record]]],
) -> None:
    town = Town()
    for number, records in days:
        with town.store.read() as reader:
            keys = {kind: list(rows_of(town.store, kind)) for kind in Kind}
            known = {kind: reader.entities(TOWN, kind, keys[kind]) for kind in Kind}
        detection = town.show(*records, head=header(number))
        for row in detection.rows:
            before = known[row.kind].get(row.key)
            if before is not None:
                is_reported = (row.kind, row.key) in detection.row_of or row.kind is Kind.CONTRIBUTION
                assert row.version == before.version + is_reported
                assert row.id == before.id


@STEADY
@given(DAYS)
def test_persons_are_always_the_merge_of_all_that_institutions_say(days: Days) -> None:
    town = Town()
    for at, (number, records) in enumerate(days):
        town.show(*records, head=header(number, at=MORNING + timedelta(hours=at)))
    heard: dict[str, list[Contribution]] = {}
    for entity in living(town.store, Kind.CONTRIBUTION).values():
        assert isinstance(entity, Contribution)
        heard.setdefault(entity.user_id, []).append(entity)
    assert living(town.store, Kind.PERSON) == {(user,): merge(told, town.times) for user, told in heard.items()}


@STEADY
@given(st.lists(st.tuples(st.sampled_from([SCHOOL, OTHER_SCHOOL]), schools()), min_size=1, max_size=4))
def test_the_reported_changes_alone_lead_a_reader_to_the_stored_state(
    days: list[tuple[str, list[Record]]],
) -> None:
    town = Town()
    told: dict[tuple[Kind, Key], Entity | None] = {}
    for number, records in days:
        for change in town.show(*records, head=header(number)).changes:
            if change.operation is Operation.DELETED:
                del told[change.kind, change.key]
            else:
                assert ((change.kind, change.key) in told) == (change.operation is Operation.UPDATED)
                told[change.kind, change.key] = change.after
    stored = {
        (kind, k): e for kind in Kind if kind is not Kind.CONTRIBUTION for k, e in living(town.store, kind).items()
    }
    assert told == stored


# ---------------------------------------------------------------- several institutions


class TestSeveralInstitutions:
    def test_a_person_is_deleted_only_when_the_last_contribution_goes(self) -> None:
        town = Town()
        town.show(pupil("ane"))
        town.show(pupil("ane"), head=header(OTHER_SCHOOL))
        assert ("deleted", "person", ("ane",)) not in steps(town.show())
        assert town.keys(Kind.PERSON) == {("ane",)}
        assert ("deleted", "person", ("ane",)) in steps(town.show(head=header(OTHER_SCHOOL)))
        assert town.keys(Kind.PERSON) == set()

    def test_an_institutions_snapshot_touches_nothing_of_another(self) -> None:
        town = Town()
        town.show(group("1A"), pupil("ane"))
        town.show(pupil("bo"), head=header(OTHER_SCHOOL))
        town.show(head=header(OTHER_SCHOOL))
        assert town.keys(Kind.AFFILIATION) == {(SCHOOL, "ane", "student")}

    def test_a_person_is_merged_anew_when_only_a_sources_time_moves(self) -> None:
        town, here, there = Town(), pupil("ane", email="here@x.example"), pupil("ane", email="there@x.example")
        town.show(here, head=header(SCHOOL, at=MORNING))
        town.show(there, head=header(OTHER_SCHOOL, at=EVENING))
        assert town.person("ane").email == "there@x.example"
        later = town.show(here, head=header(SCHOOL, at=EVENING + timedelta(hours=1)))
        assert [(change.key, change.fields) for change in later.changes] == [(("ane",), ("email",))]
        assert town.person("ane").email == "here@x.example"

    def test_protection_told_by_the_worse_institution_protects_the_person(self) -> None:
        town = Town()
        town.show(pupil("ane"))
        detection = town.show(pupil("bo", contacts=[parent("ane", protected=True)]), head=header(OTHER_SCHOOL))
        assert ("updated", "person", ("ane",)) in steps(detection)
        assert town.person("ane").protected

    def test_a_person_told_of_at_two_institutions_falls_back_on_the_other_word(self) -> None:
        town = Town()
        town.show(pupil("ane", given_name="Elev"))
        town.show(teacher("ane", given_name="Vikar"), head=header(OTHER_SCHOOL))
        town.show()
        assert town.person("ane").given_name == "Vikar"


# ---------------------------------------------------------------- records that could not be used


class TestARecordThatCannotBeUsed:
    def test_known_by_user_id_removes_nothing_of_that_person(self) -> None:
        town = Town()
        town.show(pupil("ane", "1A", contacts=[parent("mor")]), pupil("bo"))
        before = everything(town)
        town.show(pupil("bo"), Quarantined("Person[1]", "missing_main_group", "KMD", "L-ane", "ane"))
        assert lost(town, before) == {}

    def test_known_by_local_person_id_removes_nothing_of_that_person(self) -> None:
        town = Town()
        town.show(pupil("ane", "1A", contacts=[parent("mor")]), pupil("bo"))
        before = everything(town)
        for _ in range(3):  # as long as nobody mends it
            town.show(pupil("bo"), Quarantined("Person[1]", "missing_user_id", "KMD", "L-ane"))
            assert lost(town, before) == {}

    def test_the_same_local_person_id_of_another_source_shields_nobody(self) -> None:
        town = Town()
        town.show(pupil("ane"), pupil("bo"))
        town.show(pupil("bo"), Quarantined("Person[1]", "missing_user_id", "TEA", "L-ane"))
        assert town.keys(Kind.PERSON) == {("bo",)}

    def test_of_one_role_by_local_person_id_removes_neither_role(self) -> None:
        town, other = Town(), external("bo", source="TEA")
        town.show(group("1A"), teacher("bo", ["1A"]), other)
        before = everything(town)
        for _ in range(3):
            town.show(group("1A"), other, Quarantined("Person[1]", "missing_user_id", "KMD", "L-bo"))
            assert lost(town, before) == {}

    def test_a_contact_without_identity_removes_no_contact_of_that_child(self) -> None:
        town = Town()
        town.show(pupil("ane", contacts=[parent("mor"), parent("far")]))
        before = everything(town)
        town.show(
            pupil("ane", contacts=[parent("far")]),
            Quarantined("Contact[1]", "contact_without_identity", user_id="ane"),
        )
        assert lost(town, before) == {}

    def test_a_contact_without_identity_does_not_stop_the_childs_class_move(self) -> None:
        town = Town()
        town.show(group("1A"), group("1B"), pupil("ane", "1A", contacts=[parent("mor")]))
        town.show(
            group("1A"),
            group("1B"),
            pupil("ane", "1B"),
            Quarantined("Contact[1]", "contact_without_identity", user_id="ane"),
        )
        assert town.keys(Kind.MEMBERSHIP) == {(SCHOOL, "1B", "ane")}

    def test_of_a_teacher_who_is_also_a_contact_removes_no_role_of_theirs(self) -> None:
        town, child = Town(), pupil("ane", contacts=[parent("bo")])
        town.show(group("1A"), child, teacher("bo", ["1A"]))
        before = everything(town)
        town.show(group("1A"), child, Quarantined("Person[2]", "missing_role", "KMD", "L-bo", "bo"))
        assert lost(town, before) == {}

    def test_of_one_of_two_roles_removes_neither(self) -> None:
        town = Town()
        town.show(group("1A"), teacher("bo", ["1A"]), external("bo"))
        before = everything(town)
        town.show(group("1A"), external("bo"), Quarantined("Person[1]", "missing_role", "KMD", "L-bo", "bo"))
        assert lost(town, before) == {}

    def test_keeps_the_group_that_only_it_had_named(self) -> None:
        town = Town()
        town.show(pupil("ane", "7C"))
        before = everything(town)
        town.show(Quarantined("Person[1]", "missing_main_group", "KMD", "L-ane", "ane"))
        assert lost(town, before) == {}

    def test_of_a_group_keeps_the_group_as_it_is_stored(self) -> None:
        town = Town()
        town.show(group("1A", "Første A"), pupil("ane", "1A"))
        town.show(pupil("ane", "1A"), Quarantined("Group[1]", "bad_date", group_id="1A"))
        stored = living(town.store, Kind.GROUP)[SCHOOL, "1A"]
        assert stored.name == "Første A"  # type: ignore[union-attr]

    def test_of_a_group_without_members_keeps_it_too(self) -> None:
        town = Town()
        town.show(group("1A"))
        town.show(Quarantined("Group[1]", "bad_date", group_id="1A"))
        assert town.keys(Kind.GROUP) == {(SCHOOL, "1A")}

    def test_of_an_unknown_person_creates_nobody(self) -> None:
        town = Town()
        town.show(Quarantined("Person[1]", "missing_role", "KMD", "L-x", "x"))
        assert town.keys(Kind.PERSON) == set()

    def test_lets_everyone_else_leave(self) -> None:
        town = Town()
        town.show(pupil("ane"), pupil("bo"))
        town.show(Quarantined("Person[1]", "missing_main_group", "KMD", "L-ane", "ane"))
        assert town.keys(Kind.PERSON) == {("ane",)}

    def test_is_forgotten_when_it_is_whole_again(self) -> None:
        town = Town()
        town.show(pupil("ane", "1A"))
        town.show(Quarantined("Person[1]", "missing_main_group", "KMD", "L-ane", "ane"))
        town.show(pupil("ane", "1B"))
        assert town.keys(Kind.MEMBERSHIP) == {(SCHOOL, "1B", "ane")}

    def test_of_one_of_two_sources_keeps_what_only_that_source_gave(self) -> None:
        """A pupil in a school system and an after-school system, of which one record breaks."""
        town, head = Town(), header(times={"SKOLE": EVENING, "SFO": MORNING})
        school = pupil("ane", "1A", source="SKOLE", local="S1")
        town.show(school, pupil("ane", "SFO", source="SFO", local="F1"), head=head)
        before = everything(town)
        for _ in range(3):  # as long as nobody mends it
            town.show(school, Quarantined("Person[2]", "missing_user_id", "SFO", "F1"), head=head)
            assert lost(town, before) == {}


def test_a_membership_keeps_its_kinds_in_the_store() -> None:
    town = Town()
    town.show(teacher("bo", ["1A"]), external("bo", ["1A"]))
    stored = living(town.store, Kind.MEMBERSHIP)[SCHOOL, "1A", "bo"]
    assert isinstance(stored, Membership) and [kind.value for kind in stored.kinds] == ["employee", "external"]


def test_people_names_those_whose_view_may_differ_though_they_are_unchanged() -> None:
    town = Town()
    town.show(group("1A"), teacher("bo"))
    assert town.show(group("1A"), teacher("bo", ["1A"])).people == {"bo"}


def test_a_person_seen_by_another_institution_for_the_first_time_may_look_different() -> None:
    town = Town()
    town.show(pupil("ane"))
    detection = town.show(pupil("ane"), head=header(OTHER_SCHOOL))
    assert "ane" in detection.people
    assert town.person("ane") == human("ane")
