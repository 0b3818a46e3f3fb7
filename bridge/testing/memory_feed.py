"""The smallest feed that keeps the promises of `FeedConformance`: a list behind one lock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from threading import Condition
from time import monotonic

from bridge.domain.errors import SnapshotInvalid
from bridge.ports import FeedMessage

DEATHS = 5
POISON = "poison_message"


@dataclass(slots=True)
class _Sent:
    body: bytes = field(repr=False)
    content_type: str
    institution: str | None
    returns: int = 0


class MemoryQueue:
    """A queue within one process; feeds come and go, what they did not end stays."""

    def __init__(self) -> None:
        self.changed = Condition()
        self.waiting: deque[_Sent] = deque()
        self.dead: list[tuple[bytes, str]] = []

    def send(self, body: bytes, content_type: str = "", institution: str | None = None) -> None:
        with self.changed:
            self.waiting.append(_Sent(body, content_type, institution))
            self.changed.notify_all()


class MemoryFeed:
    """`Feed` on a `MemoryQueue`; one message is out at a time."""

    def __init__(self, queue: MemoryQueue) -> None:
        self._queue = queue
        self._out: _Sent | None = None
        self._is_closed = False

    def receive(self, seconds: float) -> FeedMessage | None:
        """Wait for a message; at once None when the feed is closed.

        Raises `SnapshotInvalid` for one that came back too often, and is among the dead letters by now.
        """
        end = monotonic() + seconds
        with self._queue.changed:
            while not self._is_closed and (self._out is not None or not self._queue.waiting):
                if (left := end - monotonic()) <= 0:
                    return None
                self._queue.changed.wait(left)
            return None if self._is_closed else self._next()

    def close(self) -> None:
        """Let go of a waiting thread; a message that is out comes again."""
        with self._queue.changed:
            self._is_closed = True
            self.give_back(self._out)
            self._queue.changed.notify_all()

    def forget(self, sent: _Sent) -> None:
        with self._queue.changed:
            if self._out is sent:
                self._out = None

    def bury(self, sent: _Sent, reason: str) -> None:
        with self._queue.changed:
            if self._out is sent:
                self._queue.dead.append((sent.body, reason))
                self._out = None

    def give_back(self, sent: _Sent | None) -> None:
        with self._queue.changed:
            if sent is not None and self._out is sent:
                sent.returns += 1
                self._queue.waiting.appendleft(sent)
                self._out = None

    def _next(self) -> _Taken:
        sent = self._out = self._queue.waiting.popleft()
        taken = _Taken(sent.body, sent.content_type, "memory", sent.institution, self, sent)
        if sent.returns >= DEATHS:
            taken.dead(POISON)
            raise SnapshotInvalid(POISON)
        return taken


@dataclass(slots=True)
class _Taken:
    body: bytes = field(repr=False)
    content_type: str
    origin: str
    institution: str | None
    _feed: MemoryFeed = field(repr=False)
    _sent: _Sent = field(repr=False)

    def done(self) -> None:
        self._feed.forget(self._sent)

    def dead(self, reason: str) -> None:
        self._feed.bury(self._sent, reason)

    def later(self) -> None:
        self._feed.give_back(self._sent)
