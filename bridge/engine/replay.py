"""The event log told again: any part of it in order, and never across what is no longer whole."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from bridge.domain.changes import Operation
from bridge.domain.entities import Kind
from bridge.domain.events import Event
from bridge.engine.audit import AuditBook
from bridge.engine.history import Compacted, operation_of
from bridge.ports import Store

_PAGE = 2_000


@dataclass(frozen=True, slots=True)
class Span:
    """What of a log is meant: after a number, up to one, of what is named; None: everything."""

    after: int = 0
    until: int | None = None
    institution: str | None = None
    subject: str | None = None
    kind: Kind | None = None
    operation: Operation | None = None

    def takes(self, event: Event) -> bool:
        """Whether an event that lies between the numbers is meant."""
        kind = event.subject.partition("/")[0]
        return self.kind in (None, kind) and self.operation in (None, operation_of(event))


def replay(store: Store, municipality: str, span: Span) -> Iterator[Event]:
    """The events of a span as they are now, read page by page, so that nobody waits for whoever takes them.

    Raises `Compacted`, at once, where the span begins or ends before the log's floor (a span from the very
    beginning has the last event of everything that lived there), and later where the floor rises past the page to
    be read.
    """
    with store.read() as reader:
        floor, last = reader.log_floor(municipality), reader.last_sequence(municipality)
    until = last if span.until is None else min(span.until, last)
    if 0 < span.after < floor or until < floor:
        raise Compacted(municipality, floor)
    return _pages(store, municipality, replace(span, until=until), until, floor)


def last_events(store: Store, municipality: str, span: Span, number: int) -> list[Event]:
    """The last events of a span, at most so many. Raises `Compacted`."""
    with store.read() as reader:
        end, floor = reader.last_sequence(municipality), reader.log_floor(municipality)
    end = end if span.until is None else min(span.until, end)
    width = number
    while True:
        after = max(span.after, end - width)
        after = after if after >= floor else span.after  # what is compacted is told from its beginning or not
        events = replay(store, municipality, replace(span, after=after))
        found = deque(events, maxlen=number)
        if len(found) == number or after <= span.after:
            return list(found)
        width *= 8


def note_reading(store: Store, book: AuditBook, municipality: str, what: str, span: Span) -> None:
    """Write down that somebody reads values of people, before they are shown."""
    with store.write() as uow:
        book.write(uow, [{"kind": "history.read", "what": what, **about(municipality, span)}])


def about(municipality: str, span: Span) -> dict[str, object]:
    """A span for the audit chain; whom it is about is not told."""
    told: dict[str, object] = {"municipality": municipality, "from": span.after + 1}
    places = {"to": span.until, "institution": span.institution, "entity": span.kind, "operation": span.operation}
    return told | {name: value for name, value in places.items() if value is not None}


def _pages(store: Store, municipality: str, span: Span, until: int, floor: int) -> Iterator[Event]:
    after, only = span.after, {"institution": span.institution, "subject": span.subject}
    while after < until:
        with store.read() as reader:
            rises_to = reader.log_floor(municipality)
            page = reader.events(municipality, after, _PAGE, **only)
        if rises_to != floor and after < rises_to:
            raise Compacted(municipality, rises_to)
        yield from (event for event in page if event.sequence <= until and span.takes(event))
        after = page[-1].sequence if len(page) == _PAGE else until
