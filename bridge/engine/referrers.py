"""What shows an entity by reference has to be looked at again when that begins or ceases to be at a target."""

from __future__ import annotations

from collections.abc import Collection

from bridge.domain.entities import DERIVED, Kind, Role
from bridge.domain.ids import Key, join_key
from bridge.engine.scan import living_rows
from bridge.mapping import TargetMapping
from bridge.ports import Reader


def referrers(
    reader: Reader, home: str, mapping: TargetMapping, kind: Kind, keys: Collection[Key]
) -> dict[Kind, set[Key]]:
    """What may refer to these entities at the target, of the kinds that go there."""
    kinds = mapping.kinds()
    match kind:
        case Kind.MUNICIPALITY if keys and Kind.INSTITUTION in kinds:
            return {Kind.INSTITUTION: {row.key for row in living_rows(reader, home, Kind.INSTITUTION)}}
        case Kind.INSTITUTION:
            return _within(reader, home, mapping, {number for (number,) in keys})
        case Kind.PERSON if keys:
            return _around(reader, home, {key[0] for key in keys}, kinds)
        case Kind.GROUP if keys:
            taught = {Kind.TEACHING: set(keys)} if Kind.TEACHING in kinds else {}
            return taught | (_joined(reader, home, keys) if Kind.MEMBERSHIP in kinds else {})
        case Kind.AFFILIATION if keys and Kind.TEACHING in kinds:
            staff = {key[:2] for key in keys if key[2] == Role.EMPLOYEE.value}
            rows = reader.entities_by_person(home, Kind.MEMBERSHIP, {user for _, user in staff})
            return {Kind.TEACHING: {row.key[:2] for row in rows if (row.key[0], row.key[2]) in staff}}
        case _:
            return {}


def _joined(reader: Reader, home: str, groups: Collection[Key]) -> dict[Kind, set[Key]]:
    rows = reader.entities_by_other(home, Kind.MEMBERSHIP, [join_key(key) for key in groups])
    return {Kind.MEMBERSHIP: {row.key for row in rows}}


def _within(reader: Reader, home: str, mapping: TargetMapping, schools: Collection[str]) -> dict[Kind, set[Key]]:
    """What refers to institutions: whatever is theirs, and people where their enrolments are sent."""
    own = mapping.kinds() & {Kind.GROUP, Kind.AFFILIATION, Kind.GUARDIANSHIP, Kind.MEMBERSHIP, Kind.TEACHING}
    found = {
        kind: {key for number in schools for key in reader.hashes(home, number, DERIVED.get(kind, kind))}
        for kind in own
    }
    if mapping.names(Kind.PERSON, "enrolments"):
        worn = (key for number in schools for key in reader.hashes(home, number, Kind.AFFILIATION))
        found[Kind.PERSON] = {(user,) for _, user, role in worn if role == Role.STUDENT.value}
    return found


def _around(reader: Reader, home: str, people: Collection[str], kinds: Collection[Kind]) -> dict[Kind, set[Key]]:
    found: dict[Kind, set[Key]] = {}
    for kind in {Kind.AFFILIATION, Kind.GUARDIANSHIP, Kind.MEMBERSHIP}.intersection(kinds):
        found[kind] = {row.key for row in reader.entities_by_person(home, kind, people)}
    if Kind.GUARDIANSHIP in kinds:
        found[Kind.GUARDIANSHIP] |= {row.key for row in reader.entities_by_other(home, Kind.GUARDIANSHIP, people)}
    if Kind.GROUP in kinds:
        found[Kind.GROUP] = {row.key[:2] for row in reader.entities_by_person(home, Kind.MEMBERSHIP, people)}
    return found
