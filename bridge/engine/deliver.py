"""Due deliveries go out: rendered now, written into the audit first, applied, and confirmed by their outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from bridge.connector import Command, Target
from bridge.domain.entities import Kind, Person
from bridge.domain.errors import ContractBroken, TargetError, TargetUnavailable
from bridge.domain.ids import CanonicalId, Key, name_uuid
from bridge.domain.outcomes import Deferred, Outcome, Rejected, status_in
from bridge.domain.privacy import visible
from bridge.engine.audit import AuditBook
from bridge.engine.brake import AT_TARGETS, brake, operation_of
from bridge.engine.breaker import MANY_DEFERRED, Breaker, is_paused
from bridge.engine.codec import decode_body, decode_entity, encode_body, hash_bytes, identity_fields
from bridge.engine.confirm import WAITING, Attempt, confirm, undo
from bridge.engine.desire import Rendered, Rendering, desired_row, render
from bridge.engine.guard import GuardPolicy
from bridge.engine.holding import SNAPSHOT
from bridge.engine.leavers import Leaving, kept_until
from bridge.engine.retry import RetryPolicy
from bridge.mapping import field_names, narrow, references, resolve
from bridge.ports import (
    DEACTIVATED,
    GRACE,
    KEPT,
    Delivery,
    InstitutionState,
    Reader,
    Store,
    TargetState,
    UnitOfWork,
)

_LOOK = timedelta(hours=1)
_KEY_NAMESPACE = UUID("c3b6a1de-27a5-5d8e-9d55-8a6b0f6b9d10")


@dataclass(frozen=True, slots=True)
class Lane:
    """All that one target's deliveries need."""

    rendering: Rendering
    target: Target
    store: Store
    book: AuditBook
    retry: RetryPolicy
    breaker: Breaker
    now: Callable[[], datetime]
    chance: Callable[[], float]
    new_id: Callable[[], str]
    may_delete: Callable[[], bool] = lambda: True
    policy: GuardPolicy = AT_TARGETS
    leaving: Leaving = field(default_factory=Leaving)


class DeliveryWitness(Protocol):
    """Whoever is told how deliveries went (logs, metrics, a progress line)."""

    def delivered(self, target: str, delivery: Delivery, outcome: Outcome, at: datetime) -> None: ...

    def paused(self, before: TargetState, after: TargetState) -> None: ...

    def resumed(self, before: TargetState) -> None: ...

    def crashed(self, target: str, error: Exception) -> None: ...


def deliver(lane: Lane, witness: DeliveryWitness) -> int:
    """Send one batch and return how many deliveries were looked at.

    0 when nothing is due, the target pauses, or its mapping is not applied (held) yet. Deletions wait while
    `may_delete` says no: somebody who is gone from one school may arrive at the next one in the same pass.
    After a failure one single command is tried first. Raises `StoreError` only: what the target does is an
    outcome.
    """
    now = lane.now()
    name = lane.rendering.target
    with lane.store.read() as reader:
        state = reader.target_state(name)
        is_applied = state.rendering == lane.rendering.digest
        if not is_applied or is_paused(state, now):
            return 0
        first = reader.due(name, now, 1)
        if not first or (first[0].desired is None and not lane.may_delete()):
            return 0
    limit = 1 if state.failures else lane.target.capabilities.max_batch
    with lane.store.write() as uow:
        due = [row for row in uow.due(name, now, limit) if row.desired is not None or lane.may_delete()]
        rendered, same = _render_due(uow, lane.rendering, due)
        allowed = brake(uow, name, lane.policy, lane.leaving, lane.book, same, now)
        attempts = prepare(uow, lane, _in_grace(uow, lane, _not_kept(uow, lane, allowed, now), now), rendered)
        uow.begin_attempts(name, [attempt.row.id for attempt in attempts])
        lane.book.write(uow, [_intent(lane, attempt) for attempt in attempts])
    patience = 1 if state.failures else MANY_DEFERRED  # else a target that has failed would never pause longer
    outcomes, failure = _apply(lane, witness, [attempt.command for attempt in attempts], patience)
    _finish(lane, witness, attempts, outcomes, failure)
    return len(due)


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
    except Exception as error:  # a bug of the connector, which may be anybody's
        witness.crashed(lane.rendering.target, error)
        outcomes.append(Rejected("connector_error"))
    else:
        if len(outcomes) < len(commands):
            return outcomes, ContractBroken("the connector gave fewer outcomes than it got commands")
    return outcomes, None


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
    if any(not isinstance(outcome, Deferred) for outcome in outcomes):
        return lane.breaker.worked(before, now)
    return before


