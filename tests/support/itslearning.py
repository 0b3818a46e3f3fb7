"""What a target for itslearning is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.connector import Command
from bridge.domain.entities import Kind
from bridge.domain.ids import Key
from tests.support.oneroster import OTHER, SCHOOL, class_id, made, org_id, user_id

_KINDS = {
    "school": (Kind.INSTITUTION, ("institution_number",)),
    "group": (Kind.GROUP, ("institution_number", "group_id")),
    "person": (Kind.PERSON, ("user_id",)),
    "affiliation": (Kind.AFFILIATION, ("institution_number", "user_id", "role")),
    "membership": (Kind.MEMBERSHIP, ("institution_number", "group_id", "user_id")),
}


def command(resource: str, key: Key, document: Mapping[str, Any] | None, **changes: Any) -> Command:
    return made(resource, *_KINDS[resource], key, document, **changes)


def school(number: str = SCHOOL, **fields: Any) -> Command:
    return command("school", (number,), {"name": f"Skolen {number}", "type": "School", **fields})


def group(group_id: str, number: str = SCHOOL, **fields: Any) -> Command:
    told = {"name": f"Klasse {group_id}", "type": "Course", "parent": org_id(number)}
    return command("group", (number, group_id), {**told, **fields})


def person(name: str, role: str = "Student", **fields: Any) -> Command:
    told = {"userid": name, "given": name.title(), "family": "Holm", "institutionrole": role}
    return command("person", (name,), {**told, **fields})


def at_school(name: str, role: str = "01", number: str = SCHOOL) -> Command:
    told = {"group": org_id(number), "person": user_id(name), "role": role}
    return command("affiliation", (number, name, role), told)


def member(name: str, group_name: str, role: str = "01", number: str = SCHOOL) -> Command:
    told = {"group": class_id(group_name, number), "person": user_id(name), "role": [role]}
    return command("membership", (number, group_name, name), told)


def gone(told: Command) -> Command:
    return command(told.resource, told.key, None)


TOLD = [
    school(),
    school(OTHER),
    group("1A"),
    group("1B", OTHER, type="CourseGroup"),
    person("anna", email="anna@skole.example"),
    person("bo", "Staff"),
    at_school("anna"),
    at_school("bo", "02"),
    at_school("bo", "07"),
    member("anna", "1A"),
    member("bo", "1A", "02"),
]
"""Two schools with a class each, a pupil, and a teacher who is a manager too."""
