"""One target's shelf in the store: each call is a transaction of its own, and no other target's is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from bridge.domain.ids import TargetId
from bridge.domain.shelf import Entry, Shelved
from bridge.ports import Store

_PAGE = 500
WAITS, SERVED = "skolebro/waits_for", "skolebro/served_at"
WHOLE, STOPPED = "skolebro/whole_since", "skolebro/stopped"
"""Our own notes, beside the connector's: whom a file waits for, where the target is served, of which schools it
was whole since when, and why its file does not leave. Whoever shows the state builds no target."""


@dataclass(frozen=True, slots=True)
class StoreShelf:
    """`bridge.domain.shelf.Shelf`."""

    store: Store
    target: TargetId
    now: Callable[[], datetime]

    def put(self, entries: Iterable[Entry]) -> int:
        wanted = list(entries)  # whoever makes them may read the store meanwhile
        with self.store.write() as uow:
            return uow.put_on_shelf(self.target, wanted, self.now())

    def remove(self, collection: str, ids: Iterable[str]) -> None:
        unwanted = list(ids)
        with self.store.write() as uow:
            uow.take_off_shelf(self.target, collection, unwanted)

    def get(self, collection: str, id: str) -> Shelved | None:  # noqa: A002 - the port's own name
        with self.store.read() as reader:
            return reader.shelved(self.target, collection, [id]).get(id)

    def all(self, collection: str, *, after: int = 0) -> Iterator[Shelved]:
        """Yield them as they were at the first one, whatever is put meanwhile."""
        with self.store.read() as reader:
            ids = reader.shelved_ids(self.target, collection, after)
            for start in range(0, len(ids), _PAGE):
                page = ids[start : start + _PAGE]
                found = reader.shelved(self.target, collection, page)
                yield from (found[one] for one in page)

    def version(self) -> int:
        with self.store.read() as reader:
            return reader.shelf_version(self.target)

    def forget_gone(self, before: datetime) -> int:
        with self.store.write() as uow:
            return uow.forget_gone(self.target, before)

    def note(self, name: str) -> str | None:
        with self.store.read() as reader:
            return reader.shelf_note(self.target, name)

    def set_note(self, name: str, value: str) -> None:
        with self.store.write() as uow:
            uow.set_shelf_note(self.target, name, value)
