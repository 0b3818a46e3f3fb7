"""A made-up municipality: the same for the same seed, and a little different every day."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import TypeVar

from bridge.testing.stil_people import MadeUpPeople, Person
from bridge.testing.stil_records import (
    MANUAL_SOURCE,
    SOURCE,
    Contact,
    Employee,
    External,
    Group,
    Institution,
    Record,
    Role,
    Student,
)

LEVELS = tuple(str(level) for level in range(10))
NAMES = (
    "Højvangskolen",
    "Åbyskolen",
    "Sønderskov Skole",
    "Nørremarksskolen",
    "Ærøvejens Skole",
    "Egebækskolen",
)
# The ampersand and the angle brackets are there to be escaped.
SUBJECTS = ("Tysk 7-9", "Matematik & It <valgfag>", "Håndværk og design", "Fransk", "Billedkunst", "Kor")
OCCUPATIONS = {
    "Lærer": "Lærer", "Pædagog": "Pædagog", "Vikar": "Lærervikar", "Leder": "Skoleleder",
    "Ledelse": "Afdelingsleder", "TAP": "Teknisk serviceleder", "Konsulent": "Læsevejleder",
}  # fmt: skip

T = TypeVar("T")
R = TypeVar("R", Student, Employee, External)


@dataclass(frozen=True, slots=True)
class Makeup:
    """How the municipality is put together; what ends in `_percent` is a share of those it can befall."""

    tracks: str = "ABC"
    teaching_groups: int = 3  # a school
    pupils_per_employee: int = 9
    externals: int = 2  # a school
    manual_users: int = 2  # a school
    sibling_percent: float = 40
    single_contact_percent: float = 20
    protected_percent: float = 2
    two_schools_percent: float = 6  # of the staff
    parent_percent: float = 10  # of the staff


@dataclass(frozen=True, slots=True)
class Churn:
    """How much happens in a day, in per cent; a share above nought befalls at least one."""

    joiners: float = 0.3
    leavers: float = 0.3
    class_moves: float = 0.5
    contact_details: float = 1.0
    protection: float = 0.1
    staff_roles: float = 0.5


class Municipality:
    """Institutions, groups and people that grow from `seed`; not thread-safe.

    The school year is the one of `start` and does not roll.

    Raises:
        ValueError: no school, fewer pupils than schools, or a single track, which leaves no class to move to.
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
        start: datetime = datetime(2026, 11, 20, 3, tzinfo=UTC),
    ) -> None:
        if not 1 <= schools <= pupils:
            raise ValueError("a municipality needs at least one school, and a pupil for each school")
        self._makeup, self._churn, self._start = makeup or Makeup(), churn or Churn(), start
        if len(set(self._makeup.tracks)) < 2:
            raise ValueError("a municipality needs two tracks, so that a pupil can change class")
        self.code, self.day = code, 0
        self._random = random.Random(seed)
        self._people = MadeUpPeople(self._random, code, self._makeup.protected_percent)
        self._numbers = count(1)
        self._year = start.year - (start.month < 8)
        self._groups = {str(101001 + index): self._make_groups() for index in range(schools)}
        self._families: list[tuple[Contact, ...]] = []
        self._records: dict[tuple[str, str, str], Record] = {}
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
        """When the schools' own system delivered what today's exports hold."""
        return self.export_time - timedelta(hours=3)

    def institutions(self) -> list[str]:
        """The institution numbers, lowest first."""
        return list(self._groups)

    def institution(self, number: str) -> Institution:
        """One institution as it is today; what is returned never changes.

        Raises:
            KeyError: no institution has that number.
        """
        groups = self._groups[number]
        records = tuple(record for record in self._records.values() if record.institution_number == number)
        index = self.institutions().index(number)
        return Institution(
            number=number,
            name=f"{NAMES[index % len(NAMES)]} {number}",
            groups=groups,
            records=records,
            people={user_id: self._people[user_id] for user_id in _user_ids(records)},
            school_year=f"{self._year}-{self._year + 1}",
            export_time=self.export_time,
            source_time=self.source_time,
        )

    def truth(self) -> dict[str, set[tuple[str, ...]]]:
        """The keys of every entity that a bridge which has read today's exports holds, by kind."""
        records = self._records.values()
        declared = {(number, group.group_id) for number, groups in self._groups.items() for group in groups}
        memberships = {(r.institution_number, group_id, r.user_id) for r in records for group_id in r.group_ids}
        return {
            "institution": {(number,) for number in self._groups},
            "group": declared | {key[:2] for key in memberships},
            "person": {(user_id,) for user_id in _user_ids(records)},
            "affiliation": set(self._records),
            "membership": {*memberships},
            "guardianship": {(r.institution_number, r.user_id, c.user_id) for r in records for c in r.contacts},
        }

    def advance(self) -> None:
        """Move one day on: some leave, join, change class, details, protection or staff role."""
        self.day += 1
        churn, records = self._churn, list(self._records.values())
        for record in self._some(records, churn.leavers):
            del self._records[record.key]
        for record, student in self._some(self._having(Student), churn.class_moves):
            self._move_class(record, student)
        for record, employee in self._some(self._having(Employee), churn.staff_roles):
            self._change_staff_role(record, employee)
        everyone = list(_user_ids(self._records.values()))
        for user_id in self._some(everyone, churn.contact_details):
            self._people.change_details(user_id, self.day)
        for user_id in self._some(everyone, churn.protection):
            self._people.toggle_protection(user_id)
        for _ in self._some(records, churn.joiners):
            self._join(self._random.choice(self.institutions()))

    def _some(self, those: Sequence[T], percent: float) -> list[T]:
        amount = max(1, round(len(those) * percent / 100)) if those and percent > 0 else 0
        return self._random.sample(those, min(amount, len(those)))

    def _happens(self, percent: float) -> bool:
        return self._random.random() * 100 < percent

    def _having(self, kind: type[R]) -> list[tuple[Record, R]]:
        return [(record, record.role) for record in self._records.values() if isinstance(record.role, kind)]

    def _make_groups(self) -> tuple[Group, ...]:
        start, end = date(self._year, 8, 1), date(self._year + 1, 7, 31)
        classes = [
            Group(f"{level}{line}", f"{level}.{line}", "Hovedgruppe", level, line, start, end)
            for level in LEVELS
            for line in self._makeup.tracks
        ]
        years = [(f"AARG{level}", f"{level}. årgang", "Årgang") for level in LEVELS]
        teaching = [(f"HOLD{n}", SUBJECTS[n % len(SUBJECTS)], "Hold") for n in range(self._makeup.teaching_groups)]
        others = [*years, *teaching, ("SFO", "SFO Regnbuen", "SFO")]
        return (*classes, *(Group(*named, None, None, start, end) for named in others))

    def _add(self, number: str, person: Person, role: Role, source: str = SOURCE) -> None:
        local_person_id = f"L{next(self._numbers)}" if source == SOURCE else None
        record = Record(number, person.user_id, source, local_person_id, role)
        self._records.setdefault(record.key, record)

    def _join(self, number: str) -> None:
        if self._happens(10):
            self._employ(number, self._staff_role())
        else:
            self._enrol(number)

    def _enrol(self, number: str) -> None:
        level = self._random.choice(LEVELS)
        contacts = self._family()
        home = self._people[contacts[0].user_id]
        pupil = self._people.create(
            self._year - 6 - int(level), family_name=home.family_name, address=home.address
        )
        main_group = level + self._random.choice(self._makeup.tracks)
        role = Student(level, main_group, str(next(self._numbers)), self._extra_groups(level), contacts)
        self._add(number, pupil, role)

    def _extra_groups(self, level: str) -> tuple[str, ...]:
        groups = [f"AARG{level}"]
        if int(level) <= 3 and self._happens(60):
            groups.append("SFO")
        if self._makeup.teaching_groups and self._happens(20):
            groups.append(f"HOLD{self._random.randrange(self._makeup.teaching_groups)}")
        return tuple(groups)

    def _family(self) -> tuple[Contact, ...]:
        if self._families and self._happens(self._makeup.sibling_percent):
            return self._random.choice(self._families)
        born = self._year - self._random.randrange(30, 50)
        mother = self._people.create(born, "K")
        contacts = [self._contact(mother, "Mor")]
        if not self._happens(self._makeup.single_contact_percent):
            father = self._people.create(born - 2, "M", mother.family_name, mother.address)
            contacts.append(self._contact(father, "Far" if self._happens(95) else "Officielt tilknyttet person"))
        self._families.append(tuple(contacts))
        return self._families[-1]

    def _contact(self, person: Person, relation: str) -> Contact:
        has_custody = self._happens(95)
        return Contact(person.user_id, relation, has_custody, access_level=int(has_custody))

    def _staff_school(self, number: str, pupils: int) -> None:
        self._employ(number, "Leder")
        for _ in range(pupils // self._makeup.pupils_per_employee):
            self._employ(number, self._staff_role())
        for _ in range(self._makeup.externals):
            self._add(number, self._make_adult(), External("Praktikant", (self._random_class(),)))
        for _ in range(self._makeup.manual_users):
            # No Group declares this one: a reference alone makes a group.
            self._add(number, self._make_adult(), External("Ekstern", ("LEKTIECAFE",)), MANUAL_SOURCE)

    def _employ(self, number: str, staff_role: str) -> None:
        parents = self._random.choice(self._families) if self._happens(self._makeup.parent_percent) else ()
        person = self._people[parents[0].user_id] if parents else self._make_adult()
        self._add(number, person, self._employment(person, staff_role))
        if self._happens(self._makeup.two_schools_percent):
            elsewhere = self._random.choice(self.institutions())
            self._add(elsewhere, person, self._employment(person, staff_role))

    def _employment(self, person: Person, staff_role: str) -> Employee:
        roles = (staff_role, "Konsulent") if staff_role == "Lærer" and self._happens(5) else (staff_role,)
        classes = {self._random_class(): None for _ in range(self._random.randrange(4))}
        short_name = (person.given_name[:2] + person.family_name[:2]).upper()
        return Employee(roles, short_name, OCCUPATIONS[staff_role], tuple(classes))

    def _change_staff_role(self, record: Record, employee: Employee) -> None:
        staff_role = self._random.choice([role for role in OCCUPATIONS if role not in employee.roles])
        employment = self._employment(self._people[record.user_id], staff_role)
        self._records[record.key] = replace(record, role=employment)

    def _move_class(self, record: Record, student: Student) -> None:
        others = [line for line in self._makeup.tracks if student.level + line != student.main_group]
        moved = replace(student, main_group=student.level + self._random.choice(others))
        self._records[record.key] = replace(record, role=moved)

    def _staff_role(self) -> str:
        return self._random.choices(("Lærer", "Pædagog", "TAP", "Vikar", "Ledelse"), (70, 15, 8, 5, 2))[0]

    def _random_class(self) -> str:
        return self._random.choice(LEVELS) + self._random.choice(self._makeup.tracks)

    def _make_adult(self) -> Person:
        return self._people.create(self._year - self._random.randrange(22, 67))


def _user_ids(records: Iterable[Record]) -> dict[str, None]:
    """Everyone the records speak of, in their order: a set would change the order with every process."""
    return {
        user_id: None
        for record in records
        for user_id in (record.user_id, *(contact.user_id for contact in record.contacts))
    }
