"""On a real RabbitMQ: the queues that the configuration names are there as it says, and miss no event."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from typing import Any

import pytest

from bridge.adapters.queues_pika import PikaQueues
from bridge.domain.errors import ContractBroken, TargetUnauthorised, TargetUnavailable
from bridge.testing.tcp_proxy import TcpProxy
from tests.support.engine import Bench, pupil
from tests.support.events import (
    GROUP,
    TOWN,
    EventCorner,
    append,
    drained,
    ids,
    logged,
    place,
    standing,
)
from tests.support.rabbitmq import HOST, require_rabbitmq, url

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


@pytest.fixture
def corner() -> Iterator[EventCorner]:
    require_rabbitmq()
    with EventCorner() as corner:
        yield corner


def declare(channel: Any, name: str, **arguments: Any) -> None:
    told = {key.replace("_", "-"): value for key, value in arguments.items()}
    channel.queue_declare(name, durable=True, arguments=told)


def reading(connection: Any, queue: str) -> Iterator[str | None]:
    """The ids of what comes, never acknowledged; None when nothing came for a while."""
    channel = connection.channel()
    channel.basic_qos(prefetch_count=10)
    for _, properties, _ in channel.consume(queue, inactivity_timeout=0.5):
        yield properties.message_id if properties else None


class TestWhatIsMade:
    def test_is_a_quorum_queue_with_a_delivery_limit_and_dead_letters_behind_it(self, corner: EventCorner) -> None:
        corner.queues(corner.wanted("101.#", limit=7)).declare()
        limits = {
            "x_queue_type": "quorum",
            "x_delivery_limit": 7,
            "x_dead_letter_exchange": f"{corner.queue}.dead",
            "x_dead_letter_strategy": "at-least-once",
            "x_overflow": "reject-publish",
            "x_single_active_consumer": True,
        }
        with corner.connected() as connection:  # errors if they were others
            declare(connection.channel(), corner.queue, **limits)
            declare(connection.channel(), f"{corner.queue}.dead", x_queue_type="quorum")
            connection.channel().exchange_declare(corner.name, "topic", durable=True)

    def test_may_be_a_stream_that_tells_every_reader_all(self, corner: EventCorner) -> None:
        stream = corner.queues(corner.wanted(keep=DAY))
        drained(corner.publishing(logged(3), stream))
        for _ in range(2):
            with corner.connected() as connection:
                channel = connection.channel()
                channel.basic_qos(prefetch_count=10)
                told = channel.consume(corner.queue, arguments={"x-stream-offset": "first"}, inactivity_timeout=20)
                got = [next(told) for _ in range(3)]
            assert [properties.message_id for _, properties, _ in got] == ids(1, 3)

    def test_is_left_alone_when_it_is_there_already(self, corner: EventCorner) -> None:
        queues = corner.queues()
        drained(corner.publishing(logged(3), queues))
        queues.declare()
        assert queues.missing() == queues.verify() == frozenset()
        assert corner.ids() == ids(1, 3)

    def test_is_nothing_when_only_compared(self, corner: EventCorner) -> None:
        assert corner.queues().verify() == {corner.queue}
        assert not corner.is_there(corner.queue)

    def test_is_read_by_one_consumer_at_a_time_so_that_what_comes_back_comes_first(
        self, corner: EventCorner
    ) -> None:
        drained(corner.publishing(logged(5)))
        with TcpProxy(HOST, corner.port) as wire, corner.connected() as second:
            taken = reading(corner.connected(wire.port), corner.queue)
            assert [next(taken) for _ in range(2)] == ids(1, 2)
            waiting = reading(second, corner.queue)
            assert next(waiting) is None, "the first is still there"
            wire.cut()
            got = list(islice(filter(None, islice(waiting, 40)), 5))
        assert got == ids(1, 5)

    def test_lets_what_always_comes_back_go_to_the_dead_letters(self, corner: EventCorner) -> None:
        drained(corner.publishing(logged(1), corner.queues(corner.wanted(limit=2))))
        with corner.connected() as connection:
            channel = connection.channel()
            for method, _, _ in channel.consume(corner.queue, inactivity_timeout=2):
                if method is None:  # it comes back no more
                    break
                channel.basic_reject(method.delivery_tag, requeue=True)
        assert corner.ids(f"{corner.queue}.dead") == ids(1, 1)


@pytest.mark.parametrize(
    ("there", "told"),
    [
        ({}, "its x-dead-letter-exchange is not set and should be"),
        ({"x_queue_type": "quorum"}, "its x-dead-letter-exchange is not set and should be"),
        ({"x_queue_type": "stream"}, "its x-queue-type is 'stream' and should be 'quorum'"),
    ],
)
class TestAQueueThatIsOtherwise:
    def test_is_told_by_name_and_argument_and_stays(
        self, corner: EventCorner, there: dict[str, Any], told: str
    ) -> None:
        queues = corner.queues()
        with corner.connected() as connection:
            declare(connection.channel(), corner.queue, **there)
        for use in (queues.verify, queues.declare):
            with pytest.raises(ContractBroken, match=f"the queue {corner.queue} exists already") as caught:
                use()
            assert told in str(caught.value) and "Nothing was changed. Delete it" in str(caught.value)

    def test_stops_publishing_and_the_log_says_why(
        self, corner: EventCorner, there: dict[str, Any], told: str
    ) -> None:
        with corner.connected() as connection:
            declare(connection.channel(), corner.queue, **there)
        store = logged(3)
        with pytest.raises(ContractBroken):
            corner.publishing(store).step()
        assert place(store) == 0
        assert standing(store).trouble.startswith(f"otherwise: the queue {corner.queue} exists already")


class TestAnExchangeThatIsOtherwise:
    def test_is_told_by_name_and_stays(self, corner: EventCorner) -> None:
        with corner.connected() as connection:
            connection.channel().exchange_declare(corner.name, "fanout", durable=True)
        with pytest.raises(
            ContractBroken, match=f"the exchange {corner.name} exists already, its type is 'fanout'"
        ):
            corner.queues().verify()


class TestFilling:
    def test_a_queue_that_comes_later_gets_what_was_published_before_it(self, corner: EventCorner) -> None:
        store, first, late = logged(250), corner.wanted(), corner.wanted(name=f"{corner.queue}.late")
        drained(corner.publishing(store, corner.queues(first)))
        append(store, 10)
        drained(corner.publishing(store, corner.queues(first, late)))
        assert corner.ids() == corner.ids(late.name) == ids(1, 260)

    def test_a_queue_that_was_deleted_is_made_again_and_filled_in_order(self, corner: EventCorner) -> None:
        store = logged(250)
        publishing = corner.publishing(store)
        drained(publishing)
        append(store, 20)
        corner.delete()
        drained(publishing)
        assert corner.ids() == ids(1, 270)

    def test_gives_a_queue_no_more_than_its_keys_ask_for_under_the_same_keys(self, corner: EventCorner) -> None:
        store = logged(2, (TOWN, "147"))
        append(store, 2, GROUP)
        towns: Any = {"municipalities": [TOWN, "147"]}
        drained(corner.publishing(store, corner.queues(corner.wanted()), **towns))
        few = corner.wanted("101.person.*", name=f"{corner.queue}.few")
        drained(corner.publishing(store, corner.queues(corner.wanted(), few), **towns))
        got = corner.drain(few.name)
        assert [properties.message_id for _, properties, _ in got] == ids(1, 2)
        assert {method.routing_key for method, _, _ in got} == {"101.person.created"}

    def test_goes_on_where_it_was_cut_off_and_nothing_newer_comes_before_its_end(
        self, corner: EventCorner
    ) -> None:
        store, first, late = logged(250), corner.wanted(), corner.wanted(name=f"{corner.queue}.late")
        drained(corner.publishing(store, corner.queues(first)))
        append(store, 10)
        both = corner.queues(first, late)
        corner.publishing(store, both).step()  # a part of it, and then the process ends
        assert place(store) == 250 and corner.ids(late.name) == ids(1, 100)
        drained(corner.publishing(store, both))
        assert corner.ids(late.name) == ids(101, 260)

    def test_of_a_queue_that_is_not_configured_any_more_is_forgotten(self, corner: EventCorner) -> None:
        store, first, late = logged(250), corner.wanted(), corner.wanted(name=f"{corner.queue}.late")
        drained(corner.publishing(store, corner.queues(first)))
        corner.publishing(store, corner.queues(first, late)).step()
        append(store, 5)
        drained(corner.publishing(store, corner.queues(first)))
        assert corner.ids() == ids(1, 255)


class TestABrokerThatIsAway:
    def test_is_no_reason_not_to_start_and_the_log_says_so(self) -> None:
        store = logged(3)
        with socket.socket() as nobody:  # bound and never listening
            nobody.bind((HOST, 0))
            away = EventCorner(nobody.getsockname()[1])
            with pytest.raises(TargetUnavailable, match="unreachable"):
                away.queues().verify()
            with pytest.raises(TargetUnavailable):
                away.publishing(store).step()
        assert standing(store).trouble == "unreachable"

    def test_for_an_hour_loses_nothing_and_keeps_neither_intake_nor_delivery(self, corner: EventCorner) -> None:
        bench, hour = Bench(), timedelta(hours=1)
        with socket.socket() as nobody, TcpProxy(HOST, corner.port) as wire:
            nobody.bind((HOST, 0))
            publishing = corner.publishing(bench.store, through=wire.port)
            bench.take(pupil("u0"))
            drained(publishing)
            wire.server = nobody.getsockname()
            wire.cut()
            began = bench.clock.now()
            while bench.clock.now() - began < hour:
                bench.clock.forward(minutes=1)
                bench.take(*(pupil(f"u{n}") for n in range(int((bench.clock.now() - began) / MINUTE) + 1)))
                assert bench.drain(), "delivery goes on"
                with pytest.raises(TargetUnavailable):
                    publishing.step()
            wire.server = (HOST, corner.port)
            drained(publishing)
        with bench.store.read() as reader:
            log = [one.id for one in reader.events(TOWN, 0, 10_000)]
        assert len(log) > 60 and corner.ids() == log

    def test_or_that_refuses_us_is_told_apart(self, corner: EventCorner) -> None:
        with pytest.raises(TargetUnauthorised):
            PikaQueues(url(credential="guest:wrong"), corner.name, [corner.wanted()]).verify()
