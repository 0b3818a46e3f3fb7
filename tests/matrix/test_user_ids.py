"""Row 53 of the fault matrix: one user id is one human; where it is not, that person waits and nobody else."""

from __future__ import annotations

import copy

import pytest

from bridge.domain.entities import Kind, Person
from tests.matrix.desk import NUMBER, OTHER, Calm, Desk, school, settled
from tests.support.exports import SHARED, Export

OLD = school()
USER = OLD.user_id(OLD.pupils[0])
STRANGER = {
    "FirstName": "Fremmed",
    "FamilyName": "Nytilkommen",
    "CivilRegistrationNumber": "020216KBO1",
    "BirthDate": "2016-02-02",
}


def with_stranger(hours: int, local: str | None = "99999999", export: Export | None = None, **more: str) -> Export:
    """A later export in which the first pupil's user id is another human's."""
    made = (export or school()).later(hours=hours)
    record = made.pupils[0]
    for name, text in {**STRANGER, **more}.items():
        made.set(made.person(record), name, text)
    if local is not None:
        found = record.find(f"{{{SHARED}}}LocalPersonId")
        assert found is not None
        found.text = local
    return made


def stored(desk: Desk) -> Person:
    person = desk.entities(Kind.PERSON)[USER,]
    assert isinstance(person, Person)
    return person


def test_row_53_the_same_person_twice_in_one_file_is_one(desk: Desk, calm: Calm) -> None:
    export = school().later(hours=1)
    export.institution.append(copy.deepcopy(export.pupils[0]))
    assert desk.bring(export) == ("recorded", None)
    assert desk.reasons() == []
    assert calm.holds()


def test_row_53_two_humans_under_one_user_id_in_one_file_stop_each_other_only(desk: Desk, calm: Calm) -> None:
    export = with_stranger(1)
    export.institution.append(copy.deepcopy(OLD.pupils[0]))
    assert desk.bring(export) == ("recorded", None)
    assert desk.reasons() == ["user_id_of_two_people"]
    assert calm.holds()


def test_row_53_a_user_id_used_again_for_another_cpr_stops_that_person_only(desk: Desk, calm: Calm) -> None:
    before = stored(desk)
    assert desk.bring(with_stranger(1)) == ("recorded", None)
    (row,) = desk.quarantine()
    assert (row.reason, row.user_id, row.path) == (
        "user_id_of_another_person",
        USER,
        "Institution/InstitutionPerson[1]",
    )
    assert stored(desk) == before
    assert calm.holds()
    assert "Nytilkommen" not in desk.text() + desk.sent()


def test_row_53_everybody_else_goes_on_meanwhile(desk: Desk) -> None:
    export = with_stranger(1)
    export.set(export.person(export.pupils[1]), "FamilyName", "Nygift")
    assert desk.bring(export) == ("recorded", None)
    assert [command.kind for command in desk.drain()] == [Kind.PERSON]
    assert "Nygift" in desk.sent() and "Nytilkommen" not in desk.sent()


def test_row_53_it_is_so_as_long_as_the_source_says_so_and_ends_when_it_does_not(desk: Desk, calm: Calm) -> None:
    for hours in (1, 2, 3):
        assert desk.bring(with_stranger(hours)) == ("recorded", None)
        assert desk.reasons() == ["user_id_of_another_person"]
    assert desk.bring(school().later(hours=4)) == ("recorded", None)
    assert desk.reasons() == []
    assert calm.holds()


def test_row_53_a_user_id_whose_human_was_taken_out_first_is_free(desk: Desk) -> None:
    first = OLD.pupils[0]
    without = school().later(hours=1).keep(lambda record: school().user_id(record) != USER)
    assert desk.bring(without) == ("recorded", None)
    assert (USER,) not in desk.entities(Kind.PERSON)
    assert desk.bring(with_stranger(2)) == ("recorded", None)
    assert desk.reasons() == []
    assert stored(desk).family_name == "Nytilkommen" != OLD.person(first)


@pytest.mark.parametrize(
    "changed",
    [
        {"CivilRegistrationNumber": "010117KAN4"},
        {"CivilRegistrationNumber": "010117KAN4", "FirstName": "Andet"},
        {"CivilRegistrationNumber": "010117KAN1", "Gender": "M", "FirstName": "Andet"},
        {"CivilRegistrationNumber": "030303KAN3", "BirthDate": "2015-03-03"},
    ],
    ids=["number", "number and name", "number, gender and name", "number and day of birth"],
)
def test_row_53_a_cpr_number_that_changes_for_the_same_human_is_an_update(
    desk: Desk, changed: dict[str, str]
) -> None:
    export = school().later(hours=1)
    for name, text in changed.items():
        export.set(export.person(export.pupils[0]), name, text)
    assert desk.bring(export) == ("recorded", None)
    assert desk.reasons() == []
    assert stored(desk).civil_registration_number == changed["CivilRegistrationNumber"]
    assert [command for command in desk.drain() if command.document is None] == []


def test_row_53_of_two_institutions_that_name_two_humans_the_newcomer_waits(desk: Desk) -> None:
    before = stored(desk)
    other = school(number=OTHER)
    other.set(other.person(other.pupils[0]), "UserId", USER)
    assert desk.bring(other, OTHER) == ("recorded", None)
    (row,) = desk.quarantine()
    assert (row.institution, row.reason, row.user_id) == (OTHER, "user_id_of_another_person", USER)
    assert stored(desk) == before
    assert {key[0] for key in desk.entities(Kind.CONTRIBUTION) if key[1] == USER} == {NUMBER}
    assert len(desk.entities(Kind.PERSON)) > len(school().records)


def test_row_53_several_user_ids_of_one_cpr_are_told_and_cost_nobody_anything(desk: Desk) -> None:
    export = school().later(hours=1)
    numbers = [export.person(record) for record in export.pupils[:2]]
    same = numbers[0].findtext("{*}CivilRegistrationNumber")
    export.set(numbers[1], "CivilRegistrationNumber", str(same))
    assert desk.bring(export) == ("recorded", None)
    assert (desk.reasons(), desk.reasons("noted")) == ([], ["cpr_of_several_users"])


def test_row_53_no_number_stands_in_what_is_told_of_it() -> None:
    desk = settled()
    desk.bring(with_stranger(1))
    told = repr(desk.quarantine()) + repr(desk.audit()) + repr(desk.diary.runs)
    number = OLD.person(OLD.pupils[0]).findtext("{*}CivilRegistrationNumber")
    assert str(number) not in told and STRANGER["CivilRegistrationNumber"] not in told
    assert "Nytilkommen" not in told
