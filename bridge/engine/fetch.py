"""Snapshots come in one by one; each ends recorded, unchanged, held or refused, and none ends silently."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from bridge.connector import SnapshotSource, SourceFailure
from bridge.domain.changes import Operation
from bridge.domain.entities import Kind
from bridge.domain.errors import AgreementMissing, SnapshotInvalid, SourceError, SourceUnavailable, StoreError
from bridge.domain.records import Snapshot
from bridge.engine.audit import AuditBook
from bridge.engine.decide import NotOpen, agreed_part
from bridge.engine.desire import Rendering
from bridge.engine.detect import Detection, detect, label_of, protect, remove, withheld_with
from bridge.engine.expect import open_windows
from bridge.engine.guard import (
    OF_THE_TIME,
    REJECTED,
    SAME_TIME,
    SHRUNKEN,
    UNPROTECTED,
    WRONG_INSTITUTION,
    GuardPolicy,
    Situation,
    exceeded,
    held_for,
    is_part,
    rolls,
)
from bridge.engine.holding import (
    BODY_GONE,
    DELETIONS,
    OF_THE_DOCUMENT,
    SNAPSHOT,
    UNREADABLE,
    Leavers,
    Place,
    hold_deletions,
    hold_snapshot,
    keep_the_rest,
    kept_back,
    leavers_of,
    newest_approved,
    nothing_is_withheld,
    reopen,
    settle,
    still_agreed,
    stored,
    supersede,
    withhold,
)
from bridge.engine.identity import set_conflicts_aside
from bridge.engine.normalise import Normalised, normalise
from bridge.engine.oddities import renamed
from bridge.engine.record import record, record_part
from bridge.engine.shield import raised_by
from bridge.observe import LogEvent, log
from bridge.ports import Hold, InstitutionState, Reader, Run, Store, UnitOfWork

_SOON = timedelta(days=1)
_OF_CLASSES = frozenset({Kind.GROUP.value, Kind.MEMBERSHIP.value})
_NOT_OF_NOW = OF_THE_TIME - {SAME_TIME} | {WRONG_INSTITUTION}
_DECIDED = ("open", "approved", "rejected")
READER_ERROR, ENGINE_ERROR = "reader_error", "engine_error"
"""A bug of a connector, and one of ours."""


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

    def place(self, institution: str) -> Place:
        return Place(self.municipality, institution, self.book, self.now())

    def grace(self, institution: str) -> timedelta:
        """How long a person stays at targets whom this institution lets go as the last one."""
        return self.policy.of_institution(institution).deletion_grace


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
            bring(intake, found, witness)
    return seen


def bring(intake: Intake, snapshot: Snapshot, witness: Witness) -> Run:
    """Take one snapshot and let the source put it away, unless a bug of ours is all that became of it."""
    run = take(intake, snapshot, witness)
    if run.result != "failed":
        put_away(intake, snapshot, witness)
    return run


def put_away(intake: Intake, snapshot: Snapshot, witness: Witness) -> None:
    """Tell the source that it may put the snapshot away; that it cannot stops no other institution."""
    try:
        intake.source.taken(snapshot)
    except SourceUnavailable as error:
        note_failure(intake, snapshot.expected_institution, error, snapshot.origin, witness)


def take(intake: Intake, snapshot: Snapshot, witness: Witness, approved: Hold | None = None) -> Run:
    """Bring one snapshot to its end and return the record of that.

    Raises `NotOpen` for an approved hold that is not approved any more.
    """
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
    institution = snapshot.expected_institution or found.header.institution_number
    decide = partial(_decide, intake=intake, snapshot=snapshot, found=found, approved=approved)
    return _in_one(intake, institution, snapshot.origin, witness, decide)


def _in_one(
    intake: Intake,
    institution: str,
    origin: str | None,
    witness: Witness,
    step: Callable[[UnitOfWork], tuple[Run, Detection]],
) -> Run:
    """Take a step in one transaction; a bug of ours undoes it, and stops nothing else."""
    try:
        with intake.store.write() as uow:
            run, detection = step(uow)
    except (StoreError, NotOpen):
        raise
    except Exception as error:
        log.emit(LogEvent.LOOP_FAILED, loop=f"intake/{intake.municipality}", error=error)
        return note_failure(intake, institution, SourceUnavailable(ENGINE_ERROR), origin, witness, ENGINE_ERROR)
    witness.run_ended(run, detection)
    return run


# ---------------------------------------------------------------- deciding


def _decide(
    uow: UnitOfWork, intake: Intake, snapshot: Snapshot, found: Normalised, approved: Hold | None
) -> tuple[Run, Detection]:
    """Record all of it, all but deletions that a person has to allow, or nothing."""
    if approved is not None:
        _still_approved(uow, approved.id)
    found = set_conflicts_aside(uow, intake.municipality, found)
    number = found.header.institution_number
    states = _states(uow, intake.municipality)
    place = intake.place(number)
    times, kept = _times(states, found), kept_back(uow, place, found)
    detection = detect(uow, intake.municipality, found, times, kept)
    given = _situation(uow, intake, snapshot, number, states.get(number))
    reasons = held_for(intake.policy, found, detection, given)
    new = tuple(reason for reason in reasons if approved is None or reason not in approved.reasons)
    is_roll = given.last is not None and rolls(found.header, given.last)
    labels = exceeded(intake.policy.of_institution(number), detection, given.earlier)
    if new and not is_part(new):
        named = leavers_of(uow, place, detection, _beside_classes(labels, is_roll=is_roll))
        return _hold(uow, intake, snapshot, found, reasons, detection, named, approved), detection
    leavers = _leavers(
        uow, place, detection, labels if new else _beside_classes(labels, is_roll=is_roll), new, approved
    )
    withheld = withhold(uow, place, detection, leavers)
    if withheld:
        rest = detect(uow, intake.municipality, found, times, kept | set(withheld))
        hold_deletions(uow, place, snapshot, leavers, withheld, detection, rest)
        detection = rest
    else:
        nothing_is_withheld(uow, place)
    run = replace(
        _run(intake, number, "held" if withheld else "recorded", snapshot.origin, snapshot.digest),
        reason=SHRUNKEN if withheld else None,
        changes=len(detection.changes),
        quarantined=len(found.quarantined),
        export_time=found.header.export_time,
        sources=found.header.sources,
        gone={} if approved is not None else _gone(detection, is_roll=is_roll),
    )
    found = replace(found, noted=(*found.noted, *renamed(detection.changes)))
    grace, is_cleared = (
        intake.grace(number),
        approved is not None and not OF_THE_DOCUMENT.issuperset(approved.reasons),
    )
    record(
        uow,
        intake.municipality,
        found,
        detection,
        intake.renderings,
        run,
        intake.book,
        grace,
        is_cleared=is_cleared,
    )
    settle(uow, place, approved, found.header.export_time)
    if snapshot.expected_institution not in (None, number):
        settle(uow, intake.place(snapshot.expected_institution or number), None, found.header.export_time)
    return run, detection


def _situation(
    uow: UnitOfWork, intake: Intake, snapshot: Snapshot, number: str, last: InstitutionState | None
) -> Situation:
    earlier: Counter[str] = Counter()
    for run in uow.runs_of(
        intake.municipality, number, intake.now() - intake.policy.of_institution(number).window
    ):
        earlier.update(run.gone)
    return Situation(
        now=intake.now(),
        digest=snapshot.digest,
        expected=snapshot.expected_institution,
        configured=intake.institutions,
        last=last,
        earlier=earlier,
        rolls=open_windows(uow.expected_rolls(intake.municipality), intake.policy),
    )


def _leavers(
    uow: UnitOfWork,
    place: Place,
    detection: Detection,
    labels: Collection[str],
    reasons: tuple[str, ...],
    approved: Hold | None,
) -> Leavers:
    """Whose deletions wait for a person: those of a kind of which too many go, or who was left out of a yes."""
    if reasons:
        return leavers_of(uow, place, detection, labels)
    if approved is None or agreed_part(approved) is None:
        return Leavers()
    return Leavers.left_out(approved, leavers_of(uow, place, detection, labels))


def _beside_classes(labels: Iterable[str], *, is_roll: bool) -> frozenset[str]:
    """These labels, but in a new school year not what goes as a whole then: classes, and who is in them."""
    return frozenset(labels) - (_OF_CLASSES if is_roll else frozenset())


def _gone(detection: Detection, *, is_roll: bool) -> dict[str, int]:
    """What counts together with what goes within the window after it."""
    told = {label: detection.gone[label] for label in _beside_classes(detection.gone, is_roll=is_roll)}
    return told | ({UNPROTECTED: detection.unprotected} if detection.unprotected else {})


def _states(reader: Reader, municipality: str) -> dict[str, InstitutionState]:
    return {s.institution: s for s in reader.institution_states() if s.municipality == municipality}


def _source_times(states: Mapping[str, InstitutionState]) -> dict[str, Mapping[str, datetime]]:
    return {number: state.source_times for number, state in states.items()}


def _times(states: Mapping[str, InstitutionState], found: Normalised) -> dict[str, Mapping[str, datetime]]:
    """The source times of every institution as they will be after this snapshot."""
    times = _source_times(states)
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
    is_news = at is not None and state.export_time < at <= intake.now() + _SOON
    if at is not None and is_news:
        uow.put_institution_state(replace(state, export_time=at))
    settle(uow, intake.place(state.institution), None, at if is_news else None)  # whatever it was is over
    return run


def _is_same(intake: Intake, hold: Hold, snapshot: Snapshot) -> bool:
    told = (hold.municipality, hold.subject, hold.digest)
    return told == (intake.municipality, SNAPSHOT, snapshot.digest)


def _held_again(uow: UnitOfWork, intake: Intake, snapshot: Snapshot, hold: Hold) -> Run:
    """The end of a snapshot that a hold is open for, or that a person has rejected: nobody is asked anew."""
    result, reason = ("refused", REJECTED) if hold.state == "rejected" else ("held", hold.reasons[0])
    run = replace(_run(intake, hold.institution, result, snapshot.origin, snapshot.digest), reason=reason)
    uow.add_run(run)
    return run


def _hold(
    uow: UnitOfWork,
    intake: Intake,
    snapshot: Snapshot,
    found: Normalised,
    reasons: tuple[str, ...],
    detection: Detection,
    leavers: Leavers,
    approved: Hold | None,
) -> Run:
    institution = snapshot.expected_institution or found.header.institution_number
    for hold in uow.holds(_DECIDED) if approved is None else ():
        is_of_this = (hold.institution, set(hold.reasons)) == (institution, set(reasons))
        if is_of_this and _is_same(intake, hold, snapshot):
            return _held_again(uow, intake, snapshot, hold)
    place = intake.place(institution)
    if approved is not None:
        uow.set_hold_state(approved.id, "superseded", approved.decided_by, place.now)
    hold_snapshot(uow, place, snapshot, found, reasons, detection, leavers)
    run = replace(
        _run(intake, institution, "held", snapshot.origin, snapshot.digest),
        reason=reasons[0],
        export_time=found.header.export_time,
        sources=found.header.sources,
    )
    raised = _raised(uow, intake, found, reasons)
    if raised.rows:
        run = replace(run, changes=len(raised.changes))
        record_part(
            uow,
            intake.municipality,
            found.header.institution_number,
            raised,
            intake.renderings,
            run,
            intake.book,
            intake.grace(institution),
            "protections.recorded",
        )
    else:
        uow.add_run(run)
    return run


def _raised(reader: Reader, intake: Intake, found: Normalised, reasons: Collection[str]) -> Detection:
    """The protections that a held snapshot states: they hold at once, unless so many are new that one must doubt.

    A snapshot of another institution or another time says nothing of now.
    """
    if not _NOT_OF_NOW.isdisjoint(reasons):
        return Detection()
    municipality, institution = intake.municipality, found.header.institution_number
    raised = raised_by(reader, municipality, found)
    detection = protect(reader, municipality, institution, raised, _source_times(_states(reader, municipality)))
    label = label_of(Kind.PERSON, ())
    limits = intake.policy.of_institution(institution).limits(label)
    is_too_much = limits.exceeded_by(detection.updated[label], detection.stored[label], Operation.UPDATED)
    return Detection() if is_too_much else detection


# ---------------------------------------------------------------- carrying out what was decided


def apply_approved(intake: Intake, witness: Witness) -> int:
    """Let through what a person has approved; return how many holds that were.

    A snapshot comes from its stored bytes, deletions from what the hold names.
    """
    expire(intake.store, intake)
    with intake.store.read() as reader:
        approved = [hold for hold in reader.holds(("approved",)) if hold.municipality == intake.municipality]
    waiting = [hold for hold in approved if hold.target is None]
    for hold in waiting:
        try:
            run = (_delete_approved if hold.subject == DELETIONS else _take_approved)(intake, hold, witness)
        except NotOpen:  # another one's snapshot, or a later word of the source, has ended it
            continue
        if run.result == "failed":
            with intake.store.write() as uow:
                reopen(uow, intake.place(hold.institution), hold, run.reason or run.result)
    return len(waiting)


def expire(store: Store, intake: Intake) -> None:
    """Open holds again whose approval does not count any more, whatever they are of."""
    with store.read() as reader:
        if not reader.holds(("approved",)):
            return
    with store.write() as uow:
        approved = [hold for hold in uow.holds(("approved",)) if hold.municipality == intake.municipality]
        still_agreed(uow, approved, intake.policy, intake.book, intake.now())


def _take_approved(intake: Intake, hold: Hold, witness: Witness) -> Run:
    place = intake.place(hold.institution)
    with intake.store.write() as uow:
        newest, body = newest_approved(uow, place), uow.hold_body(hold.id)
        is_newest = newest is not None and newest.id == hold.id
        if is_newest and body is None:
            supersede(uow, place, hold, BODY_GONE)
    if not is_newest or body is None:
        raise NotOpen(f"hold {hold.id} is superseded")
    expected = None if WRONG_INSTITUTION in hold.reasons else hold.institution
    snapshot = Snapshot(body, hold.digest, hold.origin or f"hold {hold.id}", expected)
    run = take(intake, snapshot, witness, approved=hold)
    if run.result == "refused":
        with intake.store.write() as uow:
            supersede(uow, place, hold, UNREADABLE)
    return run


def _delete_approved(intake: Intake, hold: Hold, witness: Witness) -> Run:
    remove_all = partial(_remove, intake=intake, number=hold.id)
    return _in_one(intake, hold.institution, f"hold {hold.id}", witness, remove_all)


def _remove(uow: UnitOfWork, intake: Intake, number: int) -> tuple[Run, Detection]:
    """Delete what a hold withheld, all of it or the part that was approved."""
    hold = _still_approved(uow, number)
    place = intake.place(hold.institution)
    alive = stored(uow, intake.municipality, hold.withheld)
    withheld = tuple(subject for subject in hold.withheld if subject in alive)
    left = Leavers.left_out(hold)
    rest = withheld_with(uow, intake.municipality, hold.institution, withheld, left.people, left.groups)
    times = _source_times(_states(uow, intake.municipality))
    go = [subject for subject in withheld if subject not in rest]
    detection = remove(uow, intake.municipality, hold.institution, go, times)
    run = replace(
        _run(intake, hold.institution, "recorded", f"hold {hold.id}", None), changes=len(detection.changes)
    )
    grace = intake.grace(hold.institution)
    told = "deletions.recorded"
    record_part(
        uow, intake.municipality, hold.institution, detection, intake.renderings, run, intake.book, grace, told
    )
    keep_the_rest(uow, hold, rest, place.now)
    return run, detection


def _still_approved(uow: UnitOfWork, number: int) -> Hold:
    """The hold as it is now. Raises `NotOpen` when another thread has ended it meanwhile."""
    hold = uow.hold(number)
    if hold is None or hold.state != "approved":
        raise NotOpen(f"hold {number} is not approved any more")
    return hold


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
