"""Name and address protection: what of a protected person may be seen by anyone at all.

STIL knows one protection, of name and address together (stil.md §4); the alias stands for the name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bridge.domain.entities import Person, Phone

PHONES = ("home_phone", "work_phone", "mobile_phone")
WITHHELD_NAME = ("Navn", "Beskyttet")
"""Stands for the name of a protected person whom the source gave no alias."""
_WITHHELD = ("address", *PHONES, "email", "photo_id")


def united(person: Person, others: Iterable[Person]) -> Person:
    """Return the person with every protection that any word on them states: of the person, and of each number."""
    words = [person, *others]
    hidden = {phone.number for word in words for phone in _phones(word) if phone.protected}
    changed: dict[str, Phone | bool] = {}
    for name in PHONES:
        phone: Phone | None = getattr(person, name)
        if phone is not None and not phone.protected and phone.number in hidden:
            changed[name] = replace(phone, protected=True)
    if not person.protected and any(word.protected for word in words):
        changed["protected"] = True
    return replace(person, **changed) if changed else person  # type: ignore[arg-type]  # names are of these types


def hidden(person: Person) -> frozenset[str]:
    """The fields of which `visible` may show something else, or nothing."""
    if person.protected:
        return frozenset({"given_name", "family_name", *_WITHHELD})
    phones: list[Phone | None] = [getattr(person, name) for name in PHONES]
    return frozenset(PHONES if any(phone is not None and phone.protected for phone in phones) else ())


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


def exposes(before: Person, after: Person) -> bool:
    """Whether a change shows what was hidden: of a protected person, or a protected number."""
    if before.protected:
        return not after.protected
    seen = visible(after)
    hidden = {phone.number for phone in _phones(before) if phone.protected}
    return any(phone.number in hidden for phone in _phones(seen))


def _phones(person: Person) -> list[Phone]:
    return [phone for name in PHONES if (phone := getattr(person, name)) is not None]


def _open(phone: Phone | None) -> Phone | None:
    return None if phone is None or phone.protected else phone
