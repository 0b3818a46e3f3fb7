"""Documents as records of IMS Enterprise Services 1.0: one service for persons, one for groups, one for members.

The names and the order of elements are those that clients of itslearning in the open send; its WSDL is not public.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.sax.saxutils import escape

from bridge.shelving import Document, text, texts
from connectors.ims_enterprise.documents import GROUP, PERSON, SCHOOL, name_of

_IMS = "http://www.imsglobal.org/services"
COMMON = f"{_IMS}/common/imsCommonSchema_v1p0"
BINDING = f"{_IMS}/common/imsMessBindSchema_v1p0"
Verb = Literal["replace", "delete"]


@dataclass(frozen=True, slots=True)
class ServiceNames:
    """How one service calls things: `one` is a record, `short` stands in its namespaces and actions."""

    one: str
    short: str
    schema: str

    @property
    def messages(self) -> str:
        return f"{_IMS}/{self.short}/xsd/ims{self.schema}ManMessSchema_v1p0"

    @property
    def data(self) -> str:
        return f"{_IMS}/{self.short}/xsd/ims{self.schema}ManDataSchema_v1p0"

    def action(self, operation: str) -> str:
        return f"http://www.imsglobal.org/soap/{self.short}/{operation}"

    def operation(self, verb: str) -> str:
        """The plural call: ``replacePersons``."""
        return f"{verb}{self.one.capitalize()}s"


PERSONS = ServiceNames("person", "pms", "Person")
GROUPS = ServiceNames("group", "gms", "Group")
MEMBERS = ServiceNames("membership", "mms", "Member")
SERVICES: Mapping[str, ServiceNames] = {
    PERSON: PERSONS,
    SCHOOL: GROUPS,
    GROUP: GROUPS,
    "affiliation": MEMBERS,
    "membership": MEMBERS,
}
"""By resource of the mapping."""
_LEVELS = {"School": "1"}


def replacement(service: ServiceNames, records: Sequence[tuple[str, str, Document]]) -> str:
    """The body of a plural call that brings these to their state; `records` are id, resource and document."""
    pairs = "".join(
        _element(
            f"m:{service.one}IdPair",
            _element("m:sourcedId", _identifier(identifier))
            + _element(f"m:{service.one}", _record(resource, document)),
        )
        for identifier, resource, document in records
    )
    return _element(f"m:{service.operation('replace')}Request", _element(f"m:{service.one}IdPairSet", pairs))


def deletion(service: ServiceNames, identifiers: Sequence[str]) -> str:
    """The body of a plural call that deletes these."""
    told = "".join(_identifier(one) for one in identifiers)
    return _element(f"m:{service.operation('delete')}Request", _element("m:sourcedIdSet", told))


def reading(identifier: str) -> str:
    """The body of a call that reads one person."""
    return _element("m:readPersonRequest", _element("m:sourcedId", _identifier(identifier)))


def _record(resource: str, document: Document) -> str:
    if resource == PERSON:
        return _person(document)
    return _group(document) if resource in (SCHOOL, GROUP) else _membership(document)


def _person(document: Document) -> str:
    name = name_of(document)
    parts = "".join(
        _element("d:partName", _leaf("d:namePartType", kind) + _leaf("d:namePartValue", value))
        for kind, value in (("First", name.given), ("Last", name.family))
    )
    role = _leaf("d:institutionRoleType", text(document, "institutionrole")) + _leaf("d:primaryRoleType", "true")
    mobile = _leaf("d:telValue", text(document, "mobile"))
    return "".join(
        (
            _element("d:name", parts),
            _leaf("c:email", text(document, "email")),
            _element("d:userId", _leaf("c:userIdValue", text(document, "userid"))),
            _element("d:demographics", _leaf("d:bday", text(document, "bday"))),
            _element("d:institutionRole", role),
            _element("d:tel", _leaf("d:telType", "Mobile") + mobile) if mobile else "",
        )
    )


def _group(document: Document) -> str:
    """A parent is told at every change: a group that is told without one loses it."""
    kind, parent = text(document, "type"), text(document, "parent")
    value = _leaf("d:type", kind) + _leaf("d:level", _LEVELS.get(kind, "2"))
    above = _leaf("d:relation", "Parent") + _element("d:sourceId", _identifier(parent))
    scheme = _leaf("d:scheme", "ItslearningOrganisationTypes")
    return "".join(
        (
            _element("d:groupType", scheme + _element("d:typeValue", value)),
            _element("d:relationship", above) if parent else "",
            _element("d:description", _leaf("d:descShort", text(document, "name"))),
        )
    )


def _membership(document: Document) -> str:
    who = _element("d:memberSourcedId", _identifier(text(document, "person")))
    roles = "".join(_element("d:role", _leaf("d:roleType", one)) for one in texts(document.get("role")))
    return _element("d:groupSourcedId", _identifier(text(document, "group"))) + _element("d:member", who + roles)


def _identifier(value: str) -> str:
    return _leaf("c:identifier", value)


def _element(name: str, content: str) -> str:
    """An element, or nothing where it would be empty."""
    return f"<{name}>{content}</{name}>" if content else ""


def _leaf(name: str, value: str) -> str:
    """A carriage return is told by number, or a parser makes a line feed of it."""
    return _element(name, escape(value, {"\r": "&#13;"}))
