"""The event log in SQL: rows are only ever added, numbered without gaps by a counter in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, select, update

from bridge.adapters import sql_schema as schema
from bridge.adapters.sql_schema import cursors, from_stored, sequences, to_stored
from bridge.adapters.sql_transaction import SqlPart, StoredRow
from bridge.domain.events import Event
from bridge.domain.ids import join_key, split_key


class SqlEvents(SqlPart):
    """`EventLog`."""

    def append_events(self, municipality: str, events: Sequence[Event]) -> int:
        if not events:
            return self.last_sequence(municipality)
        # Counted before anything is read: where writers run side by side, this row makes them take turns.
        grown = update(sequences).values(last=sequences.c.last + len(events))
        if not self._tx.run(grown.where(sequences.c.municipality == municipality)).rowcount:
            self._tx.add(sequences, [(municipality, len(events), 0)])
        last = self.last_sequence(municipality)
        numbered = enumerate(events, start=last - len(events) + 1)
        self._tx.add(schema.events, [_stored(municipality, number, event) for number, event in numbered])
        return last

    def events(
        self,
        municipality: str,
        after: int,
        limit: int,
        *,
        institution: str | None = None,
        subject: str | None = None,
    ) -> list[Event]:
        columns = schema.events.c
        page = select(schema.events).where(columns.municipality == municipality, columns.sequence > after)
        if institution is not None:
            page = page.where(columns.institution == institution)
        if subject is not None:
            page = page.where(columns.subject == subject)
        return [_event(row) for row in self._tx.rows(page.order_by(columns.sequence).limit(limit))]

    def last_sequence(self, municipality: str) -> int:
        rows = self._tx.rows(select(sequences.c.last).where(sequences.c.municipality == municipality))
        return rows[0].last if rows else 0

    def sequence_at(self, municipality: str, moment: datetime) -> int:
        until = (schema.events.c.municipality == municipality, schema.events.c.time <= to_stored(moment))
        found = self._tx.rows(select(func.max(schema.events.c.sequence)).where(*until))[0][0]
        return found or 0

    def log_floor(self, municipality: str) -> int:
        rows = self._tx.rows(select(sequences.c.floor).where(sequences.c.municipality == municipality))
        return rows[0].floor if rows else 0

    def compact_events(self, municipality: str, up_to: int) -> int:
        floor = min(up_to, self.last_sequence(municipality))
        if floor <= self.log_floor(municipality):
            return 0
        columns = schema.events.c
        old = (columns.municipality == municipality, columns.sequence <= floor)
        last = select(func.max(columns.sequence)).where(*old).group_by(columns.subject)
        is_gone = columns.type.like("%.deleted.%")
        removed = self._tx.run(delete(schema.events).where(*old, columns.sequence.not_in(last) | is_gone))
        here = sequences.c.municipality == municipality
        self._tx.run(update(sequences).where(here).values(floor=floor))
        return removed.rowcount

    def cursor(self, name: str) -> int:
        rows = self._tx.rows(select(cursors.c.sequence).where(cursors.c.name == name))
        return rows[0].sequence if rows else 0

    def cursors(self) -> dict[str, int]:
        return {row.name: row.sequence for row in self._tx.rows(select(cursors).order_by(cursors.c.name))}

    def set_cursor(self, name: str, sequence: int) -> None:
        self._tx.put(cursors, [(name, sequence)])


def _stored(municipality: str, number: int, event: Event) -> tuple[object, ...]:
    return (
        municipality,
        number,
        event.id,
        event.type,
        event.institution,
        event.subject,
        join_key(event.key),
        event.version,
        to_stored(event.time),
        event.cause,
        event.data,
    )


def _event(row: StoredRow) -> Event:
    return Event(
        sequence=row.sequence,
        id=row.id,
        type=row.type,
        municipality=row.municipality,
        institution=row.institution,
        subject=row.subject,
        key=split_key(row.key),
        version=row.version,
        time=from_stored(row.time),
        cause=row.cause,
        data=row.data,
    )
