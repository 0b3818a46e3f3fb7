"""What targets keep that others fetch, or that goes out as one file, on plain dicts."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from copy import deepcopy
from dataclasses import replace
from datetime import datetime

import msgspec

from bridge.domain.ids import TargetId
from bridge.domain.shelf import Entry, Shelved, step_time
from bridge.testing.memory_tables import MemoryPart


class MemoryShelves(MemoryPart):
    """`ShelfStore`."""

    def put_on_shelf(self, target: TargetId, entries: Iterable[Entry], now: datetime) -> int:
        tables = self._writing()
        version, last = tables.shelves.get(target, (0, None))
        number, at = version, step_time(now, last)
        for entry in entries:
            place = (target, entry.collection, entry.id)
            kept = tables.shelf.get(place)
            if kept is None or (_json(kept.document), kept.is_gone) != (_json(entry.document), entry.is_gone):
                number += 1
                document = msgspec.json.decode(_json(entry.document))
                tables.shelf[place] = Shelved(entry.collection, entry.id, document, entry.is_gone, number, at)
        if number > version:
            tables.shelves[target] = (number, at)
        return number - version

    def take_off_shelf(self, target: TargetId, collection: str, ids: Iterable[str]) -> None:
        kept = self._writing().shelf
        for one in ids:
            kept.pop((target, collection, one), None)

    def shelved(self, target: TargetId, collection: str, ids: Collection[str]) -> dict[str, Shelved]:
        found = {one: self._tables.shelf.get((target, collection, one)) for one in ids}
        return {
            one: replace(row, document=deepcopy(row.document)) for one, row in found.items() if row is not None
        }

    def shelved_ids(self, target: TargetId, collection: str, after: int) -> list[str]:
        places = self._tables.shelf.items()
        return sorted(
            place[2] for place, row in places if place[:2] == (target, collection) and row.number > after
        )

    def shelved_after(self, target: TargetId, collection: str, after: int, limit: int) -> list[Shelved]:
        places = self._tables.shelf.items()
        newer = [row for place, row in places if place[:2] == (target, collection) and row.number > after]
        newer.sort(key=lambda row: row.number)
        return [replace(row, document=deepcopy(row.document)) for row in newer[:limit]]

    def shelf_version(self, target: TargetId) -> int:
        return self._tables.shelves.get(target, (0, None))[0]

    def forget_gone(self, target: TargetId, before: datetime) -> int:
        kept = self._writing().shelf
        old = [place for place, row in kept.items() if place[0] == target and row.is_gone]
        return _drop(kept, [place for place in old if kept[place].changed_at < before])

    def shelf_note(self, target: TargetId, name: str) -> str | None:
        return self._tables.shelf_notes.get((target, name))

    def set_shelf_note(self, target: TargetId, name: str, value: str) -> None:
        self._writing().shelf_notes[target, name] = value

    def forget_shelf(self, target: TargetId) -> int:
        tables = self._writing()
        tables.shelves.pop(target, None)
        for note in [place for place in tables.shelf_notes if place[0] == target]:
            del tables.shelf_notes[note]
        return _drop(tables.shelf, [place for place in tables.shelf if place[0] == target])


def _drop(kept: dict[tuple[TargetId, str, str], Shelved], places: Collection[tuple[TargetId, str, str]]) -> int:
    for place in places:
        del kept[place]
    return len(places)


def _json(document: object) -> bytes:
    return msgspec.json.encode(document, order="sorted")
