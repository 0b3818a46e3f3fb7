"""What a mapping may look at: each entity with its relations, protection already applied.

A view is the only way from the state to a target, so nothing behind a protection can be named by a mapping.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.domain.entities import DERIVED, ROLE_RANK, Affiliation, Contribution, Entity, Kind, Person, Role
from bridge.domain.ids import CanonicalId, Key, canonical_id, join_key, split_key
from bridge.domain.privacy import united, visible
from bridge.engine.codec import decode_entity, public_fields
from bridge.engine.merge import SourceTimes, merge
from bridge.engine.scan import living_rows
from bridge.engine.words import protected_users, protection, words
from bridge.mapping import Ref
from bridge.ports import EntityRow, Reader

Subject = tuple[Kind, Key]
_MAIN_ROLES = ("leader", "teacher", "pedagogue")
_NO_INITIALS: dict[str, Any] = {"short_name": None, "is_masked": True}


@dataclass(frozen=True, slots=True)
class Scope:
    """One municipality as one target may see it: the institutions that are sent there, None for all."""

    municipality: str
    institutions: frozenset[str] | None = None
    name: str = ""

    def has(self, institution: str) -> bool:
        return self.institutions is None or institution in self.institutions

    def id(self, kind: Kind, key: Key) -> CanonicalId:
        return canonical_id(self.municipality, kind, key)

    def ref(self, kind: Kind, key: Key) -> Ref:
        return Ref(kind, self.id(kind, key))


def views(reader: Reader, scope: Scope, kind: Kind, keys: Collection[Key]) -> dict[Key, dict[str, Any]]:
    """Build the views of those entities that live and are in scope; the others are left out."""
    if kind is Kind.MUNICIPALITY:
        return _municipality_views(reader, scope, keys)
    stored = reader.entities(scope.municipality, DERIVED.get(kind, kind), keys)
    rows = {key: row for key, row in stored.items() if row.body is not None}
    if kind is Kind.PERSON:
        return _person_views(reader, scope, rows)
    inside = {key: row for key, row in rows.items() if scope.has(key[0])}
    if kind is Kind.GROUP:
        return _group_views(reader, scope, inside)
    if kind is Kind.TEACHING:
        return _teaching_views(reader, scope, inside)
    if kind is Kind.AFFILIATION:
        hidden = protected_users(reader, scope.municipality, {key[1] for key in inside})
        return {
            key: _linked_view(scope, _entity(row)) | (_NO_INITIALS if key[1] in hidden else {})
            for key, row in inside.items()
        }
    return {key: _linked_view(scope, _entity(row)) for key, row in inside.items()}


def _entity(row: EntityRow) -> Entity:
    assert row.body is not None  # noqa: S101 - callers have sorted out what is gone
    return decode_entity(row.kind, row.body)


def _linked_view(scope: Scope, entity: Entity) -> dict[str, Any]:
    """Fields, canonical id, and a reference for each entity that the key names."""
    view = public_fields(entity)
    view["id"] = scope.id(entity.kind, entity.key)
    number = (entity.key[0],)
    match entity.kind:
        case Kind.INSTITUTION:
            view |= {"municipality": scope.ref(Kind.MUNICIPALITY, (scope.municipality,))}
        case Kind.AFFILIATION:
            view |= {"person": scope.ref(Kind.PERSON, (entity.key[1],)), "main_role": _main_role(view["roles"])}
        case Kind.MEMBERSHIP:
            view |= {
                "person": scope.ref(Kind.PERSON, (entity.key[2],)),
                "group": scope.ref(Kind.GROUP, (entity.key[0], entity.key[1])),
            }
        case Kind.GUARDIANSHIP:
            view |= {
                "child": scope.ref(Kind.PERSON, (entity.key[1],)),
                "contact": scope.ref(Kind.PERSON, (entity.key[2],)),
            }
        case _:
            pass
    if entity.kind is not Kind.INSTITUTION:
        view["institution"] = scope.ref(Kind.INSTITUTION, number)
    return view


def _main_role(roles: list[dict[str, str]]) -> str | None:
    """The one role, where a target knows only one: who leads or teaches does that whatever else they do."""
    told = [role["value"] for role in roles]
    return next((one for one in (*_MAIN_ROLES, *told) if one in told), None)


def _person_views(reader: Reader, scope: Scope, rows: Mapping[Key, EntityRow]) -> dict[Key, dict[str, Any]]:
    """A person is in scope when an institution in scope says anything of them.

    Where the scope is narrower than the municipality, fields come from institutions in scope only;
    a protection holds whoever states it.
    """
    users = [key[0] for key in rows]
    told = words(reader, scope.municipality, users)
    worn: dict[str, list[Affiliation]] = defaultdict(list)
    for row in reader.entities_by_person(scope.municipality, Kind.AFFILIATION, users):
        entity = _entity(row)
        if isinstance(entity, Affiliation) and scope.has(entity.institution_number):
            worn[entity.user_id].append(entity)
    times: SourceTimes = {}
    if scope.institutions is not None:
        states = reader.institution_states()
        times = {s.institution: s.source_times for s in states if s.municipality == scope.municipality}
    built: dict[Key, dict[str, Any]] = {}
    for key, row in rows.items():
        whole, everyone = _entity(row), told[key[0]]
        heard = [one for one in everyone if scope.has(one.institution_number) and not one.is_protection_only]
        if heard and isinstance(whole, Person):
            inside = whole if scope.institutions is None else merge(heard, times) or whole
            person = united(inside, protection(everyone))
            built[key] = _person_view(scope, person, heard, worn[key[0]])
    return built


def _person_view(
    scope: Scope, person: Person, heard: list[Contribution], worn: list[Affiliation]
) -> dict[str, Any]:
    view = public_fields(visible(person))
    kinds: set[Role] = {one.role for one in heard} | {one.role for one in worn}
    ranked = sorted(kinds, key=ROLE_RANK.__getitem__)
    ordered = sorted(worn, key=lambda one: (ROLE_RANK[one.role], one.institution_number))
    view["is_masked"] = person.protected or visible(person) != person
    view["has_civil_registration_number"] = person.civil_registration_number is not None
    view["id"] = scope.id(Kind.PERSON, person.key)
    view["kind"] = ranked[0].value
    view["kinds"] = [role.value for role in ranked]
    initials = {"short_name": None} if person.protected else {}  # they are made of the name
    view["affiliations"] = [public_fields(one) | initials for one in ordered]
    view["institutions"] = sorted({one.institution_number for one in heard})
    schools = (one.institution_number for one in ordered if one.role is Role.STUDENT)
    view["enrolments"] = [scope.ref(Kind.INSTITUTION, (number,)) for number in schools]
    return view


def _group_views(reader: Reader, scope: Scope, rows: Mapping[Key, EntityRow]) -> dict[Key, dict[str, Any]]:
    """Members are references to persons, by role too; the school's name stands beside the group's."""
    found = _members(reader, scope, rows)
    schools = reader.entities(scope.municipality, Kind.INSTITUTION, {(key[0],) for key in rows})
    built: dict[Key, dict[str, Any]] = {}
    for key, row in rows.items():
        view = _linked_view(scope, _entity(row))
        members = [(scope.ref(Kind.PERSON, (user,)), kinds) for user, kinds in found[key]]
        members.sort(key=lambda member: member[0].id)
        view["members"] = [ref for ref, _ in members]
        view["students"] = [ref for ref, kinds in members if Role.STUDENT in kinds]
        view["employees"] = [ref for ref, kinds in members if Role.EMPLOYEE in kinds]
        school = schools.get((key[0],))
        view["institution_name"] = (
            public_fields(_entity(school)).get("name") if school and school.body is not None else None
        )
        built[key] = view
    return built


def _members(reader: Reader, scope: Scope, groups: Collection[Key]) -> Mapping[Key, list[tuple[str, list[str]]]]:
    """The user ids of groups' members, each with the kinds of affiliation that give the membership."""
    found: dict[Key, list[tuple[str, list[str]]]] = defaultdict(list)
    for row in reader.entities_by_other(scope.municipality, Kind.MEMBERSHIP, [join_key(key) for key in groups]):
        found[split_key(row.other or "")].append((row.key[2], public_fields(_entity(row))["kinds"]))
    return found


