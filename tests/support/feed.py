"""What tests do with a feed and its messages."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bridge.adapters.feed_kombu import KombuFeed
from bridge.domain.errors import SourceUnavailable
from bridge.ports import FeedMessage
from bridge.testing.conformance_feed import NEVER


class NoJitter:
    """Lets a reconnection be tried at once."""

    def random(self) -> float:
        return 0.0


def taken(feed: KombuFeed) -> FeedMessage:
    message = feed.receive(NEVER)
    assert message is not None
    return message


def taken_and_done(feed: KombuFeed) -> bytes:
    message = taken(feed)
    message.done()
    return message.body


def code(act: Callable[[], object]) -> str:
    """The code by which something says why the broker cannot be used."""
    with pytest.raises(SourceUnavailable) as caught:
        act()
    return str(caught.value).partition(":")[0]
