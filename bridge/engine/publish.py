"""Events reach the broker in order, and the cursor passes only what the broker has confirmed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import msgspec

from bridge.domain.entities import Kind
from bridge.domain.errors import TargetError, TargetUnavailable
from bridge.domain.events import Event
from bridge.engine.audit import AuditBook
from bridge.engine.codec import identity_fields
from bridge.engine.replay import Span, about, replay
from bridge.observe import Metrics
from bridge.ports import EventPublisher, Store

_WINDOW = 1_000


def publish_step(
    store: Store, publisher: EventPublisher, municipality: str, limit: int, metrics: Metrics | None = None
) -> int:
    """Publish the next events of a municipality's log, at most `limit`, and return how many are confirmed.

    Fewer than there were: the rest is published again next time, under the same ids.
    Raises `TargetError` when nothing could be confirmed, `StoreError` when the log cannot be read.
    """
    name = cursor_name(municipality)
    _begin(store, name)
    with store.read() as reader:
        events = reader.events(municipality, reader.cursor(name), limit)
    confirmed = _published(publisher, events, metrics) if events else 0
    if confirmed:
        with store.write() as uow:
            # A second publisher may have been faster; going back would only publish more twice.
            uow.set_cursor(name, max(uow.cursor(name), events[confirmed - 1].sequence))
    return confirmed


def _begin(store: Store, name: str) -> None:
    """A reader's place is known before it reads anything: from then on the log is not compacted past it."""
    with store.read() as reader:
        is_known = name in reader.cursors()
    if not is_known:
        with store.write() as uow:
            uow.set_cursor(name, uow.cursor(name))


@dataclass(frozen=True, slots=True)
class Republished:
    """How many events were published once more, and the numbers of the first and the last of them."""

    count: int = 0
    first: int | None = None
    last: int | None = None


def publish_again(
    store: Store,
    publisher: EventPublisher,
    municipality: str,
    span: Span,
    book: AuditBook,
    new_id: Callable[[], str],
    metrics: Metrics | None = None,
) -> Republished:
    """Publish a span of the log once more, in order and under the same ids; the cursor stays where it is.

    The audit chain is told before the first and after the last. Raises `Compacted`, and `TargetError` with how far
    it came; to do it again from there, or from the beginning, is safe.
    """
    events, done = replay(store, municipality, span), Republished()
    intent = new_id()
    _note(store, book, {"kind": "events.replay", "intent": intent, **about(municipality, span)})
    outcome = "interrupted"
    try:
        while batch := list(islice(events, _WINDOW)):
            while batch:
                confirmed = _published(publisher, batch, metrics)
                done = _grown(done, batch[:confirmed])
                batch = batch[confirmed:]
        outcome = "published"
    except TargetError as error:
        outcome = "broker_failed"
        raise TargetError(_cut_short(done, error)) from error
    finally:
        told = {"count": done.count, "from": done.first or 0, "to": done.last or 0, "outcome": outcome}
        _note(store, book, {"kind": "events.replayed", "closes": intent, "municipality": municipality, **told})
    return done


def _note(store: Store, book: AuditBook, record: dict[str, object]) -> None:
    with store.write() as uow:
        book.write(uow, [record])


def _grown(done: Republished, batch: Sequence[Event]) -> Republished:
    if not batch:
        return done
    first = batch[0].sequence if done.first is None else done.first
    return Republished(done.count + len(batch), first, batch[-1].sequence)


def _cut_short(done: Republished, error: TargetError) -> str:
    if done.last is None:
        return f"{error}; nothing was published again, and nothing was changed: try again when the broker is back"
    return (
        f"{error}; {done.count} events were published again, the last of them {done.last}: go on with "
        f"--from {done.last + 1} when the broker is back"
    )


def _published(publisher: EventPublisher, events: Sequence[Event], metrics: Metrics | None) -> int:
    try:
        confirmed = publisher.publish([identifying(event) for event in events])
    except TargetUnavailable as error:
        if metrics is not None:
            metrics.published(error.reason)
        raise
    if metrics is not None:
        metrics.published("ack", confirmed)
    return confirmed


def identifying(event: Event) -> Event:
    """The event with identifiers and the names of changed fields only.

    Values need an allow-list a subscriber, which the broker does not know; who may see them asks for them.
    """
    data = msgspec.json.decode(event.data)
    kind, _, identity = event.subject.partition("/")
    told: dict[str, object] = {"object": {"id": identity, **identity_fields(Kind(kind), event.key)}}
    if "changed" in data:
        told["changed"] = data["changed"]
    return replace(event, data=msgspec.json.encode(told))


def cursor_name(municipality: str) -> str:
    """The name under which the log's reader that publishes keeps its place."""
    return f"publish/{municipality}"