# ---------------------------------------------------------------- what is derived


def _municipality_views(reader: Reader, scope: Scope, keys: Collection[Key]) -> dict[Key, dict[str, Any]]:
    """The municipality itself is there as long as one of its institutions is in scope."""
    key = (scope.municipality,)
    rows = living_rows(reader, scope.municipality, Kind.INSTITUTION)
    if key not in keys or not any(scope.has(row.key[0]) for row in rows):
        return {}
    name = scope.name or scope.municipality
    return {key: {"id": scope.id(Kind.MUNICIPALITY, key), "municipality_code": scope.municipality, "name": name}}


def _teaching_views(reader: Reader, scope: Scope, rows: Mapping[Key, EntityRow]) -> dict[Key, dict[str, Any]]:
    """A group with its employees as what they are at its school, and without its other members."""
    members = _members(reader, scope, rows)
    taught = {key: sorted(user for user, kinds in members[key] if Role.EMPLOYEE in kinds) for key in rows}
    groups = _group_views(reader, scope, {key: row for key, row in rows.items() if taught[key]})
    return {
        key: {name: value for name, value in view.items() if name not in ("members", "students")}
        | {
            "id": scope.id(Kind.TEACHING, key),
            "group": scope.ref(Kind.GROUP, key),
            "employees": [
                scope.ref(Kind.AFFILIATION, (key[0], user, Role.EMPLOYEE.value)) for user in taught[key]
            ],
        }
        for key, view in groups.items()
    }
