"""The event log in SQL: rows are only ever added, numbered without gaps by a counter in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, delete, func, select, update

from bridge.adapters import sql_schema as schema
from bridge.adapters.sql_schema import cursors, from_stored, sequences, to_stored
from bridge.adapters.sql_transaction import SqlPart, StoredRow
from bridge.domain.events import Event
from bridge.domain.ids import join_key, split_key
from bridge.domain.lazily import Lazily

_HERE = schema.events.c.municipality == bindparam("municipality")
_newer, _older = schema.events.alias("newer"), schema.events.alias("older")
_OVERTAKEN = (
    select(_older.c.sequence)
    .join(_newer, (_newer.c.municipality == _older.c.municipality) & (_newer.c.subject == _older.c.subject))
    .where(
        _newer.c.municipality == bindparam("municipality"),
        _newer.c.sequence > bindparam("before"),
        _newer.c.sequence <= bindparam("up_to"),
        _older.c.sequence < _newer.c.sequence,
    )
)
_GONE = select(schema.events.c.sequence).where(
    _HERE,
    schema.events.c.sequence >= bindparam("before"),
    schema.events.c.sequence < bindparam("up_to"),
    schema.events.c.type.like("%.deleted.%"),
)
# Up to the old floor the log is compacted already: only what was added since can overtake anything there.
_COMPACT = delete(schema.events).where(_HERE, schema.events.c.sequence.in_(_OVERTAKEN.union(_GONE)))


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
        first = last - len(events) + 1
        places = range(len(events))
        rows = Lazily(places, lambda place: _stored(municipality, first + place, events[place]))
        self._tx.add(schema.events, rows)
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
        before, floor = self.log_floor(municipality), min(up_to, self.last_sequence(municipality))
        if floor <= before:
            return 0
        removed = self._tx.run(_COMPACT, municipality=municipality, before=before, up_to=floor)
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
    # Taken apart at once: a whole log is read through here, and a row's names cost more than the rest.
    home, sequence, identity, name, institution, subject, key, version, time, cause, data = row
    at = from_stored(time)
    return Event(sequence, identity, name, home, institution, subject, split_key(key), version, at, cause, data)
