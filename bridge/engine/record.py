"""One transaction: entity state, event log, what every target should have, and the audit of all that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import msgspec

from bridge.domain.changes import Change, Operation
from bridge.domain.entities import KIND_RANK, MAPPED_KINDS, Kind
from bridge.domain.events import NEVER_LOGGED, Event, event_subject, event_type
from bridge.domain.ids import CanonicalId, Key, name_uuid
from bridge.domain.lazily import Lazily
from bridge.domain.records import Header
from bridge.domain.tracing import trace_id
from bridge.engine.aside import put_aside
from bridge.engine.audit import AuditBook
from bridge.engine.codec import identity_fields, logged_fields
from bridge.engine.desire import Occasion, Rendering, desire
from bridge.engine.detect import Detection
from bridge.engine.leavers import Leaving
from bridge.engine.masking import masks, protect
from bridge.engine.normalise import Normalised
from bridge.ports import RESTING, EntityRow, InstitutionState, QuarantineRow, Reader, Run, Subject, UnitOfWork

_EVENT_NAMESPACE = UUID("0e6a9c58-3f0f-5e0b-8d0e-1f6f0c6b7a52")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was written: the changes, and the last sequence number of the log."""

    changes: Sequence[Change]
    last_sequence: int


def record(
    uow: UnitOfWork,
    municipality: str,
    found: Normalised,
    detection: Detection,
    renderings: Sequence[Rendering],
    run: Run,
    book: AuditBook,
    grace: timedelta = timedelta(0),
    *,
    is_cleared: bool = False,
    is_roll: bool = False,
) -> Recorded:
    """Write everything that a passed snapshot brings, in the caller's transaction.

    A person who goes stays at targets for `grace`. No limit of a target stops what is cleared by a person, nor
    what the first snapshot of an institution brings into being, nor what goes with a school year that may begin.
    """
    institution = found.header.institution_number
    is_first = uow.institution_state(municipality, institution) is None
    cleared = frozenset((c.kind, c.key) for c in detection.changes if _is_clear(c, is_first, is_roll))
    occasion = Occasion(grace=grace, is_cleared=is_cleared, cleared=cleared, cause=run.id)
    # First, for where a target sees a part of the institutions, the source times rank what they say.
    uow.put_institution_state(_state(municipality, found.header, run))
    recorded = _record(uow, municipality, institution, detection, renderings, run, occasion)
    put_aside(uow, municipality, institution, quarantine_rows(municipality, found, run.id))
    uow.add_run(run)
    book.write(uow, [_audit_record("snapshot.recorded", municipality, institution, recorded, run)])
    return recorded


def record_part(
    uow: UnitOfWork,
    municipality: str,
    institution: str,
    detection: Detection,
    renderings: Sequence[Rendering],
    run: Run,
    book: AuditBook,
    grace: timedelta,
    told: str,
) -> Recorded:
    """Write what does not wait for its whole snapshot, in the caller's transaction; no limit of a target stops it.

    `told` names it in the audit.
    """
    occasion = Occasion(grace=grace, is_cleared=True, cause=run.id)
    recorded = _record(uow, municipality, institution, detection, renderings, run, occasion)
    uow.add_run(run)
    book.write(uow, [_audit_record(told, municipality, institution, recorded, run)])
    return recorded


def _record(
    uow: UnitOfWork,
    municipality: str,
    institution: str,
    detection: Detection,
    renderings: Sequence[Rendering],
    run: Run,
    occasion: Occasion,
) -> Recorded:
    uow.put_entities(municipality, detection.rows)
    last = uow.append_events(municipality, events(municipality, institution, detection, run))
    subjects = affected(uow, municipality, detection)
    changed = frozenset((change.kind, change.key) for change in detection.changes)
    hiding = frozenset((user_id,) for user_id in detection.hiding)
    new = {c.key for c in detection.changes if c.kind is Kind.PERSON and c.operation is Operation.CREATED}
    for rendering in renderings:
        if uow.target_state(rendering.target).rendering != rendering.digest:
            # Refresh renders everything, or holds it: until then these wait with the mapping.
            uow.count_changes(rendering.target, accepted=len(changed), unapplied=len(changed))
            shown = hiding | {key for kind, key in changed if kind is Kind.PERSON}
            protect(uow, rendering, shown, run.at, cause=run.id)
            continue
        urgent = (hiding - new) | _known(uow, rendering, hiding & new)
        here = replace(occasion, changed=changed, urgent=urgent)
        stepped = desire(uow, rendering, subjects, run.at, here)
        _hasten(uow, rendering, ((user_id,) for user_id, is_any in detection.hiding.items() if is_any), run)
        account(uow, rendering, detection.changes, subjects, stepped)
    _owe(uow, municipality, renderings, len(changed))
    return Recorded(detection.changes, last)


