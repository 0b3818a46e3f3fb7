"""Every code that a record is set aside or noted for, in words: what is wrong with it, and who must do what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.observe.reasons import in_words


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code says of a record, and what has to be done so that it ends."""

    what: str
    remedy: str


_SCHOOL = "the school corrects it in its administrative system; the next good export releases it"
_AT_LEISURE = "the school corrects it in its administrative system; meanwhile it is used"
_VENDOR = "ask the vendor of the school's administrative system; nothing is lost meanwhile"
_UPDATE = "report it to us: the bridge may need an update; what it understands is used"
_NOBODY = "nobody has to do anything; see whether the school meant it"

_NEW_WORD = "report it to us: the bridge may need an update; `unknown_codes: note` uses the record meanwhile"

SET_ASIDE: Mapping[str, Meaning] = {
    "contact_without_identity": Meaning(
        "a contact of this pupil has no user id or no name; the contacts stay as they were stored", _SCHOOL
    ),
    "missing_group_id": Meaning("a group has no id, so nobody can be in it", _SCHOOL),
    "missing_main_group": Meaning("a pupil is in no class", f"{_SCHOOL}: the pupil needs a main group"),
    "missing_name": Meaning("a person has no given or no family name", _SCHOOL),
    "missing_person": Meaning(
        "a record has no person, so nobody knows whose it is",
        f"{_SCHOOL}: usually the person has not got a UNI-Login yet",
    ),
    "missing_role": Meaning("an employee has no role", _SCHOOL),
    "missing_user_id": Meaning(
        "a person has no user id, so nobody knows whose the record is",
        f"{_SCHOOL}: usually the person has not got a UNI-Login yet",
    ),
    **{
        f"unknown_{what}": Meaning(
            f"the {name} is none that we know, and such records are set aside here", _NEW_WORD
        )
        for what, name in (
            ("civil_registration_number_type", "kind of a CPR number"),
            ("gender", "gender"),
            ("group_type", "type of a group"),
            ("level", "level"),
            ("relation", "relation of a contact"),
            ("role", "role"),
        )
    },
    "unusable_user_id": Meaning("the user id of a person is none: it has signs that no user id has", _SCHOOL),
    "user_id_of_another_person": Meaning(
        "the user id stands for another human than before, and nothing shows that it is the same one",
        "the school finds out who it is. If it is the one who was stored, correct CPR number, name or birth date; "
        "if the user id was given to somebody else, take the person out, let one export pass, then enter the new "
        "person",
    ),
    "user_id_of_two_people": Meaning(
        "the export names two humans under one user id",
        "the school finds out whose the user id is and corrects the other record",
    ),
}
"""The record is out of use; what was stored of the person or group before stays."""

NOTED: Mapping[str, Meaning] = {
    "cpr_of_several_users": Meaning(
        "several user ids bear one CPR number: one human with two accounts, perhaps",
        "the school closes the account that is not used; both are kept as they are",
    ),
    "group_declared_twice": Meaning("a group is declared twice; the first counts", _VENDOR),
    "group_name_repeated": Meaning("two groups bear one name", _NOBODY),
    "group_not_declared": Meaning(
        "somebody is in a group that is not declared; it is made by its id", _AT_LEISURE
    ),
    "main_group_of_another_type": Meaning(
        "the class of a pupil is no class but another kind of group", _AT_LEISURE
    ),
    "misplaced_element": Meaning("an element stands where none should", _VENDOR),
    "missing_attribute": Meaning("an attribute is missing; the careful answer is taken", _VENDOR),
    "missing_group_type": Meaning("a group has no type; it counts as another kind", _AT_LEISURE),
    "missing_level": Meaning("a pupil has no level", _AT_LEISURE),
    "missing_relation": Meaning("a contact has no relation; it counts as another kind", _AT_LEISURE),
    "missing_role": Meaning("somebody has no role; it counts as another kind", _AT_LEISURE),
    "missing_school_year": Meaning("an import source tells no school year", _VENDOR),
    "missing_source": Meaning("a record or an import source does not say which system it comes from", _VENDOR),
    "repeated_element": Meaning("an element that may stand once stands twice; the first counts", _VENDOR),
    "second_header": Meaning("the export begins twice; the first beginning counts", _UPDATE),
    "several_roles": Meaning(
        "one record has more than one role; the first of pupil, employee, external counts", _VENDOR
    ),
    "several_school_years": Meaning(
        "the systems of the school are in two school years at once",
        "nobody has to do anything: it ends when all of them have rolled on",
    ),
    "undeclared_source": Meaning("a record comes from a system that the export does not declare", _VENDOR),
    "unexpected_children": Meaning("an element that should hold a text holds elements; it is left out", _VENDOR),
    "unknown_attribute": Meaning("an attribute is not of the contract; it is left out", _UPDATE),
    "unknown_civil_registration_number_type": Meaning("the type of a CPR number is not known", _UPDATE),
    "unknown_country_code": Meaning("the country of an address is not known; it is kept as it came", _AT_LEISURE),
    "unknown_element": Meaning("an element is not of the contract; it is left out", _UPDATE),
    "unknown_gender": Meaning("a gender is not known; it is kept as it came", _AT_LEISURE),
    "unknown_group_type": Meaning("the type of a group is not known; it counts as another kind", _UPDATE),
    "unknown_level": Meaning("a level is not known; it is kept as it came", _AT_LEISURE),
    "unknown_relation": Meaning("the relation of a contact is not known; it counts as another kind", _UPDATE),
    "unknown_role": Meaning("a role is not known; it counts as another kind", _UPDATE),
    "unreadable_birth_date": Meaning("a day of birth is no date; it is left out", _AT_LEISURE),
    "unreadable_boolean": Meaning("an attribute is neither true nor false; the careful answer is taken", _VENDOR),
    "unreadable_from_date": Meaning("the first day of a group is no date; it is left out", _AT_LEISURE),
    "unreadable_school_year": Meaning("an import source tells a school year that is none", _VENDOR),
    "unreadable_source_time": Meaning("an import source does not tell how old its data are", _VENDOR),
    "unreadable_to_date": Meaning("the last day of a group is no date; it is left out", _AT_LEISURE),
    "user_id_changed": Meaning(
        "a person came under another user id than before, and the old one went",
        "nobody has to do anything; the school confirms that it is the same person, if in doubt",
    ),
}
"""Odd, but understood: the record is used."""


def meaning_of(reason: str, severity: str) -> Meaning:
    """Return what a code means; `severity` as in `QuarantineRow`. One that is not known here is told as it is."""
    known = SET_ASIDE if severity == "quarantined" else NOTED
    return known.get(reason) or Meaning(in_words(reason), "report the code to us")
