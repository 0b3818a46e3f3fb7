"""What a body that is sent consists of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def places(value: Any, at: str = "") -> Iterator[str]:
    """Every key of a body that leads to a value, by dotted place."""
    match value:
        case dict():
            for name, child in value.items():
                yield from places(child, f"{at}.{name}" if at else name)
        case list():
            for child in value:
                yield from places(child, f"{at}[]")
        case _:
            yield at
