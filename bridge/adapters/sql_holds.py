"""Holds in SQL: a snapshot's bytes are kept, compressed, for as long as someone may still apply them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, insert, select, update

from bridge.adapters.sql_schema import from_stored, hold_bodies, holds, to_stored
from bridge.adapters.sql_transaction import SqlPart, StoredRow
from bridge.domain.errors import StoreError
from bridge.ports import Hold

_FINAL = frozenset({"applied", "rejected", "superseded"})


class SqlHolds(SqlPart):
    """The holds of `IntakeStore`."""

    def add_hold(self, hold: Hold, body: bytes | None) -> int:
        added = self._tx.run(
            insert(holds).values(
                municipality=hold.municipality,
                institution=hold.institution,
                subject=hold.subject,
                target=hold.target,
                digest=hold.digest,
                reasons=json.dumps(hold.reasons),
                counts=json.dumps(dict(hold.counts)),
                people=json.dumps(hold.people),
                state=hold.state,
                opened_at=to_stored(hold.opened_at),
                origin=hold.origin,
                decided_at=to_stored(hold.decided_at),
                decided_by=hold.decided_by,
            )
        )
        (number,) = added.inserted_primary_key or (0,)
        if body is not None:
            self._tx.add(hold_bodies, [(number, zlib.compress(body))])
        return int(number)

    def holds(self, states: Sequence[str] | None = None) -> list[Hold]:
        wanted = select(holds).order_by(holds.c.id)
        if states is not None:
            wanted = wanted.where(holds.c.state.in_(states))
        return [_hold(row) for row in self._tx.rows(wanted)]

    def hold(self, number: int) -> Hold | None:
        return next(map(_hold, self._tx.rows(select(holds).where(holds.c.id == number))), None)

    def hold_body(self, number: int) -> bytes | None:
        rows = self._tx.rows(select(hold_bodies.c.body).where(hold_bodies.c.hold == number))
        return zlib.decompress(rows[0].body) if rows else None

    def set_hold_state(self, number: int, state: str, by: str | None, at: datetime) -> None:
        decision = {"state": state, "decided_by": by, "decided_at": to_stored(at)}
        changed = self._tx.run(update(holds).where(holds.c.id == number).values(decision))
        if not changed.rowcount:
            raise StoreError(f"there is no hold {number}")
        if state in _FINAL:
            self._tx.run(delete(hold_bodies).where(hold_bodies.c.hold == number))


def _hold(row: StoredRow) -> Hold:
    return Hold(
        id=row.id,
        municipality=row.municipality,
        institution=row.institution,
        subject=row.subject,
        target=row.target,
        digest=row.digest,
        reasons=tuple(json.loads(row.reasons)),
        counts=json.loads(row.counts),
        people=tuple(json.loads(row.people)),
        state=row.state,
        opened_at=from_stored(row.opened_at),
        origin=row.origin,
        decided_at=from_stored(row.decided_at),
        decided_by=row.decided_by,
    )