# ---------------------------------------------------------------- preparing


def _not_kept(uow: UnitOfWork, lane: Lane, due: Sequence[Delivery], now: datetime) -> list[Delivery]:
    """Put off the deletion of people who are to stay for now; return the rest."""
    leaving = [row for row in due if row.desired is None and row.kind is Kind.PERSON]
    if not leaving:
        return list(due)
    kept = {one.user_id: kept_until(one, now) for one in uow.kept_people(lane.rendering.scope.municipality)}
    again = {row.id: until for row in leaving if (until := kept.get(row.key[0])) is not None}
    rows = [row for row in leaving if row.id in again]
    uow.put_deliveries([replace(row, reason=KEPT, next_attempt_at=again[row.id], updated_at=now) for row in rows])
    return [row for row in due if row.id not in again]


def _in_grace(uow: UnitOfWork, lane: Lane, due: Sequence[Delivery], now: datetime) -> list[Delivery]:
    """Let no grace end while a snapshot of the municipality is held: it may be the one that names the person."""
    municipality = lane.rendering.scope.municipality
    waiting = [row for row in due if row.reason == GRACE]
    if not waiting or not any(
        (hold.municipality, hold.subject) == (municipality, SNAPSHOT) for hold in uow.holds(("open", "approved"))
    ):
        return list(due)
    uow.put_deliveries([replace(row, next_attempt_at=now + _LOOK, updated_at=now) for row in waiting])
    return [row for row in due if row.reason != GRACE]


def prepare(
    uow: UnitOfWork, lane: Lane, due: Sequence[Delivery], rendered: Mapping[Key, Rendered]
) -> list[Attempt]:
    """Make commands of what is due and leave out what has nothing to be sent: it waits for what it refers to."""
    hidden = _hidden(uow, lane.rendering, due)
    ids = {CanonicalId(r.id) for one in rendered.values() for r in references(one.body)}
    known = _reference_ids(uow, lane, ids)
    municipality = lane.rendering.scope.municipality
    states = {s.institution: s for s in uow.institution_states() if s.municipality == municipality}
    sequence = uow.last_sequence(municipality)
    attempts: list[Attempt] = []
    waiting: list[Delivery] = []
    for row in due:
        may_sleep = row.key not in hidden
        told_by = states.get(row.institution)
        attempt = _attempt(lane, row, rendered.get(row.key), known, told_by, sequence, may_sleep=may_sleep)
        if attempt is not None:
            attempts.append(attempt)
        elif row.is_due:
            waiting.append(row)
    _wait_for_references(uow, lane, waiting)
    return attempts


def _hidden(reader: Reader, rendering: Rendering, due: Sequence[Delivery]) -> set[Key]:
    """Who leaves and is protected now: an account that sleeps would keep what the target knew before."""
    keys = [row.key for row in due if row.kind is Kind.PERSON and row.desired is None]
    rows = reader.entities(rendering.scope.municipality, Kind.PERSON, keys)
    people = {key: decode_entity(Kind.PERSON, row.body) for key, row in rows.items() if row.body is not None}
    return {key for key, one in people.items() if isinstance(one, Person) and visible(one) != one}


def _render_due(
    uow: UnitOfWork, rendering: Rendering, due: Sequence[Delivery]
) -> tuple[dict[Key, Rendered], list[Delivery]]:
    """Render the entities anew; where that differs from what was desired, the desired state is set right first.

    What turns out to go away, or to stay after all, is left out: it is due as what it is now.
    """
    rendered: dict[Key, Rendered] = {}
    current = {row.id: row for row in due}
    is_deletion = any(row.desired is None for row in due)  # all of a batch or none
    for kind in {row.kind for row in due}:
        rows = [row for row in due if row.kind is kind]
        made = render(uow, rendering, kind, [row.key for row in rows])
        stale = [row for row in rows if _hash(made.get(row.key)) != row.desired]
        uow.put_desired(
            [desired_row(rendering, kind, row.key, made.get(row.key), row.resource, row.rank) for row in stale],
            rows[0].next_attempt_at,
        )
        for row in stale:
            current[row.id] = uow.delivery(row.target, row.id) or row
        rendered |= made
    return rendered, [row for row in current.values() if (row.desired is None) == is_deletion]


