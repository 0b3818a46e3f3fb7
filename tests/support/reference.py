"""What the targets must hold after one day of exports, worked out without any of the bridge's code.

The XML is read by xml.etree; the meaning of events.md, mappings/scim/core.yaml and
mappings/aula/agreement.yaml is written down here by hand.
"""

from __future__ import annotations

import uuid
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_NAMESPACE = uuid.UUID("5c0f7c26-5a53-5a0e-9a3c-6f1f0a4d6b11")
_NEVER = datetime.min.replace(tzinfo=UTC)
ROLES = ("student", "employee", "external", "contact", "none")
GROUP_TYPES = {
    "Hovedgruppe": "main", "Årgang": "year", "Retning": "stream", "Hold": "teaching", "SFO": "after_school",
    "Team": "team", "Andet": "other",
}  # fmt: skip
RELATIONS = {"Mor": "mother", "Far": "father", "Andet": "other", "Officielt tilknyttet person": "official"}
ROLE_WORDS = {
    "Barn": "child", "Elev": "pupil", "Studerende": "student", "Lærer": "teacher", "Pædagog": "pedagogue",
    "Vikar": "substitute", "Leder": "leader", "Ledelse": "management", "TAP": "technical_administrative",
    "Konsulent": "consultant", "Praktikant": "trainee", "Ekstern": "external",
}  # fmt: skip


def canonical_id(municipality: str, kind: str, *key: str) -> str:
    """The UUIDv5 of an entity."""
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join((municipality, kind, *key))))


@dataclass
class Said:
    """What one record says of a person; the smallest rank is believed."""

    rank: tuple[int, float, str, int]
    protected: bool
    given: str
    family: str
    alias_given: str | None
    alias_family: str | None
    email: str | None


@dataclass
class Reference:
    """All that the exports of one day say about a municipality."""

    municipality: str
    institutions: dict[str, str | None] = field(default_factory=dict)
    groups: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    guarded: set[str] = field(default_factory=set)  # who has anything protected, a number only perhaps
    said: dict[str, list[Said]] = field(default_factory=lambda: defaultdict(list))
    affiliations: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    members: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    ties: dict[tuple[str, str], set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    guardianships: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)

    # ------------------------------------------------------------ as SCIM

    def users(self) -> dict[str, dict[str, Any]]:
        """mappings/scim/core.yaml: everyone who is a student, an employee or an external, by externalId."""
        made = {}
        for user, words in self.said.items():
            role = ROLES[min(word.rank[0] for word in words)]
            if role not in ("student", "employee", "external"):
                continue
            given, family, email, _ = self.seen(user)
            name = {"givenName": given, "familyName": family}
            body: dict[str, Any] = {
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
                "externalId": canonical_id(self.municipality, "person", user),
                "userName": user,
                "name": {part: text for part, text in name.items() if text},
                "displayName": " ".join(filter(None, (given, family))),
                "userType": role,
                "active": True,
            }
            if email:
                body["emails"] = [{"value": email, "type": "work", "primary": True}]
            made[body["externalId"]] = body
        return made

    def scim_groups(self) -> dict[str, dict[str, Any]]:
        """Groups with their members' externalIds, sorted: SCIM gives them no order."""
        made = {}
        for (number, group), fields in self.groups.items():
            identity = canonical_id(self.municipality, "group", number, group)
            people = self.members.get((number, group), set())
            body: dict[str, Any] = {
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
                "externalId": identity,
                "displayName": fields["name"],
            }
            if people:
                body["members"] = sorted(canonical_id(self.municipality, "person", user) for user in people)
            made[identity] = body
        return made

    # ------------------------------------------------------------ as Aula

    def aula(self) -> dict[str, dict[str, Any]]:
        """mappings/aula/agreement.yaml: every entity by its subject."""
        objects: dict[str, dict[str, Any]] = {}

        def put(kind: str, key: tuple[str, ...], /, **fields: Any) -> None:
            subject = f"{kind}/{canonical_id(self.municipality, kind, *key)}"
            objects[subject] = {name: value for name, value in fields.items() if value not in (None, "", [])}

        for number, name in self.institutions.items():
            put("institution", (number,), institution_number=number, name=name)
        for key, fields in self.groups.items():
            put("group", key, institution_number=key[0], group_id=key[1], **fields)
        for user in self.said:
            given, family, _, protected = self.seen(user)
            put("person", (user,), user_id=user, given_name=given, family_name=family, protected=protected)
        for at, fields in self.affiliations.items():
            roles = [ROLE_WORDS[word] for word in sorted(fields["roles"])]
            put(
                "affiliation",
                at,
                institution_number=at[0],
                user_id=at[1],
                kind=at[2],
                roles=roles,
                level=fields.get("level"),
                main_group=fields.get("main_group"),
            )
        for (number, group), people in self.members.items():
            for user in people:
                put(
                    "membership",
                    (number, group, user),
                    institution_number=number,
                    group_id=group,
                    user_id=user,
                )
        for (number, child, contact), fields in self.guardianships.items():
            put(
                "guardianship",
                (number, child, contact),
                institution_number=number,
                child_user_id=child,
                contact_user_id=contact,
                **fields,
            )
        return objects

    def seen(self, user: str) -> tuple[str | None, str | None, str | None, bool]:
        """Given name, family name and e-mail as anyone may see them, and whether the person is protected."""
        best = min(self.said[user], key=lambda word: word.rank)
        if not any(word.protected for word in self.said[user]):
            return best.given, best.family, best.email, False
        if best.alias_given or best.alias_family:
            return best.alias_given, best.alias_family, None, True
        return "Navn", "Beskyttet", None, True


