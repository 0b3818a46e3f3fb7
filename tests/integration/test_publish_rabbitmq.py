"""On a real RabbitMQ: what counts as published has been confirmed, in order, and nothing is lost on the way."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pika
import pytest
from structlog.testing import capture_logs

from bridge.adapters.bus_kombu import KombuBus
from bridge.adapters.publish_pika import PikaPublisher
from bridge.domain.errors import ConfigError, ContractBroken, TargetUnauthorised, TargetUnavailable
from bridge.domain.events import Event
from bridge.engine.publish import cursor_name, publish_step
from bridge.engine.publish_standing import Standing, read_standing
from bridge.ports import Sent, Store
from bridge.testing.conformance_bus import NEVER, SOON
from bridge.testing.memory import MemoryStore
from bridge.testing.tcp_proxy import TcpProxy
from tests.support.rabbitmq import HOST, PORT, require_rabbitmq, url

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@dataclass
class Broker:
    """The test's own corner of the real broker."""

    channel: Any
    exchange: str
    queue: str

    def bind(self, routing_key: str = "#") -> None:
        self.channel.queue_declare(self.queue, durable=True)
        self.channel.queue_bind(self.queue, self.exchange, routing_key)

    def drain(self) -> list[tuple[Any, Any, bytes]]:
        """Take everything that is in the queue."""
        got = []
        while (message := self.channel.basic_get(self.queue, auto_ack=True))[0] is not None:
            got.append(message)
        return got

    def ids(self) -> list[str]:
        return [properties.message_id for _, properties, _ in self.drain()]


@pytest.fixture
def broker() -> Iterator[Broker]:
    require_rabbitmq()
    connection = pika.BlockingConnection(pika.ConnectionParameters(HOST, PORT))
    name = f"test.{uuid4()}"
    broker = Broker(connection.channel(), name, f"{name}.queue")
    broker.channel.exchange_declare(broker.exchange, "topic", durable=True)
    yield broker
    cleaning = connection.channel()
    cleaning.queue_delete(broker.queue)
    cleaning.exchange_delete(broker.exchange)
    cleaning.exchange_delete(f"{broker.exchange}.nudges")
    connection.close()


def publisher(broker: Broker, port: int = PORT, **options: Any) -> PikaPublisher:
    return PikaPublisher(url(port), broker.exchange, **{"timeout": timedelta(seconds=20)} | options)


def event(number: int, type_: str = "skolebro.person.created.v1", size: int = 10) -> Event:
    data = json.dumps({"object": {"note": "x" * size}}).encode()
    return Event(number, f"event{number}", type_, "101", "101001", "person/p", ("p",), 1, NOW, "run", data)


GROUP = "skolebro.group.created.v1"


def standing(store: Store) -> Standing:
    with store.read() as reader:
        return read_standing(reader, "101")


def events(count: int, size: int = 10) -> list[Event]:
    return [event(number, size=size) for number in range(1, count + 1)]


def names(first: int, last: int) -> list[str]:
    return [f"event{number}" for number in range(first, last + 1)]


def logged(count: int, size: int = 10) -> Store:
    store = MemoryStore()
    with store.write() as uow:
        uow.append_events("101", events(count, size))
    return store


def cursor(store: Store) -> int:
    with store.read() as reader:
        return reader.cursor(cursor_name("101"))


