"""One readable snapshot is recorded, recorded without what a person has to allow, or held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from bridge.domain.changes import Operation
from bridge.domain.entities import Kind
from bridge.domain.records import Snapshot
from bridge.engine.decide import NotOpen, agreed_part
from bridge.engine.detect import Detection, detect, label_of, protect
from bridge.engine.expect import open_windows
from bridge.engine.guard import (
    OF_THE_TIME,
    REJECTED,
    SAME_TIME,
    SHRUNKEN,
    UNPROTECTED,
    WRONG_INSTITUTION,
    Situation,
    exceeded,
    held_for,
    is_part,
    rolls,
)
from bridge.engine.holding import (
    OF_THE_DOCUMENT,
    SNAPSHOT,
    Leavers,
    Place,
    hold_deletions,
    hold_snapshot,
    kept_back,
    leavers_of,
    let_go_of,
    nothing_is_withheld,
    settle,
    withhold,
)
from bridge.engine.identity import set_conflicts_aside
from bridge.engine.intake import Intake, new_run
from bridge.engine.normalise import Normalised
from bridge.engine.oddities import renamed
from bridge.engine.record import record, record_part
from bridge.engine.shield import raised_by
from bridge.ports import Hold, InstitutionState, Reader, Run, UnitOfWork

_OF_CLASSES = frozenset({Kind.GROUP.value, Kind.MEMBERSHIP.value})
_NOT_OF_NOW = OF_THE_TIME - {SAME_TIME} | {WRONG_INSTITUTION}
DECIDED = ("open", "approved", "rejected")


def judge(
    uow: UnitOfWork, intake: Intake, snapshot: Snapshot, found: Normalised, approved: Hold | None
) -> tuple[Run, Detection]:
    """Record all of it, all but deletions that a person has to allow, or nothing."""
    if approved is not None:
        still_approved(uow, approved.id)
    found = set_conflicts_aside(uow, intake.municipality, found)
    number = found.header.institution_number
    states = states_of(uow, intake.municipality)
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
    let_go_of(uow, place, found)
    asked = labels if new else _beside_classes(labels, is_roll=is_roll)
    leavers = _leavers(uow, place, detection, asked, new, approved)
    withheld = withhold(uow, place, detection, leavers)
    if withheld:
        rest = detect(uow, intake.municipality, found, times, kept | set(withheld))
        is_rest = approved is not None and not new
        hold_deletions(uow, place, snapshot, leavers, withheld, detection, rest, is_rest=is_rest)
        detection = rest
    else:
        nothing_is_withheld(uow, place)
    run = replace(
        new_run(intake, number, "held" if withheld else "recorded", snapshot.origin, snapshot.digest),
        reason=SHRUNKEN if withheld else None,
        changes=len(detection.changes),
        quarantined=len(found.quarantined),
        export_time=found.header.export_time,
        sources=found.header.sources,
        gone={} if approved is not None else _gone(detection, is_roll=is_roll),
    )
    found = replace(found, noted=(*found.noted, *renamed(detection.changes)))
    is_cleared = approved is not None and not OF_THE_DOCUMENT.issuperset(approved.reasons)
    record(
        uow,
        intake.municipality,
        found,
        detection,
        intake.renderings,
        run,
        intake.book,
        intake.grace(number),
        is_cleared=is_cleared,
        is_roll=is_roll,
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


def states_of(reader: Reader, municipality: str) -> dict[str, InstitutionState]:
    return {s.institution: s for s in reader.institution_states() if s.municipality == municipality}


def source_times_of(states: Mapping[str, InstitutionState]) -> dict[str, Mapping[str, datetime]]:
    return {number: state.source_times for number, state in states.items()}


def _times(states: Mapping[str, InstitutionState], found: Normalised) -> dict[str, Mapping[str, datetime]]:
    """The source times of every institution as they will be after this snapshot."""
    times = source_times_of(states)
    times[found.header.institution_number] = found.header.source_times
    return times


def is_same(intake: Intake, hold: Hold, snapshot: Snapshot) -> bool:
    told = (hold.municipality, hold.subject, hold.digest)
    return told == (intake.municipality, SNAPSHOT, snapshot.digest)


def held_again(uow: UnitOfWork, intake: Intake, snapshot: Snapshot, hold: Hold) -> Run:
    """The end of a snapshot that a hold is open for, or that a person has rejected: nobody is asked anew."""
    result, reason = ("refused", REJECTED) if hold.state == "rejected" else ("held", hold.reasons[0])
    run = replace(new_run(intake, hold.institution, result, snapshot.origin, snapshot.digest), reason=reason)
    uow.add_run(run)
    return run


def still_approved(uow: UnitOfWork, number: int) -> Hold:
    """The hold as it is now. Raises `NotOpen` when another thread has ended it meanwhile."""
    hold = uow.hold(number)
    if hold is None or hold.state != "approved":
        raise NotOpen(f"hold {number} is not approved any more")
    return hold


# ---------------------------------------------------------------- holding all of it


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
    for hold in uow.holds(DECIDED) if approved is None else ():
        is_of_this = (hold.institution, set(hold.reasons)) == (institution, set(reasons))
        if is_of_this and is_same(intake, hold, snapshot):
            return held_again(uow, intake, snapshot, hold)
    place = intake.place(institution)
    if approved is not None:
        uow.set_hold_state(approved.id, "superseded", approved.decided_by, place.now)
    hold_snapshot(uow, place, snapshot, found, reasons, detection, leavers)
    run = replace(
        new_run(intake, institution, "held", snapshot.origin, snapshot.digest),
        reason=reasons[0],
        export_time=found.header.export_time,
        sources=found.header.sources,
    )
    raised = _raised(uow, intake, found, reasons)
    if raised.rows:
        run = replace(run, changes=len(raised.changes))
        state = uow.institution_state(intake.municipality, found.header.institution_number)
        if state is not None:  # what was recorded last is not what is stored any more: it may come again
            uow.put_institution_state(replace(state, digest=""))
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
    detection = protect(
        reader, municipality, institution, raised, source_times_of(states_of(reader, municipality))
    )
    label = label_of(Kind.PERSON, ())
    limits = intake.policy.of_institution(institution).limits(label)
    is_too_much = limits.exceeded_by(detection.updated[label], detection.stored[label], Operation.UPDATED)
    return Detection() if is_too_much else detection
