"""A shelf on the desk, what is put on it, and the roster that is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from bridge.connector import Command, Shelf, Shelved
from bridge.testing.memory_shelf import MemoryShelf
from connectors.oneroster.objects import Roster
from connectors.oneroster.roster import RosterSettings, compose
from connectors.oneroster.shelving import shelve
from tests.support.oneroster import (
    TOWN,
    Clock,
    school,
    user,
)

SETTINGS = RosterSettings(municipality=TOWN, district_name="Prøveby")
YEAR = {"beginDate": "2026-08-01", "lastDate": "2027-07-31"}
LAST_YEAR = {"beginDate": "2025-08-01", "lastDate": "2026-07-31"}


class Desk:
    """A shelf, what is put on it, and the roster that it makes."""

    def __init__(self, settings: RosterSettings = SETTINGS) -> None:
        self.clock = Clock()
        self.shelf: Any = MemoryShelf(self.clock)
        self.settings = settings

    def tell(self, *commands: Command) -> None:
        self.clock.at += timedelta(minutes=1)
        shelve(self.shelf, commands)

    def roster(self) -> Roster:
        return compose(self.shelf, self.settings, self.clock())


class BusyShelf:
    """Somebody puts something on a shelf in the middle of the first readings."""

    def __init__(self, shelf: Shelf, interruptions: int) -> None:
        self._shelf, self._interruptions = shelf, interruptions

    def version(self) -> int:
        return self._shelf.version()

    def all(self, collection: str, *, after: int = 0) -> Iterator[Shelved]:
        rows = list(self._shelf.all(collection, after=after))
        if collection == "org" and self._interruptions:
            self._interruptions -= 1
            shelve(self._shelf, [school(), user(f"anna{self._interruptions}")])
        return iter(rows)


def references(roster: Roster) -> list[tuple[str, str]]:
    """Every reference and the collection in which it should be found."""
    found = [("orgs", org.parent) for org in roster.orgs if org.parent]
    found += [("orgs", child) for org in roster.orgs for child in org.children]
    found += [("sessions", s.parent) for s in roster.sessions if s.parent]
    found += [("sessions", child) for s in roster.sessions for child in s.children]
    found += [("orgs", course.school) for course in roster.courses]
    found += [("orgs", one.school) for one in roster.classes]
    found += [("courses", one.course) for one in roster.classes]
    found += [("sessions", term) for one in roster.classes for term in one.terms]
    found += [("users", one.user) for one in roster.enrollments]
    found += [("classes", one.class_) for one in roster.enrollments]
    found += [("orgs", one.school) for one in roster.enrollments]
    found += [("orgs", held.org) for one in roster.users for held in one.roles]
    found += [("users", end) for one in roster.users for end in one.agents]
    return found + [("users", one.id) for one in roster.demographics]


def dangling(roster: Roster) -> list[tuple[str, str]]:
    ids = {
        name: {one.id for one in getattr(roster, name)}
        for name in ("orgs", "sessions", "courses", "classes", "users")
    }
    return [(home, one) for home, one in references(roster) if one not in ids[home]]
