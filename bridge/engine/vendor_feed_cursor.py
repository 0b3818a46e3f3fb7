"""Where a vendor stands, as a text that it keeps and gives back: by municipality a number of its own journal."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, TypeVar

import msgspec

from bridge.domain.errors import BridgeError

LONGEST = 4_096
_Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Numbers = dict[str, _Number]
_Shape = TypeVar("_Shape")


class CursorUnknown(BridgeError):
    """The text is no cursor of this list."""


class CursorForeign(BridgeError):
    """The cursor is of municipalities that are not the vendor's."""


class CursorPast(BridgeError):
    """What was gone since the cursor is forgotten, or the journal has begun anew: only a snapshot helps."""


@dataclass(frozen=True, slots=True)
class AtFeed:
    """The last number that was read of each municipality; one that is not there was not begun."""

    numbers: Mapping[str, int] = field(default_factory=dict)

    def of(self, municipality: str) -> int:
        return self.numbers.get(municipality, 0)

    def text(self) -> str:
        return _write(["e", self.numbers])


@dataclass(frozen=True, slots=True)
class AtSnapshot:
    """How far a snapshot was read, and where the feed goes on behind it."""

    feed: AtFeed
    numbers: Mapping[str, int]

    def text(self) -> str:
        return _write(["s", self.feed.numbers, self.numbers])


@dataclass(frozen=True, slots=True)
class AtLog:
    """How far a vendor's delivery log was read, by the number of a link of the audit chain."""

    seq: int = 0

    def text(self) -> str:
        return _write(["d", self.seq])


Cursor = AtFeed | AtSnapshot | AtLog


def feed_cursor(text: str | None, municipalities: Collection[str]) -> AtFeed:
    """Read a cursor of the feed; none is its beginning. Raises `CursorUnknown`, `CursorForeign`."""
    if text is None:
        return AtFeed()
    kind, numbers = _read(text, tuple[str, _Numbers])
    return AtFeed(_own(numbers, municipalities, is_known=kind == "e"))


def snapshot_cursor(text: str | None, municipalities: Collection[str]) -> AtSnapshot | None:
    """Read a cursor within a snapshot; none is its first page. Raises `CursorUnknown`, `CursorForeign`."""
    if text is None:
        return None
    kind, feed, numbers = _read(text, tuple[str, _Numbers, _Numbers])
    is_known = kind == "s"
    return AtSnapshot(
        AtFeed(_own(feed, municipalities, is_known=is_known)), _own(numbers, municipalities, is_known=is_known)
    )


def log_cursor(text: str | None) -> AtLog:
    """Read a cursor of the delivery log; none is its beginning. Raises `CursorUnknown`."""
    if text is None:
        return AtLog()
    kind, seq = _read(text, tuple[str, _Number])
    if kind != "d":
        raise CursorUnknown
    return AtLog(seq)


def _own(numbers: Mapping[str, int], municipalities: Collection[str], *, is_known: bool) -> Mapping[str, int]:
    if not is_known:
        raise CursorUnknown
    if not set(numbers) <= set(municipalities):
        raise CursorForeign
    return numbers


def _write(value: object) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(value, order="sorted")).decode().rstrip("=")


def _read(text: str, shape: type[_Shape]) -> _Shape:
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(plain, type=shape)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise CursorUnknown from error
