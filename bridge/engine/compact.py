"""The log grows no older than its retention, and whoever reads it anew or slowly still misses nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.engine.asking import GoOn, always
from bridge.ports import EventLog, Store

_SLICE = 1_000  # numbers of the log: a fifth of a second on a slow disk, so that no writer waits for long


@dataclass(frozen=True, slots=True)
class Compaction:
    """What became of one log: its floor before and after, and how many events went.

    `held_by` is the reader that has not come far enough for more. `passed` are readers that are not configured any
    more: should they come back, they begin anew.
    """

    municipality: str
    before: int
    floor: int
    removed: int = 0
    held_by: str | None = None
    passed: tuple[str, ...] = ()


def compact(
    store: Store,
    municipality: str,
    retention: timedelta,
    now: datetime,
    *,
    gone: Collection[str] = (),
    go_on: GoOn = always,
) -> Compaction:
    """Raise a log's floor to its last event that is older than the retention, in short transactions.

    It never passes a reader that keeps its place under a name, unless that is among `gone`. `go_on` is asked
    between two transactions; whatever is left over waits for the next time.
    """
    found = foresee_compaction(store, municipality, retention, now, gone=gone)
    floor, removed = found.before, 0
    while floor < found.floor and go_on():
        with store.write() as uow:
            # A reader that began meanwhile is not passed either.
            bound, _ = _bound(uow, municipality, found.floor, gone)
            step = min(bound, uow.log_floor(municipality) + _SLICE)
            removed += uow.compact_events(municipality, step)
            for name in found.passed:
                if uow.cursor(name) < step:
                    uow.set_cursor(name, 0)
        if step <= floor:
            break
        floor = step
    return Compaction(municipality, found.before, floor, removed, found.held_by, found.passed)


def foresee_compaction(
    store: Store, municipality: str, retention: timedelta, now: datetime, *, gone: Collection[str] = ()
) -> Compaction:
    """How far `compact` would raise the floor; nothing is changed."""
    with store.read() as reader:
        before = reader.log_floor(municipality)
        old = max(before, reader.sequence_at(municipality, now - retention))
        bound, held_by = _bound(reader, municipality, old, gone)
        passed = tuple(name for name in gone if 0 < reader.cursor(name) < bound)
    return Compaction(municipality, before, max(before, bound), 0, held_by, passed)


def _bound(log: EventLog, municipality: str, up_to: int, gone: Collection[str]) -> tuple[int, str | None]:
    """How far the floor may go, and the reader that keeps it from going further."""
    places = {name: at for name, at in log.cursors().items() if _reads(name, municipality) and name not in gone}
    slowest = min(places, key=lambda name: places[name], default=None)
    if slowest is None or places[slowest] >= up_to:
        return up_to, None
    return places[slowest], slowest


def _reads(name: str, municipality: str) -> bool:
    """Whether this is the name of a reader of the log: ``<what it is>/<municipality>``, and more if it likes."""
    return name.split("/")[1:2] == [municipality]
