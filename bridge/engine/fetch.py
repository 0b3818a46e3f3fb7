"""Snapshots come in one by one; each ends recorded, unchanged, held or refused, and none ends silently."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from bridge.connector import SnapshotSource, SourceFailure
from bridge.domain.errors import AgreementMissing, SnapshotInvalid, SourceError, SourceUnavailable
from bridge.domain.records import Snapshot
from bridge.engine.audit import AuditBook
from bridge.engine.desire import Rendering
from bridge.engine.detect import Detection, detect
from bridge.engine.guard import OF_THE_TIME, REJECTED, WRONG_INSTITUTION, GuardPolicy, held_for
from bridge.engine.normalise import Normalised, normalise
from bridge.engine.oddities import renamed
from bridge.engine.record import record
from bridge.observe import LogEvent, log
from bridge.ports import Hold, InstitutionState, Run, Store, UnitOfWork

_SOON = timedelta(days=1)
_DECIDED = ("open", "approved", "rejected")
READER_ERROR = "reader_error"
"""A bug of a connector."""


@dataclass(frozen=True, slots=True)
class Intake:
    """All that the way from a source to the state needs, for one municipality."""

    municipality: str
    institutions: frozenset[str] | None
    store: Store
    source: SnapshotSource
    policy: GuardPolicy
    renderings: Sequence[Rendering]
    book: AuditBook
    now: Callable[[], datetime]
    new_id: Callable[[], str]


class Witness(Protocol):
    """Whoever is told what became of a snapshot (logs, metrics, a progress line)."""

    def run_ended(self, run: Run, detection: Detection | None) -> None: ...


class Listener:
    """A witness that only remembers what became of each snapshot, and which sources answer again."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.recovered: list[str] = []

    def run_ended(self, run: Run, detection: Detection | None) -> None:
        self.runs.append(run)

    def source_recovered(self, municipality: str) -> None:
        self.recovered.append(municipality)


def fetch(intake: Intake, witness: Witness) -> int:
    """Bring everything that the source has now to its end; return how many snapshots were seen.

    Raises `SourceUnavailable` when the source as a whole is away.
    """
    seen = 0
    for found in intake.source.snapshots():
        seen += 1
        if isinstance(found, SourceFailure):
            note_failure(intake, found.institution, found.error, found.origin, witness)
        else:
            take(intake, found, witness)
            put_away(intake, found, witness)
    return seen


def put_away(intake: Intake, snapshot: Snapshot, witness: Witness) -> None:
    """Tell the source that it may put the snapshot away; that it cannot stops no other institution."""
    try:
        intake.source.taken(snapshot)
    except SourceUnavailable as error:
        note_failure(intake, snapshot.expected_institution, error, snapshot.origin, witness)


def take(intake: Intake, snapshot: Snapshot, witness: Witness, approved: Hold | None = None) -> Run:
    """Bring one snapshot to its end and return the record of that."""
    if approved is None and (short := _seen_before(intake, snapshot)) is not None:
        witness.run_ended(short, None)
        return short
    try:
        found = normalise(intake.source.parse(snapshot))
    except SnapshotInvalid as error:
        return note_failure(intake, snapshot.expected_institution, error, snapshot.origin, witness)
    except Exception as error:  # a bug of the reader, which may be anybody's, stops this document only
        log.emit(LogEvent.LOOP_FAILED, loop=f"intake/{intake.municipality}", error=error)
        unread = SnapshotInvalid(READER_ERROR)
        return note_failure(intake, snapshot.expected_institution, unread, snapshot.origin, witness)
    with intake.store.write() as uow:
        run, detection = _decide(uow, intake, snapshot, found, approved)
    witness.run_ended(run, detection)
    return run


# ---------------------------------------------------------------- deciding


