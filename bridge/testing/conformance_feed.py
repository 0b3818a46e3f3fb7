"""A feed that passes these tests loses nothing: a message is forgotten when its end is told, and never before.

Subclass `FeedConformance` and give it a `place` fixture. No test measures time: the long waits are far longer
than any run, and a thread that is not let go fails its join.
"""

from __future__ import annotations

from queue import SimpleQueue
from threading import Thread
from typing import Protocol

import pytest

from bridge.domain.errors import SnapshotInvalid
from bridge.ports import Feed, FeedMessage

SOON = 0.05
NEVER = 600.0
DEATHS = 5
_JOIN = 30.0


class FeedPlace(Protocol):
    """A queue somewhere, empty at first, and what others do with it."""

    def send(self, body: bytes, content_type: str = "", institution: str | None = None) -> None: ...

    def open(self) -> Feed:
        """A feed on the queue; whoever made the place closes it at last."""
        ...

    def dead_letters(self) -> list[tuple[bytes, str]]:
        """The body and the reason of each, oldest first."""
        ...


class FeedConformance:
    """The promises of `Feed` that the intake relies on."""

    def test_an_empty_queue_gives_nothing(self, place: FeedPlace) -> None:
        assert place.open().receive(SOON) is None

    def test_messages_come_in_the_order_they_were_sent(self, place: FeedPlace) -> None:
        feed = place.open()
        for number in range(5):
            place.send(b"%d" % number)
        assert [_take(feed) for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]

    def test_a_message_comes_byte_for_byte(self, place: FeedPlace) -> None:
        body = bytes(range(256)) * 1024
        place.send(body, "application/xml")
        message = _next(place.open())
        assert (message.body, message.content_type) == (body, "application/xml")

    def test_a_message_without_a_body_or_a_type_comes_too(self, place: FeedPlace) -> None:
        place.send(b"")
        message = _next(place.open())
        assert (message.body, message.content_type) == (b"", "")

    def test_a_message_may_say_whose_document_it_brings(self, place: FeedPlace) -> None:
        place.send(b"x", institution="101001")
        assert getattr(_next(place.open()), "institution", None) == "101001"

    def test_a_message_that_comes_while_somebody_waits_wakes_them(self, place: FeedPlace) -> None:
        waiter = _Waiter(place.open())
        place.send(b"x")
        assert waiter.outcome() == b"x"

    def test_the_next_message_comes_only_after_the_end_of_the_one_before(self, place: FeedPlace) -> None:
        place.send(b"a")
        place.send(b"b")
        feed = place.open()
        first = _next(feed)
        assert feed.receive(SOON) is None
        first.done()
        assert _take(feed) == b"b"

    def test_a_message_that_is_done_is_gone(self, place: FeedPlace) -> None:
        place.send(b"x")
        feed = place.open()
        _next(feed).done()
        feed.close()
        assert place.open().receive(SOON) is None
        assert place.dead_letters() == []

    def test_a_message_whose_taker_goes_without_a_word_comes_again_and_first(self, place: FeedPlace) -> None:
        place.send(b"a")
        place.send(b"b")
        feed = place.open()
        _next(feed)
        feed.close()
        heir = place.open()
        assert [_take(heir), _take(heir)] == [b"a", b"b"]

    def test_a_message_that_is_put_off_comes_again(self, place: FeedPlace) -> None:
        place.send(b"x")
        feed = place.open()
        _next(feed).later()
        assert _take(feed) == b"x"
        assert feed.receive(SOON) is None

    def test_a_dead_message_is_kept_with_the_reason_and_the_next_comes(self, place: FeedPlace) -> None:
        place.send(b"a")
        place.send(b"b")
        feed = place.open()
        _next(feed).dead("too_odd")
        assert _take(feed) == b"b"
        assert place.dead_letters() == [(b"a", "too_odd")]

    def test_a_message_that_its_takers_do_not_survive_ends_among_the_dead_letters(self, place: FeedPlace) -> None:
        place.send(b"a")
        place.send(b"b")
        for _ in range(DEATHS):
            doomed = place.open()
            assert _next(doomed).body == b"a"
            doomed.close()
        feed = place.open()
        with pytest.raises(SnapshotInvalid) as caught:
            feed.receive(NEVER)
        assert caught.value.code == "poison_message"
        assert _take(feed) == b"b"
        assert place.dead_letters() == [(b"a", "poison_message")]

    def test_closing_lets_go_of_a_waiting_thread(self, place: FeedPlace) -> None:
        feed = place.open()
        waiter = _Waiter(feed)
        feed.close()
        assert waiter.outcome() is None

    def test_a_closed_feed_gives_nothing_and_closes_again(self, place: FeedPlace) -> None:
        place.send(b"x")
        feed = place.open()
        feed.close()
        feed.close()
        assert feed.receive(NEVER) is None


def _next(feed: Feed) -> FeedMessage:
    message = feed.receive(NEVER)
    assert message is not None
    return message


def _take(feed: Feed) -> bytes:
    message = _next(feed)
    message.done()
    return message.body


class _Waiter:
    """A thread that waits for a message; made only once it has looked for the first time."""

    def __init__(self, feed: Feed) -> None:
        self._told: SimpleQueue[bytes | None] = SimpleQueue()
        listening: SimpleQueue[None] = SimpleQueue()
        self._thread = Thread(target=self._run, args=(feed, listening), daemon=True)
        self._thread.start()
        listening.get(timeout=_JOIN)

    def _run(self, feed: Feed, listening: SimpleQueue[None]) -> None:
        feed.receive(0)
        listening.put(None)
        message = feed.receive(NEVER)
        self._told.put(None if message is None else message.body)

    def outcome(self) -> bytes | None:
        self._thread.join(_JOIN)
        assert not self._thread.is_alive(), "the thread is still held"
        return self._told.get_nowait()
