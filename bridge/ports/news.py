"""What carries news in and out: nudges between loops, feeds that others fill, events to a broker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.domain.events import Event


class Bus(Protocol):
    """Nudges between loops: news that may be lost, because every loop also looks for itself."""

    def nudge(self, topic: str) -> None: ...

    def wait(self, topic: str, seconds: float) -> bool:
        """Wait for a nudge on the topic, at most this long; say whether one came."""
        ...

    def close(self) -> None: ...


FROM_FEED = "amqp:"
"""What the origin of a feed's messages begins with."""


class FeedMessage(Protocol):
    """One message of a feed; exactly one of its methods ends it, and only `done` forgets it for good."""

    body: bytes
    content_type: str
    origin: str

    def done(self) -> None:
        """What it brought is committed."""
        ...

    def dead(self, reason: str) -> None:
        """It can never be used: it goes to the dead letters with the reason code."""
        ...

    def later(self) -> None:
        """It cannot be used now: it comes again."""
        ...


class Feed(Protocol):
    """Messages that others send us, one after the other."""

    def receive(self, seconds: float) -> FeedMessage | None:
        """Wait for a message, at most this long. Raises `SourceUnavailable` when the broker is away."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Sent:
    """How many of the first events are settled; those among them that nobody takes are not published.

    `unrouted` are their places. All the others of the first `settled` are confirmed.
    """

    settled: int
    unrouted: frozenset[int] = frozenset()

    @property
    def confirmed(self) -> int:
        return self.settled - len(self.unrouted)


class EventPublisher(Protocol):
    def publish(self, events: Sequence[Event]) -> Sent:
        """Publish in order. Raises `TargetUnavailable` when not even the first is settled."""
        ...

    def close(self) -> None: ...


class EventQueues(Protocol):
    """The queues that the configuration names, where consumers find the events."""

    @property
    def names(self) -> frozenset[str]: ...

    def missing(self) -> frozenset[str]:
        """Return the names of those that are not there. Raises `TargetError`."""
        ...

    def declare(self) -> None:
        """Make what is missing, as it is configured. Raises `ContractBroken` for what is there otherwise."""
        ...

    def filler(self, queue: str) -> EventPublisher:
        """Return what publishes into this queue alone, as far as its binding keys ask for it."""
        ...