def _decide(
    uow: UnitOfWork, intake: Intake, snapshot: Snapshot, found: Normalised, approved: Hold | None
) -> tuple[Run, Detection]:
    number = found.header.institution_number
    states = _states(uow, intake.municipality)
    detection = detect(uow, intake.municipality, found, _times(states, found))
    reasons = held_for(
        intake.policy,
        found,
        snapshot.expected_institution,
        intake.institutions,
        states.get(number),
        detection,
        intake.now(),
    )
    if not set(reasons) <= set(approved.reasons if approved else ()):
        return _hold(uow, intake, snapshot, found, reasons, detection, approved), detection
    run = replace(
        _run(intake, number, "recorded", snapshot.origin, snapshot.digest),
        changes=len(detection.changes),
        quarantined=len(found.quarantined),
        export_time=found.header.export_time,
        sources=found.header.sources,
    )
    found = replace(found, noted=(*found.noted, *renamed(detection.changes)))
    record(uow, intake.municipality, found, detection, intake.renderings, run, intake.book)
    _settle_holds(uow, intake, {number, snapshot.expected_institution or number}, approved)
    return run, detection


def _states(uow: UnitOfWork, municipality: str) -> dict[str, InstitutionState]:
    return {s.institution: s for s in uow.institution_states() if s.municipality == municipality}


def _times(states: dict[str, InstitutionState], found: Normalised) -> dict[str, dict[str, datetime]]:
    """The source times of every institution as they will be after this snapshot."""
    times = {number: dict(state.source_times) for number, state in states.items()}
    times[found.header.institution_number] = found.header.source_times
    return times


def _seen_before(intake: Intake, snapshot: Snapshot) -> Run | None:
    """The end of a snapshot that brings nothing new: recorded last time, or held or rejected already."""
    with intake.store.write() as uow:
        for state in uow.institution_states():
            is_asked_for = snapshot.expected_institution in (None, state.institution)
            if is_asked_for and (state.municipality, state.digest) == (intake.municipality, snapshot.digest):
                return _unchanged(uow, intake, snapshot, state)
        for hold in uow.holds(_DECIDED):
            is_asked_for = snapshot.expected_institution in (None, hold.institution)
            if is_asked_for and not OF_THE_TIME.issuperset(hold.reasons) and _is_same(intake, hold, snapshot):
                return _held_again(uow, intake, snapshot, hold)
    return None


def _unchanged(uow: UnitOfWork, intake: Intake, snapshot: Snapshot, state: InstitutionState) -> Run:
    """The content is known, and now also that it is no older than this export."""
    run = replace(
        _run(intake, state.institution, "unchanged", snapshot.origin, snapshot.digest),
        export_time=snapshot.export_time,
    )
    uow.add_run(run)
    at = snapshot.export_time
    if at is not None and state.export_time < at <= intake.now() + _SOON:
        uow.put_institution_state(replace(state, export_time=at))
    _settle_holds(uow, intake, {state.institution}, None, ("open",))  # whatever it was is over
    return run


def _is_same(intake: Intake, hold: Hold, snapshot: Snapshot) -> bool:
    return (hold.municipality, hold.digest) == (intake.municipality, snapshot.digest)


def _held_again(uow: UnitOfWork, intake: Intake, snapshot: Snapshot, hold: Hold) -> Run:
    """The end of a snapshot that a hold is open for, or that a person has rejected: nobody is asked anew."""
    result, reason = ("refused", REJECTED) if hold.state == "rejected" else ("held", hold.reasons[0])
    run = replace(_run(intake, hold.institution, result, snapshot.origin, snapshot.digest), reason=reason)
    uow.add_run(run)
    return run


# ---------------------------------------------------------------- holding