class TestAWindow:
    def test_arrives_in_order_however_small_the_window(self, broker: Broker) -> None:
        broker.bind()
        assert publisher(broker, window=7).publish(events(100)) == Sent(100)
        assert broker.ids() == names(1, 100)

    def test_may_follow_another_on_the_same_connection(self, broker: Broker) -> None:
        broker.bind()
        ours = publisher(broker)
        assert [ours.publish(events(n)) for n in (3, 0, 5)] == [Sent(3), Sent(0), Sent(5)]
        assert broker.ids() == names(1, 3) + names(1, 5)
        ours.close()
        ours.close()

    def test_carries_cloud_events_that_survive_a_restart_of_the_broker(self, broker: Broker) -> None:
        broker.bind()
        publisher(broker).publish([event(7)])
        ((method, properties, body),) = broker.drain()
        assert method.routing_key == "101.person.created"
        assert properties.delivery_mode == 2
        assert properties.content_type == "application/cloudevents+json"
        told = json.loads(body)
        assert told["specversion"] == "1.0" and told["id"] == properties.message_id == "event7"
        assert told["source"] == "/municipality/101/institution/101001"
        assert told["sequence"] == "00000000000000000007" and told["data"] == {"object": {"note": "x" * 10}}

    def test_declares_a_durable_topic_exchange(self, broker: Broker) -> None:
        broker.channel.exchange_delete(broker.exchange)
        publisher(broker, mandatory=False).publish([event(1)])
        broker.channel.exchange_declare(broker.exchange, "topic", durable=True)  # an error if it were another


class TestWhatNobodyTakes:
    def test_comes_back_and_is_not_published_though_the_broker_acknowledges_it(self, broker: Broker) -> None:
        assert publisher(broker).publish(events(3)) == Sent(3, frozenset({0, 1, 2}))

    def test_does_not_keep_what_comes_after_it(self, broker: Broker) -> None:
        broker.bind("101.person.*")
        batch = [event(1), event(2), event(3, GROUP), event(4)]
        assert publisher(broker).publish(batch) == Sent(4, frozenset({2}))
        assert broker.ids() == ["event1", "event2", "event4"]

    def test_is_published_where_nobody_has_to_listen(self, broker: Broker) -> None:
        assert publisher(broker, mandatory=False).publish(events(3)) == Sent(3)

    def test_is_not_confirmed_by_a_full_queue(self, broker: Broker) -> None:
        limits = {"x-max-length": 2, "x-overflow": "reject-publish"}
        broker.channel.queue_declare(broker.queue, durable=True, arguments=limits)
        broker.channel.queue_bind(broker.queue, broker.exchange, "#")
        ours = publisher(broker, window=1)
        assert ours.publish(events(5)) == Sent(2)
        with pytest.raises(TargetUnavailable, match="nack"):
            ours.publish(events(5)[2:])
        assert broker.ids() == names(1, 2)


class TestTheCursor:
    def test_stays_where_nobody_listens_and_goes_on_in_order_once_somebody_does(self, broker: Broker) -> None:
        store, ours = logged(5), publisher(broker)
        assert publish_step(store, ours, "101", 3) == 0
        assert cursor(store) == 0 and standing(store) == Standing(trouble="unroutable: 101.person.created")
        broker.bind()
        assert [publish_step(store, ours, "101", 3) for _ in range(3)] == [3, 2, 0]
        assert cursor(store) == 5 and broker.ids() == names(1, 5) and standing(store) == Standing()

    def test_passes_what_nobody_wants_once_a_later_event_is_taken(self, broker: Broker) -> None:
        broker.bind("101.person.*")
        store, ours = MemoryStore(), publisher(broker)
        with store.write() as uow:
            uow.append_events("101", [event(n, GROUP) for n in range(1, 8)] + [event(8), event(9, GROUP)])
        assert publish_step(store, ours, "101", 3) == 1
        assert cursor(store) == 8 and broker.ids() == ["event8"]
        assert standing(store) == Standing(passed=7, first=1, last=7, keys=("101.group.created",))
        assert publish_step(store, ours, "101", 3) == 0
        assert cursor(store) == 8, "the last waits: whoever asks for it next may still have it in its place"

    def test_passes_only_what_was_confirmed_when_the_wire_is_cut_in_a_window(self, broker: Broker) -> None:
        broker.bind()
        store = logged(500, size=2_000)
        with TcpProxy(HOST, PORT) as wire:
            ours = publisher(broker, wire.port, window=50)
            publish_step(store, ours, "101", 100)
            wire.cut_after(100_000)  # a part of the 400 that are left
            confirmed = publish_step(store, ours, "101", 400)
            assert 0 < confirmed < 400 and cursor(store) == 100 + confirmed
            while publish_step(store, ours, "101", 400):
                pass
            ours.close()
        assert cursor(store) == 500
        got = broker.ids()
        assert list(dict.fromkeys(got)) == names(1, 500), "a repeat has the id of the first"


