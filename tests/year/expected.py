"""What every target must hold, from what the bridge has accepted of each school; and who may never be named.

The rules of `events.md` for one person at several institutions, and of `platform.yaml`, are written down a
second time.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.testing.stil_people import Alias, Person
from bridge.testing.stil_records import MANUAL_SOURCE, Institution
from tests.support.model import aula_model, identity, scim_model

Body = dict[str, Any]
_RANKS = {"student": 0, "employee": 1, "external": 2, "contact": 3}
_NO_ALIAS = Alias("Navn", "Beskyttet")
_MARK = re.compile(r"Q\d{7}|(?<!\d)\d{8}(?!\d)")


def merged(accepted: Iterable[Institution]) -> list[Institution]:
    """The same institutions, each person told as the best of them tells it, and protected if any says so."""
    schools = list(accepted)
    words: dict[str, list[tuple[tuple[int, float, str], Person]]] = defaultdict(list)
    for school in schools:
        for user_id, rank in _ranks(school).items():
            words[user_id].append(((*rank, school.number), school.people[user_id]))
    best_first = {user_id: [person for _, person in sorted(told, key=_rank)] for user_id, told in words.items()}
    people = {user_id: _united(told) for user_id, told in best_first.items()}
    return [replace(one, people={user_id: people[user_id] for user_id in one.people}) for one in schools]


def _rank(word: tuple[tuple[int, float, str], Person]) -> tuple[int, float, str]:
    return word[0]


def _ranks(school: Institution) -> dict[str, tuple[int, float]]:
    ranks: dict[str, tuple[int, float]] = {}
    for record in school.records:
        time = 0.0 if record.source == MANUAL_SOURCE else -school.source_time.timestamp()
        said = [(record.user_id, record.kind), *((contact.user_id, "contact") for contact in record.contacts)]
        for user_id, kind in said:
            rank = (_RANKS[kind], time)
            ranks[user_id] = min(rank, ranks.get(user_id, rank))
    return ranks


def _united(words: list[Person]) -> Person:
    """The best word, with every protection of the others."""
    best = words[0]
    if best.alias is None and any(word.alias for word in words):
        best = replace(best, alias=_NO_ALIAS)
    hidden = {word.mobile_phone.number for word in words if word.mobile_phone and word.mobile_phone.is_protected}
    if best.mobile_phone is not None and best.mobile_phone.number in hidden:
        best = replace(best, mobile_phone=replace(best.mobile_phone, is_protected=True))
    return best


@dataclass(frozen=True, slots=True)
class Truth:
    """What targets must hold when the bridge has accepted this and nothing waits."""

    users: Mapping[str, Body]
    groups: Mapping[str, Body]
    objects: Mapping[str, Body]
    people: frozenset[str]

    @classmethod
    def of(cls, municipality: str, accepted: Iterable[Institution]) -> Truth:
        schools = merged(accepted)
        scim = scim_model(municipality, schools)
        people = {user_id: one.people[user_id] for one in schools for user_id in one.people}
        persons = {identity(municipality, "person", user_id): person for user_id, person in people.items()}
        users = {name: body | _whereabouts(persons[name]) for name, body in scim["Users"].items()}
        return cls(users, scim["Groups"], aula_model(municipality, schools), frozenset(persons))


def _whereabouts(person: Person) -> Body:
    if person.alias is not None:
        return {}
    street, code, phone = person.address.street, person.address.postal_code, person.mobile_phone
    shown: Body = {"addresses": [{"streetAddress": street, "postalCode": code}]}
    if phone and not phone.is_protected:
        shown["phoneNumbers"] = [{"value": phone.number, "type": "mobile"}]
    return shown


@dataclass(slots=True)
class Watch:
    """Looks at every text that goes out for anything that is anybody's alone and protected.

    `protected` are those of whom anyone has said so, and not all have taken it back.
    """

    owners: dict[str, str] = field(default_factory=dict)
    protected: set[str] = field(default_factory=set)
    ever: set[str] = field(default_factory=set)
    looked_at: int = 0
    leaks: list[str] = field(default_factory=list)

    def learn(self, shown: Iterable[Institution], accepted: Iterable[Institution]) -> None:
        """Take note of what every school says now, and of what is still stored of it."""
        self.protected.clear()
        for person in (person for one in (*shown, *accepted) for person in one.people.values()):
            self.owners |= dict.fromkeys(_marks(person), person.user_id)
            if person.alias is not None:
                self.protected.add(person.user_id)
        self.ever |= self.protected

    def look(self, text: str) -> None:
        self.looked_at += 1
        for mark in _MARK.findall(text):
            owner = self.owners.get(mark)
            if owner in self.protected:
                self.leaks.append(f"{mark} of {owner}")


def _marks(person: Person) -> list[str]:
    found = [*_MARK.findall(person.family_name), *_MARK.findall(person.address.street)]
    return [*found, *([person.mobile_phone.number] if person.mobile_phone else [])]


def pupils_of(school: Institution) -> frozenset[str]:
    """The user ids of a school's pupils."""
    return frozenset(record.user_id for record in school.records if record.kind == "student")


def roles_of(school: Institution) -> frozenset[tuple[str, str]]:
    """Who is what at a school."""
    return frozenset((record.user_id, record.kind) for record in school.records)


def years_of(school: Institution) -> list[str]:
    """The school year of each of a school's sources."""
    return [school.school_year, *(source.school_year for source in school.more_sources)]
