"""Events reach the broker in order, and the cursor passes only what the broker has confirmed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import msgspec

from bridge.domain.entities import Kind
from bridge.domain.errors import TargetError, TargetUnavailable
from bridge.domain.events import Event, routing_key
from bridge.domain.lazily import Lazily
from bridge.engine.audit import AuditBook
from bridge.engine.codec import identity_fields
from bridge.engine.publish_standing import UNROUTABLE, note_trouble, read_standing, write_standing
from bridge.engine.replay import Span, about, replay
from bridge.observe import Metrics
from bridge.ports import EventPublisher, Sent, Store

_WINDOW = 1_000


def publish_step(
    store: Store, publisher: EventPublisher, municipality: str, limit: int, metrics: Metrics | None = None
) -> int:
    """Publish the next events of a municipality's log, about `limit`, and return how many are confirmed.

    Fewer than there were: the rest is published again next time, under the same ids. What no queue takes is passed
    once a later event is taken, and noted in the log's `Standing`; where nothing is taken to the log's end the
    cursor stays, so that whoever binds a queue next gets all of it, in order.
    Raises `TargetError` when nothing could be settled, `StoreError` when the log cannot be read.
    """
    name, passed = cursor_name(municipality), _Passed()
    _begin(store, name)
    with store.read() as reader:
        place = reader.cursor(name)
    while events := _next(store, municipality, place, limit):
        reached, taken = passed.offer(publisher, events, metrics)
        if taken:
            _advance(store, municipality, events[taken[-1]].sequence, passed, metrics)
            return len(taken)
        if reached < len(events):
            return 0
        place = events[-1].sequence
    note_trouble(store, municipality, passed.why)
    return 0


def _next(store: Store, municipality: str, place: int, limit: int) -> Sequence[Event]:
    with store.read() as reader:
        return reader.events(municipality, place, limit)


def _advance(store: Store, municipality: str, to: int, passed: _Passed, metrics: Metrics | None) -> None:
    with store.write() as uow:
        # A second publisher may have been faster; going back would only publish more twice.
        uow.set_cursor(cursor_name(municipality), max(uow.cursor(cursor_name(municipality)), to))
        before = read_standing(uow, municipality)
        after = before.with_passed(passed.events).with_trouble("")
        if after != before:
            write_standing(uow, municipality, after)
    if metrics is not None and passed.events:
        metrics.published("unroutable", len(passed.events))


@dataclass(slots=True)
class _Passed:
    """The events before the first that is taken: their numbers and routing keys; `nowhere` leads to no queue."""

    events: list[tuple[int, str]] = field(default_factory=list)
    nowhere: set[str] = field(default_factory=set)

    def offer(
        self, publisher: EventPublisher, events: Sequence[Event], metrics: Metrics | None
    ) -> tuple[int, list[int]]:
        """Publish what may be taken; return how many of the first are settled, and the places of those taken."""
        keys = [routing_key(event) for event in events]
        offered = [place for place, key in enumerate(keys) if key not in self.nowhere]
        sent = _published(publisher, [events[place] for place in offered], metrics) if offered else Sent(0)
        reached = len(events) if sent.settled == len(offered) else offered[sent.settled]
        taken = [offered[n] for n in range(sent.settled) if n not in sent.unrouted]
        self.nowhere |= {keys[offered[n]] for n in sent.unrouted}
        left = set(range(taken[-1] if taken else reached)).difference(taken)
        self.events += [(events[place].sequence, keys[place]) for place in sorted(left)]
        return reached, taken

    @property
    def why(self) -> str:
        return f"{UNROUTABLE}: {self.events[0][1]}" if self.events else ""


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

    What no queue takes is left out. The audit chain is told before the first and after the last. Raises
    `Compacted`, and `TargetError` with how far it came, also when nothing was taken; to do it again is safe.
    """
    events, done, nobody = replay(store, municipality, span), Republished(), ""
    intent = new_id()
    _note(store, book, {"kind": "events.replay", "intent": intent, **about(municipality, span)})
    outcome = "interrupted"
    try:
        while batch := list(islice(events, _WINDOW)):
            while batch:
                sent = _published(publisher, batch, metrics)
                done = _grown(done, [one for n, one in enumerate(batch[: sent.settled]) if n not in sent.unrouted])
                nobody = nobody or next((routing_key(batch[n]) for n in sorted(sent.unrouted)), "")
                batch = batch[sent.settled :]
        if nobody and not done.count:
            raise TargetUnavailable(f"{UNROUTABLE}: no queue is bound for {nobody}")
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


def _published(publisher: EventPublisher, events: Sequence[Event], metrics: Metrics | None) -> Sent:
    try:
        sent = publisher.publish(Lazily(events, identifying))
    except TargetUnavailable as error:
        if metrics is not None:
            metrics.published(error.reason)
        raise
    if metrics is not None and sent.confirmed:
        metrics.published("ack", sent.confirmed)
    return sent


class _Changes(msgspec.Struct):
    """All that is read of an event's data: values are not even decoded."""

    changed: tuple[str, ...] | None = None


_changes = msgspec.json.Decoder(_Changes)


def identifying(event: Event) -> Event:
    """The event with identifiers and the names of changed fields only.

    Values need an allow-list a subscriber, which the broker does not know; who may see them asks for them.
    """
    changed = _changes.decode(event.data).changed
    kind, _, identity = event.subject.partition("/")
    told: dict[str, object] = {"object": {"id": identity, **identity_fields(Kind(kind), event.key)}}
    if changed is not None:
        told["changed"] = changed
    return event._replace(data=msgspec.json.encode(told))


def cursor_name(municipality: str) -> str:
    """The name under which the log's reader that publishes keeps its place."""
    return f"publish/{municipality}"
