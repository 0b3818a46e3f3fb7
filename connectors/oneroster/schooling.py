"""Schools and classes, and what OneRoster asks for around them: district, courses, school years and terms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Literal

from bridge.connector import Shelved
from bridge.domain.entities import Kind
from bridge.domain.ids import canonical_id
from connectors.oneroster.documents import day, text, texts
from connectors.oneroster.objects import Class, Course, Org, Session
from connectors.oneroster.years import Calendar, SchoolYear

CourseOf = Literal["school", "group_type"]
_GROUP_TYPES = {
    "main": "Klasser",
    "year": "Årgange",
    "stream": "Retninger",
    "teaching": "Hold",
    "after_school": "SFO",
    "team": "Team",
}
_OTHER_GROUPS = "Andre grupper"
Rows = Mapping[str, Shelved]
"""What is kept of one resource, by id."""


@dataclass(frozen=True, slots=True)
class RosterSettings:
    """`course`: one a school, or one for each type of group there. `tombstones`: how long what is gone is told."""

    municipality: str
    district_name: str
    course: CourseOf = "school"
    school_year_starts: str = "08-01"
    tombstones: timedelta = timedelta(days=90)

    def school_id(self, number: str) -> str:
        """The sourcedId of a school, whatever the mapping tells as its identifier."""
        return canonical_id(self.municipality, Kind.INSTITUTION, (number,))

    def id(self, kind: str, *key: str) -> str:
        """The sourcedId of something that is made here, the same after every rebuild."""
        return canonical_id(self.municipality, f"oneroster.{kind}", key)


def fate(row: Shelved, *referred: tuple[bool, datetime]) -> tuple[bool, datetime]:
    """Whether something is told as gone, and since when it is as it is.

    It goes with what it refers to, and comes back with it; so a change of that may be one of its own.
    """
    if row.is_gone:
        return True, row.changed_at
    return any(is_gone for is_gone, _ in referred), max(row.changed_at, *(when for _, when in referred))


class Schooling:
    """`classes` are those whose school is there; one whose school is gone is gone with it."""

    def __init__(
        self,
        settings: RosterSettings,
        calendar: Calendar,
        kept: Mapping[str, Rows],
        arrivals: Mapping[str, datetime],
        now: datetime,
    ) -> None:
        self._settings, self._calendar, self._now = settings, calendar, now
        self._orgs, self._groups, self._arrivals = kept["org"], kept["class"], arrivals

    def school(self, number: str) -> Org | None:
        """The school with this institution number."""
        return self.schools.get(self._settings.school_id(number))

    def since(self, school: Org) -> datetime:
        """When a school came or went: another name changes nothing in what refers to it."""
        return self._arrivals.get(school.id, school.changed_at)

    @cached_property
    def schools(self) -> dict[str, Org]:
        return {
            row.id: Org(
                id=row.id,
                changed_at=row.changed_at,
                is_gone=row.is_gone,
                name=text(row.document, "name") or text(row.document, "identifier") or "",
                type="school",
                identifier=text(row.document, "identifier") or "",
                parent=self._district_id,
            )
            for row in self._orgs.values()
        }

    @cached_property
    def _district_id(self) -> str:
        return self._settings.id("district")

    def district(self) -> Org:
        return Org(
            id=self._district_id,
            changed_at=max(
                (one.changed_at for one in self.schools.values()), default=self._calendar.current.began
            ),
            name=self._settings.district_name,
            type="district",
            identifier=self._settings.municipality,
            children=tuple(sorted(one.id for one in self.schools.values() if not one.is_gone)),
        )

    def courses(self) -> Iterator[Course]:
        """A course goes with its school, or with the last class of its type; what it teaches nobody knows."""
        if self._settings.course == "school":
            for school in self.schools.values():
                yield self._course(school, "", school.is_gone, school.changed_at)
            return
        taught: dict[tuple[str, str], list[Class]] = defaultdict(list)
        for one in self.classes.values():
            taught[one.school, self._group_type(one.id)].append(one)
        for (school_id, kind), classes in taught.items():
            newest = max(self._groups[one.id].changed_at for one in classes)
            school = self.schools[school_id]
            is_gone = all(one.is_gone for one in classes)
            yield self._course(school, kind, is_gone, max(newest, school.changed_at))

    def _course(self, school: Org, kind: str, is_gone: bool, changed_at: datetime) -> Course:
        title = f"{_GROUP_TYPES.get(kind, _OTHER_GROUPS)}, {school.name}" if kind else school.name
        return Course(
            id=self._course_id(school.id, kind),
            changed_at=changed_at,
            is_gone=is_gone,
            title="" if is_gone else title,
            code=f"{school.identifier}-{kind}" if kind else school.identifier,
            school=school.id,
        )

    def _course_id(self, school: str, kind: str) -> str:
        return self._settings.id("course", school, kind) if kind else self._settings.id("course", school)

    def _group_type(self, class_id: str) -> str:
        if self._settings.course == "school":
            return ""
        return text(self._groups[class_id].document, "groupType") or "other"

    def sessions(self, oldest: datetime) -> Iterator[Session]:
        """This year, each other one that a class is in, and for a while the one that ended as gone."""
        current, previous = self._calendar.current, self._calendar.previous
        newest: dict[SchoolYear, datetime] = {current: current.began}
        for class_id in self.classes:
            year, changed_at = self._year(class_id), self._groups[class_id].changed_at
            newest[year] = max(newest.get(year, changed_at), changed_at)
        for year, changed_at in newest.items():
            yield from self._year_and_term(
                year, year.began if year.began <= self._now else changed_at, is_gone=False
            )
        if previous not in newest and current.began >= oldest:
            yield from self._year_and_term(previous, max(newest.values()), is_gone=True)

    def _year_and_term(self, year: SchoolYear, changed_at: datetime, *, is_gone: bool) -> Iterator[Session]:
        whole = Session(
            id=self._settings.id("schoolYear", year.begins.isoformat()),
            changed_at=changed_at,
            is_gone=is_gone,
            title=year.title,
            type="schoolYear",
            begin=year.begins,
            end=year.ends,
            school_year=year.school_year,
            children=(self._term_id(year),),
        )
        yield whole
        yield replace(whole, id=self._term_id(year), type="term", parent=whole.id, children=())

    def _term_id(self, year: SchoolYear) -> str:
        return self._settings.id("term", year.begins.isoformat())

    @cached_property
    def classes(self) -> dict[str, Class]:
        found: dict[str, Class] = {}
        for row in self._groups.values():
            school = self.schools.get(text(row.document, "school") or "")
            if school is None:
                continue
            is_gone, changed_at = fate(row, (school.is_gone, self.since(school)))
            year = self._year(row.id)
            if not is_gone:  # its term may have become another when the year began
                changed_at = max(changed_at, self._calendar.current.began)
            found[row.id] = Class(
                id=row.id,
                changed_at=changed_at,
                is_gone=is_gone,
                title="" if is_gone else text(row.document, "title") or "",
                code=None if is_gone else text(row.document, "classCode"),
                type="homeroom" if row.document.get("classType") == "homeroom" else "scheduled",
                grades=texts(row.document.get("grades")),
                course=self._course_id(school.id, self._group_type(row.id)),
                school=school.id,
                terms=(self._term_id(year),),
            )
        return found

    def _year(self, class_id: str) -> SchoolYear:
        document = self._groups[class_id].document
        return self._calendar.of(day(document, "beginDate"), day(document, "lastDate"))
