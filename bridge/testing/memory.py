"""The store on plain dicts: what the engine is tested with, and what other stores are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from threading import Lock

from bridge.domain.errors import StoreUnavailable
from bridge.ports import Reader, UnitOfWork
from bridge.testing.memory_audit import MemoryAudit
from bridge.testing.memory_deliveries import MemoryDeliveries
from bridge.testing.memory_drift import MemoryDrift
from bridge.testing.memory_entities import MemoryEntities
from bridge.testing.memory_events import MemoryEvents
from bridge.testing.memory_holds import MemoryHolds
from bridge.testing.memory_intake import MemoryIntake
from bridge.testing.memory_leases import MemoryLeases
from bridge.testing.memory_shelves import MemoryShelves
from bridge.testing.memory_tables import Tables


class MemoryStore:
    """A store that forgets everything at the end: readers keep the state they began with, writers take turns."""

    def __init__(self, busy_timeout: timedelta = timedelta(seconds=30)) -> None:
        self._tables = Tables()
        self._turn = Lock()
        self._busy_timeout = busy_timeout

    @contextmanager
    def read(self) -> Iterator[Reader]:
        yield MemoryUnitOfWork(self._tables, is_writer=False)

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        if not self._turn.acquire(timeout=self._busy_timeout.total_seconds()):
            raise StoreUnavailable("the memory store stayed locked by another writer; nothing was changed")
        try:
            unit = MemoryUnitOfWork(self._tables, is_writer=True)
            yield unit
            self._tables = unit.kept()
        finally:
            self._turn.release()

    def beat(self, name: str, holder: str, seconds: float) -> bool:
        with self.write() as uow:
            one = uow.lease(name)
            if one is None or one.holder != holder:
                return False
            uow.put_leases([replace(one, until=uow.store_time() + timedelta(seconds=seconds))])
        return True

    def check(self) -> None: ...

    def close(self) -> None: ...


class MemoryUnitOfWork(
    MemoryEntities,
    MemoryIntake,
    MemoryHolds,
    MemoryEvents,
    MemoryDeliveries,
    MemoryDrift,
    MemoryLeases,
    MemoryShelves,
    MemoryAudit,
):
    """One transaction; after a rollback it still answers, and whatever it is told is forgotten."""
