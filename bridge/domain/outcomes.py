"""What happened to one change at a target, as a value.

`status` is the HTTP status that decided, where one did: it tells people more, and makes no other outcome.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from dataclasses import field as told  # `Rejected` has a field of that name
from datetime import timedelta

_STATUS = re.compile(r"(?:status_|refused_|server_error_|answers |redirects \()([1-5]\d\d)\b")


@dataclass(frozen=True, slots=True)
class Delivered:
    """The target confirmed. `remote_id` and `etag` are the target's own words, kept for next time."""

    remote_id: str | None = None
    etag: str | None = None
    status: int | None = told(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The target already had it, or (for a delete) no longer had it; nothing was written.

    `is_gone`: an entity that must not come into being is not there, so that nothing of it is confirmed.
    """

    remote_id: str | None = None
    etag: str | None = None
    status: int | None = told(default=None, compare=False)
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """The target will never take this as it is. `reason` is a snake_case code, never the target's own text.

    `has_changed`: what the target confirmed last is not what it has any more, so nothing of it counts as told.
    """

    reason: str
    field: str | None = None
    status: int | None = told(default=None, compare=False)
    has_changed: bool = told(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not now, perhaps later; `after` is the target's own wish."""

    reason: str
    after: timedelta | None = None
    status: int | None = told(default=None, compare=False)


Outcome = Delivered | Unchanged | Rejected | Deferred

CONFIRMING = frozenset({"delivered", "unchanged"})
"""How the audit chain names the outcomes by which a target confirms."""


def status_in(text: str | None) -> int | None:
    """Return the HTTP status that a reason such as ``status_503``, or the text of a `TargetError`, names."""
    found = _STATUS.search(text or "")
    return int(found[1]) if found else None
