"""Stored state against a snapshot's entities, by hash: what was created, updated and deleted, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from bridge.domain.changes import Change, Operation, change
from bridge.domain.entities import (
    KIND_RANK,
    Affiliation,
    Contribution,
    Entity,
    Guardianship,
    Institution,
    Kind,
    Membership,
    Person,
)
from bridge.domain.ids import Key, canonical_id, join_key
from bridge.domain.privacy import united
from bridge.domain.records import Quarantined
from bridge.engine.codec import decode_entity, encode_entity, hash_bytes
from bridge.engine.merge import SourceTimes, merge
from bridge.engine.normalise import Normalised
from bridge.ports import EntityRow, Reader

_SCOPED = (
    Kind.INSTITUTION,
    Kind.GROUP,
    Kind.AFFILIATION,
    Kind.GUARDIANSHIP,
    Kind.MEMBERSHIP,
    Kind.CONTRIBUTION,
)
_INCOMPLETE_CONTACTS = "contact_without_identity"  # speaks of a child whose own record is used


@dataclass(slots=True)
class Detection:
    """What a snapshot would do: changes to report, rows to store, and how much was there before.

    `stored` and `gone` count by label: the kind, with its role for affiliations ("affiliation.student").
    `people` are the user ids whose view at a target may differ, changed themselves or not.
    """

    changes: list[Change] = field(default_factory=list)
    rows: list[EntityRow] = field(default_factory=list)
    versions: dict[tuple[Kind, Key], int] = field(default_factory=dict)
    stored: Counter[str] = field(default_factory=Counter)
    gone: Counter[str] = field(default_factory=Counter)
    gone_people: list[str] = field(default_factory=list)
    people: set[str] = field(default_factory=set)


def detect(reader: Reader, municipality: str, found: Normalised, times: SourceTimes) -> Detection:
    """Compare one institution's snapshot with the stored state of the municipality.

    `times` are the source times after this snapshot, for the merge of persons.
    """
    detection = Detection()
    institution = found.header.institution_number
    shield = _Shield.of(reader, municipality, found)
    contributions: dict[Key, Contribution | None] = {}
    for kind in _SCOPED:
        wanted = found.entities[kind]
        if kind is Kind.INSTITUTION:
            wanted = _described(reader, municipality, wanted)
        if kind is Kind.CONTRIBUTION:
            if not found.header.states_protection:
                wanted = _still_protected(reader, municipality, wanted)
            wanted = _shielded(reader, municipality, institution, wanted, shield)
        steps = _steps(reader, municipality, institution, kind, wanted, shield, detection)
        if kind is Kind.CONTRIBUTION:
            contributions = {key: _as_contribution(after) for key, _, after in steps}
    _detect_people(reader, municipality, institution, contributions, times, detection)
    detection.changes.sort(key=lambda c: (KIND_RANK[c.kind], c.key))
    return detection


def _described(reader: Reader, municipality: str, wanted: Mapping[Key, Entity]) -> dict[Key, Entity]:
    """Institutions with what a register says of them; the export's name stands where that gives none."""
    facts, known = reader.institution_facts(municipality), dict(wanted)
    for key, entity in wanted.items():
        told = decode_entity(Kind.INSTITUTION, facts[key[0]]) if facts.get(key[0]) else None
        if isinstance(told, Institution) and isinstance(entity, Institution):
            known[key] = replace(told, name=told.name or entity.name)
    return known


def _as_contribution(entity: Entity | None) -> Contribution | None:
    return entity if isinstance(entity, Contribution) else None


def _label(kind: Kind, key: Key) -> str:
    return f"{kind}.{key[-1]}" if kind is Kind.AFFILIATION else str(kind)


def _steps(
    reader: Reader,
    municipality: str,
    institution: str,
    kind: Kind,
    wanted: Mapping[Key, Entity],
    shield: _Shield,
    into: Detection,
) -> list[tuple[Key, Entity | None, Entity | None]]:
    """Find the keys of one kind whose stored hash differs and note change, row and version of each."""
    stored = reader.hashes(municipality, institution, kind)
    encoded = {key: encode_entity(entity) for key, entity in wanted.items()}
    hashes = {key: hash_bytes(body) for key, body in encoded.items()}
    gone = [key for key in stored.keys() - hashes.keys() if not shield.covers(kind, key)]
    differing = [
        key
        for key, digest in hashes.items()
        if stored.get(key) != digest and not (key in stored and shield.keeps(kind, key))
    ]
    for key in stored:
        into.stored[_label(kind, key)] += 1
    for key in gone:
        into.gone[_label(kind, key)] += 1
    rows = reader.entities(municipality, kind, [*gone, *differing])
    steps: list[tuple[Key, Entity | None, Entity | None]] = []
    for key in sorted([*gone, *differing]):
        row, after = rows.get(key), wanted.get(key) if key in hashes else None
        before = decode_entity(kind, row.body) if row and row.body is not None else None
        steps.append((key, before, after))
        _note(municipality, institution, kind, key, before, after, row, encoded.get(key), into)
    return steps


