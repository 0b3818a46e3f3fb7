"""School years: each has one session of the year and one term in it, the same whenever they are computed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_HERE = ZoneInfo("Europe/Copenhagen")


@dataclass(frozen=True, slots=True)
class SchoolYear:
    """From `begins` to the day before `ends` (OneRoster's endDate is exclusive)."""

    begins: date
    ends: date

    @property
    def title(self) -> str:
        """As people write it: 2026/2027."""
        return (
            str(self.begins.year)
            if self.begins.year == self._last.year
            else f"{self.begins.year}/{self._last.year}"
        )

    @property
    def school_year(self) -> str:
        """The calendar year in which it ends."""
        return str(self._last.year)

    @property
    def began(self) -> datetime:
        """The moment at which it becomes the current one."""
        return datetime.combine(self.begins, time(), _HERE).astimezone(UTC)

    @property
    def _last(self) -> date:
        return self.ends - timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Calendar:
    """When school years start, and what day it is."""

    month: int
    day: int
    today: date

    @classmethod
    def at(cls, starts: str, now: datetime) -> Calendar:
        """`starts` is a month and a day, such as ``08-01``."""
        month, day = (int(part) for part in starts.split("-"))
        return cls(month, day, now.astimezone(_HERE).date())

    @property
    def current(self) -> SchoolYear:
        return self._around(self.today)

    @property
    def previous(self) -> SchoolYear:
        return self._from(self.current.begins.year - 1)

    def of(self, first: date | None, last: date | None) -> SchoolYear:
        """The year in which something is taught: the current one if it goes on in it, else the nearest.

        Nothing is put further away than one year, for a date may be a slip of the pen.
        """
        current = self.current
        if first is not None and first >= current.ends:
            return self._from(current.begins.year + 1)
        if last is not None and last < current.begins:
            return self.previous
        return current

    def _around(self, day: date) -> SchoolYear:
        starts = date(day.year, self.month, self.day)
        return self._from(day.year if day >= starts else day.year - 1)

    def _from(self, year: int) -> SchoolYear:
        return SchoolYear(date(year, self.month, self.day), date(year + 1, self.month, self.day))
