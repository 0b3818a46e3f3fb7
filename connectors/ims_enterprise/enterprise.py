"""All there is as one IMS Enterprise 1.1 document: persons, the tree of groups, and who belongs to which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from xml.sax.saxutils import escape

from bridge.shelving import Document, text, texts
from connectors.ims_enterprise.documents import (
    GROUP,
    MEMBERSHIPS,
    PERSON,
    SCHOOL,
    name_of,
)

Documents = Mapping[str, Document]
_SCHEME = "ItslearningOrganisationTypes"
_PERSON, _PARENT = "1", "1"  # idtype of a member, relation of a relationship
_LEVELS = {"School": "1"}


@dataclass(frozen=True)
class Enterprise:
    """What is on the shelf, by resource and id; what refers to something that is not there is left out."""

    kept: Mapping[str, Documents]

    @cached_property
    def persons(self) -> dict[str, Document]:
        return dict(sorted(self.kept[PERSON].items()))

    @cached_property
    def groups(self) -> dict[str, Document]:
        """Schools first: a group comes after its parent."""
        schools = dict(sorted(self.kept[SCHOOL].items()))
        return schools | {
            key: one for key, one in sorted(self.kept[GROUP].items()) if text(one, "parent") in schools
        }

    @cached_property
    def memberships(self) -> dict[str, dict[str, list[str]]]:
        """The role types of each person in each group, by group and person."""
        found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for one in (one for name in MEMBERSHIPS for one in self.kept[name].values()):
            group, person = text(one, "group"), text(one, "person")
            if group in self.groups and person in self.persons:
                found[group][person] |= {*texts(one.get("role"))}
        return {
            group: {person: sorted(roles) for person, roles in sorted(members.items())}
            for group, members in sorted(found.items())
        }

    @property
    def doubled(self) -> list[str]:
        """Which collections have one sourcedId for two things: the receiver would make one of them."""
        told = {"persons": self.persons, "groups": self.groups}
        return [
            name
            for name, some in told.items()
            if len({_known_as(key, one) for key, one in some.items()}) < len(some)
        ]

    def ids(self, source: str) -> dict[str, list[str]]:
        """What itslearning deletes when it is missing, by the ids that stand in the document: whoever is told by
        another id is another person there."""
        persons, groups = (
            {key: f"{source}\0{_known_as(key, one)}" for key, one in some.items()}
            for some in (self.persons, self.groups)
        )
        pairs = [
            f"{groups[group]}\0{persons[person]}"
            for group, members in self.memberships.items()
            for person in members
        ]
        return {"persons": [*persons.values()], "groups": [*groups.values()], "memberships": pairs}


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes the document; `source` stands beside every id."""

    source: str
    recstatus: str | None = None

    def body(self, told: Enterprise) -> str:
        """Everything but the time, which is no reason for another file."""
        return "".join((*self._persons(told), *self._groups(told), *self._memberships(told)))

    def document(self, body: str, at: datetime) -> bytes:
        made = f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        head = f"<properties>{_leaf('datasource', self.source)}{_leaf('datetime', made)}</properties>\n"
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<enterprise>\n{head}{body}</enterprise>\n'.encode()

    def _persons(self, told: Enterprise) -> Iterator[str]:
        for key, one in told.persons.items():
            full, given, family = name_of(one)
            name = _leaf("fn", full) + _element("n", _leaf("family", family) + _leaf("given", given))
            role = _attributes(primaryrole="Yes", institutionroletype=text(one, "institutionrole"))
            parts = (
                self._id(key, one),
                _leaf("userid", text(one, "userid")),
                _element("name", name),
                _element("demographics", _leaf("bday", text(one, "bday"))),
                _leaf("email", text(one, "email")),
                _leaf("tel", text(one, "mobile"), teltype="Mobile"),
                f"<institutionrole{role}/>",
            )
            yield self._record("person", parts)

    def _groups(self, told: Enterprise) -> Iterator[str]:
        for key, one in told.groups.items():
            kind = text(one, "type")
            kinds = _leaf("scheme", _SCHEME) + _leaf("typevalue", kind, level=_LEVELS.get(kind, "2"))
            parent = told.groups.get(text(one, "parent"))
            above = ""
            if parent is not None:
                label = _leaf("label", text(parent, "type"))
                above = _element("relationship", self._id(text(one, "parent"), parent) + label, relation=_PARENT)
            described = _element("description", _leaf("short", text(one, "name")))
            yield self._record("group", (self._id(key, one), _element("grouptype", kinds), described, above))

    def _memberships(self, told: Enterprise) -> Iterator[str]:
        for group, members in told.memberships.items():
            parts = [self._id(group, told.groups[group])]
            for person, types in members.items():
                roles = "".join(_element("role", _leaf("status", "1"), roletype=one) for one in types)
                who = self._id(person, told.persons[person]) + _leaf("idtype", _PERSON)
                parts.append(_element("member", who + roles))
            yield _element("membership", "".join(parts)) + "\n"

    def _record(self, name: str, parts: tuple[str, ...]) -> str:
        told = {} if self.recstatus is None else {"recstatus": self.recstatus}
        return _element(name, "".join(parts), **told) + "\n"

    def _id(self, key: str, one: Document) -> str:
        return _element("sourcedid", _leaf("source", self.source) + _leaf("id", _known_as(key, one)))


def _known_as(key: str, one: Document) -> str:
    """The id that itslearning knows something by, which need not be ours."""
    return text(one, "sourcedId") or key


def _element(name: str, content: str, **attributes: str) -> str:
    """An element, or nothing where it would be empty."""
    return f"<{name}{_attributes(**attributes)}>{content}</{name}>" if content else ""


def _leaf(name: str, value: str, **attributes: str) -> str:
    """An element with this text: a carriage return is told by number, or a parser makes a line feed of it."""
    return _element(name, escape(value, {"\r": "&#13;"}), **attributes)


def _attributes(**values: str) -> str:
    told = {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;", '"': "&quot;"}
    return "".join(f' {name}="{escape(value, told)}"' for name, value in values.items())