def _owe(uow: UnitOfWork, municipality: str, renderings: Sequence[Rendering], number: int) -> None:
    """Count what a target misses that is not configured now: should it come back, all of it is rendered anew."""
    configured = {rendering.target for rendering in renderings}
    for state in uow.target_states():
        is_here = state.target.partition("/")[0] == municipality
        if is_here and state.target not in configured and state.rendering is not None:
            uow.count_changes(state.target, accepted=number, unapplied=number)


def _hasten(uow: UnitOfWork, rendering: Rendering, urgent: Iterable[Key], run: Run) -> None:
    """Who is protected now and rests at a target that shows them is looked at at once, and rests on after that."""
    rows = (uow.delivery(rendering.target, rendering.scope.id(Kind.PERSON, key)) for key in urgent)
    waiting = [row for row in rows if row is not None and (row.is_due or row.state == "rejected")]
    resting = [row for row in waiting if row.desired is None or row.reason in RESTING]
    shown = masks(uow, rendering, Leaving(), resting)
    woken = [row for row in resting if row.id in shown]
    uow.put_deliveries([replace(row, next_attempt_at=run.at, state="pending") for row in woken])
    uow.set_cause(rendering.target, [row.id for row in woken], run.id)


def _is_clear(step: Change, is_first: bool, is_roll: bool) -> bool:
    if step.operation is Operation.CREATED:
        return is_first
    return is_roll and step.operation is Operation.DELETED


def _known(reader: Reader, rendering: Rendering, people: Iterable[Key]) -> frozenset[Key]:
    rows = (reader.delivery(rendering.target, rendering.scope.id(Kind.PERSON, key)) for key in people)
    return frozenset(row.key for row in rows if row is not None and (row.confirmed_body or row.in_doubt))


def account(
    uow: UnitOfWork,
    rendering: Rendering,
    changes: Collection[Change],
    subjects: Mapping[Kind, Collection[Key]],
    stepped: Collection[CanonicalId],
) -> None:
    """Write down where each change went: into a step of its own entity or one that shows it, or nowhere."""
    carried: Counter[CanonicalId] = Counter()
    filtered = 0
    for change in changes:
        if rendering.scope.id(change.kind, change.key) in stepped:
            continue  # the step has counted it
        others = (rendering.scope.id(*subject) for subject in _shown_by(change, subjects))
        bearer = next((other for other in others if other in stepped), None)
        if bearer is None:
            filtered += 1
        else:
            carried[bearer] += 1
    uow.count_changes(rendering.target, accepted=len(changes), filtered=filtered)
    if carried:
        uow.carry(rendering.target, carried)


def _shown_by(change: Change, subjects: Mapping[Kind, Collection[Key]]) -> Iterator[Subject]:
    """The other entities whose bodies may show it."""
    match change.kind:
        case Kind.INSTITUTION if change.operation is Operation.UPDATED:  # its name stands beside the groups'
            for kind in (Kind.GROUP, Kind.TEACHING):
                yield from ((kind, key) for key in sorted(subjects[kind]) if key[0] == change.key[0])
        case Kind.GROUP:
            yield Kind.TEACHING, change.key
        case Kind.MEMBERSHIP:
            yield Kind.GROUP, change.key[:2]
            yield Kind.TEACHING, change.key[:2]
        case Kind.AFFILIATION:
            yield Kind.PERSON, (change.key[1],)
        case _:
            pass


def _state(municipality: str, header: Header, run: Run) -> InstitutionState:
    return InstitutionState(
        municipality=municipality,
        institution=header.institution_number,
        digest=run.digest or "",
        export_time=header.export_time,
        source_times=header.source_times,
        recorded_at=run.at,
        run=run.id,
        school_years={name: source.school_year for name, source in header.newest.items()},
    )


