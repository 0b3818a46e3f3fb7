"""Records of one snapshot become that institution's entities; a bad record stops itself, not the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bridge.domain.entities import (
    ENTITY_TYPES,
    ROLE_RANK,
    Affiliation,
    Code,
    Contribution,
    Entity,
    Group,
    Guardianship,
    Institution,
    Kind,
    Membership,
    Person,
    Role,
)
from bridge.domain.errors import SnapshotInvalid
from bridge.domain.humans import are_two
from bridge.domain.ids import Key
from bridge.domain.privacy import Protection
from bridge.domain.records import (
    AffiliationRecord,
    ContactRecord,
    GroupRecord,
    Header,
    Noted,
    PersonRecord,
    Quarantined,
    Record,
)
from bridge.engine.oddities import oddities
from bridge.engine.words import raised

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Normalised:
    """One institution as its snapshot tells it, by kind and key, with what could not be used.

    `paths`: where in the document each user id stands first. `torn`: user ids under which it speaks of two humans.
    """

    header: Header
    entities: Mapping[Kind, Mapping[Key, Entity]]
    quarantined: tuple[Quarantined, ...]
    noted: tuple[Noted, ...]
    paths: Mapping[str, str] = field(default_factory=dict)
    torn: frozenset[str] = frozenset()

    @property
    def has_people(self) -> bool:
        return bool(self.entities[Kind.CONTRIBUTION])


@dataclass(frozen=True, slots=True)
class _Word:
    """One statement about a person in this document; the smallest `rank` is believed."""

    role: Role
    source: str
    time: datetime
    order: int
    person: Person

    @property
    def rank(self) -> tuple[int, float, int]:
        return (ROLE_RANK[self.role], -self.time.timestamp() if self.time > _NEVER else 0.0, self.order)


@dataclass(slots=True)
class _Gathered:
    """What has been read so far of one document."""

    groups: dict[str, GroupRecord] = field(default_factory=dict)
    words: dict[str, list[_Word]] = field(default_factory=lambda: defaultdict(list))
    roles: dict[tuple[str, Role], list[tuple[datetime, PersonRecord, AffiliationRecord]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    quarantined: list[Quarantined] = field(default_factory=list)
    noted: list[Noted] = field(default_factory=list)
    records: dict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    paths: dict[str, str] = field(default_factory=dict)
    order: int = 0


def normalise(records: Iterable[Record]) -> Normalised:
    """Build the institution's entities from its records (events.md, "Entities, keys and fields").

    Raises `SnapshotInvalid` when no header comes first, and whatever the parser raises.
    """
    iterator = iter(records)
    header = next(iterator, None)
    if not isinstance(header, Header):
        raise SnapshotInvalid("no_institution")
    times = header.source_times
    gathered = _Gathered()
    for record in iterator:
        _gather(record, gathered, times)
    return _build(header, gathered)


def _gather(record: Record, into: _Gathered, times: Mapping[str, datetime]) -> None:
    match record:
        case GroupRecord():
            if record.group_id in into.groups:
                into.noted.append(Noted(record.path, "group_declared_twice"))
            else:
                into.groups[record.group_id] = record
        case PersonRecord():
            _gather_person(record, into, times.get(record.source, _NEVER))
        case Quarantined():
            into.quarantined.append(record)
        case Noted():
            into.noted.append(record)
        case Header():
            into.noted.append(Noted("Institution", "second_header"))


def _gather_person(record: PersonRecord, into: _Gathered, time: datetime) -> None:
    role = record.affiliation.role if record.affiliation else Role.NONE
    _say(into, role, record.source, time, record.person, record.path)
    into.records[record.person.user_id].add((record.source, record.local_person_id or ""))
    if record.affiliation is None:
        return
    into.roles[record.person.user_id, role].append((time, record, record.affiliation))
    for contact in record.affiliation.contacts:
        _say(into, Role.CONTACT, record.source, time, contact.person, contact.path)


def _say(into: _Gathered, role: Role, source: str, time: datetime, person: Person, path: str) -> None:
    into.order += 1
    into.paths.setdefault(person.user_id, path)
    into.words[person.user_id].append(_Word(role, source, time, into.order, person))


def _build(header: Header, gathered: _Gathered) -> Normalised:
    number = header.institution_number
    built: dict[Kind, dict[Key, Entity]] = {kind: {} for kind in ENTITY_TYPES if kind is not Kind.PERSON}
    _add(built, Institution(number, header.institution_name))
    for group in gathered.groups.values():
        _add(built, _group(number, group))
    for user_id, words in gathered.words.items():
        _add(built, _contribution(number, user_id, words, gathered.records.get(user_id, ())))
    kinds: dict[tuple[str, str], set[Role]] = defaultdict(set)
    for (user_id, role), told in gathered.roles.items():
        told.sort(key=lambda entry: entry[0], reverse=True)  # stable: document order among equals
        _add(built, _affiliation(number, user_id, role, told))
        for _, _, affiliation in told:
            for group_id in affiliation.group_ids:
                kinds[group_id, user_id].add(role)
            for contact in affiliation.contacts:
                _add_first(built, _guardianship(number, user_id, contact))
    for (group_id, user_id), roles in kinds.items():
        if group_id not in gathered.groups:
            _add_first(built, Group(number, group_id, name=group_id))
        _add(built, Membership(number, group_id, user_id, tuple(sorted(roles, key=ROLE_RANK.__getitem__))))
    records = (record for told in gathered.roles.values() for _, record, _ in told)
    people = (each.person for each in built[Kind.CONTRIBUTION].values() if isinstance(each, Contribution))
    noted = (*gathered.noted, *oddities(header, gathered.groups, records, people))
    torn = frozenset(user_id for user_id, words in gathered.words.items() if _are_torn(words))
    return Normalised(header, built, tuple(gathered.quarantined), noted, gathered.paths, torn)


def _are_torn(words: list[_Word]) -> bool:
    return any(are_two(words[0].person, word.person) for word in words[1:])


def _add(built: dict[Kind, dict[Key, Entity]], entity: Entity) -> None:
    built[entity.kind][entity.key] = entity


def _add_first(built: dict[Kind, dict[Key, Entity]], entity: Entity) -> None:
    built[entity.kind].setdefault(entity.key, entity)


def _group(number: str, record: GroupRecord) -> Group:
    return Group(
        institution_number=number,
        group_id=record.group_id,
        name=record.name or record.group_id,
        type=record.type,
        level=record.level,
        line=record.line,
        from_date=record.from_date,
        to_date=record.to_date,
    )


def _contribution(
    number: str, user_id: str, words: list[_Word], records: Iterable[tuple[str, str]]
) -> Contribution:
    best = min(words, key=lambda word: word.rank)
    one = Contribution(number, user_id, best.role, best.source, best.person, tuple(sorted(records)))
    return raised(one, Protection.of(word.person for word in words))


def _affiliation(
    number: str, user_id: str, role: Role, told: list[tuple[datetime, PersonRecord, AffiliationRecord]]
) -> Affiliation:
    """The newest source's word, with the roles of all: one person may be teacher here and leader there."""
    _, record, best = told[0]
    roles = {code.source: code for _, _, affiliation in told for code in affiliation.roles}
    return Affiliation(
        institution_number=number,
        user_id=user_id,
        role=role,
        roles=tuple(roles[source] for source in sorted(roles)),
        level=best.level,
        main_group=best.main_group,
        student_number=best.student_number,
        location=best.location,
        short_name=best.short_name,
        occupation=best.occupation,
        local_person_id=record.local_person_id,
        source=record.source,
    )


def _guardianship(number: str, child: str, contact: ContactRecord) -> Guardianship:
    relation: Code = contact.relation
    return Guardianship(number, child, contact.person.user_id, relation, contact.custody, contact.access_level)
