"""Where a target was found to differ from what it had confirmed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bridge.domain.entities import Kind
from bridge.domain.ids import CanonicalId, TargetId


@dataclass(frozen=True, slots=True)
class Drift:
    """One entity of ours that a target has otherwise than it confirmed.

    `what`: "missing" (gone there), "changed" (`fields` differ), "moved" (there under another id) or "leftover"
    (there, and should not be).
    `rounds` is how often it was set right and found in the same way again. `state`: "open" or "parked" (it is
    not set right any more until a person asks for it or it changes here).
    """

    target: TargetId
    id: CanonicalId
    kind: Kind
    what: str
    fields: tuple[str, ...]
    rounds: int
    state: str
    seen_at: datetime


class DriftStore(Protocol):
    def drift(self, target: TargetId) -> list[Drift]:
        """By id."""
        ...

    def put_drift(self, rows: Iterable[Drift]) -> None:
        """Insert or replace by (target, id)."""
        ...

    def drop_drift(self, target: TargetId, ids: Iterable[CanonicalId]) -> None: ...
