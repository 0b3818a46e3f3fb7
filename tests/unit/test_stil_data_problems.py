"""Every data problem that STIL's exports have, or may have by their schema, from the document to the entities."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.connector import SnapshotInvalid
from bridge.domain.entities import Affiliation, Contribution, Group, Kind, Membership, Person, Role
from bridge.domain.privacy import visible
from bridge.engine.normalise import Normalised, normalise
from bridge.testing.stil_export import Knobs, write_export
from bridge.testing.stil_municipality import Makeup, Municipality
from bridge.testing.stil_records import Student
from connectors.stil.parse import parse
from tests.support.simulators import SCHOOL

ZONE = ZoneInfo("Europe/Copenhagen")
TOWN = Municipality(7, schools=3, pupils=120, makeup=Makeup(protected_percent=20)).institution(SCHOOL)
# A group that staff refer to and nobody declares is everyday life in this town.
TOWN = replace(TOWN, records=tuple(record for record in TOWN.records if isinstance(record.role, Student)))
ANYBODY = TOWN.records[0].user_id


def found(knobs: Knobs | None = None) -> Normalised:
    return normalise(parse(write_export(TOWN, knobs), ZONE))


PLAIN = found()


def people(made: Normalised) -> dict[str, Person]:
    told = made.entities[Kind.CONTRIBUTION].values()
    return {each.user_id: each.person for each in told if isinstance(each, Contribution)}


def affiliations(made: Normalised) -> list[Affiliation]:
    return [each for each in made.entities[Kind.AFFILIATION].values() if isinstance(each, Affiliation)]


def groups(made: Normalised) -> dict[str, Group]:
    return {each.group_id: each for each in made.entities[Kind.GROUP].values() if isinstance(each, Group)}


def sizes(made: Normalised) -> dict[Kind, int]:
    return {kind: len(entities) for kind, entities in made.entities.items()}


def test_nothing_is_odd_about_a_good_export() -> None:
    assert (PLAIN.quarantined, PLAIN.noted) == ((), ())


NOTED = {
    "several_school_years": (Knobs(more_school_years=("2025-2026",)), 1),
    "group_name_repeated": (Knobs(same_group_names=True), len(groups(PLAIN)) - 1),
    "group_declared_twice": (Knobs(repeated_group=True), 1),
    "group_not_declared": (Knobs(dangling_main_group=2), 1),
    "unknown_role": (Knobs(unknown_role=True), len(TOWN.records)),
    "unknown_element": (Knobs(unknown_element=True), 1),
    "cpr_of_several_users": (Knobs(cprs={record.user_id: "010117KOT1" for record in TOWN.records[:3]}), 1),
}


@pytest.mark.parametrize("reason", NOTED)
def test_an_oddity_is_reported_and_costs_nobody_anything(reason: str) -> None:
    knobs, times = NOTED[reason]
    made = found(knobs)
    assert Counter(noted.reason for noted in made.noted) == {reason: times}
    assert made.quarantined == ()
    assert people(made).keys() == people(PLAIN).keys()


def test_a_value_that_nobody_knows_is_reported_where_it_stands_and_kept_as_it_came() -> None:
    made = found(Knobs(unknown_values=True))
    classes = sum(group.type == "Hovedgruppe" for group in TOWN.groups)
    everybody = len(TOWN.records) + sum(len(r.role.contacts) for r in TOWN.records if isinstance(r.role, Student))
    assert Counter(noted.reason for noted in made.noted) == {
        "unknown_gender": everybody,
        "unknown_level": classes + len(TOWN.records),
        "unreadable_school_year": 1,
    }
    assert {each.level for each in affiliations(made)} == {"R7"}
    assert {each.gender for each in people(made).values()} == {"X"}
    assert made.quarantined == ()


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("CPR_VERIFIED", "CPR_GUESSED", "unknown_civil_registration_number_type"),
        ("<c:CountryCode>DK", "<c:CountryCode>Danmark", "unknown_country_code"),
        ("<s:Person protected", '<s:Person novelty="1" protected', "unknown_attribute"),
        ("<s:InstitutionPerson source", '<s:InstitutionPerson novelty="1" source', "unknown_attribute"),
        ("<s:ContactPerson relation", '<s:ContactPerson novelty="1" relation', "unknown_attribute"),
    ],
)
def test_an_oddity_of_one_place_is_reported_there(old: str, new: str, reason: str) -> None:
    document = write_export(TOWN).decode().replace(old, new, 1)
    (noted,) = normalise(parse(document.encode(), ZONE)).noted
    assert noted.reason == reason and noted.path.startswith("Institution/InstitutionPerson[1]")


def test_a_schema_location_is_no_oddity() -> None:
    located = ' xmlns:x="http://www.w3.org/2001/XMLSchema-instance" x:nil="false" source'
    document = write_export(TOWN).decode().replace("<s:InstitutionPerson source", f"<s:InstitutionPerson{located}")
    assert normalise(parse(document.encode(), ZONE)).noted == ()


def test_a_source_that_the_document_does_not_declare_is_reported_once() -> None:
    document = write_export(TOWN).decode()
    start = document.index("<c:ImportSource")
    end = document.index("/>", start) + 2
    made = normalise(parse((document[:start] + document[end:]).encode(), ZONE))
    assert [noted.reason for noted in made.noted] == ["undeclared_source"]


def test_a_main_group_of_another_type_is_reported_once() -> None:
    other = next(group.group_id for group in TOWN.groups if group.type == "Hold")
    town = replace(
        TOWN,
        records=tuple(
            replace(r, role=replace(r.role, main_group=other)) for r in TOWN.records if r.kind == "student"
        ),
    )
    made = normalise(parse(write_export(town), ZONE))
    assert [noted.reason for noted in made.noted] == ["main_group_of_another_type"]
    assert {each.main_group for each in affiliations(made)} == {other}


def test_records_without_a_person_are_set_aside_and_the_others_taken() -> None:
    made = found(Knobs(missing_person=3))
    assert [bad.reason for bad in made.quarantined] == ["missing_person"] * 3
    assert len(affiliations(made)) == len(affiliations(PLAIN)) - 3


def test_nobody_without_a_local_id_is_mistaken_for_another() -> None:
    made = found(Knobs(without_local_ids=4))
    assert sizes(made) == sizes(PLAIN)
    assert [each.local_person_id for each in affiliations(made)].count(None) == 4


def test_a_group_without_a_name_has_its_id_for_one() -> None:
    nameless = [group.group_id for group in TOWN.groups[:2]]
    made = groups(found(Knobs(nameless_groups=2)))
    assert [made[group_id].name for group_id in nameless] == nameless


def test_a_group_that_is_only_referred_to_is_made_with_its_id_for_a_name() -> None:
    made = found(Knobs(dangling_main_group=2))
    assert groups(made)["NOWHERE"].name == "NOWHERE"
    assert sum(each.main_group == "NOWHERE" for each in affiliations(made)) == 2


def test_a_pupil_who_is_an_external_too_has_both_roles() -> None:
    made = found(Knobs(two_roles=2))
    roles = Counter(each.user_id for each in affiliations(made))
    assert sorted(roles.values())[-3:] == [1, 2, 2]
    assert {each.role for each in affiliations(made)} == {Role.STUDENT, Role.EXTERNAL}
    both = next(user_id for user_id, count in roles.items() if count == 2)
    assert people(made)[both] == people(PLAIN)[both]


def test_a_number_with_letters_is_kept_as_it_came() -> None:
    made = people(found(Knobs(cprs={ANYBODY: "010117KOT1"})))
    assert made[ANYBODY].civil_registration_number == "010117KOT1"


def test_a_changed_user_id_is_another_person() -> None:
    made = people(found(Knobs(user_ids={ANYBODY: "1000013b36"})))
    assert made.keys() ^ people(PLAIN).keys() == {ANYBODY, "1000013b36"}


def test_without_numbers_nobody_has_one() -> None:
    assert {each.civil_registration_number for each in people(found(Knobs(without_cpr=True))).values()} == {None}


def test_who_is_protected_without_an_alias_shows_no_name() -> None:
    made = people(found(Knobs(protected_without_alias=5)))
    for record in TOWN.records[:5]:
        person = made[record.user_id]
        assert person.protected
        assert not {person.given_name, person.family_name} & {
            visible(person).given_name,
            visible(person).family_name,
        }


@pytest.mark.parametrize("rollover", ["same_ids", "new_ids"])
def test_a_new_school_year_is_read_like_any_other(rollover: str) -> None:
    made = found(Knobs(rollover=rollover))  # type: ignore[arg-type] - the parameter is one of the two
    assert (made.quarantined, made.noted) == ((), ())
    assert people(made).keys() < people(PLAIN).keys()
    assert {source.school_year for source in made.header.sources} == {"2027-2028"}


def test_next_years_class_is_there_with_the_date_it_begins() -> None:
    assert groups(found(Knobs(early_grade_0=True)))["0NEXT"].from_date == "2027-08-01"


def test_long_tokens_of_two_octets_a_letter_arrive_whole() -> None:
    made = found(Knobs(long_tokens=True))
    assert {len((each.local_person_id or "").encode()) for each in affiliations(made)} == {18}
    assert {len(group.name.encode()) for group in groups(made).values() if group.name} == {100}


def test_an_export_of_nobody_says_so_and_is_no_error_of_the_reader() -> None:
    assert not found(Knobs(empty=True)).has_people


def test_a_part_of_the_pupils_is_a_part_of_the_pupils() -> None:
    made = found(Knobs(drop_pupils_percent=60))
    assert len(affiliations(made)) == len(TOWN.records) - len(TOWN.records) * 60 // 100


def test_the_header_tells_who_and_when() -> None:
    made = found(Knobs(as_institution="A12249", older_by=timedelta(days=1)))
    assert made.header.institution_number == "A12249"
    assert PLAIN.header.export_time - made.header.export_time == timedelta(days=1)


def test_a_new_namespace_stops_the_institution() -> None:
    with pytest.raises(SnapshotInvalid, match="unknown_namespace"):
        found(Knobs(new_version=True))


def test_every_problem_that_the_simulator_knows_is_tried_here() -> None:
    source = Path(__file__).read_text()
    assert [each.name for each in fields(Knobs) if f"{each.name}=" not in source] == []


def test_groups_that_are_not_declared_any_more_are_kept_by_those_in_them() -> None:
    used = {group_id for record in TOWN.records for group_id in record.group_ids}
    last = max(position for position, group in enumerate(TOWN.groups) if group.group_id in used)
    made = found(Knobs(implicit_groups=last + 1))
    assert used <= groups(made).keys()
    assert {noted.reason for noted in made.noted} == {"group_not_declared"}
    members = [each for each in made.entities[Kind.MEMBERSHIP].values() if isinstance(each, Membership)]
    assert len(members) == sizes(PLAIN)[Kind.MEMBERSHIP]


# ---------------------------------------------------------------- whatever is missing, doubled or in another place

TREE = ElementTree.fromstring(write_export(TOWN))  # noqa: S314 - our own document
PROTECTED = {user_id for user_id, person in people(PLAIN).items() if person.protected}


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An export in which some elements and attributes are gone, doubled, emptied or in another's place."""
    root = copy.deepcopy(TREE)
    for _ in range(draw(st.integers(1, 6))):
        parents = [element for element in root.iter() if len(element)]
        if not parents:
            break
        parent = draw(st.sampled_from(parents))
        position = draw(st.integers(0, len(parent) - 1))
        _damage(parent, position, draw(st.sampled_from(["drop", "double", "empty", "attributes", "first"])))
    return ElementTree.tostring(root)


def _damage(parent: Element, position: int, how: str) -> None:
    child = parent[position]
    match how:
        case "drop":
            parent.remove(child)
        case "double":
            parent.insert(position, copy.deepcopy(child))
        case "empty":
            child.text = None
        case "attributes":
            child.attrib.clear()
        case _:
            parent.remove(child)
            parent.insert(0, child)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
def test_damage_is_refused_or_costs_only_what_is_damaged(document: bytes) -> None:
    try:
        made = normalise(parse(document, ZONE))
    except SnapshotInvalid:
        return
    left = people(made)
    assert left.keys() <= people(PLAIN).keys()
    assert {user_id for user_id in PROTECTED if user_id in left and not left[user_id].protected} == set()
    for user_id, person in left.items():
        plain = people(PLAIN)[user_id]
        assert {person.given_name, person.alias_given_name} <= {plain.given_name, plain.alias_given_name, None}
        assert person.civil_registration_number in (plain.civil_registration_number, None)
    for affiliation in affiliations(made):
        assert affiliation.user_id in left
    for notice in (*made.quarantined, *made.noted):
        assert not {person.family_name for person in left.values()} & set(notice.path.split())
