"""Telling people that something waits for them: numbers and reasons, never a person and no user id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from bridge.domain.errors import BridgeError

OPENED, REMINDER, TEST = "opened", "reminder", "test"


@dataclass(frozen=True, slots=True)
class HoldFacts:
    """What may be told of one hold: `reasons` are stable codes, `counts` maps "<kind>.<operation>" to a number."""

    hold: int
    subject: str
    institution: str
    target: str | None
    reasons: tuple[str, ...]
    counts: Mapping[str, int]
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class Notice:
    """One message about one municipality.

    `id` is the same whenever the same is told, so that a repeat can be known. `kind`: "opened" (holds are new),
    "reminder" (they have waited long) or "test". `subject` is one line, `text` many.
    """

    id: str
    kind: str
    municipality: str
    at: datetime
    subject: str
    text: str
    holds: tuple[HoldFacts, ...] = field(default=())


class NoticeFailed(BridgeError):
    """A notice could not be handed over. `reason` is a stable code; the text quotes no answer."""

    def __init__(self, reason: str, text: str, retry_after: timedelta | None = None) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason
        self.retry_after = retry_after


class Notifier(Protocol):
    """One way to people."""

    def send(self, notice: Notice) -> None:
        """Hand a notice over to all who are to have it. Raises `NoticeFailed` when nobody got it."""
        ...


@runtime_checkable
class Reachable(Protocol):
    """A notifier that can be tried without a message."""

    def probe(self) -> None:
        """Raises `NoticeFailed` when a notice could not be handed over now."""
        ...
