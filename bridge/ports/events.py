"""The event log, without gaps, and how far each reader of it has come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bridge.domain.events import Event


class EventLog(Protocol):
    def append_events(self, municipality: str, events: Sequence[Event]) -> int:
        """Store events with the next sequence numbers of the municipality, in order (the given numbers are
        ignored) and return the last number. No reader ever sees a gap."""
        ...

    def events(self, municipality: str, after: int, limit: int) -> list[Event]: ...

    def last_sequence(self, municipality: str) -> int:
        """0 when the log is empty."""
        ...

    def cursor(self, name: str) -> int:
        """Where a named reader of a log stands; 0 at first."""
        ...

    def set_cursor(self, name: str, sequence: int) -> None: ...
