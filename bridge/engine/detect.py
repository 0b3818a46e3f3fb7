"""Stored state against a snapshot's entities, by hash: what was created, updated and deleted, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
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
)
from bridge.domain.ids import Key, canonical_id, join_key
from bridge.domain.privacy import exposes
from bridge.engine.codec import decode_entity, encode_entity, hash_entity
from bridge.engine.merge import SourceTimes, merge
from bridge.engine.normalise import Normalised
from bridge.engine.shield import Shield, shielded, still_protected
from bridge.engine.words import protection, words
from bridge.ports import EntityRow, Reader, Subject

_SCOPED = (
    Kind.INSTITUTION,
    Kind.GROUP,
    Kind.AFFILIATION,
    Kind.GUARDIANSHIP,
    Kind.MEMBERSHIP,
    Kind.CONTRIBUTION,
)


@dataclass(slots=True)
class Detection:
    """What a snapshot would do: changes to report, rows to store, and how much was there before.

    `stored`, `gone`, `created` and `updated` count by label: the kind, with its role for affiliations
    ("affiliation.student"). `row_of` is the row of each change. `people` are the user ids whose view at a target
    may differ, changed or not.
    For persons, `stored` is how many were known before of whom the institution tells; `newcomers` are those of
    whom it did not. `hiding` are those of whom more, less or something else is stated to be protected than
    before, and whether anything is. `unprotected` is how many people show what was hidden before.
    """

    changes: list[Change] = field(default_factory=list)
    rows: list[EntityRow] = field(default_factory=list)
    row_of: dict[Subject, EntityRow] = field(default_factory=dict)
    stored: Counter[str] = field(default_factory=Counter)
    gone: Counter[str] = field(default_factory=Counter)
    created: Counter[str] = field(default_factory=Counter)
    updated: Counter[str] = field(default_factory=Counter)
    unprotected: int = 0
    gone_people: list[str] = field(default_factory=list)
    hiding: dict[str, bool] = field(default_factory=dict)
    newcomers: set[str] = field(default_factory=set)
    people: set[str] = field(default_factory=set)

    @property
    def deletions(self) -> list[Subject]:
        """What of the institution's own would go, contributions included."""
        return [(row.kind, row.key) for row in self.rows if row.body is None and row.kind is not Kind.PERSON]


def detect(
    reader: Reader, municipality: str, found: Normalised, times: SourceTimes, kept: Collection[Subject] = ()
) -> Detection:
    """Compare one institution's snapshot with the stored state of the municipality.

    `times` are the source times after this snapshot, for the merge of persons. What is `kept` stays, though the
    snapshot does not show it.
    """
    detection = Detection()
    institution = found.header.institution_number
    shield = Shield.of(reader, municipality, found, kept)
    contributions: dict[Key, Contribution | None] = {}
    for kind in _SCOPED:
        wanted = found.entities[kind]
        if kind is Kind.INSTITUTION:
            wanted = _described(reader, municipality, wanted)
        if kind is Kind.CONTRIBUTION:
            if not found.header.states_protection:
                wanted = still_protected(reader, municipality, wanted)
            wanted = shielded(reader, municipality, institution, wanted, shield)
        steps = _steps(reader, municipality, institution, kind, wanted, shield, detection)
        if kind is Kind.CONTRIBUTION:
            contributions = {key: _as_contribution(after) for key, _, after in steps}
    _detect_people(reader, municipality, institution, contributions, times, detection)
    return _sorted(detection)


def remove(
    reader: Reader, municipality: str, institution: str, subjects: Collection[Subject], times: SourceTimes
) -> Detection:
    """What happens when these of an institution's entities go, and nothing else does."""
    detection = Detection()
    lost: dict[Key, Contribution | None] = {}
    for kind in _SCOPED:
        rows = reader.entities(municipality, kind, [key for what, key in subjects if what is kind])
        for key, row in sorted(rows.items()):
            if row.body is not None:
                _note(
                    municipality, institution, kind, key, decode_entity(kind, row.body), None, row, None, detection
                )
                if kind is Kind.CONTRIBUTION:
                    lost[key] = None
    _detect_people(reader, municipality, institution, lost, times, detection)
    return _sorted(detection)


def protect(
    reader: Reader, municipality: str, institution: str, raised: Mapping[Key, Contribution], times: SourceTimes
) -> Detection:
    """What happens when these of an institution's contributions are as given, and everything else as it was."""
    detection = Detection()
    detection.stored[label_of(Kind.CONTRIBUTION, ())] = len(
        reader.hashes(municipality, institution, Kind.CONTRIBUTION)
    )
    rows = reader.entities(municipality, Kind.CONTRIBUTION, raised)
    told: dict[Key, Contribution | None] = {}
    for key, contribution in sorted(raised.items()):
        row, body = rows.get(key), encode_entity(contribution)
        if row is None or row.body != body:
            before = decode_entity(Kind.CONTRIBUTION, row.body) if row and row.body is not None else None
            _note(municipality, institution, Kind.CONTRIBUTION, key, before, contribution, row, body, detection)
            told[key] = contribution
    _detect_people(reader, municipality, institution, told, times, detection)
    return _sorted(detection)


