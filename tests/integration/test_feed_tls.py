"""The feed proves who it is and who the broker is before it says anything, and outlives the broker's restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.adapters.feed_kombu import KombuFeed
from bridge.domain.errors import SourceUnavailable
from bridge.ports import FeedMessage
from bridge.testing.conformance_feed import NEVER, SOON
from tests.support.certificates import Authority, authority
from tests.support.feed import NoJitter, code, taken, taken_and_done
from tests.support.rabbitmq import HOST, Corner
from tests.support.rabbitmq_node import FEEDER, OTHER_HOST, Node


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def node(ca: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("node"), ca) as node:
        yield node


@pytest.fixture
def own(node: Node) -> Iterator[Corner]:
    with Corner(node.port) as corner:
        yield corner


class TestTls:
    def feed(self, own: Corner, node: Node, user: str = "", host: str = HOST, **files: Path) -> KombuFeed:
        return own.open(f"amqps://{user}{host}:{node.tls_port}//", **files)

    def test_lets_in_whom_the_client_certificate_names(self, own: Corner, node: Node, ca: Authority) -> None:
        certificate, key = ca.issue(FEEDER)
        own.send(b"x" * 1_000_000)
        feed = self.feed(own, node, ca_file=ca.file, certificate_file=certificate, key_file=key)
        assert taken_and_done(feed) == b"x" * 1_000_000

    def test_lets_a_user_with_a_password_in(self, own: Corner, node: Node, ca: Authority) -> None:
        certificate, key = ca.issue("whoever")
        files = {"ca_file": ca.file, "certificate_file": certificate, "key_file": key}
        own.send(b"x")
        assert taken_and_done(self.feed(own, node, "guest:guest@", "localhost", **files)) == b"x"

    def test_refuses_a_certificate_that_names_no_user(self, own: Corner, node: Node, ca: Authority) -> None:
        certificate, key = ca.issue("stranger")
        feed = self.feed(own, node, ca_file=ca.file, certificate_file=certificate, key_file=key)
        assert code(lambda: feed.receive(SOON)) == "broker_refused"

    def test_fails_without_a_client_certificate(self, own: Corner, node: Node, ca: Authority) -> None:
        feed = self.feed(own, node, "guest:guest@", ca_file=ca.file)
        assert code(lambda: feed.receive(SOON)) == "tls_failed"

    def test_fails_with_a_client_certificate_of_a_foreign_authority(
        self, own: Corner, node: Node, ca: Authority, tmp_path: Path
    ) -> None:
        certificate, key = authority(tmp_path, "foreign").issue(FEEDER)
        feed = self.feed(own, node, ca_file=ca.file, certificate_file=certificate, key_file=key)
        assert code(lambda: feed.receive(SOON)) == "tls_failed"

    def test_fails_with_a_broker_of_a_foreign_authority(
        self, own: Corner, node: Node, ca: Authority, tmp_path: Path
    ) -> None:
        certificate, key = ca.issue(FEEDER)
        foreign = authority(tmp_path, "foreign").file
        for options in ({"ca_file": foreign}, {}):  # nor do the system's authorities know it
            feed = self.feed(own, node, certificate_file=certificate, key_file=key, **options)
            with pytest.raises(SourceUnavailable, match=r"^tls_failed: .* not trusted: .*certificate"):
                feed.receive(SOON)

    def test_fails_where_the_certificate_names_another_host(self, own: Corner, node: Node, ca: Authority) -> None:
        certificate, key = ca.issue(FEEDER)
        files = {"ca_file": ca.file, "certificate_file": certificate, "key_file": key}
        with pytest.raises(SourceUnavailable, match=r"^tls_failed: .* not trusted: .*127\.0\.0\.2"):
            self.feed(own, node, host=OTHER_HOST, **files).receive(SOON)

    def test_fails_with_a_broker_that_speaks_none(self, own: Corner, node: Node, ca: Authority) -> None:
        feed = own.open(f"amqps://guest:guest@{HOST}:{node.port}//", ca_file=ca.file)
        assert code(lambda: feed.receive(SOON)) == "tls_failed"


class TestABrokerThatIsRestarted:
    def test_keeps_everything_and_the_feed_goes_on_by_itself(self, node: Node) -> None:
        with Corner(node.port) as corner:
            feed = corner.open(random=NoJitter())
            for number in range(3):
                corner.send(b"%d" % number)
            assert taken_and_done(feed) == b"0"
            out = taken(feed)
            assert out.body == b"1"
            node.stop()
            with pytest.raises(SourceUnavailable):
                end_and_receive(out, feed)
            assert code(lambda: feed.receive(SOON)) == "broker_unreachable"
            node.start()
            assert [taken_and_done(feed), taken_and_done(feed)] == [b"1", b"2"]


def end_and_receive(message: FeedMessage, feed: KombuFeed) -> None:
    """Whether the end can still be told depends on what has been noticed of the broker's going."""
    message.done()
    feed.receive(NEVER)
