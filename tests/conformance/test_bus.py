"""Every bus that the bridge can run on keeps the same promises, the real broker's included."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from uuid import uuid4

import pika
import pytest

from bridge.adapters.bus_kombu import KombuBus
from bridge.ports import Bus
from bridge.testing.conformance_bus import SOON, BusConformance
from bridge.testing.memory_bus import MemoryBus
from tests.support.rabbitmq import HOST, PORT, require_rabbitmq, url


class TestMemoryBus(BusConformance):
    @pytest.fixture
    def bus(self) -> Iterator[Bus]:
        bus = MemoryBus()
        yield bus
        bus.close()


class TestKombuInMemory(BusConformance):
    @pytest.fixture
    def bus(self) -> Iterator[Bus]:
        bus = KombuBus(exchange=f"test.{uuid4()}")
        yield bus
        bus.close()


class TestKombuOnRabbitMq(BusConformance):
    @pytest.fixture
    def bus(self) -> Iterator[Bus]:
        require_rabbitmq()
        exchange = f"test.{uuid4()}"
        bus = KombuBus(url(), exchange)
        yield bus
        bus.close()
        with pika.BlockingConnection(pika.ConnectionParameters(HOST, PORT)) as connection:
            connection.channel().exchange_delete(exchange)


class TestKombuWithoutItsBroker:
    @pytest.fixture
    def bus(self) -> Iterator[Bus]:
        with socket.socket() as taken:  # bound and never listening: every connection is refused
            taken.bind(("127.0.0.1", 0))
            bus = KombuBus(f"amqp://guest:guest@127.0.0.1:{taken.getsockname()[1]}//")
            yield bus
            bus.close()

    def test_a_nudge_does_nothing_and_a_wait_just_waits(self, bus: Bus) -> None:
        for _ in range(3):
            bus.nudge("work")
            assert bus.wait("work", SOON) is False
