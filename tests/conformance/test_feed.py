"""Every feed that the bridge can take from keeps the same promises, the real broker's included."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridge.ports import Feed
from bridge.testing.conformance_feed import FeedConformance, FeedPlace
from bridge.testing.memory_feed import MemoryFeed, MemoryQueue
from tests.support.rabbitmq import Corner, require_rabbitmq


class MemoryPlace(MemoryQueue):
    """Feeds within the process, all on one queue."""

    def open(self) -> Feed:
        return MemoryFeed(self)

    def dead_letters(self) -> list[tuple[bytes, str]]:
        return self.dead


class TestMemoryFeed(FeedConformance):
    @pytest.fixture
    def place(self) -> FeedPlace:
        return MemoryPlace()


class TestKombuOnRabbitMq(FeedConformance):
    @pytest.fixture
    def place(self) -> Iterator[FeedPlace]:
        require_rabbitmq()
        with Corner() as corner:
            yield corner
