"""A file that is not whole yet goes by a hidden name, and is not left behind for ever."""

from __future__ import annotations

_PREFIX, _SUFFIX = ".skolebro-", ".part"
STALE = 24 * 3600
"""Seconds after which what a crash left unfinished is removed: it holds people's data."""


def unfinished(name: str) -> str:
    """What a file of this plain name is called until it is whole."""
    return f"{_PREFIX}{name}{_SUFFIX}"


def is_unfinished(name: str) -> bool:
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)
