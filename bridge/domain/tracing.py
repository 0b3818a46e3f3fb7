"""One trace id for all that a run, or a decision, causes, and one span for each attempt (W3C Trace Context).

Nothing is drawn for them: a trace id is the UUID of its cause, a span id the end of the UUID of what it stands
for, so whoever has the one finds the other. Neither is ever empty or all zero, and `tracestate` is not used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NewType
from uuid import UUID

from bridge.domain.ids import name_uuid

TraceId = NewType("TraceId", str)
"""32 lower-case hex digits, not all of them zero (Trace Context §3.2.2.3)."""
SpanId = NewType("SpanId", str)
"""16 lower-case hex digits, not all of them zero (Trace Context §3.2.2.4)."""

_NAMESPACE = UUID("2f1d6a0b-8c94-5b7e-a6a1-3d0c5e9b7f24")
_SPAN = 16
_IS_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_IS_HEX = re.compile(r"[0-9a-f]{32}")
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_INVALID_VERSION = "ff"


@lru_cache(maxsize=1_024)  # a log has many events of one cause, one after the other
def trace_id(cause: str) -> TraceId:
    """Return the trace of a run or a decision: its UUID without dashes; of any other text a UUIDv5 of it."""
    return TraceId(_hex(cause) if _IS_UUID.fullmatch(cause) and _is_set(cause) else _derived(cause))


def span_id(identity: str) -> SpanId:
    """Return the span of an attempt or an event: the last half of its UUID, of any other text that of a UUIDv5."""
    end = identity[19:23] + identity[24:]
    is_usable = _IS_UUID.fullmatch(identity) and end.strip("0")
    return SpanId(end if is_usable else _derived(identity)[-_SPAN:])


def traceparent(trace: TraceId, span: SpanId) -> str:
    """Return the header of this name (Trace Context §3.2), sampled: whoever records traces shall keep this one."""
    return f"00-{trace}-{span}-01"


def common_trace(traceparents: Iterable[str]) -> dict[str, str]:
    """Return the header of a request that is of all these: the first one's, none where their traces differ."""
    told = list(dict.fromkeys(traceparents))
    is_one = len({one.split("-")[1] if one else "" for one in told}) == 1
    return {"traceparent": told[0]} if is_one and told[0] else {}


def decision_id(*words: str) -> str:
    """Return the cause of what is sent for no run, as a UUIDv5: of a decision, by what it is, whose and when."""
    return name_uuid(_NAMESPACE, "\x1f".join(words))


def read_trace(text: str) -> tuple[TraceId, SpanId | None] | None:
    """Read a whole traceparent of any version, a trace id, or the id of a run; None for anything else."""
    plain = text.strip().lower()
    found = _TRACEPARENT.fullmatch(plain)
    if found is not None:
        version, trace, span, more = found.groups()
        is_ours = version != _INVALID_VERSION and (version != "00" or more is None)
        return (TraceId(trace), SpanId(span)) if is_ours and _is_set(trace) and _is_set(span) else None
    is_alone = _IS_HEX.fullmatch(plain) or _IS_UUID.fullmatch(plain)
    return (TraceId(_hex(plain)), None) if is_alone and _is_set(plain) else None


def cause_of(trace: TraceId) -> str:
    """Return the UUID that a trace id is: what `trace_id` was made of, where that was one."""
    return str(UUID(trace))


def _hex(uuid: str) -> str:
    return uuid.replace("-", "")


def _is_set(text: str) -> bool:
    return text.strip("0-") != ""


def _derived(text: str) -> str:
    return _hex(decision_id(text))
