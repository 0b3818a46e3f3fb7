"""A sequence whose items are made when they are asked for, each time anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar, overload

_From = TypeVar("_From")
_To = TypeVar("_To")


class Lazily(Sequence[_To], Generic[_From, _To]):
    """What `make` makes of each of `items`: so that whoever takes them can send one while the next is made."""

    def __init__(self, items: Sequence[_From], make: Callable[[_From], _To]) -> None:
        self._items, self._make = items, make

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[_To]:
        return map(self._make, self._items)

    @overload
    def __getitem__(self, place: int) -> _To: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[_To]: ...

    def __getitem__(self, place: int | slice) -> _To | Sequence[_To]:
        if isinstance(place, slice):
            return Lazily(self._items[place], self._make)
        return self._make(self._items[place])