class TestTheConnection:
    def test_that_ended_unnoticed_is_replaced_at_once(self, broker: Broker) -> None:
        broker.bind()
        with TcpProxy(HOST, PORT) as wire:
            ours = publisher(broker, wire.port)
            assert ours.publish([event(1)]) == Sent(1)
            wire.cut()
            assert ours.publish([event(2)]) == Sent(1)
            ours.close()
        assert broker.ids() == names(1, 2)

    def test_to_a_broker_that_falls_silent_is_given_up(self, broker: Broker) -> None:
        broker.bind()
        with TcpProxy(HOST, PORT) as wire:
            ours = publisher(broker, wire.port, timeout=timedelta(seconds=3))
            assert ours.publish([event(1)]) == Sent(1)
            wire.mute()
            with pytest.raises(TargetUnavailable, match="timeout"):
                ours.publish([event(2)])
            with pytest.raises(TargetUnavailable):
                ours.publish([event(2)])

    def test_is_refused_to_a_wrong_password(self, broker: Broker) -> None:
        with pytest.raises(TargetUnauthorised):
            PikaPublisher(url(credential="guest:wrong"), broker.exchange).publish([event(1)])

    def test_to_nobody_says_unreachable(self) -> None:
        with socket.socket() as taken:  # bound and never listening
            taken.bind((HOST, 0))
            with pytest.raises(TargetUnavailable, match="unreachable"):
                PikaPublisher(url(taken.getsockname()[1])).publish([event(1)])

    def test_does_not_touch_an_exchange_of_another_kind(self, broker: Broker) -> None:
        broker.channel.exchange_delete(broker.exchange)
        broker.channel.exchange_declare(broker.exchange, "fanout", durable=True)
        with pytest.raises(ContractBroken, match="not as a durable topic exchange"):
            publisher(broker).publish([event(1)])

    def test_needs_the_address_of_a_broker_and_never_shows_it(self) -> None:
        with pytest.raises(ConfigError) as caught:
            PikaPublisher("https://guest:canary@127.0.0.1/")
        assert "canary" not in str(caught.value)


class TestNudges:
    def test_come_through_again_after_the_wire_was_cut(self, broker: Broker) -> None:
        with TcpProxy(HOST, PORT) as wire:
            bus = KombuBus(url(wire.port), exchange=f"{broker.exchange}.nudges")
            bus.wait("work", 0)
            wire.cut()
            bus.nudge("work")
            bus.wait("work", SOON)  # the nudge may be lost, but the next wait listens again
            bus.nudge("work")
            assert bus.wait("work", NEVER) is True
            bus.close()

    def test_hold_nobody_when_the_broker_falls_silent(self, broker: Broker) -> None:
        with TcpProxy(HOST, PORT) as wire:
            bus = KombuBus(url(wire.port), exchange=f"{broker.exchange}.nudges")
            bus.wait("work", 0)
            wire.mute()
            bus.nudge("work")
            assert bus.wait("work", SOON) is False
            bus.close()

    def test_tell_once_that_the_broker_went_and_once_that_it_came_back(self, broker: Broker) -> None:
        with socket.socket() as nobody, TcpProxy(HOST, PORT) as wire, capture_logs() as lines:
            nobody.bind((HOST, 0))
            wire.server = nobody.getsockname()
            bus = KombuBus(url(wire.port), f"{broker.exchange}.nudges", random=NoJitter())
            for _ in range(3):
                bus.nudge("work")
                bus.wait("work", SOON)
            wire.server = (HOST, PORT)
            bus.wait("work", SOON)
            bus.nudge("work")
            bus.close()
        assert [line["event"] for line in lines] == ["bus.lost", "bus.recovered"]


class NoJitter:
    """Lets a reconnection be tried at once."""

    def random(self) -> float:
        return 0.0
