"""On a real RabbitMQ: nothing that was sent to the feed is lost, whoever dies, stops, lies or falls silent."""

from __future__ import annotations

import gzip
import signal
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from bridge.adapters.feed_kombu import KombuFeed
from bridge.adapters.store_sql import open_sqlite
from bridge.domain.entities import Kind
from bridge.domain.errors import ConfigError, SnapshotInvalid, SourceUnavailable
from bridge.testing.conformance_feed import DEATHS, NEVER, SOON
from bridge.testing.tcp_proxy import TcpProxy
from tests.support.certificates import authority
from tests.support.engine import rows_of
from tests.support.feed import NoJitter, code, taken, taken_and_done
from tests.support.feed_main import PLACES
from tests.support.forks import Forks
from tests.support.rabbitmq import HOST, PORT, Corner, require_rabbitmq, url
from tests.support.rabbitmq_node import FEEDER

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SHORT = timedelta(seconds=1)
QUORUM = {"x-queue-type": "quorum"}


@pytest.fixture
def corner() -> Iterator[Corner]:
    require_rabbitmq()
    with Corner() as corner:
        yield corner


class TestTheQueue:
    def test_is_durable_counts_returns_and_has_dead_letters_behind_it(self, corner: Corner) -> None:
        corner.declare()
        arguments = {
            "x-queue-type": "quorum",
            "x-delivery-limit": 10,
            "x-dead-letter-exchange": corner.dead,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
        # Errors if they were others.
        corner.channel.queue_declare(corner.queue, durable=True, arguments=arguments)
        corner.channel.queue_declare(corner.dead, durable=True, arguments={"x-queue-type": "quorum"})
        corner.channel.exchange_declare(corner.dead, "fanout", durable=True)

    def test_may_have_dead_letters_of_another_name(self, corner: Corner) -> None:
        corner.dead = f"{corner.queue}.graves"
        feed = corner.open(dead_letters=corner.dead)
        feed.receive(0)
        corner.channel.basic_publish("", corner.queue, b"x")
        taken(feed).dead("odd")
        assert corner.dead_letters() == [(b"x", "odd")]

    def test_gets_what_its_routing_keys_ask_for(self) -> None:
        require_rabbitmq()
        with Corner(exchange=True) as corner:
            feed = corner.open(routing_keys=["export.*", "changed.#"])
            feed.receive(0)
            corner.send(b"a", key="export.101001")
            corner.send(b"b", key="changed.101001.now")
            assert [taken_and_done(feed), taken_and_done(feed)] == [b"a", b"b"]

    def test_is_bound_to_an_exchange_of_others_whatever_its_type(self) -> None:
        require_rabbitmq()
        with Corner(exchange=True) as corner:
            corner.channel.exchange_declare(corner.exchange, "fanout", durable=False)
            feed = corner.open()
            feed.receive(0)
            corner.send(b"x", key="whatever")
            assert taken_and_done(feed) == b"x"

    @pytest.mark.parametrize(
        "made",
        [{"durable": True}, {"arguments": {"x-message-ttl": 3_600_000}}, {"durable": True, "arguments": QUORUM}],
    )
    def test_of_others_is_used_as_it_is(self, corner: Corner, made: dict[str, Any]) -> None:
        corner.channel.queue_declare(corner.queue, **made)
        for body in (b"a", b"b"):
            corner.channel.basic_publish("", corner.queue, body)
        feed = corner.open()
        taken(feed).dead("odd")
        assert taken_and_done(feed) == b"b"
        feed.close()
        assert (corner.left(), corner.dead_letters()) == (0, [(b"a", "odd")])
        corner.channel.queue_declare(corner.queue, **made)  # errors if it were another now

    def test_of_others_gives_again_what_nobody_ended(self, corner: Corner) -> None:
        corner.channel.queue_declare(corner.queue, durable=True)
        corner.channel.basic_publish("", corner.queue, b"x")
        feed = corner.open()
        taken(feed)
        feed.close()
        assert taken_and_done(corner.open()) == b"x"

    def test_of_others_is_bound_by_our_routing_keys(self) -> None:
        require_rabbitmq()
        with Corner(exchange=True) as corner:
            corner.channel.queue_declare(corner.queue, durable=True)
            feed = corner.open(routing_keys=["export.*"])
            feed.receive(0)
            corner.send(b"x", key="export.101001")
            assert taken_and_done(feed) == b"x"

    def test_that_is_a_stream_is_refused_for_it_would_begin_in_the_middle(self, corner: Corner) -> None:
        corner.channel.queue_declare(corner.queue, durable=True, arguments={"x-queue-type": "stream"})
        with pytest.raises(SourceUnavailable, match=r"^queue_mismatch: .* x-queue-type is 'stream'"):
            corner.open().receive(SOON)

    def test_of_dead_letters_that_others_made_is_left_as_it_is_and_what_differs_is_told(
        self, corner: Corner
    ) -> None:
        corner.channel.queue_declare(corner.dead, durable=True)
        corner.channel.basic_publish("", corner.dead, b"theirs")
        with pytest.raises(SourceUnavailable, match=r"^queue_mismatch: .* x-queue-type is .* should be 'quorum'"):
            corner.open().receive(SOON)
        assert [body for _, body in corner.drain(corner.dead)] == [b"theirs"]

    def test_that_is_deleted_under_us_is_declared_anew(self, corner: Corner) -> None:
        feed = corner.open(random=NoJitter())
        feed.receive(0)
        corner.channel.queue_delete(corner.queue)
        assert code(lambda: feed.receive(NEVER)) == "queue_gone"
        feed.receive(0)
        corner.channel.basic_publish("", corner.queue, b"x")
        assert taken_and_done(feed) == b"x"


class TestADeadLetter:
    def test_says_why_when_and_where_it_came_from(self) -> None:
        require_rabbitmq()
        with Corner(exchange=True) as corner:
            feed = corner.open(now=lambda: NOW)
            feed.receive(0)
            corner.send(b"x", "text/xml", "101001", key="export.101001", message_id="m1", type="export")
            taken(feed).dead("not_well_formed")
            ((properties, body),) = corner.take_dead()
            assert body == b"x" and properties.delivery_mode == 2
            assert (properties.content_type, properties.message_id, properties.type) == (
                "text/xml",
                "m1",
                "export",
            )
            assert _told(properties) == {
                "institution": "101001",
                "skolebro-reason": "not_well_formed",
                "skolebro-routing-key": "export.101001",
                "skolebro-exchange": corner.exchange,
                "skolebro-time": "2026-03-02T12:00:00+00:00",
            }

    def test_neither_expires_nor_goes_elsewhere_nor_is_refused(self, corner: Corner) -> None:
        elsewhere = f"{corner.queue}.elsewhere"
        corner.channel.queue_declare(elsewhere, exclusive=True)
        odd = {"CC": [elsewhere], "odd": {"nested": [None, 1]}, "x-death": []}
        corner.send(b"x", headers=odd, expiration="3600000", user_id="guest", priority=200)
        corner.drain(elsewhere)
        taken(corner.open()).dead("odd")
        ((properties, _),) = corner.take_dead()
        assert (properties.expiration, properties.user_id, properties.priority) == (None, None, None)
        assert set(_told(properties)) == {
            f"skolebro-{word}" for word in ("reason", "routing-key", "exchange", "time")
        }
        assert corner.drain(elsewhere) == []

    def test_that_is_put_back_as_it_is_comes_again_with_a_new_life(self, corner: Corner) -> None:
        corner.send(b"x", "text/xml")
        for _ in range(DEATHS):
            feed = corner.open()
            taken(feed)
            feed.close()
        feed = corner.open()
        with pytest.raises(SnapshotInvalid, match="poison_message"):
            feed.receive(NEVER)
        ((properties, body),) = corner.take_dead()
        corner.channel.basic_publish("", corner.queue, body, properties)
        message = taken(feed)
        message.dead("odd")
        assert (message.body, message.content_type) == (b"x", "text/xml")
        assert corner.dead_letters() == [(b"x", "odd")]

    def test_that_no_queue_takes_stays_where_it_was(self, corner: Corner) -> None:
        feed = corner.open(random=NoJitter())
        corner.send(b"x")
        message = taken(feed)
        corner.channel.queue_delete(corner.dead)
        assert code(lambda: message.dead("odd")) == "dead_letters_refused"
        taken(feed).dead("odd")  # it has come again, and the queue is there again
        assert corner.dead_letters() == [(b"x", "odd")]


def _told(properties: Any) -> dict[str, Any]:
    """The headers without what the queue of the dead letters counts for itself."""
    return {name: value for name, value in properties.headers.items() if name != "x-delivery-count"}


class TestWhatIsNeverHandedOut:
    def refused(self, corner: Corner, **options: Any) -> str:
        with pytest.raises(SnapshotInvalid) as caught:
            corner.open(**options).receive(NEVER)
        return caught.value.code

    @pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip", "utf-16", "rot13"])
    def test_is_an_encoded_body(self, corner: Corner, encoding: str) -> None:
        bomb = gzip.compress(bytes(10**7))
        corner.send(bomb, "application/xml", content_encoding=encoding)
        assert self.refused(corner) == "encoding_not_supported"
        assert corner.dead_letters() == [(bomb, "encoding_not_supported")]

    def test_is_a_body_that_kombu_would_decompress(self, corner: Corner) -> None:
        bomb = gzip.compress(bytes(10**7))
        corner.send(bomb, headers={"compression": "application/x-gzip"})
        assert self.refused(corner) == "encoding_not_supported"
        assert corner.dead_letters() == [(bomb, "encoding_not_supported")]

    def test_is_a_body_that_is_too_large(self, corner: Corner) -> None:
        corner.send(b"x" * 1001)
        assert self.refused(corner, largest=1000) == "too_large"
        assert corner.dead_letters() == [(b"x" * 1001, "too_large")]


class TestABody:
    @pytest.mark.parametrize("encoding", ["utf-8", "UTF-8", "binary", "identity"])
    def test_stays_bytes_whatever_plain_encoding_is_claimed(self, corner: Corner, encoding: str) -> None:
        corner.send(b"\xe6 is no UTF-8", content_encoding=encoding)
        assert taken_and_done(corner.open()) == b"\xe6 is no UTF-8"

    @pytest.mark.parametrize("content_type", ["application/x-python-serialize", "application/x-yaml"])
    def test_is_never_made_into_objects(self, corner: Corner, content_type: str) -> None:
        corner.send(b"cos\nsystem\n(S'false'\ntR.", content_type)
        assert taken_and_done(corner.open()) == b"cos\nsystem\n(S'false'\ntR."

    def test_of_20_megabytes_comes_whole(self, corner: Corner) -> None:
        body = b"<" + b"0123456789" * 2_000_000
        corner.send(body, "application/xml")
        assert taken_and_done(corner.open()) == body


class TestTheConnection:
    def test_that_breaks_while_a_message_is_out_brings_it_again(self, corner: Corner) -> None:
        corner.send(b"a")
        corner.send(b"b")
        with TcpProxy(HOST, PORT) as wire:
            feed = corner.open(url(wire.port), random=NoJitter())
            taken(feed)
            wire.cut()
            assert code(lambda: feed.receive(NEVER)) == "broker_lost"
            assert [taken_and_done(feed), taken_and_done(feed)] == [b"a", b"b"]
            feed.close()

    def test_of_a_message_that_is_gone_cannot_end_the_one_that_replaced_it(self, corner: Corner) -> None:
        corner.send(b"x")
        with TcpProxy(HOST, PORT) as wire:
            feed = corner.open(url(wire.port), random=NoJitter())
            old = taken(feed)
            wire.cut()
            code(lambda: feed.receive(NEVER))
            new = taken(feed)
            assert code(old.done) == "broker_lost"
            assert code(lambda: old.dead("odd")) == "broker_lost"
            old.later()
            new.done()
            feed.close()
        assert corner.left() == 0 and corner.dead_letters() == []

    def test_to_a_broker_that_falls_silent_is_given_up(self, corner: Corner) -> None:
        with TcpProxy(HOST, PORT) as wire:
            feed = corner.open(url(wire.port), heartbeat=SHORT, timeout=SHORT)
            feed.receive(0)
            wire.mute()
            assert code(lambda: feed.receive(NEVER)) == "broker_silent"
            assert code(lambda: feed.receive(SOON)) == "broker_unreachable"
            feed.close()

    def test_that_is_quiet_for_many_heartbeats_stays_open(self, corner: Corner) -> None:
        feed = corner.open(heartbeat=SHORT)
        assert feed.receive(4.0) is None
        corner.channel.basic_publish("", corner.queue, b"x")
        assert taken_and_done(feed) == b"x"

    def test_to_somebody_who_accepts_and_never_speaks_ends(self, corner: Corner) -> None:
        with socket.create_server((HOST, 0)) as mute:
            feed = corner.open(url(mute.getsockname()[1]), timeout=SHORT)
            assert code(lambda: feed.receive(NEVER)) == "broker_unreachable"
            secret = corner.open(f"amqps://guest:guest@{HOST}:{mute.getsockname()[1]}/", timeout=SHORT)
            assert code(lambda: secret.receive(NEVER)) == "broker_unreachable"

    def test_to_nobody_says_unreachable(self, corner: Corner) -> None:
        with socket.socket() as taken:  # bound and never listening
            taken.bind((HOST, 0))
            assert code(lambda: corner.open(url(taken.getsockname()[1])).receive(SOON)) == "broker_unreachable"

    @pytest.mark.parametrize("what", [f"guest:canary@{HOST}:{PORT}//", f"guest:guest@{HOST}:{PORT}/canary"])
    def test_is_refused_to_a_wrong_password_or_place_and_shows_neither(self, corner: Corner, what: str) -> None:
        with pytest.raises(SourceUnavailable, match=r"^broker_refused: ") as caught:
            corner.open(f"amqp://{what}").receive(SOON)
        assert "canary" not in str(caught.value)


class TestTheAddress:
    def feed(self, address: str, **files: Path) -> KombuFeed:
        return KombuFeed(address, "changes", now=lambda: NOW, **files)

    @pytest.mark.parametrize(
        "address",
        [
            "https://guest:canary@127.0.0.1/",
            "memory://canary",
            "filesystem:///canary",
            "amqps://guest:canary@host/?ssl_cert_reqs=CERT_NONE",
            "amqps://guest:canary@host:port/",
            "amqps://guest:canary@/",
            "amqp://guest:canary@broker.example/",
            "amqps://canary.example/",
            "canary",
        ],
    )
    def test_that_cannot_be_used_safely_is_refused_and_never_shown(self, address: str) -> None:
        with pytest.raises(ConfigError, match=r"^url_file: ") as caught:
            self.feed(address)
        assert "canary" not in str(caught.value) and caught.value.__cause__ is None

    def test_without_encryption_needs_no_certificate(self, tmp_path: Path) -> None:
        certificate, key = authority(tmp_path).issue(FEEDER)
        with pytest.raises(ConfigError, match=r"^certificate_file: .* amqps"):
            self.feed("amqp://guest:guest@127.0.0.1/", certificate_file=certificate, key_file=key)

    def test_with_files_that_are_no_certificates_names_them(self, tmp_path: Path) -> None:
        _, key = authority(tmp_path).issue(FEEDER)
        odd = tmp_path / "odd.pem"
        odd.write_text("odd")
        with pytest.raises(ConfigError, match=r"^ca_file: .*odd\.pem"):
            self.feed("amqps://u:p@broker.example/", ca_file=odd)
        with pytest.raises(ConfigError, match=r"^certificate_file: .*odd\.pem"):
            self.feed("amqps://u:p@broker.example/", certificate_file=odd, key_file=key)

    def test_with_an_encrypted_key_asks_nobody_for_its_password(self, tmp_path: Path) -> None:
        certificate, key = authority(tmp_path).issue(FEEDER)
        loaded = serialization.load_pem_private_key(key.read_bytes(), None)
        key.write_bytes(
            loaded.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"secret"),
            )
        )
        with pytest.raises(ConfigError, match=r"^certificate_file: .* unencrypted key"):
            self.feed("amqps://broker.example/", certificate_file=certificate, key_file=key)


