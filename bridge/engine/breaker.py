"""A target that fails as a whole pauses alone: no attempt of any entity is spent, and one alert is given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from bridge.domain.errors import ContractBroken, TargetError, TargetGone, TargetUnauthorised, TargetUnavailable
from bridge.domain.ids import TargetId
from bridge.engine.retry import RetryPolicy
from bridge.engine.whole import forget_whole
from bridge.ports import ACTIVE, GONE, OFF, SHADOW, STANDING, TargetState, UnitOfWork

MANY_DEFERRED = 5
_PATIENCE = RetryPolicy(base=timedelta(seconds=2), ceiling=timedelta(minutes=10))
_PERSON = RetryPolicy(base=timedelta(minutes=5), ceiling=timedelta(hours=1))
_SHORTEST = timedelta(seconds=1)
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Breaker:
    """Decides on a target's pauses. `patience` is for an outage, `person` for what a person must mend."""

    patience: RetryPolicy = _PATIENCE
    person: RetryPolicy = _PERSON

    def failed(self, state: TargetState, error: TargetError, now: datetime, chance: float) -> TargetState:
        """Return the state after the target as a whole failed. At least half of the wait is certain.

        One that is gone pauses until a person resumes it.
        """
        failures = state.failures + 1
        if state.pause_reason in STANDING:  # what was under way when it was switched off
            return replace(state, failures=failures)
        if isinstance(error, TargetGone):
            return replace(state, failures=failures, paused_until=_NEVER, pause_reason=reason_of(error))
        asked = error.retry_after if isinstance(error, TargetUnavailable) else None
        policy = self.patience if isinstance(error, TargetUnavailable) else self.person
        wait = max(policy.wait(failures, asked, 0.5 + chance / 2), _SHORTEST)
        return replace(state, failures=failures, paused_until=now + wait, pause_reason=reason_of(error))

    @staticmethod
    def worked(state: TargetState, now: datetime) -> TargetState:
        if state.pause_reason in STANDING:
            return replace(state, failures=0, last_success_at=now)
        return replace(state, failures=0, paused_until=None, pause_reason=None, last_success_at=now)


def reason_of(error: TargetError) -> str:
    """The stable code of a whole-target failure."""
    match error:
        case TargetUnauthorised():
            return "unauthorised"
        case ContractBroken():
            return "contract_broken"
        case TargetGone():
            return GONE
        case TargetUnavailable(reason=reason):
            return reason
        case _:
            return "unavailable"


def is_off(state: TargetState) -> bool:
    """Whether a target gets nothing on purpose."""
    return state.pause_reason in OFF


def is_new(state: TargetState) -> bool:
    """Whether a target was never anything: not sent to, not applied to, not switched on or off."""
    return state.rendering is None and state.last_success_at is None and state.paused_until is None


def standing(state: TargetState, *, begins_in_shadow: bool) -> str:
    """Return how a target stands: one of `STANDING`, or `ACTIVE` whatever else it waits for."""
    if state.pause_reason in STANDING:
        return str(state.pause_reason)
    return SHADOW if begins_in_shadow and is_new(state) else ACTIVE


def is_paused(state: TargetState, now: datetime) -> bool:
    return state.paused_until is not None and state.paused_until > now


def unpause(uow: UnitOfWork) -> None:
    """Try targets again that wait for a person: whoever asks for it may have mended them."""
    for state in uow.target_states():
        if state.pause_reason in ("unauthorised", "contract_broken"):
            uow.put_target_state(replace(state, paused_until=None))


def switch_off(uow: UnitOfWork, target: TargetId, reason: str) -> bool:
    """Let a target get nothing until a person resumes it; return whether that is news. `reason`: one of `OFF`.

    It is fetched from again when it has been told what it misses from now on.
    """
    forget_whole(uow, target)
    state = uow.target_state(target)
    uow.put_target_state(replace(state, paused_until=_NEVER, pause_reason=reason))
    return state.pause_reason != reason


def hurry(uow: UnitOfWork, target: TargetId) -> None:
    """End a pause that time would end."""
    state = uow.target_state(target)
    if state.pause_reason not in STANDING:
        uow.put_target_state(replace(state, paused_until=None))


def resume(uow: UnitOfWork, target: TargetId) -> str | None:
    """End a target's pause, also one that has no end; return the reason for it, None when it did not pause."""
    state = uow.target_state(target)
    if state.paused_until is None:
        return None
    uow.put_target_state(replace(state, paused_until=None, pause_reason=None))
    return state.pause_reason
