"""A shelf and a drop in memory, for tests of connectors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from bridge.domain.ids import TargetId
from bridge.domain.shelf import plain_name
from bridge.engine.shelf import StoreShelf
from bridge.testing.memory import MemoryStore


class MemoryShelf(StoreShelf):
    """`bridge.connector.Shelf`; `now` is the time of the next change."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__(MemoryStore(), TargetId("9999/target"), now)


class MemoryDrop:
    """`bridge.connector.Drop`; `files` is what lies there, `puts` every file that was ever left, in order."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.puts: list[tuple[str, bytes]] = []

    def put(self, name: str, content: bytes) -> None:
        self.files[plain_name(name)] = content
        self.puts.append((name, content))

    def names(self) -> list[str]:
        return sorted(self.files)

    def read(self, name: str) -> bytes | None:
        return self.files.get(plain_name(name))

    def delete(self, name: str) -> None:
        self.files.pop(plain_name(name), None)
