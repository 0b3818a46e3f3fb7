"""The canonical entities of one municipality, as `events.md` names them.

Field order is the order in which changed fields are reported.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import ClassVar

from bridge.domain.ids import Key


class Kind(StrEnum):
    """What an entity is; the order is the order in which creations depend on each other."""

    MUNICIPALITY = "municipality"  # derived: it is there as long as one of its institutions is
    INSTITUTION = "institution"
    GROUP = "group"
    PERSON = "person"
    AFFILIATION = "affiliation"
    GUARDIANSHIP = "guardianship"
    MEMBERSHIP = "membership"
    TEACHING = "teaching"  # derived: what a group's employees do there, as long as it has any
    CONTRIBUTION = "contribution"  # never published: one institution's word on a person


KIND_RANK = {kind: rank for rank, kind in enumerate(Kind)}
DERIVED = {Kind.MUNICIPALITY: Kind.INSTITUTION, Kind.TEACHING: Kind.GROUP}
"""Kinds that are seen only: of which stored kind they are another side. Nothing of them is stored or published."""
PUBLISHED_KINDS = tuple(kind for kind in Kind if kind is not Kind.CONTRIBUTION and kind not in DERIVED)
MAPPED_KINDS = (*PUBLISHED_KINDS, *DERIVED)


class Role(StrEnum):
    """In what capacity a person is known; the order is the precedence of the person merge."""

    STUDENT = "student"
    EMPLOYEE = "employee"
    EXTERNAL = "external"
    CONTACT = "contact"
    NONE = "none"


ROLE_RANK = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class Code:
    """A value of our English vocabulary with the source's own code beside it."""

    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Address:
    street: str | None = None
    postal_code: str | None = None
    postal_district: str | None = None
    country_code: str | None = None
    municipality_code: str | None = None


@dataclass(frozen=True, slots=True)
class Phone:
    number: str
    protected: bool = False


@dataclass(frozen=True, slots=True)
class Institution:
    """What its exports say is the name; the rest comes from a register of institutions, where one is asked."""

    kind: ClassVar[Kind] = Kind.INSTITUTION
    institution_number: str
    name: str | None = None
    type: Code | None = None
    municipality_code: str | None = None
    main_institution: str | None = None
    departments: tuple[str, ...] = ()
    address: Address | None = None
    phone: str | None = None
    email: str | None = None
    website: str | None = None

    @property
    def key(self) -> Key:
        return (self.institution_number,)


@dataclass(frozen=True, slots=True)
class Group:
    kind: ClassVar[Kind] = Kind.GROUP
    institution_number: str
    group_id: str
    name: str
    type: Code | None = None
    level: str | None = None
    line: str | None = None
    from_date: str | None = None
    to_date: str | None = None

    @property
    def key(self) -> Key:
        return (self.institution_number, self.group_id)


@dataclass(frozen=True, slots=True)
class Person:
    kind: ClassVar[Kind] = Kind.PERSON
    user_id: str
    given_name: str
    family_name: str
    protected: bool = False
    alias_given_name: str | None = None
    alias_family_name: str | None = None
    civil_registration_number: str | None = None
    civil_registration_number_type: str | None = None
    email: str | None = None
    birth_date: str | None = None
    gender: str | None = None
    photo_id: str | None = None
    address: Address | None = None
    home_phone: Phone | None = None
    work_phone: Phone | None = None
    mobile_phone: Phone | None = None

    @property
    def key(self) -> Key:
        return (self.user_id,)


@dataclass(frozen=True, slots=True)
class Affiliation:
    kind: ClassVar[Kind] = Kind.AFFILIATION
    institution_number: str
    user_id: str
    role: Role  # events.md calls this part of the key "kind"; see `event_object`
    roles: tuple[Code, ...] = ()
    level: str | None = None
    main_group: str | None = None
    student_number: str | None = None
    location: str | None = None
    short_name: str | None = None
    occupation: str | None = None
    local_person_id: str | None = None
    source: str | None = None

    @property
    def key(self) -> Key:
        return (self.institution_number, self.user_id, self.role.value)


@dataclass(frozen=True, slots=True)
class Membership:
    kind: ClassVar[Kind] = Kind.MEMBERSHIP
    institution_number: str
    group_id: str
    user_id: str
    kinds: tuple[Role, ...] = ()

    @property
    def key(self) -> Key:
        return (self.institution_number, self.group_id, self.user_id)


@dataclass(frozen=True, slots=True)
class Guardianship:
    kind: ClassVar[Kind] = Kind.GUARDIANSHIP
    institution_number: str
    child_user_id: str
    contact_user_id: str
    relation: Code | None = None
    custody: bool = False
    access_level: int = 0

    @property
    def key(self) -> Key:
        return (self.institution_number, self.child_user_id, self.contact_user_id)


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one institution says of a person, with what the merge needs to rank it.

    `records` are the (source, LocalPersonId) of the records that are about the person, sorted. `source` is None
    where none of them could be used, and nothing but the protection that they state is known. `hidden_numbers` are
    protected phone numbers that the person, as it is believed, does not have.
    """

    kind: ClassVar[Kind] = Kind.CONTRIBUTION
    institution_number: str
    user_id: str
    role: Role
    source: str | None
    person: Person
    records: tuple[tuple[str, str], ...] = ()
    hidden_numbers: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        return (self.institution_number, self.user_id)

    @property
    def is_protection_only(self) -> bool:
        return self.source is None


Entity = Institution | Group | Person | Affiliation | Membership | Guardianship | Contribution

ENTITY_TYPES: dict[Kind, type[Entity]] = {
    Kind.INSTITUTION: Institution,
    Kind.GROUP: Group,
    Kind.PERSON: Person,
    Kind.AFFILIATION: Affiliation,
    Kind.MEMBERSHIP: Membership,
    Kind.GUARDIANSHIP: Guardianship,
    Kind.CONTRIBUTION: Contribution,
}

KEY_FIELDS: dict[Kind, tuple[str, ...]] = {
    Kind.MUNICIPALITY: ("municipality_code",),
    Kind.INSTITUTION: ("institution_number",),
    Kind.GROUP: ("institution_number", "group_id"),
    Kind.PERSON: ("user_id",),
    Kind.AFFILIATION: ("institution_number", "user_id", "role"),
    Kind.MEMBERSHIP: ("institution_number", "group_id", "user_id"),
    Kind.GUARDIANSHIP: ("institution_number", "child_user_id", "contact_user_id"),
    Kind.TEACHING: ("institution_number", "group_id"),
    Kind.CONTRIBUTION: ("institution_number", "user_id"),
}


def public_name(field: str) -> str:
    """The name that `events.md` gives to a field of an entity."""
    return "kind" if field == "role" else field


VALUE_FIELDS: dict[Kind, tuple[str, ...]] = {
    kind: tuple(f.name for f in fields(cls) if f.name not in KEY_FIELDS[kind])
    for kind, cls in ENTITY_TYPES.items()
}
"""The fields that can change, in report order; nested values count as one field."""