def _note(
    municipality: str,
    institution: str,
    kind: Kind,
    key: Key,
    before: Entity | None,
    after: Entity | None,
    row: EntityRow | None,
    body: bytes | None,
    into: Detection,
) -> None:
    step = change(before, after)
    version = (row.version if row else 0) + (1 if step else 0)
    person, other = _look_up_columns(after or before)
    into.rows.append(
        EntityRow(
            kind=kind,
            key=key,
            institution=institution,
            id=row.id if row else canonical_id(municipality, kind, key),
            version=version,
            hash=hash_bytes(body) if body is not None else b"",
            body=body,
            person=person,
            other=other,
        )
    )
    if kind is Kind.CONTRIBUTION or step is None:
        return
    into.changes.append(step)
    into.versions[kind, key] = version
    if person is not None:
        into.people.add(person)
    if kind is Kind.AFFILIATION and step.operation is Operation.DELETED:
        into.gone_people.append(key[1])


def _look_up_columns(entity: Entity | None) -> tuple[str | None, str | None]:
    match entity:
        case Membership():
            return entity.user_id, join_key((entity.institution_number, entity.group_id))
        case Guardianship():
            return entity.child_user_id, entity.contact_user_id
        case Affiliation() | Contribution():
            return entity.user_id, None
        case _:
            return None, None


def _detect_people(
    reader: Reader,
    municipality: str,
    institution: str,
    contributions: Mapping[Key, Contribution | None],
    times: SourceTimes,
    into: Detection,
) -> None:
    """Merge anew everyone of whom a contribution changed, or may rank otherwise since a source's time moved."""
    shared = reader.shared_people(municipality, institution)
    affected = sorted({user_id for _, user_id in contributions} | shared)
    into.people.update(affected)
    heard = _contributions_of(reader, municipality, institution, affected, contributions)
    rows = reader.entities(municipality, Kind.PERSON, [(user_id,) for user_id in affected])
    for user_id in affected:
        key: Key = (user_id,)
        row, after = rows.get(key), merge(heard.get(user_id, ()), times)
        before = decode_entity(Kind.PERSON, row.body) if row and row.body is not None else None
        body = encode_entity(after) if after else None
        if (row and row.body) != body:
            _note(municipality, "", Kind.PERSON, key, before, after, row, body, into)


def _contributions_of(
    reader: Reader,
    municipality: str,
    institution: str,
    people: Iterable[str],
    new: Mapping[Key, Contribution | None],
) -> dict[str, list[Contribution]]:
    heard: dict[str, list[Contribution]] = {}
    for row in reader.entities_by_person(municipality, Kind.CONTRIBUTION, people):
        if (row.institution == institution and row.key in new) or row.body is None:
            continue
        stored = decode_entity(Kind.CONTRIBUTION, row.body)
        if isinstance(stored, Contribution):
            heard.setdefault(stored.user_id, []).append(stored)
    for contribution in new.values():
        if contribution is not None:
            heard.setdefault(contribution.user_id, []).append(contribution)
    return heard


