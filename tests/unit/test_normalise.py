"""Records of one snapshot become entities, whatever order and repetition they come in."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bridge.domain.entities import Affiliation, Group, Guardianship, Kind, Membership, Role
from bridge.domain.errors import SnapshotInvalid
from bridge.domain.records import Noted, PersonRecord, Quarantined, Record
from bridge.engine.normalise import Normalised, normalise
from tests.support.engine import (
    LEADER,
    MAIN,
    MORNING,
    SCHOOL,
    TEACHER,
    external,
    found,
    group,
    header,
    human,
    parent,
    pupil,
    teacher,
)

NEWER = header(times={"OLD": MORNING - timedelta(days=1), "NEW": MORNING})


def affiliation(made: Normalised, user: str, role: str) -> Affiliation:
    entity = made.entities[Kind.AFFILIATION][SCHOOL, user, role]
    assert isinstance(entity, Affiliation)
    return entity


def memberships(made: Normalised) -> dict[tuple[str, str], tuple[Role, ...]]:
    rows = made.entities[Kind.MEMBERSHIP].values()
    return {(row.group_id, row.user_id): row.kinds for row in rows if isinstance(row, Membership)}


def told_of(made: Normalised, user: str) -> tuple[Role, str, bool]:
    contribution = made.entities[Kind.CONTRIBUTION][SCHOOL, user]
    person = contribution.person  # type: ignore[union-attr]
    return contribution.role, person.given_name, person.protected  # type: ignore[union-attr]


class TestGroups:
    def test_a_declared_group_keeps_what_was_declared(self) -> None:
        made = found(group("1A", "Første A", level="1", line="A"))
        assert made.entities[Kind.GROUP] == {(SCHOOL, "1A"): Group(SCHOOL, "1A", "Første A", MAIN, "1", "A")}

    def test_a_group_id_that_nobody_declared_creates_a_group_named_by_its_id(self) -> None:
        made = found(pupil("ane", "7C"))
        assert made.entities[Kind.GROUP] == {(SCHOOL, "7C"): Group(SCHOOL, "7C", name="7C")}

    def test_a_group_declared_without_a_name_is_named_by_its_id(self) -> None:
        nameless = group("1A")
        made = normalise([header(), type(nameless)(nameless.path, "1A", None, MAIN)])
        assert made.entities[Kind.GROUP][SCHOOL, "1A"].name == "1A"  # type: ignore[union-attr]

    def test_a_group_declared_twice_is_noted_and_the_first_declaration_counts(self) -> None:
        made = found(group("1A", "Først"), group("1A", "Sidst"))
        assert made.entities[Kind.GROUP][SCHOOL, "1A"].name == "Først"  # type: ignore[union-attr]
        assert made.noted == (Noted("Group[1A]", "group_declared_twice"),)

    def test_a_group_declared_after_its_members_is_still_the_declared_one(self) -> None:
        assert found(pupil("ane", "1A"), group("1A")).entities == found(group("1A"), pupil("ane", "1A")).entities


class TestMemberships:
    def test_the_main_group_counts_as_a_membership(self) -> None:
        made = found(group("1A"), pupil("ane", "1A", ["SFO"]))
        assert memberships(made) == {("1A", "ane"): (Role.STUDENT,), ("SFO", "ane"): (Role.STUDENT,)}
        assert affiliation(made, "ane", "student").main_group == "1A"

    def test_a_group_named_three_times_is_one_membership(self) -> None:
        assert memberships(found(pupil("ane", "1A", ["1A", "1A"]))) == {("1A", "ane"): (Role.STUDENT,)}

    def test_a_teacher_belongs_to_the_groups_they_are_named_in(self) -> None:
        made = found(teacher("bo", ["1A", "1B", "1A"]))
        assert memberships(made) == {("1A", "bo"): (Role.EMPLOYEE,), ("1B", "bo"): (Role.EMPLOYEE,)}

    def test_a_membership_names_every_role_that_gives_it_in_order_of_precedence(self) -> None:
        made = found(external("bo", ["1A"]), teacher("bo", ["1A"]))
        assert memberships(made) == {("1A", "bo"): (Role.EMPLOYEE, Role.EXTERNAL)}


class TestPeople:
    def test_two_roles_of_one_person_are_two_affiliations_and_one_contribution(self) -> None:
        made = found(teacher("bo", short_name="BH"), external("bo"))
        assert set(made.entities[Kind.AFFILIATION]) == {(SCHOOL, "bo", "employee"), (SCHOOL, "bo", "external")}
        assert set(made.entities[Kind.CONTRIBUTION]) == {(SCHOOL, "bo")}

    def test_a_pupils_word_of_a_person_is_believed_before_an_employees(self) -> None:
        records = [teacher("bo", given_name="Lærer"), pupil("bo", given_name="Elev")]
        for order in (records, records[::-1]):
            assert told_of(found(*order), "bo") == (Role.STUDENT, "Elev", False)

    def test_a_contacts_word_is_believed_last(self) -> None:
        made = found(pupil("ane", contacts=[parent("bo", given_name="Far")]), external("bo", given_name="Ekstern"))
        assert told_of(made, "bo") == (Role.EXTERNAL, "Ekstern", False)

    def test_a_person_is_protected_if_any_record_says_so(self) -> None:
        made = found(teacher("bo"), pupil("ane", contacts=[parent("bo", protected=True)]))
        assert told_of(made, "bo") == (Role.EMPLOYEE, "Bo", True)

    def test_a_person_without_any_role_is_a_person_all_the_same(self) -> None:
        made = found(PersonRecord("Person[ane]", "KMD", None, human("ane"), None))
        assert told_of(made, "ane")[0] is Role.NONE
        assert not made.entities[Kind.AFFILIATION]


class TestTheSamePersonTwice:
    def test_the_record_of_the_newest_source_counts(self) -> None:
        records = [
            pupil("ane", level="1", source="OLD", given_name="Gammel"),
            pupil("ane", level="2", source="NEW", given_name="Ny"),
        ]
        for order in (records, records[::-1]):
            made = found(*order, head=NEWER)
            assert told_of(made, "ane") == (Role.STUDENT, "Ny", False)
            assert affiliation(made, "ane", "student").level == "2"
            assert affiliation(made, "ane", "student").source == "NEW"

    def test_the_memberships_of_both_records_count(self) -> None:
        made = found(pupil("ane", "1A", source="OLD"), pupil("ane", "SFO", source="NEW"), head=NEWER)
        assert set(memberships(made)) == {("1A", "ane"), ("SFO", "ane")}

    def test_the_first_record_counts_when_both_are_of_one_source(self) -> None:
        made = found(pupil("ane", given_name="Første"), pupil("ane", given_name="Anden"))
        assert told_of(made, "ane")[1] == "Første"

    def test_a_source_that_the_header_does_not_name_counts_last(self) -> None:
        made = found(pupil("ane", source="?", given_name="Ukendt"), pupil("ane", source="OLD"), head=NEWER)
        assert told_of(made, "ane")[1] == "Ane"


class TestRoles:
    def test_roles_are_the_same_in_whatever_order_they_are_told(self) -> None:
        one, two = found(teacher("bo", roles=[LEADER, TEACHER])), found(teacher("bo", roles=[TEACHER, LEADER]))
        assert affiliation(one, "bo", "employee") == affiliation(two, "bo", "employee")

    def test_roles_of_two_records_are_gathered(self) -> None:
        made = found(teacher("bo", roles=[TEACHER]), teacher("bo", roles=[LEADER, TEACHER]))
        assert affiliation(made, "bo", "employee").roles == (LEADER, TEACHER)


class TestContacts:
    def test_a_contact_of_two_children_is_one_person_and_two_guardianships(self) -> None:
        made = found(pupil("ane", contacts=[parent("mor")]), pupil("bo", contacts=[parent("mor", custody=False)]))
        assert set(made.entities[Kind.GUARDIANSHIP]) == {(SCHOOL, "ane", "mor"), (SCHOOL, "bo", "mor")}
        assert told_of(made, "mor")[0] is Role.CONTACT

    def test_a_contact_told_twice_of_one_child_counts_as_told_first(self) -> None:
        made = found(pupil("ane", contacts=[parent("mor", custody=True), parent("mor", custody=False)]))
        (guardianship,) = made.entities[Kind.GUARDIANSHIP].values()
        assert isinstance(guardianship, Guardianship) and guardianship.custody

    def test_a_contact_is_no_member_of_the_childs_groups(self) -> None:
        assert set(memberships(found(pupil("ane", contacts=[parent("mor")])))) == {("1A", "ane")}


class TestWhatCannotBeUsed:
    def test_a_quarantined_record_leaves_the_others_as_they_are(self) -> None:
        bad = Quarantined("Person[2]", "missing_user_id")
        made = found(pupil("ane"), bad, pupil("bo"))
        assert made.entities == found(pupil("ane"), pupil("bo")).entities
        assert made.quarantined == (bad,)

    def test_an_oddity_is_passed_on(self) -> None:
        odd = Noted("Person[1]", "unknown_element")
        assert found(group("1A"), pupil("ane"), odd).noted == (odd,)

    def test_a_second_header_is_noted_and_changes_nothing(self) -> None:
        made = normalise([header(), group("1A"), pupil("ane"), header("999999")])
        assert made.header.institution_number == SCHOOL
        assert made.noted == (Noted("Institution", "second_header"),)

    @pytest.mark.parametrize("records", [[], [pupil("ane")]])
    def test_a_document_without_a_header_first_is_refused(self, records: list[Record]) -> None:
        with pytest.raises(SnapshotInvalid, match="no_institution"):
            normalise(records)

    def test_an_institution_without_anyone_has_no_people(self) -> None:
        assert not found(group("1A")).has_people
