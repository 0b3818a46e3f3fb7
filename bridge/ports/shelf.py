"""What targets keep that others fetch, or that goes out as one file: one shelf for each target."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Protocol

from bridge.domain.ids import TargetId
from bridge.domain.shelf import Entry, Shelved


class ShelfStore(Protocol):
    """The numbers, times and marks are those of `bridge.domain.shelf.Shelf`; no target sees another's shelf."""

    def put_on_shelf(self, target: TargetId, entries: Iterable[Entry], now: datetime) -> int:
        """Keep these in one step and return how many are a change; of several for one id each counts in turn."""
        ...

    def take_off_shelf(self, target: TargetId, collection: str, ids: Iterable[str]) -> None: ...

    def shelved(self, target: TargetId, collection: str, ids: Collection[str]) -> dict[str, Shelved]:
        """Those of these that are kept, by id."""
        ...

    def shelved_ids(self, target: TargetId, collection: str, after: int) -> list[str]:
        """The ids of all whose number is higher than `after`, sorted."""
        ...

    def shelved_after(self, target: TargetId, collection: str, after: int, limit: int) -> list[Shelved]:
        """A page of those whose number is higher than `after`, the gone ones too, by number."""
        ...

    def shelf_version(self, target: TargetId) -> int:
        """The number of the last change, of what was taken off since too; 0 before the first."""
        ...

    def forget_gone(self, target: TargetId, before: datetime) -> int: ...

    def shelf_note(self, target: TargetId, name: str) -> str | None: ...

    def set_shelf_note(self, target: TargetId, name: str, value: str) -> None: ...

    def forget_shelf(self, target: TargetId) -> int:
        """Remove everything of a target, documents, marks and notes; return how many documents and marks."""
        ...
