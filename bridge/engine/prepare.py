"""What is due becomes steps: rendered now, put off where it has to wait, masked where it must not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from bridge.connector import Command
from bridge.domain.entities import Kind
from bridge.domain.ids import CanonicalId, name_uuid
from bridge.domain.tracing import span_id, trace_id, traceparent
from bridge.engine.brake import brake, operation_of
from bridge.engine.codec import decode_body, encode_body, hash_bytes, identity_fields
from bridge.engine.confirm import WAITING, Attempt
from bridge.engine.desire import Rendered, Rendering, desired_row, render
from bridge.engine.holding import SNAPSHOT
from bridge.engine.lane import Lane
from bridge.engine.leavers import kept_until
from bridge.engine.masking import Masks, masks, protect, protected_people, user_of
from bridge.engine.views import Scope
from bridge.mapping import narrow, references, resolve
from bridge.ports import (
    DEACTIVATED,
    GRACE,
    KEPT,
    URGENT,
    Delivery,
    InstitutionState,
    Reader,
    UnitOfWork,
)

_LOOK = timedelta(hours=1)
_ALL = 100_000
"""Who is protected by now may stand behind any number of those who wait with nothing to hide."""
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_KEY_NAMESPACE = UUID("c3b6a1de-27a5-5d8e-9d55-8a6b0f6b9d10")


@dataclass(frozen=True, slots=True)
class Step:
    """What one delivery is sent now; `sent` and `again` as in `Attempt`.

    `is_masked`: what the target confirmed before must not be told again as the old value.
    """

    row: Delivery
    resource: str
    document: dict[str, Any] | None
    sent: bytes | None
    is_masked: bool
    again: tuple[str, timedelta] | None = None


def batch(uow: UnitOfWork, lane: Lane, limit: int, now: datetime) -> tuple[int, list[Step]]:
    """How much is due, and what of it goes: what may, and of what has to wait that which is protected by now."""
    name = lane.rendering.target
    due = [row for row in uow.due(name, now, limit, lane.member) if row.desired is not None or lane.may_delete()]
    rendered, same = _render_due(uow, lane.rendering, due)
    leaving = _in_grace(uow, lane, _not_kept(uow, lane, same, now), now)
    allowed = brake(uow, name, lane.policy, lane.leaving, lane.book, leaving, now)
    ids = {row.id for row in allowed}
    stopped = [uow.delivery(name, row.id) or row for row in same if row.id not in ids]
    return len(due), [*prepare(uow, lane, allowed, rendered), *_masking(uow, lane, stopped, now)]


def protections(uow: UnitOfWork, lane: Lane, limit: int, now: datetime) -> list[Step]:
    """What is protected by now of whom a target knows whose mapping waits for a person."""
    name = lane.rendering.target
    urgent = [
        row for row in uow.due(name, now, _ALL, lane.member) if row.rank == URGENT and row.desired is not None
    ]
    protect(uow, lane.rendering, {(user_of(row),) for row in urgent}, now, lane.leaving)
    found = masks(uow, lane.rendering, lane.leaving, urgent)
    shown = [row for row in urgent if row.id in found][:limit]
    return _masked(found, [uow.delivery(name, row.id) or row for row in shown], now)


def _masking(uow: UnitOfWork, lane: Lane, rows: Sequence[Delivery], now: datetime) -> list[Step]:
    """The accounts of who is protected by now; they go on waiting for what they wait for."""
    return _masked(masks(uow, lane.rendering, lane.leaving, rows), rows, now)


def _masked(found: Masks, rows: Sequence[Delivery], now: datetime) -> list[Step]:
    return [
        Step(
            row,
            row.resource,
            document := found[row.id],
            hash_bytes(encode_body(document)) if document is not None else None,
            is_masked=True,
            again=(row.reason or WAITING, row.next_attempt_at - now),
        )
        for row in rows
        if row.id in found
    ]


# ---------------------------------------------------------------- what has to wait


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
    """Let no grace end before each school that the target sees has spoken once more: it may name the person.

    What a school says in the first half of the grace is of the pass in which the person left. One that stays
    silent makes nobody wait for longer than the grace once more; but while a snapshot of the municipality is held
    no grace ends at all, nor that of a person whom a record names that is set aside.
    """
    municipality, grace = lane.rendering.scope.municipality, lane.leaving.grace
    waiting = [row for row in due if row.reason == GRACE]
    if not waiting:
        return list(due)
    held = {(hold.municipality, hold.subject) for hold in uow.holds(("open", "approved"))}
    scope, states = lane.rendering.scope, uow.institution_states()
    schools = [s.institution for s in states if s.municipality == municipality and scope.has(s.institution)]
    aside = {row.user_id for school in schools for row in uow.quarantine_of(municipality, school)}
    heard = _heard(uow, lane.rendering.scope, min(row.updated_at for row in waiting))
    still = {
        row.id: replace(row, next_attempt_at=now + _LOOK)  # not `updated_at`: the grace is counted from there
        for row in waiting
        if (municipality, SNAPSHOT) in held
        or row.key[0] in aside
        or now < row.updated_at + grace
        or (heard < row.updated_at + grace / 2 and now < row.updated_at + 2 * grace)
    }
    uow.put_deliveries(list(still.values()))
    return [row for row in due if row.id not in still]


def _heard(reader: Reader, scope: Scope, since: datetime) -> datetime:
    """The earliest of the last documents of the schools in scope, of those that came since then.

    A school from which nothing comes for want of an agreement is not waited for.
    """
    home = scope.municipality
    mute = {row.institution for row in reader.subscriptions(home) if row.agreement not in (None, "agreed")}
    here = {s.institution for s in reader.institution_states() if s.municipality == home} - mute
    runs = [reader.runs_of(home, school, since) for school in here if scope.has(school)]
    return min(
        (max((run.at for run in told if run.digest), default=_EARLIEST) for told in runs), default=_EARLIEST
    )


def _wait_for_references(uow: UnitOfWork, lane: Lane, rows: Sequence[Delivery]) -> None:
    now = lane.now()
    uow.put_deliveries(
        [
            replace(row, reason=WAITING, next_attempt_at=now + lane.retry.retry_after_cap, updated_at=now)
            for row in rows
        ]
    )


# ---------------------------------------------------------------- bodies


def prepare(
    uow: UnitOfWork, lane: Lane, due: Sequence[Delivery], rendered: Mapping[CanonicalId, Rendered]
) -> list[Step]:
    """Make steps of what is due and leave out what has nothing to be sent: it waits for what it refers to."""
    gone = [row for row in due if row.desired is None]
    hidden = protected_people(uow, lane.rendering.scope.municipality, gone)
    shown = masks(uow, lane.rendering, lane.leaving, gone)
    ids = {CanonicalId(r.id) for one in rendered.values() for r in references(one.body)}
    known = _reference_ids(uow, lane, ids)
    steps: list[Step] = []
    waiting: list[Delivery] = []
    for row in due:
        is_hidden = row.key in hidden or row.rank == URGENT
        made = rendered.get(row.id)
        if made is not None:
            step = _stay(row, made, known)
        else:
            step = _leave(lane, row, shown.get(row.id), is_hidden=is_hidden, is_shown=row.id in shown)
        if step is not None and (step.sent != row.confirmed or row.in_doubt):
            steps.append(step)
        elif row.is_due:
            waiting.append(row)
    _wait_for_references(uow, lane, waiting)
    return steps


def _stay(row: Delivery, made: Rendered, known: Mapping[str, str]) -> Step | None:
    """The hash is of what can be sent now: not all that is desired while something it refers to is not there."""
    document, there = resolve(made.body, known), narrow(made.body, known)
    if document is None or not made.resource.is_whole(there):
        return None
    sent = hash_bytes(encode_body(there))
    return Step(row, made.resource.name, document, sent, made.is_masked)


def _leave(lane: Lane, row: Delivery, mask: dict[str, Any] | None, *, is_hidden: bool, is_shown: bool) -> Step:
    """An account sleeps first, where the target can put it to sleep; of who is protected it keeps the mask.

    `is_shown`: the target has what is protected by now. `mask` is what it may have, None where nobody can say.
    """
    asleep = (
        lane.leaving.sleeping(row, mask) if is_shown and mask else None if is_shown else lane.leaving.sleeping(row)
    )
    if asleep is None:
        return Step(row, row.resource, None, None, is_hidden)
    again = (DEACTIVATED, lane.leaving.retention)
    return Step(row, row.resource, asleep, hash_bytes(encode_body(asleep)), is_hidden, again)


def _render_due(
    uow: UnitOfWork, rendering: Rendering, due: Sequence[Delivery]
) -> tuple[dict[CanonicalId, Rendered], list[Delivery]]:
    """Render the entities anew; where that differs from what was desired, the desired state is set right first.

    What turns out to go away, or to stay after all, is left out: it is due as what it is now.
    """
    rendered: dict[CanonicalId, Rendered] = {}
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
        rendered |= {row.id: made[row.key] for row in rows if row.key in made}
    return rendered, [row for row in current.values() if (row.desired is None) == is_deletion]


def _hash(rendered: Rendered | None) -> bytes | None:
    return rendered.hash if rendered else None


def _reference_ids(uow: UnitOfWork, lane: Lane, ids: set[CanonicalId]) -> Mapping[str, str]:
    if lane.target.capabilities.references == "canonical":
        return {identity: identity for identity in ids}
    return {str(k): v for k, v in uow.remote_ids(lane.rendering.target, ids).items()}


# ---------------------------------------------------------------- commands


def attempts_of(reader: Reader, lane: Lane, steps: Sequence[Step]) -> list[Attempt]:
    municipality = lane.rendering.scope.municipality
    states = {s.institution: s for s in reader.institution_states() if s.municipality == municipality}
    sequence = reader.last_sequence(municipality)
    return [_attempt(lane, step, states.get(step.row.institution), sequence) for step in steps]


def _attempt(lane: Lane, step: Step, told_by: InstitutionState | None, sequence: int) -> Attempt:
    cause = step.row.cause or (told_by.run if told_by else lane.rendering.mapping.name)
    row, intent = replace(step.row, cause=cause), lane.new_id()
    confirmed = None if step.is_masked else row.confirmed_body
    command = Command(
        operation=operation_of(row, step.document is not None),
        resource=step.resource,
        kind=row.kind.value,
        id=row.id,
        key=row.key,
        identity={"id": row.id, **identity_fields(row.kind, row.key)},
        document=step.document,
        previous=decode_body(confirmed) if confirmed is not None else None,
        remote_id=row.remote_id,
        etag=row.etag,
        in_doubt=row.in_doubt,
        municipality=lane.rendering.scope.municipality,
        institution=row.institution,
        version=row.version,
        sequence=sequence,
        cause=cause,
        time=told_by.recorded_at if told_by else row.updated_at,
        delivery_key=_delivery_key(row, step.sent),
        may_create=step.again is None,
        is_resent=row.confirmed is None and row.confirmed_body is not None,
        traceparent=traceparent(trace_id(cause), span_id(intent)),
    )
    return Attempt(row, command, step.sent, intent, step.again)


def _delivery_key(row: Delivery, sent: bytes | None) -> str:
    """The same for every retry of the same step, another one for every other step."""
    step = f"{row.target}/{row.id}/{row.version}/{(sent or b'').hex()}"
    return name_uuid(_KEY_NAMESPACE, step)