# ---------------------------------------------------------------- a reader that is killed


@pytest.fixture(scope="module")
def readers() -> Iterator[Callable[[Path, str, str | None], int]]:
    forks = Forks("tests.support.feed_main")
    yield lambda database, queue, place: forks.carry_out(
        {"database": str(database), "queue": queue, "place": place}
    )
    forks.close()


Readers = Callable[[Path, str, str | None], int]


class TestAReaderThatIsKilled:
    @pytest.mark.parametrize("place", PLACES)
    def test_leaves_nothing_undone_and_nothing_done_twice(
        self, corner: Corner, readers: Readers, tmp_path: Path, place: str
    ) -> None:
        database = tmp_path / "state.db"
        send_two_days(corner)
        assert readers(database, corner.queue, place) == -signal.SIGKILL
        assert readers(database, corner.queue, None) == 0
        assert corner.left() == 0 and corner.dead_letters() == []
        undisturbed = tmp_path / "undisturbed.db"
        send_two_days(corner)
        assert readers(undisturbed, corner.queue, None) == 0
        assert told(database) == told(undisturbed)
        assert told(database)[0] == ["ane", "bo", "carl"]

    def test_again_and_again_has_the_message_set_aside(
        self, corner: Corner, readers: Readers, tmp_path: Path
    ) -> None:
        database = tmp_path / "state.db"
        corner.send(b"<ane>", "application/xml")
        for _ in range(DEATHS):
            assert readers(database, corner.queue, "before the record") == -signal.SIGKILL
        assert readers(database, corner.queue, None) == 0
        assert corner.dead_letters() == [(b"<ane>", "poison_message")]


def send_two_days(corner: Corner) -> None:
    for names in (b"<ane bo>", b"<ane bo carl>"):
        corner.send(names, "application/xml")


def told(database: Path) -> tuple[list[str], list[str]]:
    """The users who are stored, and every change that was ever told."""
    store = open_sqlite(database)
    with store.read() as reader:
        changes = [event.type for event in reader.events("101", 0, 1_000)]
    users = sorted(key[0] for key in rows_of(store, Kind.PERSON))
    store.close()
    return users, changes
