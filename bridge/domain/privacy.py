"""Name and address protection: what of a protected person may be seen by anyone at all.

STIL knows one protection, of name and address together (stil.md §4); the alias stands for the name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Self

from bridge.domain.entities import Person, Phone

PHONES = ("home_phone", "work_phone", "mobile_phone")
WITHHELD_NAME = ("Navn", "Beskyttet")
"""Stands for the name of a protected person whom the source gave no alias."""
_WITHHELD = ("address", *PHONES, "email", "photo_id")
INITIALS = ("short_name", "affiliations.short_name")
"""Made of the name: a field of an affiliation, and of a person's affiliations."""

Told = Mapping[tuple[str, str], frozenset[str]]
"""What may show in the fields of bodies, by resource and field: fields of views, parts by dotted path."""


@dataclass(frozen=True, slots=True)
class Protection:
    """What is stated to be protected of somebody: the person as a whole, and single phone numbers."""

    whole: bool = False
    numbers: frozenset[str] = frozenset()

    @classmethod
    def of(cls, words: Iterable[Person]) -> Self:
        """What any of these words on one person states."""
        told = list(words)
        numbers = {plain_number(phone.number) for word in told for phone in _phones(word) if phone.protected}
        return cls(any(word.protected for word in told), frozenset(numbers))

    def __or__(self, other: Protection) -> Protection:
        return Protection(self.whole or other.whole, self.numbers | other.numbers)

    @property
    def fields(self) -> frozenset[str]:
        """What of a person may look otherwise to a target than it is."""
        if self.whole:
            return frozenset({"given_name", "family_name", *_WITHHELD, *INITIALS})
        return frozenset(PHONES) if self.numbers else frozenset()


def united(person: Person, stated: Protection) -> Person:
    """Return the person with everything that is stated to be protected: the person, and each of these numbers."""
    changed: dict[str, Phone | bool] = {}
    for name in PHONES:
        phone: Phone | None = getattr(person, name)
        if phone is not None and not phone.protected and plain_number(phone.number) in stated.numbers:
            changed[name] = replace(phone, protected=True)
    if stated.whole and not person.protected:
        changed["protected"] = True
    return replace(person, **changed) if changed else person  # type: ignore[arg-type]  # names are of these types


def plain_number(number: str) -> str:
    """Return a phone number as it is dialled in Denmark, however it is written."""
    digits = "".join(filter(str.isdigit, number))
    return re.sub(r"^(00)?45(?=\d{8}$)", "", digits) or number


def visible(person: Person) -> Person:
    """Return the person as a target may see them.

    Protected: the alias for the name, and no address, phone, e-mail (it often spells the name) or
    photo. Not protected: everything but the phones that are themselves protected.
    """
    if person.protected:
        given, family = person.alias_given_name, person.alias_family_name
        if not (given or family):
            given, family = WITHHELD_NAME
        return replace(
            person,
            given_name=given or "",
            family_name=family or "",
            **dict.fromkeys(_WITHHELD),  # type: ignore[arg-type]  # all of these may be absent
        )
    return replace(
        person,
        home_phone=_open(person.home_phone),
        work_phone=_open(person.work_phone),
        mobile_phone=_open(person.mobile_phone),
    )


def exposes(before: Protection, after: Person) -> bool:
    """Whether somebody shows what was hidden before: the person, or a number."""
    if before.whole:
        return not after.protected
    return any(plain_number(phone.number) in before.numbers for phone in _phones(visible(after)))


def _phones(person: Person) -> list[Phone]:
    return [phone for name in PHONES if (phone := getattr(person, name)) is not None]


def _open(phone: Phone | None) -> Phone | None:
    return None if phone is None or phone.protected else phone
