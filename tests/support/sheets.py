"""CSV as a spreadsheet with Danish settings reads it."""

from __future__ import annotations

import csv
import io


def sheet(text: str) -> list[dict[str, str]]:
    """The rows of what a command wrote; it has to begin with the mark of UTF-8 and be divided by semicolons."""
    assert text.startswith("\ufeff")
    head = text.splitlines()[0]
    assert (
        head.count('";"') == len(next(csv.reader(io.StringIO(head.removeprefix("\ufeff")), delimiter=";"))) - 1 > 0
    )
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=";"))
