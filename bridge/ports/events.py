"""The event log, without gaps, and how far each reader of it has come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from bridge.domain.events import Event


class EventLog(Protocol):
    def append_events(self, municipality: str, events: Sequence[Event]) -> int:
        """Store events with the next sequence numbers of the municipality, in order (the given numbers are
        ignored) and return the last number. No reader ever sees a gap above `log_floor`."""
        ...

    def events(
        self,
        municipality: str,
        after: int,
        limit: int,
        *,
        institution: str | None = None,
        subject: str | None = None,
    ) -> list[Event]:
        """A page of the log in order, or of what it tells of one institution or subject."""
        ...

    def last_sequence(self, municipality: str) -> int:
        """0 when the log is empty."""
        ...

    def sequence_at(self, municipality: str, moment: datetime) -> int:
        """The number of the last event that was recorded at this moment or before it, 0 when there was none."""
        ...

    def log_floor(self, municipality: str) -> int:
        """Up to this number the log is compacted: of each subject only its last event up to there is kept, and
        none of a subject that was gone, but for the event of this very number: so the time it was is known.
        0 when it is whole."""
        ...

    def compact_events(self, municipality: str, up_to: int) -> int:
        """Raise the floor to this number (never lower it) and return how many events were removed."""
        ...

    def cursor(self, name: str) -> int:
        """Where a named reader of a log stands; 0 at first."""
        ...

    def cursors(self) -> dict[str, int]:
        """Every named reader that has come anywhere."""
        ...

    def set_cursor(self, name: str, sequence: int) -> None: ...
