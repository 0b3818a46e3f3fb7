"""What a mapping may look at: the fields of each kind's view (`bridge.engine.views`), and which are personal."""

from __future__ import annotations

from dataclasses import fields

from bridge.domain.entities import DERIVED, KEY_FIELDS, VALUE_FIELDS, Address, Kind

NUMBERS = frozenset({"civil_registration_number"})
_ITS_OWN = frozenset({"id", "institution", "person", "main_role"})
"""What only the view of an affiliation itself has, not a person's affiliations."""
_RELATIONS: dict[Kind, frozenset[str]] = {
    Kind.MUNICIPALITY: frozenset({"name"}),
    Kind.INSTITUTION: frozenset({"municipality"}),
    Kind.GROUP: frozenset({"institution", "institution_name", "members", "students", "employees"}),
    Kind.PERSON: frozenset(
        {"kind", "kinds", "affiliations", "institutions", "enrolments", "has_civil_registration_number"}
    ),
    Kind.AFFILIATION: frozenset({"institution", "person", "kind", "main_role"}),
    Kind.GUARDIANSHIP: frozenset({"institution", "child", "contact"}),
    Kind.MEMBERSHIP: frozenset({"institution", "group", "person"}),
    Kind.TEACHING: frozenset({"institution", "institution_name", "group", "employees"}),
}
"""What a view offers beside the entity's own fields."""

_CODE, _PHONE = frozenset({"value", "source"}), frozenset({"number", "protected"})
_PARTS: dict[str, frozenset[str]] = {
    "type": _CODE,
    "roles": _CODE,
    "relation": _CODE,
    "address": frozenset(part.name for part in fields(Address)),
    "home_phone": _PHONE,
    "work_phone": _PHONE,
    "mobile_phone": _PHONE,
}
"""Fields with parts: a mapping names a part, never the whole, so that nothing leaves unnamed."""

_OF_PEOPLE = frozenset({Kind.PERSON, Kind.AFFILIATION, Kind.GUARDIANSHIP, Kind.MEMBERSHIP})
_PEOPLE_IN_GROUPS = frozenset({"members", "students", "employees"})


def view_fields(kind: Kind) -> frozenset[str]:
    """Name what a mapping may look at in an entity of this kind, parts by dotted path."""
    values = VALUE_FIELDS[DERIVED.get(kind, kind)] if kind is not Kind.MUNICIPALITY else ()
    own = {name for name in (*KEY_FIELDS[kind], *values) if name != "role"}
    names = own | _RELATIONS[kind] | {"id"}
    paths = {name for name in names if name not in _PARTS and name != "affiliations"}
    paths |= {f"{name}.{part}" for name in names & _PARTS.keys() for part in _PARTS[name]}
    if "affiliations" in names:
        paths |= {f"affiliations.{path}" for path in view_fields(Kind.AFFILIATION) - _ITS_OWN}
    return frozenset(paths)


def is_personal(kind: Kind, path: str) -> bool:
    """Whether a field of a view tells of people: all of a person do, of a group those that say who is in it."""
    return kind in _OF_PEOPLE or path in _PEOPLE_IN_GROUPS


def is_number(path: str) -> bool:
    """Whether a field is a CPR number."""
    return bool(NUMBERS & set(path.split(".")))
