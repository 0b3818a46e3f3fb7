"""What targets were found to have otherwise than they confirmed, in SQL."""

from __future__ import annotations

import json
from collections.abc import Iterable

from sqlalchemy import bindparam, delete, select

from bridge.adapters import sql_schema as schema
from bridge.adapters.sql_schema import from_stored, to_stored
from bridge.adapters.sql_transaction import CHUNK, SqlPart, StoredRow, chunks
from bridge.domain.entities import Kind
from bridge.domain.ids import CanonicalId, TargetId
from bridge.ports import Drift

_C = schema.drift.c


class SqlDrift(SqlPart):
    """`DriftStore`."""

    def drift(self, target: TargetId) -> list[Drift]:
        wanted = select(schema.drift).where(_C.target == target).order_by(_C.id)
        return [_drift(row) for row in self._tx.rows(wanted)]

    def put_drift(self, rows: Iterable[Drift]) -> None:
        self._tx.put(
            schema.drift,
            [
                (
                    row.target,
                    row.id,
                    row.kind.value,
                    row.what,
                    json.dumps(row.fields),
                    row.rounds,
                    row.state,
                    to_stored(row.seen_at),
                )
                for row in rows
            ],
        )

    def drop_drift(self, target: TargetId, ids: Iterable[CanonicalId]) -> None:
        some = delete(schema.drift).where(_C.target == target, _C.id.in_(bindparam(CHUNK, expanding=True)))
        for chunk in chunks(ids):
            self._tx.run(some, **{CHUNK: chunk})


def _drift(row: StoredRow) -> Drift:
    return Drift(
        target=TargetId(row.target),
        id=CanonicalId(row.id),
        kind=Kind(row.kind),
        what=row.what,
        fields=tuple(json.loads(row.fields)),
        rounds=row.rounds,
        state=row.state,
        seen_at=from_stored(row.seen_at),
    )
