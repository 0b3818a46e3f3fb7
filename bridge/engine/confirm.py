"""What a target answered becomes what we know of it, and when to try again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import assert_never

from bridge.connector import Command
from bridge.domain.entities import Kind
from bridge.domain.ids import Key
from bridge.domain.outcomes import Deferred, Delivered, Outcome, Rejected, Unchanged
from bridge.engine.codec import encode_body
from bridge.engine.desire import Rendering
from bridge.engine.referrers import referrers
from bridge.engine.retry import RetryPolicy
from bridge.ports import RESTING, Delivery, UnitOfWork

WAITING = "waiting_for_reference"
_LOOK = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One command on its way. `sent` is the hash that is confirmed when it arrives, None for a deletion.

    `again`: why, and after how long, the same entity is due again when it has arrived.
    """

    row: Delivery
    command: Command = field(repr=False)
    sent: bytes | None
    intent: str
    again: tuple[str, timedelta] | None = None

    @property
    def is_aside(self) -> bool:
        """Whether it changes nothing of what the entity waits for."""
        return self.again is not None and self.again[0] == self.row.reason


def confirm(
    uow: UnitOfWork,
    rendering: Rendering,
    retry: RetryPolicy,
    attempts: Sequence[Attempt],
    outcomes: Sequence[Outcome],
    now: datetime,
    chance: Callable[[], float],
) -> None:
    """Write the outcomes back; attempts without one stay in doubt and due."""
    pairs = list(zip(attempts, outcomes, strict=False))
    rows = [settle(attempt, outcome, retry, now, chance()) for attempt, outcome in pairs]
    uow.put_deliveries(rows)
    _tell_referrers(
        uow, rendering, [(attempt.row, row) for (attempt, _), row in zip(pairs, rows, strict=True)], now
    )


def settle(attempt: Attempt, outcome: Outcome, retry: RetryPolicy, now: datetime, chance: float) -> Delivery:
    """Return the delivery as it is after an outcome; who rests, and was only masked, rests on whatever it was."""
    rests = attempt.is_aside and attempt.row.reason in RESTING
    kept = attempt.row.reason if rests else None
    row = attempt.row if rests else replace(attempt.row, updated_at=now, reason=None)
    match outcome:
        case Unchanged(is_gone=True) if not attempt.command.may_create:
            gone = replace(attempt, command=replace(attempt.command, document=None), sent=None)
            return _confirmed(row, gone, None, None, WAITING, now)
        case Delivered(remote_id=remote_id, etag=etag) | Unchanged(remote_id=remote_id, etag=etag):
            reason, wait = attempt.again or (WAITING, retry.retry_after_cap)
            return _confirmed(row, attempt, remote_id, etag, reason, now + wait)
        case Rejected() if rests and attempt.again is not None:
            wait = max(attempt.again[1], _LOOK)
            return replace(_refused(row, outcome), attempts=row.attempts + 1, next_attempt_at=now + wait)
        case Rejected(reason=reason, field=field_name):
            told = f"{reason}:{field_name}" if field_name else reason
            # What is refused did not happen; what an earlier attempt did, whose outcome nobody saw, stays open.
            return replace(_refused(row, outcome), state="rejected", reason=told, attempts=row.attempts + 1)
        case Deferred(reason=reason, after=after):
            wait = max(retry.wait(row.attempts + 1, after, chance), timedelta(seconds=1))
            return replace(
                row, reason=kept or reason, in_doubt=True, attempts=row.attempts + 1, next_attempt_at=now + wait
            )
        case _:
            assert_never(outcome)


def _refused(row: Delivery, outcome: Rejected) -> Delivery:
    """What was before would be no news to a target that has changed; what goes there still has to go."""
    if not outcome.has_changed:
        return row
    return replace(row, confirmed=None, in_doubt=row.in_doubt or row.desired is None)


def _confirmed(
    row: Delivery, attempt: Attempt, remote_id: str | None, etag: str | None, reason: str, again_at: datetime
) -> Delivery:
    document = attempt.command.document
    is_there = document is not None
    is_partial = is_there and attempt.sent != row.desired
    return replace(
        row,
        confirmed=attempt.sent,
        confirmed_body=encode_body(document) if document is not None else None,
        remote_id=(remote_id or row.remote_id) if is_there else None,
        etag=etag if is_there else None,
        in_doubt=False,
        attempts=0,
        state="pending",
        reason=reason if is_partial else None,
        next_attempt_at=again_at if is_partial else row.next_attempt_at,
    )


def _tell_referrers(
    uow: UnitOfWork, rendering: Rendering, steps: Sequence[tuple[Delivery, Delivery]], now: datetime
) -> None:
    """A new remote id wakes what waited for it; a changed one makes those that hold the old one due again."""
    arrived = [after for before, after in steps if after.remote_id and after.remote_id != before.remote_id]
    if arrived:
        uow.wake(rendering.target, WAITING, now)
    moved: dict[Kind, set[Key]] = {}
    for before, after in steps:
        if before.remote_id and after.remote_id and after.remote_id != before.remote_id:
            moved.setdefault(after.kind, set()).add(after.key)
    forget_referrers(uow, rendering, moved)


def forget_referrers(
    uow: UnitOfWork, rendering: Rendering, subjects: Mapping[Kind, Collection[Key]], cause: str = ""
) -> None:
    """Let what refers to these be sent again: they are, or will be, known by another id.

    `cause` is the decision that makes it so; without one each keeps the run that it was last due for.
    """
    home, mapping = rendering.scope.municipality, rendering.mapping
    found = [referrers(uow, home, mapping, kind, keys) for kind, keys in subjects.items()]
    ids = [rendering.scope.id(kind, key) for there in found for kind, keys in there.items() for key in keys]
    uow.forget_confirmed(rendering.target, ids)
    if cause:
        uow.set_cause(rendering.target, ids, cause)


def undo(uow: UnitOfWork, attempts: Sequence[Attempt]) -> None:
    """Take back the doubt of attempts that were never sent."""
    uow.put_deliveries([attempt.row for attempt in attempts])
