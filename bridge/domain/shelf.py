"""What a target keeps that others fetch, or that goes out as one file: what it was told, the gone ones too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """One document to be kept; `is_gone` keeps it as the mark of something that is no longer there."""

    collection: str
    id: str
    document: Mapping[str, Any] = field(repr=False)
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class Shelved:
    """One document as it is kept.

    `number` is the place of its last change in the order of all changes of the shelf, `changed_at` the time of it
    (UTC, whole milliseconds).
    """

    collection: str
    id: str
    document: Mapping[str, Any] = field(repr=False)
    is_gone: bool
    number: int
    changed_at: datetime


class Shelf(Protocol):
    """The documents of one target, kept in the bridge's store; all methods may raise `StoreError`."""

    def put(self, entries: Iterable[Entry]) -> int:
        """Keep these in one step, all or none, and return how many are a change.

        What is kept already with the same document and mark is not touched: number and time stay. Each change gets
        a number of its own; all changes of one step get the same time, which is later by at least a millisecond
        than that of every step before, so that whoever asks for what is newer than the newest he has misses none.
        """
        ...

    def remove(self, collection: str, ids: Iterable[str]) -> None:
        """Forget these without a trace."""
        ...

    def get(self, collection: str, id: str) -> Shelved | None: ...  # noqa: A002 - the field's own name

    def all(self, collection: str, *, after: int = 0) -> Iterator[Shelved]:
        """Yield those whose number is higher than `after`, the gone ones too, by id."""
        ...

    def version(self) -> int:
        """The number of the last change, 0 before the first."""
        ...

    def forget_gone(self, before: datetime) -> int:
        """Drop the marks of what went before this time; return how many."""
        ...

    def note(self, name: str) -> str | None:
        """A fact that the connector wrote down, such as what it last handed over; None when there is none."""
        ...

    def set_note(self, name: str, value: str) -> None: ...


def step_time(now: datetime, last: datetime | None) -> datetime:
    """The time of the next step: now in whole milliseconds, and later than that of the `last` one."""
    at = now.astimezone(UTC)
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    return at if last is None else max(at, last + timedelta(milliseconds=1))


_LONGEST_NAME = 200
"""Bytes of a name: every file system takes 255, and an unfinished file's is longer."""


def is_plain(name: str) -> bool:
    """Whether this names a file in a folder and nothing else: no path, not hidden, all of it to be seen."""
    is_short = 0 < len(name.encode(errors="replace")) <= _LONGEST_NAME
    return is_short and name.isprintable() and not name.startswith(".") and not set(name) & set("/\\")


def plain_name(name: str) -> str:
    """Return the name of a file that is left for others. Raises `ValueError` for one that is not plain."""
    if not is_plain(name):
        raise ValueError("a file that is left for others has a plain name: no path, no dot before it, 200 bytes")
    return name


class Drop(Protocol):
    """A folder, here or at an SFTP server, where others look for files.

    All methods raise `TargetUnavailable`, or `TargetUnauthorised` where we may not write, and `ValueError` for a
    name that is not plain: with a path, hidden, or longer than 200 bytes.
    """

    def put(self, name: str, content: bytes) -> None:
        """Leave a file under this plain name in the place of an older one, whole or not at all."""
        ...

    def names(self) -> list[str]:
        """The plain names of all files there, sorted: no hidden ones, and none of ours that is not whole."""
        ...

    def read(self, name: str) -> bytes | None:
        """The content of a file, None when there is none."""
        ...

    def delete(self, name: str) -> None:
        """Remove a file; one that is not there is no error."""
        ...
