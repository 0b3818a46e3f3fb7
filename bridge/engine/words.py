"""All that the institutions say of people, whoever asks for it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from bridge.domain.entities import Contribution, Kind
from bridge.domain.privacy import Protection, united
from bridge.engine.codec import decode_entity
from bridge.ports import Reader


def words(reader: Reader, municipality: str, users: Collection[str]) -> dict[str, list[Contribution]]:
    """What is stored of these people, by user id, protections of unusable records included; nobody is left out."""
    told: dict[str, list[Contribution]] = {user: [] for user in users}
    for row in reader.entities_by_person(municipality, Kind.CONTRIBUTION, users) if users else ():
        one = decode_entity(Kind.CONTRIBUTION, row.body) if row.body is not None else None
        if isinstance(one, Contribution):
            told[one.user_id].append(one)
    return told


def protected_users(reader: Reader, municipality: str, users: Collection[str]) -> set[str]:
    """Those of these people of whom something is protected now."""
    return {user for user, told in words(reader, municipality, users).items() if protection(told).fields}


def protection(told: Iterable[Contribution]) -> Protection:
    """What any of these words states to be protected."""
    heard = list(told)
    others = frozenset(number for one in heard for number in one.hidden_numbers)
    return Protection.of(one.person for one in heard) | Protection(numbers=others)


def raised(one: Contribution, stated: Protection) -> Contribution:
    """Return a word that states this too; no number that it stated before is forgotten."""
    person = united(one.person, stated)
    numbers = (protection([one]) | stated).numbers - Protection.of([person]).numbers
    return replace(one, person=person, hidden_numbers=tuple(sorted(numbers)))
