"""What is known of each target as a whole, in SQL."""

from __future__ import annotations

import json

from sqlalchemy import select

from bridge.adapters.sql_schema import from_stored, target_states, to_stored
from bridge.adapters.sql_transaction import SqlPart, StoredRow
from bridge.domain.ids import TargetId
from bridge.domain.privacy import Told
from bridge.ports import TargetState


class SqlTargets(SqlPart):
    """The targets' states of `DeliveryStore`."""

    def target_state(self, target: TargetId) -> TargetState:
        rows = self._tx.rows(select(target_states).where(target_states.c.target == target))
        return _target_state(rows[0]) if rows else TargetState(target)

    def target_states(self) -> list[TargetState]:
        rows = self._tx.rows(select(target_states).order_by(target_states.c.target))
        return [_target_state(row) for row in rows]

    def put_target_state(self, state: TargetState) -> None:
        row = (
            state.target,
            state.rendering,
            to_stored(state.paused_until),
            state.pause_reason,
            state.failures,
            to_stored(state.last_success_at),
            to_stored(state.reconciled_at),
            state.drifted,
            state.foreign,
            to_stored(state.announced_at),
            _to_text(state.told) if state.told is not None else None,
        )
        self._tx.put(target_states, [row])


def _target_state(row: StoredRow) -> TargetState:
    return TargetState(
        target=TargetId(row.target),
        rendering=row.rendering,
        paused_until=from_stored(row.paused_until),
        pause_reason=row.pause_reason,
        failures=row.failures,
        last_success_at=from_stored(row.last_success_at),
        reconciled_at=from_stored(row.reconciled_at),
        drifted=row.drifted,
        foreign=row.foreign,
        announced_at=from_stored(row.announced_at),
        told=_from_text(row.told) if row.told is not None else None,
    )


def _to_text(told: Told) -> str:
    return json.dumps([[*place, *sorted(paths)] for place, paths in sorted(told.items())])


def _from_text(text: str) -> Told:
    return {(resource, name): frozenset(paths) for resource, name, *paths in json.loads(text)}
