"""A municipality that is fed by a queue, and feeds and messages made by hand for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bridge.connector import Snapshot
from bridge.domain.entities import Kind
from bridge.domain.errors import SnapshotInvalid, SourceUnavailable
from bridge.domain.records import Record
from bridge.engine.feed import Inlet, feed_step
from bridge.engine.guard import GuardPolicy
from bridge.ports import Feed, FeedMessage, Subscription
from bridge.testing.memory_bus import MemoryBus
from bridge.testing.memory_feed import MemoryFeed, MemoryQueue
from tests.support.engine import MORNING, SCHOOL, TOWN, Bench, FakeSource, header

XML, JSON = "application/xml", "application/json"
TOPIC = f"intake/{TOWN}"
AT_ONCE = 0.0


class ReadingSource(FakeSource):
    """A source by script that also reads its own documents when they come on another way."""

    def document(self, body: bytes, origin: str) -> Snapshot:
        known = {snapshot.body: snapshot.digest for snapshot in self.offered if isinstance(snapshot, Snapshot)}
        return Snapshot(body, known.get(body, "unknown"), origin)

    def parse(self, snapshot: Snapshot) -> Iterator[Record]:
        if snapshot.body not in self._documents:
            raise SnapshotInvalid("not_well_formed")
        return super().parse(snapshot)


class SubscribedSource(ReadingSource):
    """The same, asked institution by institution."""

    concurrency = 1

    def agreements(self) -> frozenset[str]:
        return frozenset()

    def fetch(self, institution: str) -> Snapshot:
        raise SourceUnavailable("never asked here")


class Town(Bench):
    """A municipality with a queue, and a bus that somebody listens to."""

    def __init__(self, source: ReadingSource | None = None, institutions: frozenset[str] | None = None) -> None:
        super().__init__(institutions=institutions, policy=GuardPolicy(max_deleted_percent=100.0))
        self.source: ReadingSource = source or ReadingSource()
        self.queue, self.bus = MemoryQueue(), MemoryBus()
        self.bus.wait(TOPIC, AT_ONCE)
        self.inlet = self.connected()

    def connected(self, feed: Feed | None = None) -> Inlet:
        return Inlet(feed or MemoryFeed(self.queue), self.intake, self.bus)

    def document(self, *records: Record, hours: int = 0, number: str = SCHOOL, **options: Any) -> bytes:
        """A document that the source can read."""
        at = MORNING + timedelta(hours=hours)
        return self.source.offer(*records, head=header(number, at=at), **options).body

    def send(self, body: bytes | dict[str, Any], content_type: str = XML, institution: str | None = None) -> None:
        whole = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.queue.send(whole, content_type if isinstance(body, bytes) else JSON, institution)

    def step(self) -> int:
        return feed_step(self.inlet, self.diary, AT_ONCE)

    def took(self, *message: Any, **options: Any) -> tuple[str, str | None]:
        """Send, take, and say how it ended."""
        self.send(*message, **options)
        assert self.step() == 1
        return self.diary.ends[-1]

    @property
    def dead(self) -> list[str]:
        return [reason for _, reason in self.queue.dead]

    @property
    def is_empty(self) -> bool:
        return self.step() == 0

    @property
    def is_nudged(self) -> bool:
        return self.bus.wait(TOPIC, AT_ONCE)

    def users(self) -> set[str]:
        return {key[0] for key in self.entities(Kind.PERSON)}

    def subscription(self, institution: str = SCHOOL) -> Subscription | None:
        with self.store.read() as reader:
            return next((row for row in reader.subscriptions(TOWN) if row.institution == institution), None)

    def subscribe(self, institution: str = SCHOOL, **fields: Any) -> None:
        with self.store.write() as uow:
            uow.put_subscriptions([Subscription(TOWN, institution, **fields)])


@dataclass
class Letter:
    """A message that remembers how it ended, and lets somebody look around at that moment."""

    body: bytes
    content_type: str = ""
    origin: str = "by hand"
    on_end: Callable[[], None] = lambda: None
    end: str | None = None

    def done(self) -> None:
        self._ended("done")

    def dead(self, reason: str) -> None:
        self._ended(reason)

    def later(self) -> None:
        self._ended("later")

    def _ended(self, how: str) -> None:
        assert self.end is None
        self.end = how
        self.on_end()


@dataclass
class OneLetter:
    """A feed of one message."""

    letter: Letter | None

    def receive(self, seconds: float) -> FeedMessage | None:
        letter, self.letter = self.letter, None
        return letter

    def close(self) -> None: ...


@dataclass
class Refusing:
    """A feed that has only errors."""

    error: Exception

    def receive(self, seconds: float) -> FeedMessage | None:
        raise self.error

    def close(self) -> None: ...


def raising(error: type[Exception]) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise error

    return fail
