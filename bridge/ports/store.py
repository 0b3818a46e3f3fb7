"""All that is stored, read as of one moment or changed in one transaction."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from bridge.ports.audit import AuditStore
from bridge.ports.deliveries import DeliveryStore
from bridge.ports.drift import DriftStore
from bridge.ports.entities import EntityStore
from bridge.ports.events import EventLog
from bridge.ports.intake import IntakeStore
from bridge.ports.leases import LeaseStore
from bridge.ports.shelf import ShelfStore


class Reader(
    EntityStore, IntakeStore, EventLog, DeliveryStore, DriftStore, LeaseStore, ShelfStore, AuditStore, Protocol
):
    """All look-ups see one consistent state; writing through it is an error."""


class UnitOfWork(Reader, Protocol):
    """One transaction: everything or nothing. Leaving the block commits, an exception rolls back."""

    def rollback(self) -> None:
        """Undo everything so far; leaving the block afterwards commits nothing, not even what came later."""
        ...


class Store(Protocol):
    def read(self) -> AbstractContextManager[Reader]: ...

    def write(self) -> AbstractContextManager[UnitOfWork]: ...

    def check(self) -> None:
        """Assert that commits are durable and the schema is ours. Raises `StoreUnavailable`."""
        ...

    def close(self) -> None: ...


class SharedStore(Store, Protocol):
    """A store that several processes may work on."""

    def beat(self, name: str, holder: str, seconds: float) -> bool:
        """Prolong a lease to so many seconds from now, whatever writers do; False: it is not the holder's."""
        ...
