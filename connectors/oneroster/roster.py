"""What is on the shelf as the objects of OneRoster: every reference in a roster can be followed.

The shelf holds, by resource of the mapping, `org`, `class`, `user`, `enrollment` and, where parents are sent,
`agent`. District, courses, school years and terms are made here: OneRoster asks for them, STIL has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time
from typing import TypeVar

from bridge.connector import Shelf, Shelved
from bridge.domain.errors import StoreUnavailable
from connectors.oneroster.objects import Object, Roster
from connectors.oneroster.people import People
from connectors.oneroster.schooling import RosterSettings, Schooling
from connectors.oneroster.years import Calendar

__all__ = ["RESOURCES", "RosterSettings", "compose"]

RESOURCES = ("org", "class", "user", "enrollment", "agent")
"""The resources that a mapping for OneRoster may name."""
ARRIVALS = "arrival"
"""The collection that has the time at which each school came, or came back."""

_TRIES = 5

Told = TypeVar("Told", bound=Object)


def compose(shelf: Shelf, settings: RosterSettings, now: datetime) -> Roster:
    """Return the roster as it is now; during one day it changes with the version of the shelf only.

    Left out is what refers to something that is not there at all, and who has no role at any school. Raises
    `StoreUnavailable` while the shelf changes faster than it can be read: half of one state and half of the next
    would be a roster that never was.
    """
    for _ in range(_TRIES):
        version = shelf.version()
        kept = {name: list(shelf.all(name)) for name in (*RESOURCES, ARRIVALS)}
        if shelf.version() == version:
            return _composed(version, kept, settings, now)
    raise StoreUnavailable("the shelf changes faster than it can be read; it is read again when somebody asks")


def _composed(version: int, rows: Mapping[str, list[Shelved]], settings: RosterSettings, now: datetime) -> Roster:
    calendar = Calendar.at(settings.school_year_starts, now)
    oldest = datetime.combine(calendar.today, time(), UTC) - settings.tombstones
    kept = {
        name: {row.id: row for row in rows[name] if not row.is_gone or row.changed_at >= oldest}
        for name in RESOURCES
    }
    arrivals = {row.id: row.changed_at for row in rows[ARRIVALS]}
    schooling = Schooling(settings, calendar, kept, arrivals, now)
    people = People(schooling, kept)
    return Roster(
        version=version,
        year=calendar.current,
        orgs=_by_id([*schooling.schools.values(), schooling.district()]),
        sessions=_by_id(schooling.sessions(oldest)),
        courses=_by_id(schooling.courses()),
        classes=_by_id(schooling.classes.values()),
        users=_by_id(people.users.values()),
        enrollments=_by_id(people.enrollments()),
        demographics=_by_id(people.demographics()),
    )


def _by_id(objects: Iterable[Told]) -> tuple[Told, ...]:
    return tuple(sorted(objects, key=lambda one: one.id))
