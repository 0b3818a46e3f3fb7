"""Rows of which there may be many: read in pages, or found by few looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TypeVar

from bridge.domain.entities import Kind
from bridge.domain.ids import CanonicalId, Key, TargetId
from bridge.ports import Delivery, EntityRow, Reader

CLOCKS = timedelta(minutes=10)
"""So far the clocks of processes that write the same rows may be apart, and the times in them out of order."""
_PAGE = 2_000
_Row = TypeVar("_Row")


def living_rows(reader: Reader, municipality: str, kind: Kind) -> Iterator[EntityRow]:
    """Yield the rows of all living entities of a kind in key order."""
    after: Key | None = None
    while page := reader.scan(municipality, kind, after, _PAGE):
        yield from page
        after = page[-1].key


def delivery_rows(reader: Reader, target: TargetId, state: str | None = None) -> Iterator[Delivery]:
    """Yield a target's deliveries, or those in a state, by id."""
    after: CanonicalId | None = None
    while page := reader.deliveries(target, state, after, _PAGE):
        yield from page
        after = page[-1].id


def last_before(
    end: int,
    following: Callable[[int], _Row | None],
    number_of: Callable[[_Row], int],
    is_before: Callable[[_Row], bool],
) -> int:
    """The number of the last row, up to `end`, that is before what is looked for; 0 where none is.

    `following` is the first row behind a number. All rows for which `is_before` holds come before all others, so
    some dozens of them are read, however many there are.
    """
    before, behind = 0, end
    while before < behind:
        middle = (before + behind) // 2
        found = following(middle)
        if found is not None and is_before(found):
            before = number_of(found)
        else:
            behind = middle
    return before
