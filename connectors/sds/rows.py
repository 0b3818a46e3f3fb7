"""What is on the shelf as the rows of SDS 2.1; what refers to something that is not there is left out.

Columns: learn.microsoft.com, schooldatasync/sds-v2.1-csv-file-format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bridge.shelving import Document, text, texts

Documents = Mapping[str, Document]
Row = dict[str, str]

RESOURCES = ("org", "user", "class", "enrollment")
"""The resources that a mapping for SDS may name."""
HEADERS: Mapping[str, tuple[str, ...]] = {
    "orgs": ("sourcedId", "name", "type", "parentSourcedId"),
    "users": (
        "sourcedId",
        "username",
        "givenName",
        "familyName",
        "password",
        "activeDirectoryMatchId",
        "email",
        "phone",
        "sms",
    ),
    "roles": (
        "userSourcedId",
        "orgSourcedId",
        "role",
        "sessionSourcedId",
        "grade",
        "isPrimary",
        "roleStartDate",
        "roleEndDate",
    ),
    "classes": ("sourcedId", "orgSourcedId", "title", "sessionSourcedIds", "courseSourcedId"),
    "enrollments": ("classSourcedId", "userSourcedId", "role"),
}
FREE_TEXT = frozenset({"name", "title", "givenName", "familyName", "email", "phone", "sms"})
"""Columns that nobody finds anything by; all others must come back as they were sent."""
USER_FIELDS = ("username", "givenName", "familyName", "activeDirectoryMatchId", "email", "phone", "sms")


def roles(document: Document) -> Iterator[tuple[str, str, str]]:
    """The institution number, role and grade of each role of a user; where no role is known, what `kind` says."""
    listed = document.get("roles")
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict):
            for role in texts(one.get("roles")) or texts(one.get("kind")):
                yield text(one, "school"), role, text(one, "grade")


def tables(kept: Mapping[str, Documents]) -> dict[str, list[Row]]:
    """The rows of each file in one order; `kept` are the documents by resource and id.

    A user without a role at a school that is there is left out: SDS would not know whose it is.
    """
    numbers = {text(org, "identifier"): key for key, org in kept["org"].items()}
    classes = {key: one for key, one in kept["class"].items() if text(one, "org") in kept["org"]}
    held = {key: _roles(key, user, numbers) for key, user in kept["user"].items()}
    users = {key: kept["user"][key] for key, rows in held.items() if rows}
    return {
        "orgs": [_org(key, org) for key, org in sorted(kept["org"].items())],
        "users": [_user(key, user) for key, user in sorted(users.items())],
        "roles": [row for key in sorted(users) for row in held[key]],
        "classes": [_class(key, one) for key, one in sorted(classes.items())],
        "enrollments": _enrollments(kept["enrollment"], classes, users),
    }


def _org(key: str, org: Document) -> Row:
    return {"sourcedId": key, "name": text(org, "name") or text(org, "identifier"), "type": text(org, "type")}


def _user(key: str, user: Document) -> Row:
    """The password is never sent: it is no matter of ours."""
    return {"sourcedId": key} | {name: text(user, name) for name in USER_FIELDS}


def _roles(key: str, user: Document, numbers: Mapping[str, str]) -> list[Row]:
    """Each role once; the first is the primary one."""
    told = dict.fromkeys(
        (numbers[school], role, grade) for school, role, grade in roles(user) if school in numbers
    )
    return [
        {
            "userSourcedId": key,
            "orgSourcedId": org,
            "role": role,
            "grade": grade,
            "isPrimary": "true" if at == 0 else "false",
        }
        for at, (org, role, grade) in enumerate(told)
    ]


def _class(key: str, one: Document) -> Row:
    return {"sourcedId": key, "orgSourcedId": text(one, "org"), "title": text(one, "title")}


def _enrollments(rows: Documents, classes: Documents, users: Documents) -> list[Row]:
    told = {
        (text(row, "class"), text(row, "user"), role)
        for row in rows.values()
        for role in texts(row.get("role"))[:1]
        if text(row, "class") in classes and text(row, "user") in users
    }
    return [{"classSourcedId": one, "userSourcedId": who, "role": role} for one, who, role in sorted(told)]
