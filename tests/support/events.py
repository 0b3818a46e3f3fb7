"""Events on their way to a real broker: a log, and a corner of the broker with queues of its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import uuid4

import pika

from bridge.adapters.publish_pika import PikaPublisher
from bridge.adapters.queues_pika import EventQueue, PikaQueues
from bridge.domain.events import Event
from bridge.engine.publish import cursor_name
from bridge.engine.publish_standing import Standing, read_standing
from bridge.engine.publishing import Publishing
from bridge.ports import Store
from bridge.testing.memory import MemoryStore
from tests.support.rabbitmq import HOST, PORT, url

TOWN = "101"
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
PERSON, GROUP = "skolebro.person.created.v1", "skolebro.group.created.v1"
LIMIT = 100
_NEVER = 60.0


def event(number: int, type_: str = PERSON, town: str = TOWN) -> Event:
    return Event(0, f"{town}/{number}", type_, town, f"{town}001", "person/p", ("p",), 1, NOW, "run", b"{}")


def append(store: Store, count: int, type_: str = PERSON, town: str = TOWN) -> None:
    """Let so many more things happen; the id of an event tells its place in its log."""
    with store.write() as uow:
        last = uow.last_sequence(town)
        uow.append_events(town, [event(last + n, type_, town) for n in range(1, count + 1)])


def ids(first: int, last: int, town: str = TOWN) -> list[str]:
    return [f"{town}/{number}" for number in range(first, last + 1)]


def place(store: Store, town: str = TOWN) -> int:
    with store.read() as reader:
        return reader.cursor(cursor_name(town))


def standing(store: Store, town: str = TOWN) -> Standing:
    with store.read() as reader:
        return read_standing(reader, town)


def drained(publishing: Publishing, rounds: int = 1_000) -> int:
    """Publish until nothing is left that can be; return how many steps it took."""
    for steps in range(rounds):
        if not publishing.step():
            return steps
    raise AssertionError("publishing never comes to an end")


class EventCorner:
    """An exchange and queues with names of their own on a broker, which are gone afterwards."""

    def __init__(self, port: int = PORT) -> None:
        self.port, self.name = port, f"test.{uuid4()}"
        self.queue = f"{self.name}.vendor"
        self._queues: set[str] = set()
        self._exchanges = {self.name}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        with self.connected() as connection:
            for name in self._queues:
                connection.channel().queue_delete(name)
            for name in self._exchanges:
                connection.channel().exchange_delete(name)

    def connected(self, port: int | None = None) -> Any:
        return pika.BlockingConnection(pika.ConnectionParameters(HOST, port or self.port, heartbeat=0))

    def wanted(self, *keys: str, name: str = "", limit: int = 20, keep: timedelta | None = None) -> EventQueue:
        """A queue as a configuration would name it."""
        name = name or self.queue
        dead = f"{name}.dead"
        self._queues |= {name, dead}
        self._exchanges |= {dead, f"{name}.fill"}
        return EventQueue(name, keys or ("#",), limit, dead, keep)

    def queues(self, *wanted: EventQueue) -> PikaQueues:
        return PikaQueues(url(self.port), self.name, wanted or (self.wanted(),), timedelta(seconds=20))

    def publishing(self, store: Store, queues: PikaQueues | None = None, **options: Any) -> Publishing:
        """What `skolebro run` publishes with; it looks at its queues at every step unless told otherwise."""
        clock, where = _Steps(), url(options.pop("through", self.port))
        timeout = options.pop("timeout", timedelta(seconds=20))
        publisher = PikaPublisher(where, self.name, window=50, timeout=timeout)
        known = {"municipalities": [TOWN], "limit": LIMIT, "monotonic": clock.monotonic} | options
        made = Publishing(store, publisher, queues or self.queues(), **known)
        self._open.callback(made.close)
        return made

    def drain(self, queue: str = "") -> list[tuple[Any, Any, bytes]]:
        """Take everything that is in a quorum queue; one with a single active consumer can only be consumed."""
        got = []
        with self.connected() as connection:
            channel = connection.channel()
            channel.basic_qos(prefetch_count=100)
            waiting = channel.queue_declare(queue or self.queue, passive=True).method.message_count
            if waiting:
                for message in channel.consume(queue or self.queue, inactivity_timeout=_NEVER):
                    got.append(message)
                    channel.basic_ack(message[0].delivery_tag)
                    if len(got) == waiting:
                        break
                channel.cancel()
        return got

    def count(self, queue: str = "") -> int:
        """How many events wait in a queue."""
        with self.connected() as connection:
            told = connection.channel().queue_declare(queue or self.queue, passive=True)
            return int(told.method.message_count)

    def ids(self, queue: str = "") -> list[str]:
        return [properties.message_id for _, properties, _ in self.drain(queue)]

    def delete(self, queue: str = "") -> None:
        with self.connected() as connection:
            connection.channel().queue_delete(queue or self.queue)

    def is_there(self, queue: str) -> bool:
        with self.connected() as connection, suppress(pika.exceptions.ChannelClosedByBroker):
            connection.channel().queue_declare(queue, passive=True)
            return True
        return False


class _Steps:
    """A clock that goes on by more than the time between two looks, whenever it is asked."""

    at = 0.0

    def monotonic(self) -> float:
        self.at += 60.0
        return self.at


def logged(count: int, towns: Sequence[str] = (TOWN,)) -> MemoryStore:
    store = MemoryStore()
    for town in towns:
        append(store, count, town=town)
    return store
