"""The fields of each object in each version: what may be asked for, and the schema that is published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Version = Literal["v1p1", "v1p2"]
Booleans = Literal["strings", "json"]
Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_DAY: Schema = {"type": "string", "format": "date"}
_MOMENT: Schema = {"type": "string", "format": "date-time"}
_FLAG: Schema = {"type": "string", "enum": ["true", "false"]}
_REF: Mapping[str, Any] = {"href": {"type": "string", "format": "uri"}, "sourcedId": _TEXT, "type": _TEXT}
_TEXTS = [_TEXT]
_REFS = [_REF]

ROLES = {
    "v1p1": ("administrator", "aide", "guardian", "parent", "proctor", "relative", "student", "teacher"),
    "v1p2": (
        "aide",
        "counselor",
        "districtAdministrator",
        "guardian",
        "parent",
        "principal",
        "proctor",
        "relative",
        "siteAdministrator",
        "student",
        "systemAdministrator",
        "teacher",
    ),
}
ENROLLMENT_ROLES = ("administrator", "proctor", "student", "teacher")


def _enum(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


_COMMON: Mapping[str, Any] = {
    "sourcedId": _TEXT,
    "status": _enum("active", "tobedeleted"),
    "dateLastModified": _MOMENT,
}
_ORG: Mapping[str, Any] = {
    "name": _TEXT,
    "type": _enum("department", "school", "district", "local", "state", "national"),
    "identifier": _TEXT,
    "parent": _REF,
    "children": _REFS,
}
_SESSION: Mapping[str, Any] = {
    "title": _TEXT,
    "startDate": _DAY,
    "endDate": _DAY,
    "type": _enum("gradingPeriod", "semester", "schoolYear", "term"),
    "parent": _REF,
    "children": _REFS,
    "schoolYear": _TEXT,
}
_COURSE: Mapping[str, Any] = {
    "title": _TEXT,
    "schoolYear": _REF,
    "courseCode": _TEXT,
    "grades": _TEXTS,
    "subjects": _TEXTS,
    "org": _REF,
    "subjectCodes": _TEXTS,
}
_CLASS: Mapping[str, Any] = {
    "title": _TEXT,
    "classCode": _TEXT,
    "classType": _enum("homeroom", "scheduled"),
    "location": _TEXT,
    "grades": _TEXTS,
    "subjects": _TEXTS,
    "course": _REF,
    "school": _REF,
    "terms": _REFS,
    "subjectCodes": _TEXTS,
    "periods": _TEXTS,
}
_PERSON: Mapping[str, Any] = {
    "username": _TEXT,
    "userIds": [{"type": _TEXT, "identifier": _TEXT}],
    "givenName": _TEXT,
    "familyName": _TEXT,
    "middleName": _TEXT,
    "identifier": _TEXT,
    "email": _TEXT,
    "sms": _TEXT,
    "phone": _TEXT,
    "agents": _REFS,
    "grades": _TEXTS,
}
_ROLE: Mapping[str, Any] = {
    "roleType": _enum("primary", "secondary"),
    "role": _enum(*ROLES["v1p2"]),
    "org": _REF,
    "beginDate": _DAY,
    "endDate": _DAY,
}
FLAGS = (
    "americanIndianOrAlaskaNative",
    "asian",
    "blackOrAfricanAmerican",
    "nativeHawaiianOrOtherPacificIslander",
    "white",
    "demographicRaceTwoOrMoreRaces",
    "hispanicOrLatinoEthnicity",
)
BIRTH = ("countryOfBirthCode", "stateOfBirthAbbreviation", "cityOfBirth", "publicSchoolResidenceStatus")


def shapes(version: Version, booleans: Booleans) -> Mapping[str, Mapping[str, Any]]:
    """Return the fields of each object, by its name in the singular."""
    flag = _FLAG if booleans == "strings" else {"type": "boolean"}
    return {
        "org": {**_COMMON, **_ORG},
        "academicSession": {**_COMMON, **_SESSION},
        "course": {**_COMMON, **_COURSE},
        "class": {**_COMMON, **_CLASS},
        "enrollment": {
            **_COMMON,
            "user": _REF,
            "class": _REF,
            "school": _REF,
            "role": _enum(*ENROLLMENT_ROLES),
            "primary": flag,
            "beginDate": _DAY,
            "endDate": _DAY,
        },
        "user": {**_COMMON, **_PERSON, "enabledUser": flag, **_user(version)},
        "demographics": {
            **_COMMON,
            "birthDate": _DAY,
            "sex": _enum("male", "female", *(("unspecified", "other") if version == "v1p2" else ())),
            **dict.fromkeys(FLAGS, flag),
            **dict.fromkeys(BIRTH, _TEXT),
        },
    }


def _user(version: Version) -> Mapping[str, Any]:
    if version == "v1p1":
        return {"role": _enum(*ROLES["v1p1"]), "orgs": _REFS}
    names = (
        "userMasterIdentifier",
        "preferredGivenName",
        "preferredMiddleName",
        "preferredFamilyName",
        "pronouns",
    )
    return {"roles": [_ROLE], "primaryOrg": _REF, **dict.fromkeys(names, _TEXT)}


def schema(shape: Any) -> Schema:
    """Return the JSON Schema of a shape. Nothing is required: a client selects the fields that it wants."""
    if isinstance(shape, list):
        return {"type": "array", "items": schema(shape[0])}
    if is_leaf(shape):
        return dict(shape)
    return {
        "type": "object",
        "properties": {name: schema(part) for name, part in shape.items()},
        "additionalProperties": False,
    }


def paths(shape: Mapping[str, Any]) -> frozenset[str]:
    """Return the dotted paths that lead to a value or a list of values; lists of objects are passed through."""
    found = set()
    for name, part in shape.items():
        inner = part[0] if isinstance(part, list) else part
        found |= {name} if is_leaf(inner) else {f"{name}.{path}" for path in paths(inner)}
    return frozenset(found)


def is_leaf(shape: Any) -> bool:
    """Whether a shape is one value: there `type` is a word of JSON Schema, in an object it is a field."""
    return isinstance(shape, Mapping) and isinstance(shape.get("type"), str)
