"""What a person has approved is carried out, once, as long as it still is what was approved."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from bridge.domain.records import Snapshot
from bridge.engine.decide import NotOpen
from bridge.engine.detect import Detection, remove, withheld_with
from bridge.engine.fetch import take
from bridge.engine.guard import (
    WRONG_INSTITUTION,
)
from bridge.engine.holding import (
    BODY_GONE,
    DELETIONS,
    UNREADABLE,
    Leavers,
    keep_the_rest,
    newest_approved,
    reopen,
    still_agreed,
    stored,
    supersede,
)
from bridge.engine.intake import Intake, Witness, in_one, new_run
from bridge.engine.judge import source_times_of, states_of, still_approved
from bridge.engine.record import record_part
from bridge.ports import Hold, Run, Store, UnitOfWork


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
    intake = intake.begun()
    remove_all = partial(_remove, intake=intake, number=hold.id)
    return in_one(intake, hold.institution, f"hold {hold.id}", witness, remove_all)


def _remove(uow: UnitOfWork, intake: Intake, number: int) -> tuple[Run, Detection]:
    """Delete what a hold withheld, all of it or the part that was approved."""
    hold = still_approved(uow, number)
    place = intake.place(hold.institution)
    alive = stored(uow, intake.municipality, hold.withheld)
    withheld = tuple(subject for subject in hold.withheld if subject in alive)
    left = Leavers.left_out(hold)
    rest = withheld_with(uow, intake.municipality, hold.institution, withheld, left.people, left.groups)
    times = source_times_of(states_of(uow, intake.municipality))
    go = [subject for subject in withheld if subject not in rest]
    detection = remove(uow, intake.municipality, hold.institution, go, times)
    run = replace(
        new_run(intake, hold.institution, "recorded", f"hold {hold.id}", None), changes=len(detection.changes)
    )
    grace = intake.grace(hold.institution)
    told = "deletions.recorded"
    record_part(
        uow, intake.municipality, hold.institution, detection, intake.renderings, run, intake.book, grace, told
    )
    keep_the_rest(uow, hold, rest, place.now)
    return run, detection
