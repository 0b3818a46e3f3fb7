"""XML Schema's lexical forms as our values; what cannot be read is None, never a guess."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, tzinfo

_BLANKS = re.compile("[ \t\n\r]+")
_ZONE = re.compile(r"Z|[+-]\d\d:\d\d", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?", re.ASCII)


def read_token(text: str) -> str:
    """Collapse white space as xs:token does (XML Schema 1.0 part 2, §4.3.6); nothing else is changed."""
    # str.split knows more white space than XML does (the no-break space, say), so it only decides
    # that there is nothing to do.
    if text.isalnum() or " ".join(text.split()) == text:
        return text
    return _BLANKS.sub(" ", text).strip(" ")


def read_date(text: str) -> str | None:
    """Return an xs:date as YYYY-MM-DD, its time zone left out, or None."""
    day, zone = text[:10], text[10:]
    try:
        # The standard library reads more forms of ISO 8601 than XML Schema allows.
        is_date = date.fromisoformat(day).isoformat() == day
    except ValueError:
        return None
    return day if is_date and (not zone or _ZONE.fullmatch(zone)) else None


def read_moment(text: str, zone: tzinfo) -> datetime | None:
    """Return an xs:dateTime in UTC, or None; one without a zone is meant in `zone`."""
    text = read_token(text)
    if not _MOMENT.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
