"""One answer to a vendor: what it says, by which mark it is known, and where the next one begins."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bridge.engine.codec import hash_bytes
from bridge.engine.vendor_feed_cursor import Cursor


@dataclass(frozen=True, slots=True)
class Page:
    """What one answer says. `body` is None where it is what the vendor has already, by its `etag`.

    `at` is where the next page begins; None behind the last page of a snapshot.
    """

    body: bytes | None = field(repr=False)
    etag: str
    at: Cursor | None
    is_empty: bool


def page_of(shown: Any, at: Cursor | None, known: Collection[str], *, is_empty: bool) -> Page:
    """Return the page that shows this; `known` are the etags of what the vendor has."""
    body = msgspec.json.encode(shown)
    following = at.text().encode() if at else b""
    etag = f'"{hash_bytes(body + following).hex()}"'
    return Page(None if etag in known else body, etag, at, is_empty)
