"""Alive means that the loops come round; ready means that the store and the audit chain can be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from bridge.domain.errors import BridgeError
from bridge.domain.ids import TargetId
from bridge.engine.breaker import is_off
from bridge.ports import Store
from bridge.web.app import Health


def liveness(ticks: Mapping[str, float], now: float, limit: timedelta) -> Health:
    """Whether every loop came round within `limit`. `ticks` and `now` are monotonic seconds."""
    late = [loop for loop, at in sorted(ticks.items()) if now - at > limit.total_seconds()]
    return Health(not late, tuple(f"loop {loop} has not come round" for loop in late))


def readiness(store: Store, targets: Sequence[TargetId]) -> Health:
    """Whether the store can be written and the audit chain read; targets that pause are told as degraded."""
    try:
        store.check()
        with store.write() as uow:
            uow.audit_head()
            states = map(uow.target_state, targets)
            paused = tuple(f"{one.target} is paused" for one in states if one.paused_until and not is_off(one))
            uow.rollback()
    except BridgeError as error:
        return Health(False, (str(error),))
    return Health(True, degraded=paused)