def read_day(files: Iterable[Path], municipality: str) -> Reference:
    """Read the exports of one day."""
    day = Reference(municipality)
    for file in files:
        _institution(day, ET.parse(file).getroot())  # noqa: S314 - our own file
    return day


def _institution(day: Reference, root: ET.Element) -> None:
    times = {
        element.attrib["source"]: datetime.fromisoformat(element.attrib["sourceDateTime"])
        for element in root
        if _name(element) == "ImportSource"
    }
    institution = next(element for element in root if _name(element) == "Institution")
    number = _text(institution, "InstitutionNumber")
    assert number
    day.institutions[number] = _text(institution, "InstitutionName")
    for element in institution:
        if _name(element) == "Group":
            _group(day, number, element)
    newest: dict[tuple[str, str, str], datetime] = {}
    for element in institution:
        if _name(element) == "InstitutionPerson":
            _record(day, number, element, times.get(element.get("source", ""), _NEVER), newest)


def _group(day: Reference, number: str, element: ET.Element) -> None:
    identity = _text(element, "GroupId")
    assert identity
    fields = {
        "name": _text(element, "GroupName") or identity,
        "type": GROUP_TYPES.get(_text(element, "GroupType") or ""),
        "level": _text(element, "GroupLevel"),
        "line": _text(element, "Line"),
        "from_date": _text(element, "FromDate"),
        "to_date": _text(element, "ToDate"),
    }
    day.groups.setdefault((number, identity), {name: text for name, text in fields.items() if text})


def _record(
    day: Reference,
    number: str,
    element: ET.Element,
    time: datetime,
    newest: dict[tuple[str, str, str], datetime],
) -> None:
    parts = {_name(child): child for child in element}
    kind = {"Student": "student", "Employee": "employee", "Extern": "external"}
    tag = next((name for name in kind if name in parts), None)
    user = _say(day, number, parts["Person"], kind[tag] if tag else "none", time)
    if tag is None:
        return
    role, at = parts[tag], (number, user, kind[tag])
    groups = _texts(role, "GroupId")
    main = _text(role, "MainGroupId")
    for group in [*groups, *([main] if main else [])]:
        day.groups.setdefault((number, group), {"name": group})
        day.members[number, group].add(user)
        day.ties[number, group].add((user, kind[tag]))
    told = day.affiliations.setdefault(at, {"roles": set()})
    told["roles"] |= set(_texts(role, "Role"))
    if at not in newest or time > newest[at]:
        newest[at] = time
        told |= {"level": _text(role, "Level"), "main_group": main, "short_name": _text(role, "ShortName")}
    for contact in role:
        if _name(contact) == "ContactPerson":
            person = next(child for child in contact if _name(child) == "Person")
            other = _say(day, number, person, "contact", time)
            day.guardianships.setdefault(
                (number, user, other),
                {
                    "relation": RELATIONS[contact.attrib["relation"]],
                    "custody": contact.attrib["childCustody"] in ("true", "1"),
                    "access_level": int(contact.attrib["accessLevel"]),
                },
            )


def _say(day: Reference, number: str, person: ET.Element, role: str, time: datetime) -> str:
    user, given, family = (_text(person, name) for name in ("UserId", "FirstName", "FamilyName"))
    assert user
    assert given
    assert family
    if any(part.get("protected") == "true" for part in person.iter()):
        day.guarded.add(user)
    age = -time.timestamp() if time > _NEVER else 0.0
    day.said[user].append(
        Said(
            (ROLES.index(role), age, number, len(day.said[user])),
            person.get("protected") == "true",
            given,
            family,
            _text(person, "AliasFirstName"),
            _text(person, "AliasFamilyName"),
            _text(person, "EmailAddress"),
        )
    )
    return user


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _texts(parent: ET.Element, name: str) -> list[str]:
    return [" ".join(child.text.split()) for child in parent if _name(child) == name and child.text]


def _text(parent: ET.Element, name: str) -> str | None:
    return next(iter(_texts(parent, name)), None)
