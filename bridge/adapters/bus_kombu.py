"""Nudges between loops that are quick while the broker is there and silently absent while it is not."""

# mypy: disable-error-code="no-untyped-call"
# (kombu says that it is typed, but most of it is not)
from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty
from random import SystemRandom
from threading import Condition, Event, Lock, local
from time import monotonic
from typing import Any
from uuid import uuid4

from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from kombu.messaging import Consumer, Producer
from kombu.transport import memory

from bridge.observe import LogEvent, log
from bridge.ports import Random

_SLICE = 0.25  # how soon a waiting thread sees that the bus is closed
_AT_LEAST = 0.01  # a wait of nothing still takes what has already arrived
_BLINK = 2.0  # the longest that one word with the broker may take
_FIRST_RETRY, _LAST_RETRY = 0.5, 30.0


class KombuBus:
    """`Bus` on any kombu transport that pushes: ``memory://`` within a process, ``amqp://`` between them.

    Every thread that waits has a queue of its own for each topic, so a nudge wakes them all; from its
    first wait on, a nudge that comes while it works is kept, and many of them are one. While the broker
    is away `nudge` does nothing and `wait` just waits; both reconnect by themselves, with jitter.
    """

    def __init__(
        self, url: str = "memory://", exchange: str = "skolebro.nudges", random: Random | None = None
    ) -> None:
        """Connects at first use. `exchange` separates bridges that share a broker (or a process)."""
        self._link = _Link(
            url, Exchange(exchange, "direct", durable=False, auto_delete=True), random or SystemRandom()
        )
        self._closed = Event()
        self._mine = local()
        self._lock = Lock()
        self._wires: list[_Wire] = []
        self._nudging = self._new_wire()

    def nudge(self, topic: str) -> None:
        """Wake whoever waits on the topic, if that can be done now. Never raises, never waits long."""
        if not self._closed.is_set() and self._nudging.lock.acquire(timeout=_BLINK):
            try:
                self._nudging.attempt(_Ends.send, topic)
            finally:
                self._nudging.lock.release()

    def wait(self, topic: str, seconds: float) -> bool:
        """Wait for a nudge, at most this long; False too when the bus is closed. Never raises."""
        wire = self._my_wire()
        end = monotonic() + seconds
        is_first = True
        while not self._closed.is_set() and (is_first or monotonic() < end):
            is_first = False
            left = min(_SLICE, max(_AT_LEAST, end - monotonic()))
            with wire.lock:
                came = wire.attempt(_Ends.receive, topic, left)
            if came:
                return True
            if came is None:
                self._closed.wait(left)
        return False

    def close(self) -> None:
        """Let go of every waiting thread and of the broker; may be called twice."""
        self._closed.set()
        with self._lock:
            wires, self._wires = self._wires, []
        for wire in wires:
            if wire.lock.acquire(timeout=_BLINK):
                wire.drop()
                wire.lock.release()

    def _my_wire(self) -> _Wire:
        if not hasattr(self._mine, "wire"):
            self._mine.wire = self._new_wire()
        wire: _Wire = self._mine.wire
        return wire

    def _new_wire(self) -> _Wire:
        wire = _Wire(self._link)
        with self._lock:
            self._wires.append(wire)
        return wire


@dataclass(slots=True)
class _Link:
    """How to reach the broker, and since when it is away: shared by all wires, so it is told once."""

    url: str
    exchange: Exchange
    random: Random
    lock: Lock = field(default_factory=Lock)
    failures: int = 0
    not_before: float = 0.0

    def connect(self) -> _Ends | None:
        """Return new ends, or None while the broker is away (asking it seldom)."""
        with self.lock:
            if monotonic() < self.not_before:
                return None
        try:
            ends = _Ends(self.url, self.exchange)
        except Exception as error:
            self._went(error)
            return None
        self._came()
        return ends

    def _went(self, error: Exception) -> None:
        with self.lock:
            is_news, self.failures = self.failures == 0, self.failures + 1
            longest = min(_LAST_RETRY, _FIRST_RETRY * 2 ** min(self.failures, 10))
            self.not_before = monotonic() + longest * self.random.random()
        if is_news:
            log.emit(LogEvent.BUS_LOST, error=error)

    def _came(self) -> None:
        with self.lock:
            is_news, self.failures = self.failures > 0, 0
        if is_news:
            log.emit(LogEvent.BUS_RECOVERED)


