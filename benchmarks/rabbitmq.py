"""Events into a quorum queue with confirms, against a bare loop with the same window and bodies (at most 1.25)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pika

from benchmarks.measuring import ROUNDS, Bench
from bridge.adapters.publish_pika import PikaPublisher
from bridge.adapters.queues_pika import EventQueue, PikaQueues
from bridge.adapters.store_sql import open_throwaway
from bridge.domain.events import Event, attributes
from bridge.engine.publish import publish_step
from bridge.ports import EventPublisher, Store

URL = "amqp://guest:guest@127.0.0.1:5672/%2F"
WINDOW = 1_000
STEP = 5_000  # as `skolebro run` publishes
NUMBER = 20_000
OF_A_RUN = 500  # events of one run have its id as their cause
TOWN = "101"
MOST = 1.25  # of the time that the bare loop takes


def publishing(bench: Bench) -> None:
    """Compare; without a broker at the usual port say so and measure nothing."""
    try:
        pika.BlockingConnection(pika.URLParameters(URL)).close()
    except pika.exceptions.AMQPError:
        bench.left_out("publish to RabbitMQ", "none answers at 127.0.0.1:5672")
        return
    events = [_event(number) for number in range(1, NUMBER + 1)]
    bodies = [_body(event) for event in events]
    size = sum(map(len, bodies)) // NUMBER
    with _corner() as (exchange, purge), _logs(events) as logs:
        publisher = PikaPublisher(URL, exchange, window=WINDOW)
        bare = _Bare(exchange, bodies)
        name = f"{NUMBER:,} events of {size} bytes, confirmed"
        loop = "bare SelectConnection"
        _run(bench, name, lambda: _whole(publisher, events), bare.publish, loop, purge, MOST)
        # The bare loop reads no log and keeps no cursor, so nothing is promised of this one.
        _run(bench, f"{name}, from the log", lambda: _drain(logs.pop(), publisher), bare.publish, loop, purge)
        publisher.close()
        bare.close()


def _run(
    bench: Bench,
    name: str,
    ours: Callable[[], object],
    bare: Callable[[], object],
    bare_name: str,
    purge: Callable[[], int],
    most: float | None = None,
) -> None:
    purge()
    bench.compare(name, ours, bare, bare_name, most)
    left = purge()
    assert left % NUMBER == 0, "every one of them arrived"


def _whole(publisher: PikaPublisher, events: Sequence[Event]) -> None:
    for begin in range(0, len(events), STEP):
        part = events[begin : begin + STEP]
        assert publisher.publish(part).confirmed == len(part)


def _drain(store: Store, publisher: EventPublisher) -> None:
    while publish_step(store, publisher, TOWN, STEP):
        pass


@contextmanager
def _logs(events: Sequence[Event]) -> Iterator[list[Store]]:
    """A log of these events for each round."""
    with ExitStack() as stack:
        stores = [stack.enter_context(closing(open_throwaway())) for _ in range(ROUNDS)]
        for store in stores:
            with store.write() as uow:
                uow.append_events(TOWN, events)
        yield list[Store](stores)


def _event(number: int) -> Event:
    now = datetime(2026, 3, 2, 12, tzinfo=UTC)
    data = msgspec.json.encode(
        {"object": {"id": str(uuid4()), "user_id": f"user{number:06d}"}, "changed": ["x" * 9]}
    )
    return Event(
        number,
        str(uuid4()),
        "skolebro.person.updated.v1",
        TOWN,
        "101001",
        f"person/{uuid4()}",
        (f"user{number:06d}",),
        2,
        now,
        str(UUID(int=number // OF_A_RUN + 1)),
        data,
    )


def _body(event: Event) -> bytes:
    return msgspec.json.encode({**attributes(event), "data": msgspec.Raw(event.data)})


@contextmanager
def _corner() -> Iterator[tuple[str, Callable[[], int]]]:
    """An exchange with one quorum queue behind it, and what empties that and says how much was in it."""
    name = f"bench.{uuid4()}"
    queue = EventQueue(f"{name}.queue", ("#",), 20, f"{name}.dead", None)
    PikaQueues(URL, name, [queue]).declare()
    connection = pika.BlockingConnection(pika.URLParameters(URL))
    channel = connection.channel()

    def purge() -> int:
        return int(channel.queue_purge(queue.name).method.message_count)

    try:
        yield name, purge
    finally:
        for one in (queue.name, queue.dead_letters):
            channel.queue_delete(one)
        for one in (name, queue.fill, queue.dead_letters):
            channel.exchange_delete(one)
        connection.close()


class _Bare:
    """The loop that anybody would write: a window of unconfirmed messages, refilled as confirms come."""

    def __init__(self, exchange: str, bodies: Sequence[bytes]) -> None:
        self._exchange, self._bodies = exchange, bodies
        self._properties = pika.BasicProperties(delivery_mode=2, content_type="application/cloudevents+json")
        self._sent = self._confirmed = self._end = 0
        self._channel: Any = None
        self._connection: Any = pika.SelectConnection(
            pika.URLParameters(URL), lambda made: made.channel(on_open_callback=self._opened)
        )
        self._connection.ioloop.start()

    def publish(self) -> None:
        self._end += len(self._bodies)
        self._fill()
        self._connection.ioloop.start()

    def close(self) -> None:
        self._connection.add_on_close_callback(lambda *_: self._connection.ioloop.stop())
        self._connection.close()
        self._connection.ioloop.start()

    def _opened(self, channel: Any) -> None:
        self._channel = channel
        channel.confirm_delivery(self._on_confirm, callback=lambda _: self._connection.ioloop.stop())

    def _fill(self) -> None:
        while self._sent < self._end and self._sent - self._confirmed < WINDOW:
            body = self._bodies[self._sent % len(self._bodies)]
            self._channel.basic_publish(
                self._exchange, "101.person.updated", body, self._properties, mandatory=True
            )
            self._sent += 1

    def _on_confirm(self, frame: Any) -> None:
        tag = frame.method.delivery_tag
        self._confirmed = tag if frame.method.multiple else self._confirmed + 1
        self._fill()
        if self._confirmed == self._end:
            self._connection.ioloop.stop()
