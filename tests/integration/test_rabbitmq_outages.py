"""A RabbitMQ node that is stopped, killed, short of memory or robbed of its queue keeps no event from anybody."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pika
import pytest

from bridge.domain.errors import TargetError
from bridge.engine.publishing import Publishing
from bridge.ports import Store
from bridge.testing.memory import MemoryStore
from tests.support.events import EventCorner, append, ids, place, standing
from tests.support.rabbitmq_node import Node

RESTARTS = 20
ALARM, DELETION = 7, 13
A_FEW = 300
_PATIENCE = 120.0
_POLL = 0.05


class Worker(Thread):
    """Does its step again and again until it is stopped, whatever the broker does meanwhile."""

    def __init__(self, step: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._step, self.over = step, Event()

    def run(self) -> None:
        while not self.over.is_set():
            try:
                self._step()
            except (TargetError, pika.exceptions.AMQPError, OSError):
                self.over.wait(_POLL)

    @classmethod
    @contextmanager
    def working(cls, step: Callable[[], object]) -> Iterator[None]:
        worker = cls(step)
        worker.start()
        try:
            yield
        finally:
            worker.over.set()
            worker.join(_PATIENCE)
        assert not worker.is_alive()


class Vendor:
    """A consumer that takes and acknowledges, connects anew when it is cut off, and may look away for a while."""

    def __init__(self, corner: EventCorner) -> None:
        self._corner = corner
        self.got: list[str] = []
        self.looks_away = Event()

    def read(self) -> None:
        """Consume until the connection, or the queue, ends."""
        with self._corner.connected() as connection:
            channel = connection.channel()
            channel.basic_qos(prefetch_count=100)
            for method, properties, _ in channel.consume(self._corner.queue, inactivity_timeout=0.2):
                if method is not None:
                    self.got.append(properties.message_id)
                    channel.basic_ack(method.delivery_tag)
                elif self.looks_away.is_set():
                    return

    def step(self) -> None:
        if self.looks_away.is_set():
            raise OSError("looking away")
        self.read()


class Source:
    """What happens meanwhile: some events before each step of publishing, as long as it is on."""

    def __init__(self, store: Store, publishing: Publishing) -> None:
        self._store, self._publishing = store, publishing
        self.is_on = Event()

    def step(self) -> None:
        if self.is_on.is_set():
            append(self._store, 20)
        if not self._publishing.step():
            time.sleep(_POLL)


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} does not happen"
        time.sleep(_POLL)


@pytest.mark.slow
def test_the_consumer_gets_every_event_in_order_and_repeats_under_the_same_id(tmp_path: Path) -> None:
    store = MemoryStore()
    with Node(tmp_path) as node, EventCorner(node.port) as corner:
        queues = corner.queues()
        options: dict[str, Any] = {"monotonic": time.monotonic, "timeout": timedelta(seconds=3)}
        source = Source(store, corner.publishing(store, queues, **options))
        vendor = Vendor(corner)
        with Worker.working(source.step), Worker.working(vendor.step):
            for number in range(RESTARTS):
                source.is_on.set()
                goes_on(store)
                if number == ALARM:
                    run_out_of_memory(node, store)
                if number == DELETION:
                    lose_the_queue(corner, store, vendor)
                (node.kill if number % 2 else node.stop)()
                source.is_on.clear()
                assert place(store) < last(store), "it was stopped while there was something to publish"
                node.start()
            until(lambda: place(store) == last(store), "the log's end")
            until(lambda: len(set(vendor.got)) == last(store), "the vendor's last event")
            vendor.looks_away.set()
    assert list(dict.fromkeys(vendor.got)) == ids(1, last(store))


def goes_on(store: Store) -> None:
    begin = place(store)
    until(lambda: place(store) > begin + A_FEW, "publishing")


def run_out_of_memory(node: Node, store: Store) -> None:
    """The broker takes nothing for a while; nothing counts as published meanwhile, and the log says why."""
    node.control("set_vm_memory_high_watermark", "0.000001")
    until(lambda: standing(store).trouble == "timeout", "a broker that does not answer")
    stopped = place(store)
    until(lambda: last(store) > stopped + A_FEW, "intake during the alarm")
    node.control("set_vm_memory_high_watermark", "0.4")
    goes_on(store)


def lose_the_queue(corner: EventCorner, store: Store, vendor: Vendor) -> None:
    """Somebody deletes it with events in it that nobody has read yet."""
    vendor.looks_away.set()
    goes_on(store)
    unread = last(store) - len(set(vendor.got))
    corner.delete()
    assert unread > 0
    goes_on(store)
    vendor.looks_away.clear()


def last(store: Store) -> int:
    with store.read() as reader:
        return reader.last_sequence("101")
