"""The event log on plain dicts: rows are only ever added, numbered without gaps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import islice

from bridge.domain.events import Event
from bridge.testing.memory_tables import MemoryPart


class MemoryEvents(MemoryPart):
    """`EventLog`."""

    def append_events(self, municipality: str, events: Sequence[Event]) -> int:
        tables = self._writing()
        for number, event in enumerate(events, start=self.last_sequence(municipality) + 1):
            tables.events[municipality, number] = event._replace(sequence=number, municipality=municipality)
            tables.sequences[municipality] = number
        return self.last_sequence(municipality)

    def events(
        self,
        municipality: str,
        after: int,
        limit: int,
        *,
        institution: str | None = None,
        subject: str | None = None,
    ) -> list[Event]:
        found = (
            event
            for (home, number), event in sorted(self._tables.events.items())
            if home == municipality
            and number > after
            and institution in (None, event.institution)
            and subject in (None, event.subject)
        )
        return list(islice(found, limit))

    def last_sequence(self, municipality: str) -> int:
        return self._tables.sequences.get(municipality, 0)

    def sequence_at(self, municipality: str, moment: datetime) -> int:
        log = self._tables.events.items()
        return max((n for (home, n), event in log if home == municipality and event.time <= moment), default=0)

    def log_floor(self, municipality: str) -> int:
        return self._tables.floors.get(municipality, 0)

    def compact_events(self, municipality: str, up_to: int) -> int:
        floor = min(up_to, self.last_sequence(municipality))
        if floor <= self.log_floor(municipality):
            return 0
        tables = self._writing()
        old = {key: e for key, e in sorted(tables.events.items()) if key[0] == municipality and key[1] <= floor}
        last = {event.subject: key for key, event in old.items()}
        gone = {key for key, event in old.items() if ".deleted." in event.type and key[1] != floor}
        removed = [key for key, event in old.items() if last[event.subject] != key or key in gone]
        for key in removed:
            del tables.events[key]
        tables.floors[municipality] = floor
        return len(removed)

    def cursor(self, name: str) -> int:
        return self._tables.cursors.get(name, 0)

    def cursors(self) -> dict[str, int]:
        return dict(sorted(self._tables.cursors.items()))

    def set_cursor(self, name: str, sequence: int) -> None:
        self._writing().cursors[name] = sequence
