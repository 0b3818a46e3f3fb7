"""Pupils on their way: gone from one school and perhaps not yet at the next, or away for some weeks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

from bridge.testing.stil_calendar import School
from bridge.testing.stil_makeup import LEVELS
from bridge.testing.stil_records import Contact, Record, Student

Order = Literal["leaves_first", "arrives_first", "same_day"]
ORDERS: tuple[Order, ...] = ("leaves_first", "arrives_first", "same_day")
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody who will be a pupil of a school under the same user id; `level` is the one of the year `year`."""

    number: str
    user_id: str
    level: str
    year: int
    contacts: tuple[Contact, ...]

    @classmethod
    def of(cls, record: Record, student: Student, before: School, number: str) -> Arrival:
        """The arrival at `number` of who was a pupil of the school `before`."""
        return cls(number, record.user_id, student.level, before.year, student.contacts)

    def level_at(self, school: School) -> str | None:
        """The level that fits the school's year; None for who is past the last one."""
        level = max(0, int(self.level) + school.year - self.year)
        return str(level) if str(level) in LEVELS else None


@dataclass(slots=True)
class Moves:
    """Who leaves and who arrives on a day to come, by the number of the day."""

    _departures: defaultdict[int, list[Key]] = field(default_factory=lambda: defaultdict(list))
    _arrivals: defaultdict[int, list[Arrival]] = field(default_factory=lambda: defaultdict(list))
    _just_come: frozenset[str] = frozenset()

    @property
    def under_way(self) -> frozenset[str]:
        """The user ids of everybody who leaves or arrives on a day to come, or has just arrived."""
        leaving = {key[1] for keys in self._departures.values() for key in keys}
        coming = {one.user_id for ones in self._arrivals.values() for one in ones}
        return frozenset(leaving | coming) | self._just_come

    def plan(self, key: Key, arrival: Arrival, order: Order, day: int) -> None:
        """Let somebody move on that day and, if not all of it is shown at once, on the next one."""
        self._departures[day + (order == "arrives_first")].append(key)
        self._arrivals[day + (order == "leaves_first")].append(arrival)

    def expect(self, arrival: Arrival, day: int) -> None:
        """Let somebody come back."""
        self._arrivals[day].append(arrival)

    def departing(self, day: int) -> list[Key]:
        """Take out who leaves on that day."""
        return self._departures.pop(day, [])

    def arriving(self, day: int) -> list[Arrival]:
        """Take out who arrives on that day."""
        arrivals = self._arrivals.pop(day, [])
        self._just_come = frozenset(one.user_id for one in arrivals)
        return arrivals
