"""What of an institution is asked for: roles, levels and CPR numbers, in the order that the schema wants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from bridge.domain.entities import Role
from bridge.domain.records import ContactRecord, PersonRecord, Record
from connectors.stil.services import SizeName

Actor = Literal["students", "employees", "externals", "contacts"]
Level = Literal[
    "DT", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "U1", "U2", "U3", "U4", "VU", "Andet"
]  # fmt: skip

_ACTORS: dict[Actor, str] = {
    "students": "inkluderElever",
    "employees": "inkluderMedarbejdere",
    "externals": "inkluderEksterne",
    "contacts": "inkluderKontaktpersoner",
}
_ROLES: Mapping[Role, Actor] = {
    Role.STUDENT: "students",
    Role.EMPLOYEE: "employees",
    Role.EXTERNAL: "externals",
}
WITH_CONTACTS: tuple[SizeName, ...] = ("fuld", "fuldmyndighed")
WITHOUT_NUMBERS: tuple[SizeName, ...] = ("lille",)


@dataclass(frozen=True, slots=True)
class Filters:
    """`actors` and `levels` None: all of them. Without `with_numbers` version 7 leaves CPR numbers out."""

    actors: frozenset[Actor] | None = None
    levels: tuple[Level, ...] | None = None
    with_numbers: bool = False

    def content(self, size: SizeName, prefix: str) -> str:
        """Return the `filtre` element of a request, or nothing where nothing is filtered (stil.md §1)."""
        parts = "".join(self._parts(size, prefix))
        return f"<{prefix}:filtre>{parts}</{prefix}:filtre>" if parts else ""

    def applied(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records without what is not asked for, whoever sent it: actors, contacts, CPR numbers."""
        for record in records:
            if not isinstance(record, PersonRecord):
                yield record
            elif (kept := self._kept(record)) is not None:
                yield kept

    def _kept(self, record: PersonRecord) -> PersonRecord | None:
        role = record.affiliation
        if self.actors is not None and role is not None:
            if _ROLES[role.role] not in self.actors:
                return None
            if "contacts" not in self.actors and role.contacts:
                role = replace(role, contacts=())
        if not self.with_numbers and role is not None and role.contacts:
            contacts = tuple(_without_number(contact) for contact in role.contacts)
            role = replace(role, contacts=contacts) if contacts != role.contacts else role
        record = record if role is record.affiliation else replace(record, affiliation=role)
        return record if self.with_numbers else _without_number(record)

    def _parts(self, size: SizeName, prefix: str) -> Iterator[str]:
        if self.actors is not None:
            # Every child must be there: the schema's defaults are for empty elements, not for absent ones.
            names = (actor for actor in _ACTORS if actor != "contacts" or size in WITH_CONTACTS)
            flags = [_element(prefix, _ACTORS[name], _flag(name in self.actors)) for name in names]
            yield _element(prefix, "aktoertypeFilter", "".join(flags))
        if self.levels is not None:
            levels = [_element(prefix, "inkluderKlassetrin", level) for level in self.levels]
            yield _element(prefix, "klassetrinFilter", "".join(levels))
        if self.with_numbers:
            yield _element(prefix, "cprFilter", _element(prefix, "inkluderCpr", "true"))


_Named = TypeVar("_Named", PersonRecord, ContactRecord)


def _without_number(named: _Named) -> _Named:
    person = named.person
    if person.civil_registration_number is None and person.civil_registration_number_type is None:
        return named
    bare = replace(person, civil_registration_number=None, civil_registration_number_type=None)
    return replace(named, person=bare)


def _element(prefix: str, name: str, content: str) -> str:
    return f"<{prefix}:{name}>{content}</{prefix}:{name}>"


def _flag(value: bool) -> str:
    return "true" if value else "false"
