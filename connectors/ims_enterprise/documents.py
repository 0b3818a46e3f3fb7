"""What documents for itslearning say, and which of them no form of IMS Enterprise can carry."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from bridge.connector import Rejected
from bridge.shelving import Document, text, texts

PERSON, SCHOOL, GROUP = "person", "school", "group"
MEMBERSHIPS = ("affiliation", "membership")
"""Who belongs to a school, and who to a group of it."""
RESOURCES = (PERSON, SCHOOL, GROUP, *MEMBERSHIPS)
"""The resources that a mapping for IMS Enterprise may name."""
TYPES = ("School", "Course", "CourseGroup")
"""The types of groups that itslearning has (scheme ItslearningOrganisationTypes)."""
ROLE_TYPES = ("01", "02", "03", "04", "05", "06", "07", "08")
"""IMS Enterprise 1.1: learner, instructor, developer, member, manager, mentor, administrator, assistant."""

_REQUIRED: Mapping[str, tuple[str, ...]] = {
    PERSON: ("sourcedId", "institutionrole"),
    SCHOOL: ("sourcedId", "name", "type"),
    GROUP: ("sourcedId", "name", "type", "parent"),
    "affiliation": ("group", "person", "role"),
    "membership": ("group", "person", "role"),
}
_NAMES = ("given", "family")
"""One of them is enough: who is protected may have an alias of one word."""
_LONGEST_GROUP_ID = 64  # itslearning: 255 on createGroups only
_OUTSIDE_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 §2.2, Char


def refusal(resource: str, document: Document) -> Rejected | None:
    """Say why a document of a resource can never be told to itslearning; None when it can."""
    for name, value in document.items():
        if any(_OUTSIDE_XML.search(part) for part in _leaves(value)):
            return Rejected("not_in_xml", name)
    for name in _REQUIRED[resource]:
        if _is_blank(document, name):
            return Rejected("required_missing", name)
    if resource == PERSON and (blank := _blank_name(document)):
        return Rejected("required_missing", blank)
    return _foreign(resource, document)


class Name(NamedTuple):
    full: str
    given: str
    family: str


def name_of(person: Document) -> Name:
    """A person's name with both of the parts that itslearning requires: where there is one word, it is each."""
    given, family = (text(person, part) for part in _NAMES)
    return Name(" ".join(filter(None, (given, family))), given or family, family or given)


def _blank_name(person: Document) -> str | None:
    """Which part of a name is blank, where it is there or there is no other."""
    there = [part for part in _NAMES if text(person, part)]
    return next((part for part in there or _NAMES if _is_blank(person, part)), None)


def _is_blank(document: Document, name: str) -> bool:
    return not any(one.strip() for one in texts(document.get(name)))


def _foreign(resource: str, document: Document) -> Rejected | None:
    if resource in (SCHOOL, GROUP):
        if text(document, "type") not in TYPES:
            return Rejected("unknown_type", "type")
        if len(text(document, "sourcedId")) > _LONGEST_GROUP_ID:
            return Rejected("too_long", "sourcedId")
    if resource in MEMBERSHIPS and not {*texts(document.get("role"))} <= {*ROLE_TYPES}:
        return Rejected("unknown_role", "role")
    return None


def _leaves(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for inner in value.values():
                yield from _leaves(inner)
        case list():
            for inner in value:
                yield from _leaves(inner)
