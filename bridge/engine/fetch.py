"""Snapshots come in one by one; each ends recorded, unchanged, held or refused, and none ends silently."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

from bridge.connector import SourceFailure
from bridge.domain.errors import SnapshotInvalid, SourceUnavailable
from bridge.domain.records import Snapshot
from bridge.engine.guard import (
    OF_THE_TIME,
)
from bridge.engine.holding import (
    settle,
)
from bridge.engine.intake import READER_ERROR, Intake, Witness, in_one, new_run, note_bug, note_failure
from bridge.engine.judge import DECIDED, held_again, is_same, judge
from bridge.engine.normalise import normalise
from bridge.ports import Hold, InstitutionState, Run, UnitOfWork

_SOON = timedelta(days=1)


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
    intake = intake.begun()
    if approved is None and (short := _seen_before(intake, snapshot)) is not None:
        witness.run_ended(short, None)
        return short
    try:
        found = normalise(intake.source.parse(snapshot))
    except SnapshotInvalid as error:
        return note_failure(intake, snapshot.expected_institution, error, snapshot.origin, witness)
    except Exception as error:  # a bug of the reader, which may be anybody's, stops this document only
        note_bug(intake, error)
        unread = SnapshotInvalid(READER_ERROR)
        return note_failure(intake, snapshot.expected_institution, unread, snapshot.origin, witness)
    institution = snapshot.expected_institution or found.header.institution_number
    decide = partial(judge, intake=intake, snapshot=snapshot, found=found, approved=approved)
    return in_one(intake, institution, snapshot.origin, witness, decide)


# ---------------------------------------------------------------- what was seen before


def _seen_before(intake: Intake, snapshot: Snapshot) -> Run | None:
    """The end of a snapshot that brings nothing new: recorded last time, or held or rejected already."""
    with intake.store.write() as uow:
        for state in uow.institution_states():
            is_asked_for = snapshot.expected_institution in (None, state.institution)
            if is_asked_for and (state.municipality, state.digest) == (intake.municipality, snapshot.digest):
                return _unchanged(uow, intake, snapshot, state)
        for hold in uow.holds(DECIDED):
            is_asked_for = snapshot.expected_institution in (None, hold.institution)
            if is_asked_for and not OF_THE_TIME.issuperset(hold.reasons) and is_same(intake, hold, snapshot):
                return held_again(uow, intake, snapshot, hold)
    return None


def _unchanged(uow: UnitOfWork, intake: Intake, snapshot: Snapshot, state: InstitutionState) -> Run:
    """The content is known, and now also that it is no older than this export."""
    run = replace(
        new_run(intake, state.institution, "unchanged", snapshot.origin, snapshot.digest),
        export_time=snapshot.export_time,
    )
    uow.add_run(run)
    at = snapshot.export_time
    is_news = at is not None and state.export_time < at <= intake.now() + _SOON
    if at is not None and is_news:
        uow.put_institution_state(replace(state, export_time=at))
    settle(uow, intake.place(state.institution), None, at if is_news else None)  # whatever it was is over
    return run
