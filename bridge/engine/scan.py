"""All living entities of a kind, read in pages, so that no municipality is too large."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.domain.entities import Kind
from bridge.domain.ids import Key
from bridge.ports import EntityRow, Reader

_PAGE = 2_000


def living_rows(reader: Reader, municipality: str, kind: Kind) -> Iterator[EntityRow]:
    """Yield the rows of all living entities of a kind in key order."""
    after: Key | None = None
    while page := reader.scan(municipality, kind, after, _PAGE):
        yield from page
        after = page[-1].key
