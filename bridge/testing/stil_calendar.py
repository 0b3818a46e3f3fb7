"""School years roll, school by school and source by source: each on its own day, its class ids old or new."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import assert_never

from bridge.testing.stil_makeup import LAST_SFO, LEVELS, NAMES, SUBJECTS, Makeup
from bridge.testing.stil_records import SOURCE, STAFF_SOURCE, Employee, External, Group, Record, Student

FIRST_NUMBER = 101001


@dataclass(frozen=True, slots=True)
class Calendar:
    """When school years roll, and when nothing else happens; neither by default.

    A school year begins on a day between `first_roll` and `last_roll` (month and day; None: never), which every
    school has of its own. What ends in `_percent` is a share of the schools, of the beginners for `early_percent`.
    In the schools with new ids each class has another id next year; else "4A" is next year's 4A. Where there are
    two sources the staff's rolls on another day. The classes of beginners, and some of these, are told of
    `early_days` before. In `holidays` (first and last day), and at weekends if these are quiet, nobody new comes,
    goes or changes. A school `delivers_news_only` if its systems deliver nothing while nothing changes there.
    """

    first_roll: tuple[int, int] | None = None
    last_roll: tuple[int, int] = (8, 10)
    new_ids_percent: float = 40
    two_sources_percent: float = 40
    early_days: int = 60
    early_percent: float = 50
    holidays: tuple[tuple[date, date], ...] = ()
    weekends_are_quiet: bool = False
    delivers_news_only: bool = False

    def roll_day(self, year: int, seed: str) -> date:
        """The day on which the school year of `year` gives way to the next, for whoever has this seed."""
        if self.first_roll is None:
            return date.max
        first, last = date(year + 1, *self.first_roll), date(year + 1, *self.last_roll)
        return first + timedelta(days=random.Random(f"{seed} {year}").randrange((last - first).days + 1))

    def announces(self, roll: date) -> date:
        """The day on which a school tells of the beginners of the year that begins on `roll`."""
        return roll - timedelta(days=self.early_days)

    def is_holiday(self, day: date) -> bool:
        """Whether nothing happens on that day."""
        is_weekend = self.weekends_are_quiet and day.weekday() >= 5
        return is_weekend or any(first <= day <= last for first, last in self.holidays)

    def found(self, schools: int, year: int, seed: int) -> list[School]:
        """So many schools in the school year of `year`."""
        numbers, chance = [str(FIRST_NUMBER + index) for index in range(schools)], random.Random(f"{seed} schools")
        share = len(numbers) / 100 if self.first_roll is not None else 0  # without a roll there is nothing to tell
        new_ids = chance.sample(numbers, round(self.new_ids_percent * share))
        two_sources = chance.sample(numbers, round(self.two_sources_percent * share))
        return [School(number, year, year, number in new_ids, number in two_sources) for number in numbers]


@dataclass(frozen=True, slots=True)
class School:
    """How far one school is: the year of its pupils and of its staff, and how its classes are named in each.

    `announced` are the classes of those who begin with the next year.
    """

    number: str
    year: int
    staff_year: int
    has_new_ids: bool = False
    has_two_sources: bool = False
    ending: str = ""
    staff_ending: str = ""
    announced: tuple[Group, ...] = ()

    @property
    def name(self) -> str:
        return f"{NAMES[(int(self.number) - FIRST_NUMBER) % len(NAMES)]} {self.number}"

    @property
    def staff_source(self) -> str:
        return STAFF_SOURCE if self.has_two_sources else SOURCE

    def class_ids(self, level: str, tracks: str) -> list[str]:
        """The ids of a level's classes, as the pupils' source has them."""
        return [f"{level}{line}{self.ending}" for line in tracks]

    def neighbours(self, student: Student, tracks: str) -> list[str]:
        """The other classes that a pupil may change to."""
        is_beginner = student.main_group in self.announced_ids
        classes = self.announced_ids if is_beginner else self.class_ids(student.level, tracks)
        return [group_id for group_id in classes if group_id != student.main_group]

    @property
    def announced_ids(self) -> list[str]:
        return [group.group_id for group in self.announced]

    def with_beginners(self, tracks: str) -> School:
        """The school after it has told of next year's first classes."""
        mark = "-" if self.has_new_ids else ""
        start, end = _span(self.year + 1)
        classes = (
            Group(
                f"0{line}{mark}{self.year + 1}", f"0.{line} {self.year + 1}", "Hovedgruppe", "0", line, start, end
            )
            for line in tracks
        )
        return replace(self, announced=tuple(classes))

    def rolled(self) -> School:
        """The school in the next year of its pupils, and of its staff where these have the same source."""
        ending = f"-{self.year + 1}" if self.has_new_ids else ""
        rolled = replace(self, year=self.year + 1, ending=ending, announced=())
        return rolled if self.has_two_sources else rolled.staff_rolled()

    def staff_rolled(self) -> School:
        """The school in the next year of its staff."""
        ending = f"-{self.staff_year + 1}" if self.has_new_ids else ""
        return replace(self, staff_year=self.staff_year + 1, staff_ending=ending)

    def moved_up(self, record: Record, after: School) -> Record | None:
        """Return a record of this school in the year `after`; None for a pupil who is past the last level.

        Who teaches goes up with the class, where that has another id now.
        """
        match record.role:
            case Student() as student:
                grown = self._grown(student, after) if after.year > self.year else student
                return replace(record, role=grown) if grown is not None else None
            case External() as external:
                classes = _followed(external.groups, self.ending, after.ending)
                return replace(record, role=replace(external, groups=classes))
            case Employee() as employee:
                classes = _followed(employee.groups, self.staff_ending, after.staff_ending)
                return replace(record, role=replace(employee, groups=classes))
            case _:
                assert_never(record.role)

    def _grown(self, student: Student, after: School) -> Student | None:
        line = student.main_group[1]
        level = "0" if student.main_group in self.announced_ids else str(int(student.level) + 1)
        if level not in LEVELS:
            return None
        years = {f"AARG{student.level}": f"AARG{level}"}
        kept = (years.get(each, each) for each in student.groups if each != "SFO" or int(level) <= LAST_SFO)
        return replace(student, level=level, main_group=f"{level}{line}{after.ending}", groups=tuple(kept))

    def groups(self, makeup: Makeup) -> tuple[Group, ...]:
        """Every group that the pupils' source declares in this year."""
        start, end = _span(self.year)
        classes = [
            Group(f"{level}{line}{self.ending}", f"{level}.{line}", "Hovedgruppe", level, line, start, end)
            for level in LEVELS
            for line in makeup.tracks
        ]
        years = [(f"AARG{level}", f"{level}. årgang", "Årgang") for level in LEVELS]
        teaching = [(f"HOLD{n}", SUBJECTS[n % len(SUBJECTS)], "Hold") for n in range(makeup.teaching_groups)]
        others = [*years, *teaching, ("SFO", "SFO Regnbuen", "SFO")]
        return (*classes, *(Group(*named, None, None, start, end) for named in others), *self.announced)


def school_year(year: int) -> str:
    """The school year that begins in a year, as an export tells it."""
    return f"{year}-{year + 1}"


def _span(year: int) -> tuple[date, date]:
    return date(year, 8, 1), date(year + 1, 7, 31)


def _followed(groups: tuple[str, ...], before: str, after: str) -> tuple[str, ...]:
    """The classes of the staff one level higher, where their ids change; who had the last level has none."""
    if before == after:
        return groups
    moved = (_next_class(group, before, after) for group in groups)
    return tuple(dict.fromkeys(group for group in moved if group is not None))


def _next_class(group: str, before: str, after: str) -> str | None:
    level, line, ending = group[:1], group[1:2], group[2:]
    if level not in LEVELS or ending != before:
        return group  # no class, or one of another year
    return f"{int(level) + 1}{line}{after}" if level != LEVELS[-1] else None
