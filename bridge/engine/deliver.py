"""Due deliveries go out: rendered now, written into the audit first, applied, and confirmed by their outcome."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bridge.connector import Command, HandsOver
from bridge.domain.errors import ContractBroken, StoreError, TargetError, TargetGone, TargetUnavailable
from bridge.domain.outcomes import Deferred, Outcome, Rejected, status_in
from bridge.domain.tracing import trace_id
from bridge.engine.breaker import MANY_DEFERRED, is_paused, reason_of
from bridge.engine.confirm import Attempt, confirm, undo
from bridge.engine.desire import system_of
from bridge.engine.lane import DeliveryWitness, Lane
from bridge.engine.prepare import attempts_of, batch, protections
from bridge.engine.vendor_intent import owned
from bridge.mapping import field_names
from bridge.ports import (
    URGENT,
    Delivery,
    TargetState,
)

_OFTEN = 3
"""After so many failures in a row a single command that fails is looked at by itself."""


def deliver(lane: Lane, witness: DeliveryWitness) -> int:
    """Send one batch and return how many deliveries were looked at.

    0 when nothing is due or the target pauses; while its mapping is not applied (held), only protections go.
    Deletions wait while `may_delete` says no: somebody who is gone from one school may arrive at the next one in
    the same pass. After a failure one single command is tried first; one that fails again and again, while the
    target answers a probe, is put off by itself, so that it does not stop the others. Raises `StoreError` only:
    what the target does is an outcome.
    """
    now = lane.now()
    name = lane.rendering.target
    with lane.store.read() as reader:
        state = reader.target_state(name)
        first = reader.due(name, now, 1, lane.member)
    if is_paused(state, now) or not first or not _may_go(lane, state, first[0]):
        return 0
    is_kept = isinstance(lane.target, HandsOver)  # then what fails is the hand-over, and this takes no call
    limit = 1 if state.failures and not is_kept else lane.target.capabilities.max_batch
    with lane.store.write() as uow:
        if is_paused(uow.target_state(name), now):  # somebody switched it off meanwhile
            return 0
        if state.rendering == lane.rendering.digest:
            looked_at, steps = batch(uow, lane, limit, now)
        else:
            steps = protections(uow, lane, limit, now)
            looked_at = len(steps)
        attempts = attempts_of(uow, lane, steps)
        ids = [attempt.row.id for attempt in attempts]
        uow.begin_attempts(name, ids)
        if lane.member:
            uow.claim(name, ids, lane.member)
        lane.book.write(uow, [_intent(lane, attempt) for attempt in attempts])
    patience = 1 if state.failures else MANY_DEFERRED  # else a target that has failed would never pause longer
    outcomes, failure = _apply(lane, witness, [attempt.command for attempt in attempts], patience)
    if failure is not None and not outcomes and state.failures >= _OFTEN and not is_kept:
        outcomes = _put_off(lane, failure)
    _finish(lane, witness, attempts, outcomes, failure)
    return looked_at


def _may_go(lane: Lane, state: TargetState, first: Delivery) -> bool:
    """Whether the first that is due may be sent: while a mapping waits, a protection, to the system we know."""
    if state.rendering == lane.rendering.digest:
        return first.desired is not None or lane.may_delete()
    is_known = state.rendering is not None and system_of(state.rendering) == lane.rendering.system
    return is_known and first.desired is not None and first.rank == URGENT


def _apply(
    lane: Lane, witness: DeliveryWitness, commands: Sequence[Command], patience: int
) -> tuple[list[Outcome], TargetError | None]:
    """Collect outcomes until all are there or the target as a whole fails: `patience` deferrals in a row.

    An entity on which the connector itself breaks is set aside, so that it does not stop the others.
    """
    outcomes: list[Outcome] = []
    deferred = 0
    try:
        for outcome in lane.target.apply(commands) if commands else ():
            outcomes.append(outcome)
            deferred = deferred + 1 if isinstance(outcome, Deferred) else 0
            if deferred >= patience:
                return outcomes, TargetUnavailable("many_deferred")
    except TargetError as error:
        return outcomes, error
    except StoreError:  # of the shelf on which the target keeps what it is told
        raise
    except Exception as error:  # a bug of the connector, which may be anybody's
        witness.crashed(lane.rendering.target, error)
        outcomes.append(Rejected("connector_error"))
    else:
        if len(outcomes) < len(commands):
            return outcomes, ContractBroken("the connector gave fewer outcomes than it got commands")
    return outcomes, None


def _put_off(lane: Lane, failure: TargetError) -> list[Outcome]:
    """The outcome of the one entity at which a target fails again and again; none where it may be the target."""
    if isinstance(failure, TargetGone):
        return []
    try:
        lane.target.probe()
    except Exception:  # whatever is wrong, it is not this entity
        return []
    return [Deferred(reason_of(failure))]


def _finish(
    lane: Lane,
    witness: DeliveryWitness,
    attempts: Sequence[Attempt],
    outcomes: Sequence[Outcome],
    failure: TargetError | None,
) -> None:
    """One transaction for all outcomes and for what they say of the target."""
    now = lane.now()
    with lane.store.write() as uow:
        before = uow.target_state(lane.rendering.target)
        after = _next_state(lane, before, outcomes, failure, now)
        if after != before:
            uow.put_target_state(after)
        confirm(uow, lane.rendering, lane.retry, attempts, outcomes, now, lane.chance)
        reached = len(outcomes) + (1 if failure is not None else 0)
        untouched = attempts[reached:] if lane.target.capabilities.in_order else ()
        undo(uow, untouched)
        if lane.member:
            uow.claim(lane.rendering.target, [attempt.row.id for attempt in attempts], "")
        lane.book.write(uow, _outcome_records(lane, attempts, outcomes, failure, len(untouched)))
    for attempt, outcome in zip(attempts, outcomes, strict=False):
        witness.delivered(lane.rendering.target, attempt.row, outcome, now)
    if failure is not None:
        witness.paused(before, after)
    elif before.failures and not after.failures:
        witness.resumed(before)


def _next_state(
    lane: Lane, before: TargetState, outcomes: Sequence[Outcome], failure: TargetError | None, now: datetime
) -> TargetState:
    if failure is not None:
        return lane.breaker.failed(before, failure, now, lane.chance())
    if isinstance(lane.target, HandsOver):
        return before  # to be told and kept proves nothing of whoever it is for
    if any(not isinstance(outcome, Deferred) for outcome in outcomes):
        return lane.breaker.worked(before, now)
    return before


# ---------------------------------------------------------------- audit


def _intent(lane: Lane, attempt: Attempt) -> dict[str, object]:
    command = attempt.command
    return {
        "kind": "disclosure.intent",
        "intent": attempt.intent,
        "municipality": command.municipality,
        "institution": command.institution,
        "target": lane.rendering.target,
        "trace": trace_id(command.cause),
        "subject": lane.book.reference(command.id),
        "resource": command.resource,
        "operation": command.operation.value,
        "fields": field_names(command.document or {}),
        "purpose": lane.rendering.mapping.purpose,
        "mapping": lane.rendering.mapping.digest,
        **owned(lane.book, lane.vendor, command, attempt.intent),
    }


def _outcome_records(
    lane: Lane,
    attempts: Sequence[Attempt],
    outcomes: Sequence[Outcome],
    failure: TargetError | None,
    untouched: int,
) -> list[dict[str, object]]:
    records: list[dict[str, object]] = []
    for index, attempt in enumerate(attempts):
        status: int | None = None
        if index < len(outcomes):
            outcome = outcomes[index]
            told, reason = type(outcome).__name__.lower(), getattr(outcome, "reason", None)
            status = getattr(outcome, "status", None) or status_in(reason)
        else:
            told = "not_sent" if index >= len(attempts) - untouched else "unknown"
            reason = type(failure).__name__ if failure is not None else "connector_error"
            if index == len(outcomes) and failure is not None:  # the one that the answer was to
                status = status_in(str(failure))
        records.append(
            {
                "kind": "disclosure.outcome",
                "closes": attempt.intent,
                "outcome": told,
                "trace": trace_id(attempt.command.cause),
                **({"reason": reason} if reason else {}),
                **({"status": status} if status is not None else {}),
            }
        )
    return records
