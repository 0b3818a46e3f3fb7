"""The rows of a store on plain dicts, which a writer changes in tables of its own."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime

from bridge.domain.entities import Kind
from bridge.domain.errors import StoreError
from bridge.domain.events import Event
from bridge.domain.ids import CanonicalId, TargetId
from bridge.domain.shelf import Shelved
from bridge.ports import (
    AuditRow,
    Delivery,
    Drift,
    EntityRow,
    ExpectedRoll,
    Hold,
    InstitutionState,
    KeptPerson,
    Lease,
    Ledger,
    QuarantineRow,
    Run,
    Subscription,
    TargetState,
)


@dataclass(slots=True)
class Tables:
    """Everything that a store knows."""

    entities: dict[tuple[str, Kind, str], EntityRow] = field(default_factory=dict)
    institutions: dict[tuple[str, str], InstitutionState] = field(default_factory=dict)
    subscriptions: dict[tuple[str, str], Subscription] = field(default_factory=dict)
    facts: dict[tuple[str, str], bytes] = field(default_factory=dict)
    runs: dict[int, Run] = field(default_factory=dict)
    quarantine: dict[tuple[str, str], tuple[QuarantineRow, ...]] = field(default_factory=dict)
    holds: dict[int, Hold] = field(default_factory=dict)
    hold_bodies: dict[int, bytes] = field(default_factory=dict)
    events: dict[tuple[str, int], Event] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=dict)
    floors: dict[str, int] = field(default_factory=dict)
    cursors: dict[str, int] = field(default_factory=dict)
    deliveries: dict[tuple[TargetId, CanonicalId], Delivery] = field(default_factory=dict)
    ledgers: dict[TargetId, Ledger] = field(default_factory=dict)
    drift: dict[tuple[TargetId, CanonicalId], Drift] = field(default_factory=dict)
    kept: dict[tuple[str, str], KeptPerson] = field(default_factory=dict)
    rolls: dict[int, ExpectedRoll] = field(default_factory=dict)
    targets: dict[TargetId, TargetState] = field(default_factory=dict)
    shelves: dict[TargetId, tuple[int, datetime]] = field(default_factory=dict)
    shelf: dict[tuple[TargetId, str, str], Shelved] = field(default_factory=dict)
    shelf_notes: dict[tuple[TargetId, str], str] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)
    claims: dict[tuple[TargetId, CanonicalId], str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    audit: dict[int, AuditRow] = field(default_factory=dict)

    def copy(self) -> Tables:
        """Tables of their own over the same rows, which are frozen."""
        return Tables(**{part.name: dict(getattr(self, part.name)) for part in fields(self)})


class MemoryPart:
    """What the parts of a unit of work share: its tables, and whether it may write."""

    def __init__(self, tables: Tables, *, is_writer: bool) -> None:
        self._before = tables
        self._tables = tables.copy() if is_writer else tables
        self._is_writer = is_writer
        self._is_rolled_back = False

    def rollback(self) -> None:
        self._tables, self._is_rolled_back = self._before.copy(), True

    def kept(self) -> Tables:
        """What a commit leaves behind."""
        return self._before if self._is_rolled_back else self._tables

    def _writing(self) -> Tables:
        if not self._is_writer:
            raise StoreError("a reader was asked to write: open the store with write() instead")
        return self._tables