def _hold(
    uow: UnitOfWork,
    intake: Intake,
    snapshot: Snapshot,
    found: Normalised,
    reasons: tuple[str, ...],
    detection: Detection,
    approved: Hold | None,
) -> Run:
    institution = snapshot.expected_institution or found.header.institution_number
    at = intake.now()
    for hold in uow.holds(_DECIDED) if approved is None else ():
        if _is_same(intake, hold, snapshot) and (hold.institution, set(hold.reasons)) == (
            institution,
            set(reasons),
        ):
            return _held_again(uow, intake, snapshot, hold)
    if approved is not None:
        uow.set_hold_state(approved.id, "superseded", approved.decided_by, at)
    number = uow.add_hold(
        Hold(
            id=0,
            municipality=intake.municipality,
            institution=institution,
            subject="snapshot",
            target=None,
            digest=snapshot.digest,
            reasons=reasons,
            counts=hold_counts(detection),
            people=tuple(sorted(set(detection.gone_people))),
            state="open",
            opened_at=at,
            origin=snapshot.origin,
        ),
        snapshot.body,
    )
    run = replace(
        _run(intake, institution, "held", snapshot.origin, snapshot.digest),
        reason=reasons[0],
        export_time=found.header.export_time,
        sources=found.header.sources,
    )
    uow.add_run(run)
    intake.book.write(
        uow,
        [
            {
                "kind": "hold.opened",
                "hold": number,
                "municipality": intake.municipality,
                "institution": institution,
                "reasons": list(reasons),
            }
        ],
    )
    return run


def hold_counts(detection: Detection) -> dict[str, int]:
    """How many of each kind would be created, updated and deleted, and how many are stored."""
    counts: dict[str, int] = {}
    for change in detection.changes:
        label = f"{change.kind}.{change.operation}"
        counts[label] = counts.get(label, 0) + 1
    counts.update(
        {f"{label}.stored": number for label, number in detection.stored.items() if label != "contribution"}
    )
    return counts


def _settle_holds(
    uow: UnitOfWork,
    intake: Intake,
    institutions: set[str],
    approved: Hold | None,
    states: Sequence[str] = ("open", "approved"),
) -> None:
    """A good snapshot ends the holds of its institution: the approved one is applied, others are superseded."""
    at = intake.now()
    for hold in uow.holds(states):
        if hold.subject != "snapshot" or hold.municipality != intake.municipality:
            continue
        if approved is not None and hold.id == approved.id:
            uow.set_hold_state(hold.id, "applied", hold.decided_by, at)
        elif hold.institution in institutions:
            uow.set_hold_state(hold.id, "superseded", None, at)


def apply_approved(intake: Intake, witness: Witness) -> int:
    """Let the snapshots through that a person has approved, from their stored bytes; return how many."""
    with intake.store.read() as reader:
        waiting = [
            (hold, body)
            for hold in reader.holds(("approved",))
            if hold.municipality == intake.municipality
            and hold.subject == "snapshot"
            and (body := reader.hold_body(hold.id)) is not None
        ]
    for hold, body in waiting:
        expected = None if WRONG_INSTITUTION in hold.reasons else hold.institution
        snapshot = Snapshot(body, hold.digest, hold.origin or f"hold {hold.id}", expected)
        if take(intake, snapshot, witness, approved=hold).result == "refused":  # it cannot be read any more
            with intake.store.write() as uow:
                uow.set_hold_state(hold.id, "superseded", hold.decided_by, intake.now())
    return len(waiting)


# ---------------------------------------------------------------- failures


def note_failure(
    intake: Intake,
    institution: str | None,
    error: SourceError,
    origin: str | None,
    witness: Witness,
    reason: str | None = None,
) -> Run:
    """A snapshot that could not be had or read is told; what is stored stays as it was.

    `reason` is a code that says more than the error's own.
    """
    result = "refused" if isinstance(error, SnapshotInvalid) else "failed"
    run = replace(_run(intake, institution, result, origin, None), reason=reason or failure_code(error))
    with intake.store.write() as uow:
        uow.add_run(run)
    witness.run_ended(run, None)
    return run


def failure_code(error: SourceError) -> str:
    """Return the stable code of a failure."""
    if isinstance(error, SnapshotInvalid):
        return error.code
    if isinstance(error, AgreementMissing):
        return "agreement_missing"
    code, colon, _ = str(error).partition(":")  # "code: what to do", by the connectors' habit
    return code if colon and re.fullmatch("[a-z0-9_]{1,40}", code) else "source_unavailable"


def _run(intake: Intake, institution: str | None, result: str, origin: str | None, digest: str | None) -> Run:
    return Run(
        id=intake.new_id(),
        municipality=intake.municipality,
        institution=institution,
        at=intake.now(),
        result=result,
        reason=None,
        origin=origin,
        digest=digest,
    )
