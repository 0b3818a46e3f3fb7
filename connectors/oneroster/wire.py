"""Objects as JSON in the words of version 1.1 or 1.2; what is not known is left out, never null."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from connectors.oneroster.objects import (
    Class,
    Course,
    Demographics,
    Enrollment,
    Object,
    Org,
    Session,
    User,
)
from connectors.oneroster.shapes import Booleans, Version

_ROLES_OF_1_1 = {
    "principal": "administrator",
    "districtAdministrator": "administrator",
    "siteAdministrator": "administrator",
    "systemAdministrator": "administrator",
    "counselor": "aide",
}
_HOMES = {
    "org": "orgs",
    "academicSession": "academicSessions",
    "course": "courses",
    "class": "classes",
    "user": "users",
}
Json = dict[str, Any]


def role_of_1_1(role: str) -> str:
    """The nearest word of OneRoster 1.1 for a role of 1.2."""
    return _ROLES_OF_1_1.get(role, role)


def moment(at: datetime) -> str:
    """A time as OneRoster writes it: UTC with milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes for one version; `base` is the URL of that version's service, without a slash at the end."""

    version: Version
    base: str
    booleans: Booleans

    def write(self, thing: Object) -> Json:
        """Return the JSON object; an object of a kind that OneRoster does not have is an error of ours."""
        body: Json = {
            "sourcedId": thing.id,
            "status": "tobedeleted" if thing.is_gone else "active",
            "dateLastModified": moment(thing.changed_at),
        }
        match thing:
            case Org():
                body |= self._org(thing)
            case Session():
                body |= self._session(thing)
            case Course():
                body |= {"title": thing.title, "courseCode": thing.code, "org": self._ref("org", thing.school)}
            case Class():
                body |= self._class(thing)
            case Enrollment():
                body |= self._enrollment(thing)
            case User():
                body |= self._user(thing)
            case Demographics():
                body |= {"birthDate": thing.birth_date, "sex": thing.sex}
            case _:
                raise TypeError(type(thing).__name__)
        return {name: value for name, value in body.items() if value not in (None, [])}

    def _org(self, org: Org) -> Json:
        return {
            "name": org.name,
            "type": org.type,
            "identifier": org.identifier,
            "parent": self._maybe("org", org.parent),
            "children": self._refs("org", org.children),
        }

    def _session(self, session: Session) -> Json:
        return {
            "title": session.title,
            "startDate": session.begin.isoformat(),
            "endDate": session.end.isoformat(),
            "type": session.type,
            "parent": self._maybe("academicSession", session.parent),
            "children": self._refs("academicSession", session.children),
            "schoolYear": session.school_year,
        }

    def _class(self, one: Class) -> Json:
        return {
            "title": one.title,
            "classCode": one.code,
            "classType": one.type,
            "grades": list(one.grades),
            "course": self._ref("course", one.course),
            "school": self._ref("org", one.school),
            "terms": self._refs("academicSession", one.terms),
        }

    def _enrollment(self, one: Enrollment) -> Json:
        return {
            "user": self._ref("user", one.user),
            "class": self._ref("class", one.class_),
            "school": self._ref("org", one.school),
            "role": one.role,
            "primary": None if one.primary is None else self._flag(one.primary),
            "beginDate": one.begin and one.begin.isoformat(),
            "endDate": one.end and one.end.isoformat(),
        }

    def _user(self, user: User) -> Json:
        body: Json = {
            "username": user.username,
            "userIds": [{"type": kind, "identifier": value} for kind, value in user.user_ids],
            "enabledUser": self._flag(user.is_enabled),
            "givenName": user.given_name,
            "familyName": user.family_name,
            "middleName": user.middle_name,
            "identifier": user.identifier,
            "email": user.email,
            "sms": user.sms,
            "phone": user.phone,
            "agents": self._refs("user", user.agents),
            "grades": list(user.grades),
        }
        return body | (self._roles_1_1(user) if self.version == "v1p1" else self._roles_1_2(user))

    def _roles_1_1(self, user: User) -> Json:
        """One role for all schools: the first, and a pupil is a pupil whatever else."""
        schools = dict.fromkeys(role.org for role in user.roles)
        return {"role": role_of_1_1(user.roles[0].role), "orgs": self._refs("org", schools)}

    def _roles_1_2(self, user: User) -> Json:
        roles = [
            {
                "roleType": "primary" if role.is_primary else "secondary",
                "role": role.role,
                "org": self._ref("org", role.org),
            }
            for role in user.roles
        ]
        return {
            "userMasterIdentifier": user.master_identifier,
            "roles": roles,
            "primaryOrg": self._ref("org", user.roles[0].org),
        }

    def _flag(self, value: bool) -> bool | str:
        return value if self.booleans == "json" else str(value).lower()

    def _ref(self, kind: str, identifier: str) -> Mapping[str, str]:
        href = f"{self.base}/{_HOMES[kind]}/{quote(identifier, safe='')}"
        return {"href": href, "sourcedId": identifier, "type": kind}

    def _refs(self, kind: str, identifiers: Iterable[str]) -> list[Mapping[str, str]]:
        return [self._ref(kind, identifier) for identifier in identifiers]

    def _maybe(self, kind: str, identifier: str | None) -> Mapping[str, str] | None:
        return None if identifier is None else self._ref(kind, identifier)
