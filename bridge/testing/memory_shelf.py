"""A shelf and a drop in memory, for tests of connectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bridge.connector import Entry, Shelved

_MILLISECOND = timedelta(milliseconds=1)


class MemoryShelf:
    """`bridge.connector.Shelf`; `now` is the time of the next change."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._rows: dict[tuple[str, str], Shelved] = {}
        self._notes: dict[str, str] = {}
        self._version = 0
        self._last = datetime.min.replace(tzinfo=UTC)

    def put(self, entries: Iterable[Entry]) -> int:
        now = self._now().astimezone(UTC)
        at = max(now.replace(microsecond=now.microsecond // 1000 * 1000), self._last + _MILLISECOND)
        changed = 0
        for entry in entries:
            was = self._rows.get((entry.collection, entry.id))
            if was is not None and was.document == entry.document and was.is_gone is entry.is_gone:
                continue
            self._version += 1
            changed += 1
            self._rows[entry.collection, entry.id] = Shelved(
                entry.collection, entry.id, dict(entry.document), entry.is_gone, self._version, at
            )
        if changed:
            self._last = at
        return changed

    def remove(self, collection: str, ids: Iterable[str]) -> None:
        for one in ids:
            self._rows.pop((collection, one), None)

    def get(self, collection: str, id: str) -> Shelved | None:  # noqa: A002 - the port's own name
        row = self._rows.get((collection, id))
        return replace(row, document=dict(row.document)) if row is not None else None

    def all(self, collection: str, *, after: int = 0) -> Iterator[Shelved]:
        rows = [row for row in self._rows.values() if row.collection == collection and row.number > after]
        return iter(sorted(rows, key=lambda row: row.id))

    def version(self) -> int:
        return self._version

    def forget_gone(self, before: datetime) -> int:
        old = [key for key, row in self._rows.items() if row.is_gone and row.changed_at < before]
        for key in old:
            del self._rows[key]
        return len(old)

    def note(self, name: str) -> str | None:
        return self._notes.get(name)

    def set_note(self, name: str, value: str) -> None:
        self._notes[name] = value


class MemoryDrop:
    """`bridge.connector.Drop`; `files` is what lies there, `puts` every file that was ever left, in order."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.puts: list[tuple[str, bytes]] = []

    def put(self, name: str, content: bytes) -> None:
        self.files[name] = content
        self.puts.append((name, content))

    def names(self) -> list[str]:
        return sorted(self.files)

    def read(self, name: str) -> bytes | None:
        return self.files.get(name)

    def delete(self, name: str) -> None:
        self.files.pop(name, None)
