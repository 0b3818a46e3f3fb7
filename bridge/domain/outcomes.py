"""What happened to one change at a target, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Delivered:
    """The target confirmed. `remote_id` and `etag` are the target's own words, kept for next time."""

    remote_id: str | None = None
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The target already had it, or (for a delete) no longer had it; nothing was written."""

    remote_id: str | None = None
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The target will never take this as it is. `reason` is a snake_case code, never the target's own text."""

    reason: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not now, perhaps later; `after` is the target's own wish."""

    reason: str
    after: timedelta | None = None


Outcome = Delivered | Unchanged | Rejected | Deferred
