"""What one institution's export says, as values that carry no wire format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, assert_never

from bridge.testing.stil_people import Person

SOURCE = "KMD Elev"
STAFF_SOURCE = "KMD Personale"
MANUAL_SOURCE = "HUGO Brugeradministrationen"
RoleKind = Literal["student", "employee", "external"]


@dataclass(frozen=True, slots=True)
class Group:
    group_id: str
    name: str
    type: str
    level: str | None
    line: str | None
    from_date: date
    to_date: date


@dataclass(frozen=True, slots=True)
class Contact:
    user_id: str
    relation: str
    has_custody: bool
    access_level: int


@dataclass(frozen=True, slots=True)
class Student:
    level: str
    main_group: str
    student_number: str
    groups: tuple[str, ...]
    contacts: tuple[Contact, ...]


@dataclass(frozen=True, slots=True)
class Employee:
    roles: tuple[str, ...]
    short_name: str
    occupation: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class External:
    role: str
    groups: tuple[str, ...]


Role = Student | Employee | External


@dataclass(frozen=True, slots=True)
class Record:
    """One person in one capacity at one institution: what the source calls InstitutionPerson."""

    institution_number: str
    user_id: str
    source: str
    local_person_id: str | None
    role: Role

    @property
    def kind(self) -> RoleKind:
        match self.role:
            case Student():
                return "student"
            case Employee():
                return "employee"
            case External():
                return "external"
            case _:
                assert_never(self.role)

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.institution_number, self.user_id, self.kind)

    @property
    def group_ids(self) -> tuple[str, ...]:
        return (self.role.main_group, *self.role.groups) if isinstance(self.role, Student) else self.role.groups

    @property
    def contacts(self) -> tuple[Contact, ...]:
        return self.role.contacts if isinstance(self.role, Student) else ()


@dataclass(frozen=True, slots=True)
class ImportSource:
    """One of the systems that an institution's export is put together from."""

    name: str
    school_year: str
    source_time: datetime


@dataclass(frozen=True, slots=True)
class Institution:
    """One institution on one day, with everyone its records speak of.

    `school_year` and `source_time` are those of `SOURCE`; `more_sources` there may be beside it.
    """

    number: str
    name: str
    groups: tuple[Group, ...]
    records: tuple[Record, ...]
    people: Mapping[str, Person]
    school_year: str
    export_time: datetime
    source_time: datetime
    more_sources: tuple[ImportSource, ...] = ()

    @property
    def content(self) -> tuple[object, ...]:
        """All that it says but when: equal on two days between which nothing changed."""
        years = [self.school_year, *(source.school_year for source in self.more_sources)]
        return (self.name, self.groups, self.records, self.people, years)


def user_ids(records: Iterable[Record]) -> dict[str, None]:
    """Everyone the records speak of, in their order: a set would change the order with every process."""
    return {
        user_id: None
        for record in records
        for user_id in (record.user_id, *(contact.user_id for contact in record.contacts))
    }


def keys_of(institutions: Iterable[Institution]) -> dict[str, set[tuple[str, ...]]]:
    """The keys of every entity that these institutions tell of, by kind."""
    schools = list(institutions)
    records = [record for school in schools for record in school.records]
    declared = {(school.number, group.group_id) for school in schools for group in school.groups}
    memberships = {(r.institution_number, group_id, r.user_id) for r in records for group_id in r.group_ids}
    return {
        "institution": {(school.number,) for school in schools},
        "group": declared | {key[:2] for key in memberships},
        "person": {(user_id,) for user_id in user_ids(records)},
        "affiliation": {record.key for record in records},
        "membership": {*memberships},
        "guardianship": {(r.institution_number, r.user_id, c.user_id) for r in records for c in r.contacts},
    }
