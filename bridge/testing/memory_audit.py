"""The audit chain on plain dicts: rows are only ever added, each directly after the last."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import islice

from bridge.domain.errors import StoreError
from bridge.ports import AuditRow
from bridge.testing.memory_tables import MemoryPart


class MemoryAudit(MemoryPart):
    """`AuditStore`."""

    def audit_head(self) -> tuple[int, bytes]:
        size = len(self._tables.audit)
        return (size, self._tables.audit[size].hash) if size else (0, bytes(32))

    def append_audit(self, rows: Sequence[AuditRow]) -> None:
        tables = self._writing()
        for expected, row in enumerate(rows, start=len(tables.audit) + 1):
            if row.seq != expected:
                raise StoreError(f"audit row {row.seq} was refused: the next one is {expected}")
        tables.audit.update({row.seq: row for row in rows})

    def audit_rows(self, after: int, limit: int) -> list[AuditRow]:
        return list(islice((row for row in self._tables.audit.values() if row.seq > after), limit))

    def audit_of(self, trace: str, after: int, limit: int) -> list[AuditRow]:
        rows = self._tables.audit.values()
        return list(islice((row for row in rows if row.trace == trace and row.seq > after), limit))

    def audit_for(self, vendor: str, after: int, limit: int) -> list[AuditRow]:
        rows = (row for row in self._tables.audit.values() if row.seq > after)
        return list(islice((row for row in rows if json.loads(row.record).get("vendor") == vendor), limit))

    def audit_closing(self, intents: Iterable[str]) -> list[AuditRow]:
        wanted = set(intents)
        return [row for row in self._tables.audit.values() if row.closes in wanted]

    def audit_about(self, subject: str) -> list[AuditRow]:
        rows = self._tables.audit.values()
        intents = {row.intent for row in rows if row.subject == subject and row.intent is not None}
        return [row for row in rows if row.subject == subject or row.closes in intents]

    def open_intents(self) -> list[AuditRow]:
        closed = {row.closes for row in self._tables.audit.values()}
        rows = self._tables.audit.values()
        return [row for row in rows if row.intent is not None and row.intent not in closed]
