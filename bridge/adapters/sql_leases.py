"""Leases, claims and properties in SQL; the time is the server's, so that processes need not agree on theirs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import bindparam, delete, select, text, update

from bridge.adapters import sql_schema as schema
from bridge.adapters.sql_schema import deliveries, from_stored, leases, properties, to_stored
from bridge.adapters.sql_transaction import CHUNK, SqlPart, StoredRow, chunks
from bridge.ports import Lease

_CLOCK = text("SELECT clock_timestamp()")


class SqlLeases(SqlPart):
    """`LeaseStore`."""

    def store_time(self) -> datetime:
        if self._tx.dialect != "postgresql":
            return datetime.now(UTC)  # a file is on this machine
        told: datetime = self._tx.rows(_CLOCK)[0][0]
        return told.astimezone(UTC)

    def lease(self, name: str) -> Lease | None:
        return next(map(_lease, self._tx.rows(select(leases).where(leases.c.name == name))), None)

    def leases(self, prefix: str = "") -> list[Lease]:
        rows = self._tx.rows(select(leases).order_by(leases.c.name))
        return [_lease(row) for row in rows if row.name.startswith(prefix)]

    def put_leases(self, leases: Sequence[Lease]) -> None:
        self._tx.put(schema.leases, [(one.name, one.holder, one.number, to_stored(one.until)) for one in leases])

    def prolong(self, name: str, holder: str, seconds: float) -> bool:
        """`Store.beat` in a transaction of its own."""
        here = update(leases).where(leases.c.name == name, leases.c.holder == holder)
        until = to_stored(self.store_time() + timedelta(seconds=seconds))
        return self._tx.run(here.values(until=until)).rowcount > 0

    def drop_lease(self, name: str) -> None:
        self._tx.run(delete(leases).where(leases.c.name == name))

    def claim(self, target: str, ids: Sequence[str], holder: str) -> None:
        some = deliveries.c.id.in_(bindparam(CHUNK, expanding=True))
        claimed = update(deliveries).where(deliveries.c.target == target, some).values(claimed_by=holder)
        for chunk in chunks(ids):
            self._tx.run(claimed, **{CHUNK: chunk})

    def release_claims(self, holder: str) -> int:
        theirs = update(deliveries).where(deliveries.c.claimed_by == holder)
        return self._tx.run(theirs.values(claimed_by="")).rowcount

    def property(self, name: str) -> str | None:
        rows = self._tx.rows(select(properties.c.value).where(properties.c.name == name))
        return rows[0].value if rows else None

    def set_property(self, name: str, value: str) -> None:
        self._tx.put(properties, [(name, value)])


def _lease(row: StoredRow) -> Lease:
    return Lease(row.name, row.holder, row.number, from_stored(row.until))
