"""What targets were found to have otherwise than they confirmed, on plain dicts."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.domain.ids import CanonicalId, TargetId
from bridge.ports import Drift
from bridge.testing.memory_tables import MemoryPart


class MemoryDrift(MemoryPart):
    """`DriftStore`."""

    def drift(self, target: TargetId) -> list[Drift]:
        return [row for place, row in sorted(self._tables.drift.items()) if place[0] == target]

    def put_drift(self, rows: Iterable[Drift]) -> None:
        self._writing().drift.update({(row.target, row.id): row for row in rows})

    def drop_drift(self, target: TargetId, ids: Iterable[CanonicalId]) -> None:
        known = self._writing().drift
        for identity in ids:
            known.pop((target, identity), None)
