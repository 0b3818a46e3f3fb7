"""What setting a target right would tell it, as far as the last reading knows; nothing is read, sent or kept."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.domain.changes import Operation
from bridge.domain.ids import TargetId
from bridge.engine.breaker import is_paused
from bridge.engine.decide import NotOpen
from bridge.engine.lane import Lane
from bridge.engine.plan import Plan, Step
from bridge.engine.reconcile_read import CHANGED, LEFTOVER, MISSING, MOVED
from bridge.ports import Hold, Reader

_OPERATIONS = {
    MISSING: Operation.CREATED,
    CHANGED: Operation.UPDATED,
    MOVED: Operation.UPDATED,
    LEFTOVER: Operation.DELETED,
}


def foresee_drift(reader: Reader, lane: Lane, hold: Hold) -> Plan:
    """What approving a hold of what differs would do at its target. Raises `NotOpen` for one that is decided."""
    if hold.state != "open":
        raise NotOpen(f"hold {hold.id} is not open any more; `skolebro reconcile` shows what differs now")
    name, state = lane.rendering.target, reader.target_state(lane.rendering.target)
    paused: dict[str, str] = {name: state.pause_reason or "unavailable"} if is_paused(state, lane.now()) else {}
    return Plan((), {name: list(_steps(reader, name, hold))}, (), {}, {}, paused)


def _steps(reader: Reader, target: TargetId, hold: Hold) -> Iterator[Step]:
    asked = frozenset(hold.withheld)
    for one in reader.drift(target):
        row = reader.delivery(target, one.id)
        if row is not None and (row.kind, row.key) in asked and f"{one.kind}.{one.what}" in hold.counts:
            yield Step(_OPERATIONS[one.what].value, row.resource, row.kind.value, row.key, one.fields)