def _hash(rendered: Rendered | None) -> bytes | None:
    return rendered.hash if rendered else None


def _reference_ids(uow: UnitOfWork, lane: Lane, ids: set[CanonicalId]) -> Mapping[str, str]:
    if lane.target.capabilities.references == "canonical":
        return {identity: identity for identity in ids}
    return {str(k): v for k, v in uow.remote_ids(lane.rendering.target, ids).items()}


def _attempt(
    lane: Lane,
    row: Delivery,
    rendered: Rendered | None,
    known: Mapping[str, str],
    told_by: InstitutionState | None,
    sequence: int,
    *,
    may_sleep: bool = True,
) -> Attempt | None:
    asleep = lane.leaving.sleeping(row) if rendered is None and may_sleep else None
    body = resolve(rendered.body, known) if rendered else asleep
    if rendered is not None and body is None:
        return None
    sent = _sent_hash(rendered, known) if asleep is None else hash_bytes(encode_body(asleep))
    if sent == row.confirmed and not row.in_doubt:
        return None
    # What was confirmed before a protection was set must not be told again as the old value.
    confirmed = None if rendered is not None and rendered.is_masked else row.confirmed_body
    previous = decode_body(confirmed) if confirmed is not None else None
    command = Command(
        operation=operation_of(row, body is not None),
        resource=rendered.resource.name if rendered else row.resource,
        kind=row.kind.value,
        id=row.id,
        key=row.key,
        identity={"id": row.id, **identity_fields(row.kind, row.key)},
        document=body,
        previous=previous,
        remote_id=row.remote_id,
        etag=row.etag,
        in_doubt=row.in_doubt,
        municipality=lane.rendering.scope.municipality,
        institution=row.institution,
        version=row.version,
        sequence=sequence,
        cause=told_by.run if told_by else lane.rendering.mapping.name,
        time=told_by.recorded_at if told_by else row.updated_at,
        delivery_key=_delivery_key(row, sent),
    )
    again = (DEACTIVATED, lane.leaving.retention) if asleep is not None else None
    return Attempt(row, command, sent, lane.new_id(), again)


def _sent_hash(rendered: Rendered | None, known: Mapping[str, str]) -> bytes | None:
    """The hash of what can be sent now: not all that is desired while something it refers to is not there."""
    return hash_bytes(encode_body(narrow(rendered.body, known))) if rendered else None


def _delivery_key(row: Delivery, sent: bytes | None) -> str:
    """The same for every retry of the same step, another one for every other step."""
    step = f"{row.target}/{row.id}/{row.version}/{(sent or b'').hex()}"
    return name_uuid(_KEY_NAMESPACE, step)


def _wait_for_references(uow: UnitOfWork, lane: Lane, rows: Sequence[Delivery]) -> None:
    now = lane.now()
    uow.put_deliveries(
        [
            replace(row, reason=WAITING, next_attempt_at=now + lane.retry.retry_after_cap, updated_at=now)
            for row in rows
        ]
    )


# ---------------------------------------------------------------- audit


def _intent(lane: Lane, attempt: Attempt) -> dict[str, object]:
    command = attempt.command
    return {
        "kind": "disclosure.intent",
        "intent": attempt.intent,
        "municipality": command.municipality,
        "institution": command.institution,
        "target": lane.rendering.target,
        "subject": lane.book.reference(command.id),
        "resource": command.resource,
        "operation": command.operation.value,
        "fields": field_names(command.document or {}),
        "purpose": lane.rendering.mapping.purpose,
        "mapping": lane.rendering.mapping.digest,
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
                **({"reason": reason} if reason else {}),
                **({"status": status} if status is not None else {}),
            }
        )
    return records