class _Wire:
    """One thread's way to the broker; whoever uses it holds its lock."""

    def __init__(self, link: _Link) -> None:
        self.lock = Lock()
        self._link = link
        self._ends: _Ends | None = None

    def attempt(self, use: Callable[..., bool], *arguments: Any) -> bool | None:
        """Return what `use` says of the ends; None when there is no broker.

        A connection that broke while nobody looked is replaced once, without a word.
        """
        for _ in range(2):
            self._ends = self._ends or self._link.connect()
            if self._ends is None:
                return None
            try:
                return use(self._ends, *arguments)
            except Exception:  # kombu's transports raise what their libraries do; all of it means "broken"
                self.drop()
        return None

    def drop(self) -> None:
        ends, self._ends = self._ends, None
        if ends is not None:
            ends.close()


class _Ends:
    """An open connection: where nudges are put in, and the queues where they come out."""

    def __init__(self, url: str, exchange: Exchange) -> None:
        """Raises whatever the transport does when the broker cannot be reached."""
        self._connection = _open(url)
        # The bare connection: kombu's own would quietly open a new one, without our consumers.
        self._bare = self._connection.connection
        channel = self._channel()
        exchange(channel).declare()
        self._exchange = exchange
        self._producer = Producer(channel, exchange, serializer="json")
        self._topics: dict[str, _Topic] = {}

    def send(self, topic: str) -> bool:
        self._producer.publish("", routing_key=topic, delivery_mode=1, timeout=_BLINK, confirm_timeout=_BLINK)
        return True

    def receive(self, topic: str, seconds: float) -> bool:
        if topic not in self._topics:
            self._topics[topic] = _Topic(self._channel(), self._exchange, topic)
        mine = self._topics[topic]
        if mine.message is None:
            with contextlib.suppress(TimeoutError):
                self._connection.transport.drain_events(self._bare, timeout=seconds)
        return mine.take()

    def close(self) -> None:
        with contextlib.suppress(Exception):
            for topic in self._topics.values():
                topic.queue.delete()
            self._connection.close()
        self._connection.collect(socket_timeout=_BLINK)

    def _channel(self) -> Any:
        return self._connection.transport.create_channel(self._bare)


class _Topic:
    """A queue for one thread and topic that never hands out more than one nudge at a time."""

    def __init__(self, channel: Any, exchange: Exchange, topic: str) -> None:
        self.message: Any = None
        self.queue = Queue(
            f"{exchange.name}.{uuid4()}",
            exchange,
            routing_key=topic,
            durable=False,
            exclusive=True,
            auto_delete=True,
            max_length=1,
        )(channel)
        self._consumer = Consumer(channel, [self.queue], on_message=self._keep, prefetch_count=1)
        self._consumer.consume()

    def take(self) -> bool:
        """Say whether there was a nudge, and forget all that came up to now."""
        if self.message is None:
            return False
        # Only then the acknowledgement: until it, nothing more is handed out, so the purge misses nothing.
        self.queue.purge()
        self.message.ack()
        self.message = None
        return True

    def _keep(self, message: Any) -> None:
        self.message = message


class _OneSlotChannel(memory.Channel):
    """The memory transport with the length limit of 1 that it does not know itself."""

    arrived = Condition()  # one for the process, as the queues are

    def _put(self, queue: str, message: Any, **options: Any) -> None:
        with self.arrived:
            if (slot := self._queue_for(queue)).empty():
                slot.put(message)
                self.arrived.notify_all()


class _OneSlotTransport(memory.Transport):
    """Wakes when something arrives, where kombu's own looks again and again."""

    Channel = _OneSlotChannel

    def drain_events(self, connection: Any, timeout: Any = None, **_: Any) -> None:
        arrived = _OneSlotChannel.arrived
        with arrived:
            if not self._has_delivered() and not (arrived.wait(timeout) and self._has_delivered()):
                raise TimeoutError

    def _has_delivered(self) -> bool:
        channels: Any = self.cycle
        try:
            channels.get(self._deliver)
        except Empty:
            return False
        return True


def _open(url: str) -> Connection:
    if url.startswith("memory:"):
        return Connection(url, transport=_OneSlotTransport)
    # No AMQP heartbeat: a loop may work for minutes between two waits, and a wire that broke costs nothing.
    options: dict[str, Any] = {
        "confirm_publish": True,
        "client_properties": {"connection_name": "skolebro nudges"},
    }
    connection = Connection(url, heartbeat=0, connect_timeout=_BLINK, transport_options=options)
    connection.ensure_connection(max_retries=0)
    if (inner := getattr(connection.connection, "transport", None)) is not None:
        inner.sock.settimeout(_BLINK)  # else a broker that falls silent holds us for ever
    return connection
