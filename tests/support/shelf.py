"""A target that keeps what it is told and hands all of it over as one file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bridge.connector import (
    Capabilities,
    Command,
    Delivered,
    Drop,
    Entry,
    HandedOver,
    Outcome,
    Shelf,
)

FILE, NOTE = "roster.json", "handed over"


class RosterTarget:
    """Everything by resource in one JSON file, left anew when any of it changed; `trouble` is raised first."""

    capabilities = Capabilities(references="canonical")

    def __init__(self, shelf: Shelf, drop: Drop) -> None:
        self.shelf, self.drop = shelf, drop
        self.calls = 0
        self.trouble: Exception | None = None
        self.after_apply: Callable[[], None] = lambda: None

    def apply(self, batch: Sequence[Command]) -> Iterator[Outcome]:
        entries = [Entry(one.resource, one.id, one.document or {}, is_gone=one.document is None) for one in batch]
        self.shelf.put(entries)
        self.after_apply()
        yield from [Delivered(one.id) for one in batch]

    def probe(self) -> None:
        self.drop.names()

    def hand_over(self) -> HandedOver | None:
        self.calls += 1
        if self.trouble is not None:
            raise self.trouble
        version = str(self.shelf.version())
        if self.shelf.note(NOTE) == version:
            return None
        living = {
            name: [one.document for one in self.shelf.all(name) if not one.is_gone] for name in ("User", "Group")
        }
        self.drop.put(FILE, json.dumps(living).encode())
        self.shelf.set_note(NOTE, version)
        return HandedOver(FILE, {name: len(documents) for name, documents in living.items()})


def users(content: bytes | None) -> list[str]:
    """Who is in the file."""
    read: dict[str, list[dict[str, Any]]] = json.loads(content or b"{}")
    return sorted(one["userName"] for one in read["User"])
