"""Values that go into a spreadsheet: a cell that would be run as a formula is shown as text instead."""

from __future__ import annotations

_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def inert(text: str) -> str:
    """Return the text as a spreadsheet shows it and does not run it (OWASP, CSV injection)."""
    return f"'{text}" if text.startswith(_STARTS) else text