def _audit_record(
    kind: str, municipality: str, institution: str, recorded: Recorded, run: Run
) -> dict[str, object]:
    """What was changed by number and kind, and which events tell it: the log may be compacted one day."""
    changes = recorded.changes
    counted = Counter(f"{change.kind}.{change.operation}" for change in changes)
    numbers = {"first_event": recorded.last_sequence - len(changes) + 1, "last_event": recorded.last_sequence}
    return {
        "kind": kind,
        "municipality": municipality,
        "institution": institution,
        "cause": run.id,
        "trace": trace_id(run.id),
        "changes": len(changes),
        "counted": [f"{label} {number}" for label, number in sorted(counted.items())],
        **(numbers if changes else {}),
        "quarantined": run.quarantined,
    }


def quarantine_rows(municipality: str, found: Normalised, run: str) -> list[QuarantineRow]:
    """What of a snapshot could not be used, and what was odd, as rows without personal values."""
    institution = found.header.institution_number
    bad = [
        QuarantineRow(
            municipality, institution, q.path, q.reason, q.user_id, q.local_person_id, "quarantined", run
        )
        for q in found.quarantined
    ]
    odd = [
        QuarantineRow(municipality, institution, n.path, n.reason, None, None, "noted", run) for n in found.noted
    ]
    return bad + odd


# ---------------------------------------------------------------- events


def events(municipality: str, institution: str, detection: Detection, run: Run) -> Sequence[Event]:
    """The events of a snapshot's changes, creations in dependency order, deletions last and reversed.

    Each is made when it is asked for: while the database takes in one the next is made.
    """
    gone = [change for change in detection.changes if change.operation is Operation.DELETED]
    living = [change for change in detection.changes if change.operation is not Operation.DELETED]
    gone.sort(key=lambda change: (-KIND_RANK[change.kind], change.key))
    ordered = [*living, *gone]  # detection is in dependency order already

    def event(change: Change) -> Event:
        return _event(municipality, institution, change, detection.row_of[change.kind, change.key], run)

    return Lazily(ordered, event)


def _event(municipality: str, institution: str, change: Change, row: EntityRow, run: Run) -> Event:
    subject = event_subject(change.kind, row.id)
    return Event(
        sequence=0,
        id=name_uuid(_EVENT_NAMESPACE, f"{municipality}/{subject}/{row.version}/{run.id}"),
        type=event_type(change.kind, change.operation),
        municipality=municipality,
        institution=institution,
        subject=subject,
        key=change.key,
        version=row.version,
        time=run.at,
        cause=run.id,
        data=msgspec.json.encode(_data(row.id, change)),
    )


def _data(identity: str, change: Change) -> dict[str, object]:
    """Full state; on an update also what changed and its old values; on a deletion identifiers only.

    The values of fields that no event carries are left out; that they changed is told.
    """
    if change.after is None:
        return {"object": {"id": identity, **identity_fields(change.kind, change.key)}}
    data: dict[str, object] = {"object": {"id": identity, **logged_fields(change.after)}}
    if change.before is not None:
        before = logged_fields(change.before)
        data["changed"] = list(change.fields)
        data["previous"] = {n: before[n] for n in change.fields if n not in NEVER_LOGGED}
    return data


# ---------------------------------------------------------------- what a target's view depends on


def affected(uow: UnitOfWork, municipality: str, detection: Detection) -> Mapping[Kind, set[Key]]:
    """Every entity whose view may have changed: the changed ones and those that show them."""
    subjects: dict[Kind, set[Key]] = {kind: set() for kind in MAPPED_KINDS}
    for change in detection.changes:
        subjects[change.kind].add(change.key)
        if change.kind is Kind.MEMBERSHIP:
            subjects[Kind.GROUP].add(change.key[:2])
        if change.kind is Kind.INSTITUTION:
            subjects[Kind.GROUP].update(uow.hashes(municipality, change.key[0], Kind.GROUP))
    subjects[Kind.PERSON].update((user_id,) for user_id in detection.people)
    worn = uow.entities_by_person(municipality, Kind.AFFILIATION, detection.hiding) if detection.hiding else ()
    subjects[Kind.AFFILIATION].update(row.key for row in worn if row.body is not None)
    subjects[Kind.TEACHING] |= subjects[Kind.GROUP]
    subjects[Kind.MUNICIPALITY] |= {(municipality,)} if subjects[Kind.INSTITUTION] else set()
    return subjects
