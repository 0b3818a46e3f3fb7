"""The event log in SQL: rows are only ever added, numbered without gaps by a counter in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update

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
            self._tx.add(sequences, [(municipality, len(events))])
        last = self.last_sequence(municipality)
        numbered = enumerate(events, start=last - len(events) + 1)
        self._tx.add(schema.events, [_stored(municipality, number, event) for number, event in numbered])
        return last

    def events(self, municipality: str, after: int, limit: int) -> list[Event]:
        page = (
            select(schema.events)
            .where(schema.events.c.municipality == municipality, schema.events.c.sequence > after)
            .order_by(schema.events.c.sequence)
            .limit(limit)
        )
        return [_event(row) for row in self._tx.rows(page)]

    def last_sequence(self, municipality: str) -> int:
        rows = self._tx.rows(select(sequences.c.last).where(sequences.c.municipality == municipality))
        return rows[0].last if rows else 0

    def cursor(self, name: str) -> int:
        rows = self._tx.rows(select(cursors.c.sequence).where(cursors.c.name == name))
        return rows[0].sequence if rows else 0

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
