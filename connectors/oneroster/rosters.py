"""The roster as it is now, made anew only when the shelf changes, and pages that stay one list meanwhile."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

from bridge.connector import Shelf
from connectors.oneroster.collections import Directory
from connectors.oneroster.roster import RosterSettings, compose

Ids = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A roster and its mark, the same as long as nothing is another."""

    mark: str
    directory: Directory


class Rosters:
    """Safe to ask from any thread; all methods may raise `StoreError`."""

    def __init__(self, shelf: Shelf, settings: RosterSettings, now: Callable[[], datetime]) -> None:
        self._shelf, self._settings, self._now = shelf, settings, now
        self._lock = Lock()
        self._kept: Snapshot | None = None

    def current(self) -> Snapshot:
        now = self._now()
        mark = f"{self._shelf.version()}-{now:%Y%m%d%H}"  # years and tombstones end at some hour
        with self._lock:
            if self._kept is None or self._kept.mark != mark:
                roster = compose(self._shelf, self._settings, now)
                self._kept = Snapshot(f"{roster.version}-{now:%Y%m%d%H}", Directory(roster))
            return self._kept


class Listings:
    """Which objects a list had, and in what order, for the pages that are still to be fetched of it.

    Only ids are kept: what is told of an object is always what is known now.
    """

    def __init__(self, most: int = 32) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[Hashable, Ids] = OrderedDict()
        self._most = most

    def get(self, key: Hashable) -> Ids | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, key: Hashable, ids: Ids) -> None:
        with self._lock:
            self._kept[key] = ids
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
