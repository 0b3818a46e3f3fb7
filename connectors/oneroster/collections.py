"""Every collection that OneRoster has, and what of a roster is in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import TypeVar

from connectors.oneroster.objects import (
    Class,
    Course,
    Demographics,
    Enrollment,
    Object,
    Org,
    Roster,
    Session,
    User,
)

Some = TypeVar("Some", bound=Object)
Ids = Sequence[str]


class UnknownObject(Exception):
    """A path names an object that is not on the roster."""


class Directory:
    """A roster with everything in it found by id, and by what it belongs to."""

    def __init__(self, roster: Roster) -> None:
        self.roster = roster

    @cached_property
    def orgs(self) -> dict[str, Org]:
        return _by_id(self.roster.orgs)

    @cached_property
    def schools(self) -> dict[str, Org]:
        return {key: org for key, org in self.orgs.items() if org.type == "school"}

    @cached_property
    def sessions(self) -> dict[str, Session]:
        return _by_id(self.roster.sessions)

    @cached_property
    def terms(self) -> dict[str, Session]:
        return {key: one for key, one in self.sessions.items() if one.type == "term"}

    @property
    def grading_periods(self) -> dict[str, Session]:
        """STIL has none."""
        return {}

    @cached_property
    def courses(self) -> dict[str, Course]:
        return _by_id(self.roster.courses)

    @cached_property
    def classes(self) -> dict[str, Class]:
        return _by_id(self.roster.classes)

    @cached_property
    def enrollments(self) -> dict[str, Enrollment]:
        return _by_id(self.roster.enrollments)

    @cached_property
    def users(self) -> dict[str, User]:
        return _by_id(self.roster.users)

    @cached_property
    def students(self) -> dict[str, User]:
        return self._with_role("student")

    @cached_property
    def teachers(self) -> dict[str, User]:
        return self._with_role("teacher")

    @cached_property
    def demographics(self) -> dict[str, Demographics]:
        return _by_id(self.roster.demographics)

    @cached_property
    def by_kind(self) -> Mapping[str, Mapping[str, Object]]:
        return {
            "org": self.orgs,
            "academicSession": self.sessions,
            "course": self.courses,
            "class": self.classes,
            "enrollment": self.enrollments,
            "user": self.users,
            "demographics": self.demographics,
        }

    @cached_property
    def _enrollments_of(self) -> Mapping[str, list[Enrollment]]:
        """By school, class and user: an id is never that of two kinds."""
        found: dict[str, list[Enrollment]] = defaultdict(list)
        for one in self.roster.enrollments:
            for end in (one.school, one.class_, one.user):
                found[end].append(one)
        return found

    def _with_role(self, role: str) -> dict[str, User]:
        return {key: user for key, user in self.users.items() if any(one.role == role for one in user.roles)}

    def courses_of_school(self, school: str) -> Iterable[Course]:
        return (one for one in self.courses.values() if one.school == school)

    def classes_of_school(self, school: str) -> Iterable[Class]:
        return (one for one in self.classes.values() if one.school == school)

    def classes_of_term(self, term: str) -> Iterable[Class]:
        return (one for one in self.classes.values() if term in one.terms)

    def classes_of_course(self, course: str) -> Iterable[Class]:
        return (one for one in self.classes.values() if one.course == course)

    def enrollments_of(self, owner: str) -> Iterable[Enrollment]:
        """Those of a school, a class or a user, the gone ones too."""
        return self._enrollments_of.get(owner, ())

    def at_school(self, school: str, role: str) -> Iterable[User]:
        return (
            user for user in self.users.values() if any(o.org == school and o.role == role for o in user.roles)
        )

    def in_class(self, class_id: str, role: str) -> Iterable[User]:
        """Those who are in it now: who left is told by the enrollment, which stays as deleted."""
        found = [one for one in self.enrollments_of(class_id) if one.role == role and not one.is_gone]
        return _by_id([self.users[one.user] for one in found]).values()

    def classes_of(self, user: str, *roles: str) -> Iterable[Class]:
        """Those that somebody is in now, in any of these roles."""
        found = [one for one in self.enrollments_of(user) if one.role in roles and not one.is_gone]
        return _by_id([self.classes[one.class_] for one in found]).values()


@dataclass(frozen=True, slots=True)
class Collection:
    """Objects of one `kind` below `path`; `find` gives them by the ids in the path and may raise `UnknownObject`.

    `has_members`: each of them is also found by its id below the path.
    """

    path: str
    kind: str
    find: Callable[[Directory, Ids], Iterable[Object]]
    has_members: bool = False

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the ids in the path."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))

    @property
    def envelope(self) -> str:
        """The name around the objects in an answer."""
        return PLURALS[self.kind]


PLURALS = {
    "org": "orgs",
    "academicSession": "academicSessions",
    "course": "courses",
    "class": "classes",
    "enrollment": "enrollments",
    "user": "users",
    "demographics": "demographics",
}


def _all(path: str, kind: str, of: Callable[[Directory], Mapping[str, Object]]) -> Collection:
    return Collection(path, kind, lambda directory, _: of(directory).values(), has_members=True)


def _below(
    path: str,
    kind: str,
    owners: Callable[[Directory], Mapping[str, Object]],
    find: Callable[[Directory, str], Iterable[Object]],
) -> Collection:
    """What belongs to one object of another collection."""

    def found(directory: Directory, ids: Ids) -> Iterable[Object]:
        if ids[0] not in owners(directory):
            raise UnknownObject
        return find(directory, ids[0])

    return Collection(path, kind, found)


def _in_class(path: str, kind: str, find: Callable[[Directory, str], Iterable[Object]]) -> Collection:
    """What belongs to a class, named below its school."""

    def found(directory: Directory, ids: Ids) -> Iterable[Object]:
        taught = directory.classes.get(ids[1])
        if taught is None or taught.school != ids[0]:
            raise UnknownObject
        return find(directory, ids[1])

    return Collection(f"schools/{{schoolSourcedId}}/classes/{{classSourcedId}}/{path}", kind, found)


_schools, _classes, _courses, _terms = map(attrgetter, ("schools", "classes", "courses", "terms"))
_ENROLLED = ("administrator", "proctor", "student", "teacher")

COLLECTIONS: tuple[Collection, ...] = (
    _all("orgs", "org", attrgetter("orgs")),
    _all("schools", "org", _schools),
    _all("academicSessions", "academicSession", attrgetter("sessions")),
    _all("terms", "academicSession", _terms),
    _all("gradingPeriods", "academicSession", attrgetter("grading_periods")),
    _all("courses", "course", _courses),
    _all("classes", "class", _classes),
    _all("enrollments", "enrollment", attrgetter("enrollments")),
    _all("users", "user", attrgetter("users")),
    _all("students", "user", attrgetter("students")),
    _all("teachers", "user", attrgetter("teachers")),
    _all("demographics", "demographics", attrgetter("demographics")),
    _below("schools/{sourcedId}/courses", "course", _schools, Directory.courses_of_school),
    _below("schools/{sourcedId}/classes", "class", _schools, Directory.classes_of_school),
    _below("schools/{sourcedId}/enrollments", "enrollment", _schools, Directory.enrollments_of),
    _below("schools/{sourcedId}/students", "user", _schools, lambda d, s: d.at_school(s, "student")),
    _below("schools/{sourcedId}/teachers", "user", _schools, lambda d, s: d.at_school(s, "teacher")),
    _below("schools/{sourcedId}/terms", "academicSession", _schools, lambda d, _: d.terms.values()),
    _in_class("students", "user", lambda d, c: d.in_class(c, "student")),
    _in_class("teachers", "user", lambda d, c: d.in_class(c, "teacher")),
    _in_class("enrollments", "enrollment", Directory.enrollments_of),
    _below("terms/{sourcedId}/classes", "class", _terms, Directory.classes_of_term),
    _below("terms/{sourcedId}/gradingPeriods", "academicSession", _terms, lambda d, _: ()),
    _below("courses/{sourcedId}/classes", "class", _courses, Directory.classes_of_course),
    _below("classes/{sourcedId}/students", "user", _classes, lambda d, c: d.in_class(c, "student")),
    _below("classes/{sourcedId}/teachers", "user", _classes, lambda d, c: d.in_class(c, "teacher")),
    _below(
        "students/{sourcedId}/classes", "class", attrgetter("students"), lambda d, u: d.classes_of(u, "student")
    ),
    _below(
        "teachers/{sourcedId}/classes", "class", attrgetter("teachers"), lambda d, u: d.classes_of(u, "teacher")
    ),
    _below("users/{sourcedId}/classes", "class", attrgetter("users"), lambda d, u: d.classes_of(u, *_ENROLLED)),
)


def _by_id(objects: Iterable[Some]) -> dict[str, Some]:
    return {one.id: one for one in objects}
