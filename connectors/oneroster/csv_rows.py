"""Objects as rows of the CSV files of OneRoster 1.1 and 1.2, and the header that each file has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from connectors.oneroster.objects import (
    Class,
    Course,
    Demographics,
    Enrollment,
    Object,
    Org,
    Role,
    Session,
    User,
)
from connectors.oneroster.shapes import BIRTH, FLAGS, Version
from connectors.oneroster.wire import moment, role_of_1_1

Row = dict[str, str]

_COMMON = ("sourcedId", "status", "dateLastModified")
_PERSON = ("userIds", "givenName", "familyName", "middleName", "identifier", "email", "sms", "phone")
_PERSON_ENDS = ("agentSourcedIds", "grades", "password")
_USERS_1_2 = (
    "userMasterIdentifier",
    "preferredGivenName",
    "preferredMiddleName",
    "preferredFamilyName",
    "primaryOrgSourcedId",
    "pronouns",
)
_BOTH: Mapping[str, tuple[str, ...]] = {
    "academicSessions": ("title", "type", "startDate", "endDate", "parentSourcedId", "schoolYear"),
    "orgs": ("name", "type", "identifier", "parentSourcedId"),
    "courses": (
        "schoolYearSourcedId",
        "title",
        "courseCode",
        "grades",
        "orgSourcedId",
        "subjects",
        "subjectCodes",
    ),
    "classes": (
        "title",
        "grades",
        "courseSourcedId",
        "classCode",
        "classType",
        "location",
        "schoolSourcedId",
        "termSourcedIds",
        "subjects",
        "subjectCodes",
        "periods",
    ),
    "enrollments": (
        "classSourcedId",
        "schoolSourcedId",
        "userSourcedId",
        "role",
        "primary",
        "beginDate",
        "endDate",
    ),
    "demographics": ("birthDate", "sex", *FLAGS, *BIRTH),
}
_OWN: Mapping[Version, Mapping[str, tuple[str, ...]]] = {
    "v1p1": {"users": ("enabledUser", "orgSourcedIds", "role", "username", *_PERSON, *_PERSON_ENDS)},
    "v1p2": {
        "users": ("enabledUser", "username", *_PERSON, *_PERSON_ENDS, *_USERS_1_2),
        "roles": (
            "userSourcedId",
            "roleType",
            "role",
            "beginDate",
            "endDate",
            "orgSourcedId",
            "userProfileSourcedId",
        ),
    },
}
_UNUSED: Mapping[Version, tuple[str, ...]] = {
    "v1p1": ("categories", "classResources", "courseResources", "lineItems", "resources", "results"),
    "v1p2": (
        "categories",
        "classResources",
        "courseResources",
        "lineItemLearningObjectiveIds",
        "lineItems",
        "lineItemScoreScales",
        "resources",
        "resultLearningObjectiveIds",
        "results",
        "resultScoreScales",
        "scoreScales",
        "userProfiles",
        "userResources",
    ),
}
FREE_TEXT = frozenset(
    {"title", "name", "givenName", "familyName", "middleName", "classCode", "courseCode", "email", "sms", "phone"}
)
"""Columns that nobody finds anything by; all others must come back as they were sent."""


def headers(version: Version) -> Mapping[str, tuple[str, ...]]:
    """The columns of each file that the bridge writes, by its name without an ending."""
    return {name: (*_COMMON, *columns) for name, columns in {**_BOTH, **_OWN[version]}.items()}


def file_names(version: Version) -> list[str]:
    """Every file that a manifest of this version speaks of, in the order of the alphabet."""
    return sorted((*_BOTH, *_OWN[version], *_UNUSED[version]), key=str.lower)


def row(thing: Object, version: Version, *, is_delta: bool) -> Row:
    """The row of an object; status and time stand in delta files only."""
    return {"sourcedId": thing.id, **(mark(thing) if is_delta else {}), **_columns(thing, version)}


def mark(thing: Object) -> Row:
    return {
        "status": "tobedeleted" if thing.is_gone else "active",
        "dateLastModified": moment(thing.changed_at),
    }


def role_row(user: str, role: Role) -> Row:
    """The columns of a role (1.2) besides those that all rows have."""
    return {
        "userSourcedId": user,
        "roleType": "primary" if role.is_primary else "secondary",
        "role": role.role,
        "orgSourcedId": role.org,
    }


def _columns(thing: Object, version: Version) -> Row:
    match thing:
        case Org():
            return {
                "name": thing.name,
                "type": thing.type,
                "identifier": thing.identifier,
                "parentSourcedId": thing.parent or "",
            }
        case Session():
            return _session(thing)
        case Course():
            return {"title": thing.title, "courseCode": thing.code, "orgSourcedId": thing.school}
        case Class():
            return _class(thing)
        case Enrollment():
            return _enrollment(thing)
        case User():
            return _user(thing) | (_user_1_1(thing) if version == "v1p1" else _user_1_2(thing))
        case Demographics():
            return {"birthDate": thing.birth_date or "", "sex": thing.sex or ""}
        case _:
            raise TypeError(type(thing).__name__)


def _session(session: Session) -> Row:
    return {
        "title": session.title,
        "type": session.type,
        "startDate": session.begin.isoformat(),
        "endDate": session.end.isoformat(),
        "parentSourcedId": session.parent or "",
        "schoolYear": session.school_year,
    }


def _class(one: Class) -> Row:
    return {
        "title": one.title,
        "grades": _list(one.grades),
        "courseSourcedId": one.course,
        "classCode": one.code or "",
        "classType": one.type,
        "schoolSourcedId": one.school,
        "termSourcedIds": _list(one.terms),
    }


def _enrollment(one: Enrollment) -> Row:
    return {
        "classSourcedId": one.class_,
        "schoolSourcedId": one.school,
        "userSourcedId": one.user,
        "role": one.role,
        "primary": "" if one.primary is None else _flag(one.primary),
        "beginDate": _day(one.begin),
        "endDate": _day(one.end),
    }


def _user(user: User) -> Row:
    return {
        "enabledUser": _flag(user.is_enabled),
        "username": user.username,
        "userIds": _list(f"{{{kind}:{value}}}" for kind, value in user.user_ids),
        "givenName": user.given_name,
        "familyName": user.family_name,
        "middleName": user.middle_name or "",
        "identifier": user.identifier or "",
        "email": user.email or "",
        "sms": user.sms or "",
        "phone": user.phone or "",
        "agentSourcedIds": _list(user.agents),
        "grades": _list(user.grades),
    }


def _user_1_1(user: User) -> Row:
    orgs = dict.fromkeys(role.org for role in user.roles)
    return {"orgSourcedIds": _list(orgs), "role": role_of_1_1(user.roles[0].role)}


def _user_1_2(user: User) -> Row:
    return {"userMasterIdentifier": user.master_identifier or "", "primaryOrgSourcedId": user.roles[0].org}


def _list(values: Iterable[str]) -> str:
    return ",".join(values)


def _flag(value: bool) -> str:
    return str(value).lower()


def _day(value: date | None) -> str:
    return "" if value is None else value.isoformat()
