"""What goes out as a whole leaves when all of it has been told and every school in it has been heard."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from bridge.connector import HandedOver, HandsOver
from bridge.domain.errors import ContractBroken, StoreError, TargetError, TargetUnavailable
from bridge.domain.ids import TargetId
from bridge.engine.breaker import is_off, is_paused
from bridge.engine.deliver import deliver
from bridge.engine.lane import DeliveryWitness, Lane
from bridge.engine.shelf import STOPPED, WAITS
from bridge.engine.views import Scope
from bridge.engine.whole import is_whole, note_whole
from bridge.ports import STANDING, Reader, TargetState

LOOK = timedelta(seconds=10)
"""How long a target that is at rest is left alone before it is asked again whether it is time."""


class HandOverWitness(DeliveryWitness, Protocol):
    """Whoever is told how deliveries went, and what left as a whole."""

    def handed_over(self, target: str, what: HandedOver) -> None: ...

    def hand_over_failed(self, target: str) -> None: ...


@dataclass(slots=True)
class HandingOver:
    """The deliveries of a target that `HandsOver`, and what leaves after them."""

    lane: Lane
    every: timedelta = LOOK
    _looked_at: datetime | None = field(default=None, init=False)

    def step(self, witness: HandOverWitness) -> int:
        """Deliver one batch; where there is none, hand over what is kept if it is time. Return how much was done.

        Raises `StoreError` only.
        """
        if done := deliver(self.lane, witness):
            self._looked_at = None
            return done
        now = self.lane.now()
        if self._looked_at is not None and self._looked_at <= now < self._looked_at + self.every:
            return 0
        self._looked_at = now
        return hand_over(self.lane, witness)


def hand_over(lane: Lane, witness: HandOverWitness) -> int:
    """Let a target hand over what it keeps; return 1 when something left.

    Nothing is done while something is due, a mapping waits, the target pauses, schools are being read, or one of
    them was never heard: what is missing must be gone, not late. Raises `StoreError` only.
    """
    target, name = lane.target, lane.rendering.target
    # Asked before the look at what is due: a pass that ends in between has left its changes there.
    if not isinstance(target, HandsOver) or not lane.may_delete():
        return 0
    with lane.store.read() as reader:
        if not _is_at_rest(reader, lane):
            return 0
        missing, told = missing_in(reader, lane.rendering.scope), reader.shelf_note(name, WAITS)
    if (note := json.dumps(missing)) != (told or "null"):
        with lane.store.write() as uow:
            uow.set_shelf_note(name, WAITS, note)
    if missing is not None:
        return 0
    what, failure = _try(target, name, witness)
    _conclude(lane, witness, what, failure)
    return int(what is not None)


def may_be_fetched(lane: Lane) -> bool:
    """Whether others may fetch from a target: it is switched on, and was complete once of all that is in its scope
    now, so that nobody takes a beginning for all there is. Raises `StoreError`."""
    name, scope = lane.rendering.target, lane.rendering.scope
    is_between = lane.may_delete()  # asked before the look at what is due, as above
    with lane.store.read() as reader:
        if is_off(reader.target_state(name)):
            return False
        if is_whole(reader, name, scope):
            return True
        is_complete = is_between and _is_complete(reader, lane)
    if is_complete:
        with lane.store.write() as uow:
            if is_off(uow.target_state(name)) or not _is_complete(uow, lane):  # something ended that meanwhile
                return False
            note_whole(uow, name, scope, lane.now())
    return is_complete


def _is_complete(reader: Reader, lane: Lane) -> bool:
    return _is_at_rest(reader, lane) and missing_in(reader, lane.rendering.scope) is None


def missing_in(reader: Reader, scope: Scope) -> list[str] | None:
    """The schools that were never read and whose data are not complete without; None when there are all.

    A school that is known to have no agreement is not waited for. An empty list: not one has been read yet.
    """
    agreements = {row.institution: row.agreement for row in reader.subscriptions(scope.municipality)}
    states = [state for state in reader.institution_states() if state.municipality == scope.municipality]
    heard = {state.institution for state in states}
    if scope.institutions is None:
        wanted = {number for number, agreement in agreements.items() if agreement == "agreed"} | heard
    else:
        wanted = {one for one in scope.institutions if one in heard or agreements.get(one) in (None, "agreed")}
    missing = sorted(wanted - heard)
    return missing if missing or not wanted else None


def waits_for(reader: Reader, target: TargetId) -> tuple[str, ...] | None:
    """The schools that a target's file waited for when it was last looked at; None when it waits for none."""
    note = json.loads(reader.shelf_note(target, WAITS) or "null")
    return None if note is None else tuple(note)


def _is_at_rest(reader: Reader, lane: Lane) -> bool:
    name, now = lane.rendering.target, lane.now()
    state = reader.target_state(name)
    if is_paused(state, now) or state.rendering != lane.rendering.digest or reader.due(name, now, 1):
        return False
    if reader.ledger(name).unapplied:  # what it missed while it was not configured is not even due yet
        return False
    counts = reader.delivery_counts(name, now)
    return counts.due == counts.resting


def _try(
    target: HandsOver, name: TargetId, witness: HandOverWitness
) -> tuple[HandedOver | None, TargetError | None]:
    try:
        return target.hand_over(), None
    except TargetError as error:
        return None, error
    except StoreError:
        raise
    except Exception as error:  # a bug of the connector, which may be anybody's
        witness.crashed(name, error)
        return None, TargetUnavailable("connector_error")


def _conclude(lane: Lane, witness: HandOverWitness, what: HandedOver | None, failure: TargetError | None) -> None:
    """One transaction for what left and for what that says of the target."""
    name = lane.rendering.target
    with lane.store.write() as uow:
        before = uow.target_state(name)
        after = _next_state(lane, before, what, failure)
        if after != before:
            uow.put_target_state(after)
        told = str(failure) if isinstance(failure, ContractBroken) else ""
        if told != (uow.shelf_note(name, STOPPED) or ""):
            uow.set_shelf_note(name, STOPPED, told)
        if what is not None:
            lane.book.write(uow, [_record(lane, what)])
    if what is not None:
        witness.handed_over(name, what)
    if failure is not None:
        witness.hand_over_failed(name)
        witness.paused(before, after)
    elif before.failures:
        witness.resumed(before)


def _next_state(
    lane: Lane, before: TargetState, what: HandedOver | None, failure: TargetError | None
) -> TargetState:
    now = lane.now()
    if before.pause_reason in STANDING:
        return before
    if failure is not None:
        return lane.breaker.failed(before, failure, now, lane.chance())
    if what is not None:
        return lane.breaker.worked(before, now)
    # Nothing is left that could fail: it did not work either, so the last success stays.
    return replace(before, failures=0, paused_until=None, pause_reason=None) if before.failures else before


def _record(lane: Lane, what: HandedOver) -> dict[str, object]:
    return {
        "kind": "disclosure.handed_over",
        "municipality": lane.rendering.scope.municipality,
        "target": lane.rendering.target,
        "file": what.name,
        "counts": dict(what.counts),
        "purpose": lane.rendering.mapping.purpose,
        "mapping": lane.rendering.mapping.digest,
    }
