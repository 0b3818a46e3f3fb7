"""What documents for itslearning say, and which of them no form of IMS Enterprise can carry."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

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
    PERSON: ("sourcedId", "given", "family", "institutionrole"),
    SCHOOL: ("sourcedId", "name", "type"),
    GROUP: ("sourcedId", "name", "type", "parent"),
    "affiliation": ("group", "person", "role"),
    "membership": ("group", "person", "role"),
}
_LONGEST_GROUP_ID = 64  # itslearning: 255 on createGroups only
_OUTSIDE_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 §2.2, Char


def refusal(resource: str, document: Document) -> Rejected | None:
    """Say why a document of a resource can never be told to itslearning; None when it can."""
    for name, value in document.items():
        if any(_OUTSIDE_XML.search(part) for part in _leaves(value)):
            return Rejected("not_in_xml", name)
    for name in _REQUIRED[resource]:
        if not any(one.strip() for one in texts(document.get(name))):
            return Rejected("required_missing", name)
    return _foreign(resource, document)


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
