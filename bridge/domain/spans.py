"""Spans of time in words."""

from __future__ import annotations

from datetime import timedelta

_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def spelled(span: timedelta) -> str:
    """Return a span as people say it: ``1 day``, ``1 day and 12 hours``; what is less than a second is none."""
    left, told = int(span.total_seconds()), []
    for size, unit in _UNITS:
        number, left = divmod(left, size)
        if number:
            told.append(f"{number} {unit}" if number == 1 else f"{number} {unit}s")
    *first, last = told or ["0 seconds"]
    return f"{', '.join(first)} and {last}" if first else last
