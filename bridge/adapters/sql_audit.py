"""The audit chain in SQL: rows are only ever added, each directly after the last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, bindparam, delete, literal, or_, select

from bridge.adapters.sql_schema import audit, open_intents
from bridge.adapters.sql_told import VENDOR
from bridge.adapters.sql_transaction import CHUNK, SqlPart, StoredRow, chunks
from bridge.domain.errors import StoreError
from bridge.ports import AuditRow

_START = bytes(32)
_CLOSING = select(audit).where(audit.c.closes.in_(bindparam(CHUNK, expanding=True)))
_CLOSED = delete(open_intents).where(open_intents.c.intent.in_(bindparam(CHUNK, expanding=True)))


class SqlAudit(SqlPart):
    """`AuditStore`; what is open stands in a table of its own, so that asking never reads the whole chain."""

    def audit_head(self) -> tuple[int, bytes]:
        rows = self._tx.rows(select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1))
        return (rows[0].seq, rows[0].hash) if rows else (0, _START)

    def append_audit(self, rows: Sequence[AuditRow]) -> None:
        head, _ = self.audit_head()
        for expected, row in enumerate(rows, start=head + 1):
            if row.seq != expected:
                raise StoreError(f"audit row {row.seq} was refused: the next one is {expected}")
        self._tx.add(audit, [_stored(row) for row in rows])
        self._tx.add(open_intents, [(row.seq, row.intent) for row in rows if row.intent is not None])
        for chunk in chunks(row.closes for row in rows if row.closes is not None):
            self._tx.run(_CLOSED, **{CHUNK: chunk})

    def audit_rows(self, after: int, limit: int) -> list[AuditRow]:
        return self._page(after, limit)

    def audit_of(self, trace: str, after: int, limit: int) -> list[AuditRow]:
        return self._page(after, limit, audit.c.trace == trace)

    def audit_for(self, vendor: str, after: int, limit: int) -> list[AuditRow]:
        # SQLite uses a partial index only where the statement says its condition.
        return self._page(after, limit, literal(vendor) == VENDOR, VENDOR.is_not(None))

    def _page(self, after: int, limit: int, *which: ColumnElement[bool]) -> list[AuditRow]:
        page = select(audit).where(*which, audit.c.seq > after).order_by(audit.c.seq).limit(limit)
        return [_audit_row(row) for row in self._tx.rows(page)]

    def audit_closing(self, intents: Iterable[str]) -> list[AuditRow]:
        return [_audit_row(row) for row in self._tx.rows_in(_CLOSING, intents)]

    def audit_about(self, subject: str) -> list[AuditRow]:
        intents = select(audit.c.intent).where(audit.c.subject == subject, audit.c.intent.is_not(None))
        about = or_(audit.c.subject == subject, audit.c.closes.in_(intents))
        return [_audit_row(row) for row in self._tx.rows(select(audit).where(about).order_by(audit.c.seq))]

    def open_intents(self) -> list[AuditRow]:
        rows = self._tx.rows(select(audit).join(open_intents).order_by(audit.c.seq))
        return [_audit_row(row) for row in rows]


def _stored(row: AuditRow) -> tuple[object, ...]:
    return (row.seq, row.record, row.prev, row.hash, row.intent, row.closes, row.subject, row.trace)


def _audit_row(row: StoredRow) -> AuditRow:
    return AuditRow(
        seq=row.seq,
        record=row.record,
        prev=row.prev,
        hash=row.hash,
        intent=row.intent,
        closes=row.closes,
        subject=row.subject,
        trace=row.trace,
    )