def _sorted(detection: Detection) -> Detection:
    detection.changes.sort(key=lambda c: (KIND_RANK[c.kind], c.key))
    return detection


def withheld_with(
    reader: Reader,
    municipality: str,
    institution: str,
    deletions: Collection[Subject],
    people: Collection[str],
    groups: Collection[str],
) -> tuple[Subject, ...]:
    """Those of these deletions that must wait so that these people and groups stay as they are stored.

    With a pupil stay memberships and the groups they are in, guardianships and the contacts they name.
    """
    shield = Shield.around(reader, municipality, institution, frozenset(people), frozenset(people), groups)
    return tuple(sorted(subject for subject in deletions if shield.covers(*subject)))


def concerned(subject: Subject) -> str | None:
    """The user id that a deletion is about first of all, None for a group or an institution."""
    kind, key = subject
    match kind:
        case Kind.AFFILIATION | Kind.GUARDIANSHIP | Kind.CONTRIBUTION:
            return key[1]
        case Kind.MEMBERSHIP:
            return key[2]
        case Kind.PERSON:
            return key[0]
        case _:
            return None


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


def label_of(kind: Kind, key: Key) -> str:
    """What an entity is counted as by the guard."""
    return f"{kind}.{key[-1]}" if kind is Kind.AFFILIATION else str(kind)


def _steps(
    reader: Reader,
    municipality: str,
    institution: str,
    kind: Kind,
    wanted: Mapping[Key, Entity],
    shield: Shield,
    into: Detection,
) -> list[tuple[Key, Entity | None, Entity | None]]:
    """Find the keys of one kind whose stored hash differs and note change, row and version of each."""
    stored = reader.hashes(municipality, institution, kind)
    encoded = {key: encode_entity(entity) for key, entity in wanted.items()}
    hashes = {key: hash_entity(body) for key, body in encoded.items()}
    gone = [key for key in stored.keys() - hashes.keys() if not shield.covers(kind, key)]
    differing = [
        key
        for key, digest in hashes.items()
        if stored.get(key) != digest and not (key in stored and shield.keeps(kind, key))
    ]
    for key in stored:
        into.stored[label_of(kind, key)] += 1
    rows = reader.entities(municipality, kind, [*gone, *differing])
    steps: list[tuple[Key, Entity | None, Entity | None]] = []
    for key in sorted([*gone, *differing]):
        row, after = rows.get(key), wanted.get(key) if key in hashes else None
        before = decode_entity(kind, row.body) if row and row.body is not None else None
        steps.append((key, before, after))
        if after is None and not (isinstance(before, Contribution) and before.is_protection_only):
            into.gone[label_of(kind, key)] += 1
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
    if step is not None and step.operation is not Operation.DELETED:
        counted = into.created if step.operation is Operation.CREATED else into.updated
        counted[label_of(kind, key)] += 1
    version = (row.version if row else 0) + (1 if step else 0)
    person, other = _look_up_columns(after or before)
    new = EntityRow(
        kind=kind,
        key=key,
        institution=institution,
        id=row.id if row else canonical_id(municipality, kind, key),
        version=version,
        hash=hash_entity(body) if body is not None else b"",
        body=body,
        person=person,
        other=other,
    )
    into.rows.append(new)
    if kind is Kind.CONTRIBUTION and before is None:
        into.newcomers.add(key[1])
    if kind is Kind.CONTRIBUTION or step is None:
        return
    into.changes.append(step)
    into.row_of[kind, key] = new
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
    told = words(reader, municipality, affected)
    heard = _heard(told, institution, contributions)
    rows = reader.entities(municipality, Kind.PERSON, [(user_id,) for user_id in affected])
    known = sum(row.body is not None and key[0] in into.newcomers for key, row in rows.items())
    into.stored[label_of(Kind.PERSON, ())] = into.stored[label_of(Kind.CONTRIBUTION, ())] + known
    for user_id in affected:
        key: Key = (user_id,)
        row, after = rows.get(key), merge(heard[user_id], times)
        before = decode_entity(Kind.PERSON, row.body) if row and row.body is not None else None
        body = encode_entity(after) if after else None
        stated, now_stated = protection(told[user_id]), protection(heard[user_id])
        if stated != now_stated:
            into.hiding[user_id] = bool(now_stated.fields)
            into.unprotected += before is not None and after is not None and exposes(stated, after)
        if (row and row.body) != body:
            _note(municipality, "", Kind.PERSON, key, before, after, row, body, into)


def _heard(
    told: Mapping[str, Sequence[Contribution]], institution: str, new: Mapping[Key, Contribution | None]
) -> dict[str, list[Contribution]]:
    """What everybody says once the institution says this."""
    heard = {
        user: [one for one in said if one.institution_number != institution or one.key not in new]
        for user, said in told.items()
    }
    for one in new.values():
        if one is not None:
            heard[one.user_id].append(one)
    return heard
