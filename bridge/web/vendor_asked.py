"""From where on, and what to send again: what a vendor asks for is read strictly, or refused."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec
from fastapi import Request

from bridge.engine.vendor_feed_cursor import LONGEST, AtLog, log_cursor
from bridge.engine.vendor_log import said
from bridge.engine.vendor_replay import Replayed
from bridge.web.vendor_problems import Refused

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_LONGEST_BODY = 8_192
_LONGEST_TIME = 64


class _Wanted(msgspec.Struct, forbid_unknown_fields=True):
    target: str
    since: str | msgspec.UnsetType = msgspec.UNSET
    after: str | msgspec.UnsetType = msgspec.UNSET
    until: str | msgspec.UnsetType = msgspec.UNSET


def cursor_of(asked: Mapping[str, str]) -> str | None:
    """The text of the cursor, None where there is none. Raises `Refused`."""
    text = asked.get("after")
    if text is not None and not (len(text) <= LONGEST and _PLAIN.fullmatch(text)):
        raise Refused("parameter")
    return text


def since_of(asked: Mapping[str, str]) -> datetime | None:
    """The time to begin at, None where there is none; it stands in place of a cursor. Raises `Refused`."""
    text = asked.get("since")
    if text is None:
        return None
    moment = _time(text)
    if moment is None or "after" in asked:
        raise Refused("parameter")
    return moment


async def wanted_of(
    request: Request, now: datetime, patience: timedelta
) -> tuple[str, datetime | AtLog, datetime]:
    """The target, the begin and the end of the span that is to be told again. Raises
    `Refused`, also for a body that is not there when `patience` is over, and `CursorUnknown`."""
    try:
        async with asyncio.timeout(patience.total_seconds()):
            body = await _body(request)
    except TimeoutError as error:
        raise Refused("body", {"Connection": "close"}) from error
    try:
        wanted = msgspec.json.decode(body, type=_Wanted)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refused("body") from error
    until = now if isinstance(wanted.until, msgspec.UnsetType) else _time(wanted.until)
    since: datetime | AtLog | None = None
    if isinstance(wanted.since, str) and isinstance(wanted.after, msgspec.UnsetType):
        since = _time(wanted.since)
    elif isinstance(wanted.after, str) and isinstance(wanted.since, msgspec.UnsetType):
        since = log_cursor(_plain(wanted.after))
    if until is None or since is None:
        raise Refused("body")
    return wanted.target, since, until


def replayed(done: Replayed) -> bytes:
    """What is answered to it."""
    told = {
        "target": done.target,
        "entities": done.entities,
        "deletions": done.deletions,
        "ends": said(done.ends.isoformat()),
        **({"next": done.at.text()} if done.at is not None else {}),
    }
    return msgspec.json.encode(told)


async def _body(request: Request) -> bytes:
    found = b""
    async for part in request.stream():
        found += part
        if len(found) > _LONGEST_BODY:
            raise Refused("body")
    return found


def _plain(text: str) -> str:
    if not (len(text) <= LONGEST and _PLAIN.fullmatch(text)):
        raise Refused("body")
    return text


def _time(text: str) -> datetime | None:
    """A time as RFC 3339 writes it (section 5.6), None for anything else."""
    match = _TIME.fullmatch(text) if len(text) <= _LONGEST_TIME else None
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    try:
        parsed = datetime.fromisoformat(f"{day}T{clock}{(fraction or '')[:7]}{zone.upper()}")
        return parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
