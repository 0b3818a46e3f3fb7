"""A vendor's delivery log: what was disclosed to it, as the audit chain has it, and nothing of anybody else.

It names people by the canonical ids of the vendor's own events, and tells no value of any field. An entry is told
when it has ended and never changes, but for when a delivery is tried next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from bridge.domain.events import event_subject, event_type
from bridge.domain.ids import CanonicalId, TargetId
from bridge.domain.outcomes import CONFIRMING
from bridge.engine.audit import AuditBook
from bridge.engine.scan import CLOCKS, last_before
from bridge.engine.vendor_feed_cursor import AtLog
from bridge.engine.vendor_intent import opened
from bridge.engine.vendor_page import Page, page_of
from bridge.ports import AuditRow, Reader, Store

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a target of the vendor, and how it ended; `event` is the webhook-id."""

    at: str
    target: TargetId
    event: str
    kind: str
    id: CanonicalId
    version: int
    operation: str
    mapping: str
    ended: Mapping[str, Any]
    trace: str | None

    @property
    def is_confirmed(self) -> bool:
        return self.ended["outcome"] in CONFIRMING


@dataclass(frozen=True, slots=True)
class VendorLog:
    """What the chain says of one vendor."""

    vendor: str
    store: Store
    book: AuditBook

    def page(self, at: AtLog, limit: int, known: Collection[str] = ()) -> Page:
        """A page of the log from there on; nothing is written, and nothing is disclosed that was not before."""
        with self.store.read() as reader:
            found = list(entries(reader, self.book, self.vendor, at.seq, limit))
            shown = [_shown(reader, one) for _, one in found]
        following = AtLog(found[-1][0]) if found else at
        return page_of(shown, following, known, is_empty=not shown)

    def newest(self, number: int) -> list[dict[str, Any]]:
        """The last so many entries that have ended, in order."""
        span = max(_CHUNK, 2 * number)
        with self.store.read() as reader:
            end = _last_seq(reader, self.vendor)
            while True:
                found = deque(entries(reader, self.book, self.vendor, max(0, end - span), span), number)
                if len(found) == number or span >= end:
                    return [_shown(reader, one) for _, one in found]
                span *= 4

    def at_time(self, moment: datetime) -> AtLog:
        """The place from which on the log tells what happened at this moment or later, and perhaps some more."""
        with self.store.read() as reader:
            return AtLog(seq_at(reader, self.vendor, moment))


def seq_at(reader: Reader, vendor: str, moment: datetime) -> int:
    """The number of the chain behind which all of a vendor is that is of this moment or later, and perhaps what is
    up to `CLOCKS` older; few rows are read."""
    return _last_seq(reader, vendor, lambda row: _time(row) + CLOCKS < moment)


def _last_seq(reader: Reader, vendor: str, is_before: Callable[[AuditRow], bool] = lambda _: True) -> int:
    return last_before(
        reader.audit_head()[0],
        lambda seq: next(iter(reader.audit_for(vendor, seq, 1)), None),
        lambda row: row.seq,
        is_before,
    )


def entries(
    reader: Reader, book: AuditBook, vendor: str, after: int, limit: int
) -> Iterator[tuple[int, Attempt | dict[str, Any]]]:
    """Up to so many entries with their numbers in the chain; what is still under way ends it for now."""
    left = limit
    while left and (rows := reader.audit_for(vendor, after, min(_CHUNK, left))):
        ends = {row.closes: _record(row) for row in reader.audit_closing(r.intent for r in rows if r.intent)}
        for row in rows:
            told, after = _record(row), row.seq
            if row.intent is not None and row.intent not in ends:
                return
            entry = _entry(book, told, ends.get(row.intent))
            if entry is not None:
                left -= 1
                yield row.seq, entry


def _shown(reader: Reader, one: Attempt | dict[str, Any]) -> dict[str, Any]:
    return _attempt(reader, one) if isinstance(one, Attempt) else one


def _record(row: AuditRow) -> dict[str, Any]:
    record: dict[str, Any] = msgspec.json.decode(row.record)
    return record


def _time(row: AuditRow) -> datetime:
    return datetime.fromisoformat(_record(row)["ts"])


def _entry(
    book: AuditBook, told: dict[str, Any], ended: Mapping[str, Any] | None
) -> Attempt | dict[str, Any] | None:
    match told["kind"]:
        case "disclosure.intent" if ended is not None:
            event, identity = opened(book, told)
            return Attempt(
                told["ts"],
                told["target"],
                event,
                told["entity"],
                CanonicalId(identity),
                told["version"],
                told["operation"],
                told["mapping"],
                ended,
                told.get("trace"),
            )
        case "disclosure.fetched":
            return _fetch(told)
        case "deliveries.replayed":
            return _replay(told)
        case _:
            return None


def _replay(told: Mapping[str, Any]) -> dict[str, Any]:
    begin = {"since": said(told["since"])} if "since" in told else {"after": told["after"]}
    span = {**begin, "until": said(told["until"])}
    numbers = {name: told[name] for name in ("target", "entities", "deletions")}
    return {"kind": "replay", "time": said(told["ts"]), **span, **numbers}


def _fetch(told: Mapping[str, Any]) -> dict[str, Any]:
    names = ("municipality", "what", "from", "to", "count", "deleted", "masked", "mapping")
    kinds = dict(one.split(" ") for one in told["entities"])
    return {
        "kind": "fetch",
        "time": said(told["ts"]),
        **{name: told[name] for name in names},
        "entities": {kind: int(number) for kind, number in kinds.items()},
    }


def _attempt(reader: Reader, one: Attempt) -> dict[str, Any]:
    told: dict[str, Any] = {
        "kind": "attempt",
        "time": said(one.at),
        "target": one.target,
        "id": one.event,
        "type": event_type(one.kind, one.operation),
        "subject": event_subject(one.kind, one.id),
        "entityversion": one.version,
        "mapping": one.mapping,
        "ended": said(one.ended["ts"]),
        **{name: one.ended[name] for name in ("outcome", "status", "reason") if name in one.ended},
    }
    if one.trace is not None:
        told["trace"] = one.trace
    row = None if one.is_confirmed else reader.delivery(one.target, one.id)
    if row is not None and row.is_due and row.version == one.version:
        told["next_attempt"] = said(row.next_attempt_at.isoformat())
    return told


def said(time: str) -> str:
    """A time as events say it."""
    return time.replace("+00:00", "Z")
