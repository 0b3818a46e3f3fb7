"""Entity state on plain dicts: one row a key, kept as a tombstone when the entity is gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bridge.domain.entities import Kind
from bridge.domain.ids import Key, join_key
from bridge.ports import EntityRow
from bridge.testing.memory_tables import MemoryPart


class MemoryEntities(MemoryPart):
    """`EntityStore`."""

    def hashes(self, municipality: str, institution: str, kind: Kind) -> dict[Key, bytes]:
        return {r.key: r.hash for r in self._living(municipality, kind) if r.institution == institution}

    def bodies(self, municipality: str, institution: str, kind: Kind) -> dict[Key, bytes]:
        rows = [row for row in self._living(municipality, kind) if row.institution == institution]
        return {row.key: row.body for row in rows if row.body is not None}

    def entities(self, municipality: str, kind: Kind, keys: Iterable[Key]) -> dict[Key, EntityRow]:
        wanted = [(municipality, kind, key) for key in sorted(set(map(join_key, keys)))]
        rows = [self._tables.entities[key] for key in wanted if key in self._tables.entities]
        return {row.key: row for row in rows}

    def entities_by_person(self, municipality: str, kind: Kind, people: Iterable[str]) -> list[EntityRow]:
        wanted = set(people)
        return [row for row in self._living(municipality, kind) if row.person in wanted]

    def entities_by_other(self, municipality: str, kind: Kind, others: Iterable[str]) -> list[EntityRow]:
        wanted = set(others)
        return [row for row in self._living(municipality, kind) if row.other in wanted]

    def scan(self, municipality: str, kind: Kind, after: Key | None, limit: int) -> list[EntityRow]:
        rows = self._living(municipality, kind)
        return [row for row in rows if after is None or join_key(row.key) > join_key(after)][:limit]

    def put_entities(self, municipality: str, rows: Iterable[EntityRow]) -> None:
        self._writing().entities.update({(municipality, row.kind, join_key(row.key)): row for row in rows})

    def shared_people(self, municipality: str, institution: str) -> set[str]:
        rows = self._living(municipality, Kind.CONTRIBUTION)
        here = {row.person for row in rows if row.institution == institution}
        there = {row.person for row in rows if row.institution != institution}
        return {person for person in here & there if person is not None}

    def entity_counts(self, municipality: str) -> dict[Kind, int]:
        living = ((key, row) for key, row in self._tables.entities.items() if row.body is not None)
        return dict(Counter(row.kind for key, row in living if key[0] == municipality))

    def _living(self, municipality: str, kind: Kind) -> list[EntityRow]:
        """The living entities of a kind, in key order."""
        found = [
            (key, row)
            for (home, what, key), row in self._tables.entities.items()
            if home == municipality and what is kind and row.body is not None
        ]
        return [row for _, row in sorted(found, key=lambda pair: pair[0])]
