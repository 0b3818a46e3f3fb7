"""The objects of OneRoster as both versions and both forms know them; how they are written is no matter here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from connectors.oneroster.years import SchoolYear


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """What every object has. `is_gone`: it is told as deleted, and has no names any more."""

    id: str
    changed_at: datetime
    is_gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Org(Object):
    name: str
    type: Literal["district", "school"]
    identifier: str
    parent: str | None = None
    children: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session(Object):
    """A school year, or the one term in it; `end` is the first day after it."""

    title: str
    type: Literal["schoolYear", "term"]
    begin: date
    end: date
    school_year: str
    parent: str | None = None
    children: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Course(Object):
    title: str
    code: str
    school: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Class(Object):
    title: str
    code: str | None
    type: Literal["homeroom", "scheduled"]
    grades: tuple[str, ...]
    course: str
    school: str
    terms: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrollment(Object):
    """`end` is the first day after it; both days are those of the class."""

    user: str
    class_: str
    school: str
    role: str
    primary: bool | None = None
    begin: date | None = None
    end: date | None = None


@dataclass(frozen=True, slots=True)
class Role:
    """A role of OneRoster 1.2 at a school; exactly one at each school is the primary one."""

    org: str
    role: str
    is_primary: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Object):
    """`agents` are parents of a child, or the children of a parent."""

    username: str
    user_ids: tuple[tuple[str, str], ...]
    is_enabled: bool
    given_name: str
    family_name: str
    middle_name: str | None = None
    identifier: str | None = None
    email: str | None = None
    sms: str | None = None
    phone: str | None = None
    master_identifier: str | None = None
    roles: tuple[Role, ...] = ()
    agents: tuple[str, ...] = ()
    grades: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Demographics(Object):
    """`id` is that of the user."""

    birth_date: str | None = None
    sex: str | None = None


@dataclass(frozen=True, slots=True)
class Roster:
    """All of it at one moment, each collection by id. `version` is that of the shelf, `year` the current one."""

    version: int
    year: SchoolYear
    orgs: tuple[Org, ...] = ()
    sessions: tuple[Session, ...] = ()
    courses: tuple[Course, ...] = ()
    classes: tuple[Class, ...] = ()
    users: tuple[User, ...] = ()
    enrollments: tuple[Enrollment, ...] = ()
    demographics: tuple[Demographics, ...] = ()
