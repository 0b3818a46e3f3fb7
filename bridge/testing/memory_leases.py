"""Leases, claims and properties on plain dicts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from bridge.domain.ids import CanonicalId, TargetId
from bridge.ports import Lease
from bridge.testing.memory_tables import MemoryPart


class MemoryLeases(MemoryPart):
    """`LeaseStore`."""

    def store_time(self) -> datetime:
        return datetime.now(UTC)

    def lease(self, name: str) -> Lease | None:
        return self._tables.leases.get(name)

    def leases(self, prefix: str = "") -> list[Lease]:
        return [one for name, one in sorted(self._tables.leases.items()) if name.startswith(prefix)]

    def put_leases(self, leases: Sequence[Lease]) -> None:
        self._writing().leases.update({one.name: one for one in leases})

    def drop_lease(self, name: str) -> None:
        self._writing().leases.pop(name, None)

    def claim(self, target: str, ids: Sequence[str], holder: str) -> None:
        tables = self._writing()
        places = {(TargetId(target), CanonicalId(identity)) for identity in ids}
        known = places & tables.deliveries.keys()
        tables.claims = {place: who for place, who in tables.claims.items() if place not in known}
        if holder:
            tables.claims |= dict.fromkeys(known, holder)

    def release_claims(self, holder: str) -> int:
        tables = self._writing()
        left = {place: who for place, who in tables.claims.items() if who != holder}
        number, tables.claims = len(tables.claims) - len(left), left
        return number

    def property(self, name: str) -> str | None:
        return self._tables.properties.get(name)

    def set_property(self, name: str, value: str) -> None:
        self._writing().properties[name] = value
