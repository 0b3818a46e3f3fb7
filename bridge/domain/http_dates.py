"""Retry-After as a duration, whatever a target writes into it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_FAR = timedelta(days=365)


def parse_retry_after(value: str | None, date: str | None = None) -> timedelta | None:
    """Read a Retry-After header (RFC 9110 §10.2.3): seconds or an HTTP date, counted from the Date header.

    Negative values count as zero, absurd ones as a year, unreadable ones as absent; an HTTP date
    without a Date header beside it cannot be counted and is absent too.
    """
    text = (value or "").strip()
    if re.fullmatch(r"-?[0-9]+", text):
        return timedelta(seconds=min(max(int(text[:12]), 0), int(_FAR.total_seconds())))
    until, sent = _http_date(text), _http_date(date or "")
    if until is None or sent is None:
        return None
    return min(max(until - sent, timedelta(0)), _FAR)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