@dataclass(frozen=True, slots=True)
class _Shield:
    """What a quarantined record protects: it never removes what is stored (events.md)."""

    people: frozenset[str] = frozenset()
    children: frozenset[str] = frozenset()
    contacts: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    joined: frozenset[str] = frozenset()
    protected: frozenset[str] = frozenset()

    @classmethod
    def of(cls, reader: Reader, municipality: str, found: Normalised) -> _Shield:
        if not found.quarantined:
            return cls()
        institution = found.header.institution_number
        own = {q.user_id for q in found.quarantined if q.user_id and q.reason != _INCOMPLETE_CONTACTS}
        people = own | _people_by_local_id(reader, municipality, found, found.quarantined)
        children = people | {q.user_id for q in found.quarantined if q.user_id}
        guarded = reader.entities_by_person(municipality, Kind.GUARDIANSHIP, children)
        joined = reader.entities_by_person(municipality, Kind.MEMBERSHIP, people)
        return cls(
            people=frozenset(people),
            children=frozenset(children),
            contacts=frozenset(row.other for row in guarded if row.institution == institution and row.other),
            groups=frozenset(q.group_id for q in found.quarantined if q.group_id),
            joined=frozenset(row.key[1] for row in joined if row.institution == institution),
            protected=_protected(reader, municipality, found),
        )

    def covers(self, kind: Kind, key: Key) -> bool:
        """Whether a stored entity that the snapshot does not show stays all the same."""
        match kind:
            case Kind.AFFILIATION:
                return key[1] in self.people
            case Kind.MEMBERSHIP:
                return key[2] in self.people
            case Kind.GUARDIANSHIP:
                return key[1] in self.children
            case Kind.CONTRIBUTION:
                return key[1] in self.people or key[1] in self.contacts
            case Kind.GROUP:
                return key[1] in self.groups or key[1] in self.joined
            case _:
                return False

    def keeps(self, kind: Kind, key: Key) -> bool:
        """Whether the stored state wins over what the snapshot seems to say: its own record was unusable."""
        return kind is Kind.GROUP and key[1] in self.groups


def _people_by_local_id(
    reader: Reader, municipality: str, found: Normalised, quarantined: Iterable[Quarantined]
) -> set[str]:
    """Find who records without identity were the last time, by source and LocalPersonId.

    One without a LocalPersonId may be any of its source's people who had none and are missing now.
    """
    lost = {(q.source or "", q.local_person_id or "") for q in quarantined if not q.user_id and not q.group_id}
    if not lost:
        return set()
    heard = {key[1] for key in found.entities[Kind.CONTRIBUTION]}
    keys = reader.hashes(municipality, found.header.institution_number, Kind.CONTRIBUTION)
    rows = reader.entities(municipality, Kind.CONTRIBUTION, keys)
    people = set()
    for row in rows.values():
        entity = decode_entity(Kind.CONTRIBUTION, row.body) if row.body is not None else None
        for _, local_id in lost.intersection(entity.records if isinstance(entity, Contribution) else ()):
            if local_id or row.key[1] not in heard:
                people.add(row.key[1])
    return people


def _protected(reader: Reader, municipality: str, found: Normalised) -> frozenset[str]:
    """Whom a record that is otherwise unusable states to be protected."""
    stating = [q for q in found.quarantined if q.protected]
    named = {q.user_id for q in stating if q.user_id}
    return frozenset(named | _people_by_local_id(reader, municipality, found, stating))


def _still_protected(reader: Reader, municipality: str, wanted: Mapping[Key, Entity]) -> dict[Key, Entity]:
    """What is wanted, with every protection that is stored, whichever institution stated it.

    The snapshot cannot say that one has ended, and who comes from another institution brings it along.
    """
    users = {key[1] for key in wanted}
    stated: dict[str, list[Person]] = {}
    for row in reader.entities_by_person(municipality, Kind.CONTRIBUTION, users):
        before = decode_entity(Kind.CONTRIBUTION, row.body) if row.body is not None else None
        if isinstance(before, Contribution):
            stated.setdefault(row.key[1], []).append(before.person)
    kept = dict(wanted)
    for key, contribution in wanted.items():
        if key[1] in stated and isinstance(contribution, Contribution):
            kept[key] = replace(contribution, person=united(contribution.person, stated[key[1]]))
    return kept


def _shielded(
    reader: Reader, municipality: str, institution: str, wanted: Mapping[Key, Entity], shield: _Shield
) -> dict[Key, Entity]:
    """What is wanted, and what stays, of the people whom unusable records are about.

    Protection can only be raised, and a record stays known as theirs until it can be used again.
    """
    keys = [(institution, user_id) for user_id in shield.people | shield.protected]
    stored = reader.entities(municipality, Kind.CONTRIBUTION, keys)
    raised = dict(wanted)
    for key in keys:
        row = stored.get(key)
        before = decode_entity(Kind.CONTRIBUTION, row.body) if row and row.body is not None else None
        contribution = wanted.get(key, before)
        if isinstance(contribution, Contribution):
            known = before.records if isinstance(before, Contribution) else ()
            person = contribution.person
            raised[key] = replace(
                contribution,
                person=replace(person, protected=person.protected or key[1] in shield.protected),
                records=tuple(sorted({*contribution.records, *known})),
            )
    return raised
