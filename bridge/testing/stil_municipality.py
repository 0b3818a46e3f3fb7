"""A made-up municipality: the same for the same seed, and a little different every day."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TypeVar

from bridge.testing.stil_calendar import Calendar, School, school_year
from bridge.testing.stil_households import Households
from bridge.testing.stil_makeup import LEVELS, OCCUPATIONS, Churn, Makeup
from bridge.testing.stil_moves import ORDERS, Arrival, Moves
from bridge.testing.stil_people import MadeUpPeople
from bridge.testing.stil_records import (
    MANUAL_SOURCE,
    SOURCE,
    STAFF_SOURCE,
    Contact,
    Employee,
    External,
    ImportSource,
    Institution,
    Record,
    Role,
    Student,
    keys_of,
    user_ids,
)

__all__ = ["Calendar", "Churn", "Makeup", "Municipality"]

T = TypeVar("T")
R = TypeVar("R", Student, Employee, External)


class Municipality:
    """Institutions, groups and people that grow from `seed`; not thread-safe.

    The school year is the one of `start`, and rolls where the calendar says so.

    Raises:
        ValueError: no school, or fewer pupils than schools.
    """

    def __init__(
        self,
        seed: int,
        schools: int = 12,
        pupils: int = 5000,
        code: str = "999",
        *,
        makeup: Makeup | None = None,
        churn: Churn | None = None,
        calendar: Calendar | None = None,
        start: datetime = datetime(2026, 11, 20, 3, tzinfo=UTC),
    ) -> None:
        if not 1 <= schools <= pupils:
            raise ValueError("a municipality needs at least one school, and a pupil for each school")
        self._makeup, self._churn, self._start = makeup or Makeup(), churn or Churn(), start
        self.code, self.day = code, 0
        self._random = random.Random(seed)
        percent, is_marked = self._makeup.protected_percent, self._makeup.is_marked
        self._people = MadeUpPeople(self._random, code, percent, is_marked=is_marked)
        self._numbers, year = count(1), start.year - (start.month < 8)
        self._households = Households(self._random, self._people, self._makeup, year)
        self._calendar, self._moves, self._seed = calendar or Calendar(), Moves(), seed
        self._schools = {one.number: one for one in self._calendar.found(schools, year, seed)}
        self._records: dict[tuple[str, str, str], Record] = {}
        self._sent: dict[str, datetime] = {}
        numbers = self.institutions()
        for index in range(pupils):
            self._enrol(numbers[index % schools])
        for number in numbers:
            self._staff_school(number, pupils // schools)

    @property
    def export_time(self) -> datetime:
        """When today's exports are made."""
        return self._start + timedelta(days=self.day)

    @property
    def source_time(self) -> datetime:
        """When the schools' own systems delivered what today's exports hold, where they deliver every day."""
        return self.export_time - timedelta(hours=3)

    def institutions(self) -> list[str]:
        """The institution numbers, lowest first."""
        return list(self._schools)

    def institution(self, number: str) -> Institution:
        """One institution as it is today; what is returned never changes.

        Raises:
            KeyError: no institution has that number.
        """
        school = self._schools[number]
        records = tuple(record for record in self._records.values() if record.institution_number == number)
        sent = self._sent.get(number, self.source_time)
        staff = ImportSource(STAFF_SOURCE, school_year(school.staff_year), sent)
        return Institution(
            number=number,
            name=school.name,
            groups=school.groups(self._makeup),
            records=records,
            people={user_id: self._people[user_id] for user_id in user_ids(records)},
            school_year=school_year(school.year),
            export_time=self.export_time,
            source_time=sent,
            more_sources=(staff,) if school.has_two_sources else (),
        )

    def truth(self) -> dict[str, set[tuple[str, ...]]]:
        """The keys of every entity that a bridge which has read today's exports holds, by kind."""
        return keys_of([self.institution(number) for number in self._schools])

    def protected(self) -> frozenset[str]:
        """The user ids of everyone of today whose name and address are protected."""
        everyone = user_ids(self._records.values())
        return frozenset(user_id for user_id in everyone if self._people[user_id].alias is not None)

    def advance(self) -> None:
        """Move one day on: some leave, join, move, change class, details, protection or staff role.

        Schools whose day it is begin a new year, and who is on the way arrives, whatever day it is.
        """
        before = [self.institution(n) for n in self._schools] if self._calendar.delivers_news_only else []
        self.day += 1
        for school in self._schools.values():
            self._let_year_go_on(school)
        self._carry_out_moves()
        if not self._calendar.is_holiday(self.export_time.date()):
            self._let_day_pass()
        for last in before:
            is_news = self.institution(last.number).content != last.content
            self._sent[last.number] = self.source_time if is_news else last.source_time

    def _let_day_pass(self) -> None:
        churn, records = self._churn, list(self._records.values())
        for record in self._some(records, churn.leavers):
            self._let_leave(record)
        for record, student in self._some(self._having(Student), churn.class_moves):
            self._move_class(record, student)
        for record, employee in self._some(self._having(Employee), churn.staff_roles):
            self._change_staff_role(record, employee)
        everyone = list(user_ids(self._records.values()))
        for user_id in self._some(everyone, churn.contact_details):
            self._people.change_details(user_id, self.day)
        for user_id in self._some(everyone, churn.protection):
            self._people.toggle_protection(user_id)
        for _ in self._some(records, churn.joiners):
            self._join(self._random.choice(self.institutions()))
        self._begin_moves()

    def _some(self, those: Sequence[T], percent: float) -> list[T]:
        amount = max(1, round(len(those) * percent / 100)) if those and percent > 0 else 0
        return self._random.sample(those, min(amount, len(those)))

    def _happens(self, percent: float) -> bool:
        return self._random.random() * 100 < percent

    def _having(self, kind: type[R]) -> list[tuple[Record, R]]:
        return [(record, record.role) for record in self._records.values() if isinstance(record.role, kind)]

    # ------------------------------------------------------------ from school to school

    def _let_leave(self, record: Record) -> None:
        del self._records[record.key]
        if isinstance(record.role, Student) and self._churn.returners and self._happens(self._churn.returners):
            day = self.day + self._random.randint(*self._churn.away)
            self._moves.expect(self._arrival(record, record.role, self._random.choice(self.institutions())), day)

    def _arrival(self, record: Record, student: Student, number: str) -> Arrival:
        return Arrival.of(record, student, self._schools[record.institution_number], number)

    def _begin_moves(self) -> None:
        """Let pupils change school, but not over a holiday: whoever is on the way may be at neither."""
        is_holiday_next = self._calendar.is_holiday(self.export_time.date() + timedelta(days=1))
        if not self._churn.moves or is_holiday_next or len(self._schools) < 2:
            return
        under_way = self._moves.under_way
        still = [one for one in self._having(Student) if one[0].user_id not in under_way]
        for record, student in self._some(still, self._churn.moves):
            others = [number for number in self._schools if number != record.institution_number]
            arrival = self._arrival(record, student, self._random.choice(others))
            self._moves.plan(record.key, arrival, self._random.choice(ORDERS), self.day)
        self._carry_out_moves()

    def _carry_out_moves(self) -> None:
        for key in self._moves.departing(self.day):
            self._records.pop(key, None)
        for arrival in self._moves.arriving(self.day):
            school = self._schools[arrival.number]
            level = arrival.level_at(school)
            if level is not None:
                main_group = self._random.choice(school.class_ids(level, self._makeup.tracks))
                self._become_pupil(arrival.number, arrival.user_id, level, main_group, arrival.contacts)

    # ------------------------------------------------------------ from year to year

    def _let_year_go_on(self, school: School) -> None:
        """Tell of next year's beginners, roll the pupils' source or the staff's, on the day of each."""
        today, calendar = self.export_time.date(), self._calendar
        pupils_roll = calendar.roll_day(school.year, f"{self._seed} {school.number} pupils")
        if calendar.announces(pupils_roll) <= today < pupils_roll and not school.announced:
            self._tell_of_beginners(school.with_beginners(self._makeup.tracks))
        elif pupils_roll <= today:
            self._roll(school, school.rolled())
        school = self._schools[school.number]
        staff_roll = calendar.roll_day(school.staff_year, f"{self._seed} {school.number} staff")
        if school.has_two_sources and staff_roll <= today:
            self._roll(school, school.staff_rolled())

    def _tell_of_beginners(self, school: School) -> None:
        self._schools[school.number] = school
        leavers, _ = self._turnover(school)
        for _ in range(round(leavers * self._calendar.early_percent / 100)):
            self._enrol(school.number, "0", self._random.choice(school.announced_ids))

    def _roll(self, before: School, after: School) -> None:
        self._schools[after.number] = after
        leavers, beginners = self._turnover(before)
        for record in [r for r in self._records.values() if r.institution_number == before.number]:
            moved = before.moved_up(record, after)
            if moved is None:
                del self._records[record.key]
            else:
                self._records[record.key] = moved
        for _ in range(leavers - beginners if after.year > before.year else 0):
            self._enrol(after.number, "0", self._random.choice(after.class_ids("0", self._makeup.tracks)))

    def _turnover(self, school: School) -> tuple[int, int]:
        """How many pupils are in the last level, and how many are known to begin."""
        here = [pupil for record, pupil in self._having(Student) if record.institution_number == school.number]
        announced = school.announced_ids
        return sum(p.level == LEVELS[-1] for p in here), sum(p.main_group in announced for p in here)

    def _add(self, number: str, user_id: str, role: Role, source: str = SOURCE) -> None:
        local_person_id = None if source == MANUAL_SOURCE else f"L{next(self._numbers)}"
        record = Record(number, user_id, source, local_person_id, role)
        self._records.setdefault(record.key, record)

    def _join(self, number: str) -> None:
        if self._happens(10):
            self._employ(number, self._households.staff_role())
        else:
            self._enrol(number)

    def _enrol(self, number: str, level: str | None = None, main_group: str | None = None) -> None:
        school = self._schools[number]
        level = level or self._random.choice(LEVELS)
        contacts = self._households.family()
        pupil = self._households.child(school.year - 6 - int(level), contacts)
        main_group = main_group or self._random.choice(school.class_ids(level, self._makeup.tracks))
        self._become_pupil(number, pupil.user_id, level, main_group, contacts)

    def _become_pupil(
        self, number: str, user_id: str, level: str, main_group: str, contacts: tuple[Contact, ...]
    ) -> None:
        groups, student_number = self._households.extra_groups(level), str(next(self._numbers))
        self._add(number, user_id, Student(level, main_group, student_number, groups, contacts))

    def _staff_school(self, number: str, pupils: int) -> None:
        self._employ(number, "Leder")
        for _ in range(pupils // self._makeup.pupils_per_employee):
            self._employ(number, self._households.staff_role())
        for _ in range(self._makeup.externals):
            trainee = self._households.adult()
            some_class = self._households.some_class(self._schools[number].ending)
            self._add(number, trainee.user_id, External("Praktikant", (some_class,)))
        for _ in range(self._makeup.manual_users):
            # No Group declares this one: a reference alone makes a group.
            helper = self._households.adult()
            self._add(number, helper.user_id, External("Ekstern", ("LEKTIECAFE",)), MANUAL_SOURCE)

    def _employ(self, number: str, staff_role: str) -> None:
        user_id = self._households.worker().user_id
        self._employ_person(number, user_id, staff_role)
        if self._happens(self._makeup.two_schools_percent):
            self._employ_person(self._random.choice(self.institutions()), user_id, staff_role)

    def _employ_person(self, number: str, user_id: str, staff_role: str) -> None:
        school = self._schools[number]
        employment = self._households.employment(school, self._people[user_id], staff_role)
        self._add(number, user_id, employment, school.staff_source)

    def _change_staff_role(self, record: Record, employee: Employee) -> None:
        staff_role = self._random.choice([role for role in OCCUPATIONS if role not in employee.roles])
        school = self._schools[record.institution_number]
        employment = self._households.employment(school, self._people[record.user_id], staff_role)
        self._records[record.key] = replace(record, role=employment)

    def _move_class(self, record: Record, student: Student) -> None:
        others = self._schools[record.institution_number].neighbours(student, self._makeup.tracks)
        self._records[record.key] = replace(record, role=replace(student, main_group=self._random.choice(others)))
