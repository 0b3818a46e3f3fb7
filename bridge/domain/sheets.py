"""Values that go into a spreadsheet: a cell that would be run as a formula is shown as text instead."""

from __future__ import annotations

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What begins a formula (OWASP, CSV Injection), in full width too."""


def inert(text: str) -> str:
    """Return the text as a spreadsheet shows it and does not run it."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
