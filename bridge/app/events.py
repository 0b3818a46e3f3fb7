"""What gives events to the broker, as the configuration says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from bridge.adapters.publish_pika import PikaPublisher
from bridge.adapters.queues_pika import EventQueue, PikaQueues
from bridge.app.bridge import Bridge
from bridge.config import BrokerSection, QueueSection, explained, secret_reader
from bridge.domain.errors import ConfigError

_DELIVERY_LIMIT = 20
_KEEP = timedelta(days=7)


def publisher(bridge: Bridge) -> PikaPublisher:
    """What gives events to the broker; connects at first use. Raises `ConfigError` where none is configured."""
    with _broker(bridge) as (broker, url):
        return PikaPublisher(url, broker.exchange)


def queues(bridge: Bridge) -> PikaQueues:
    """The queues that are configured; connects at each use. Raises `ConfigError` where no broker is configured."""
    with _broker(bridge) as (broker, url):
        return PikaQueues(url, broker.exchange, [_queue(*one) for one in broker.queues.items()])


def _queue(name: str, section: QueueSection) -> EventQueue:
    return EventQueue(
        name=name,
        keys=tuple(section.keys),
        delivery_limit=section.delivery_limit or _DELIVERY_LIMIT,
        dead_letters=section.dead_letters or f"{name}.dead",
        keep=(section.keep or _KEEP) if section.kind == "stream" else None,
    )


@contextmanager
def _broker(bridge: Bridge) -> Iterator[tuple[BrokerSection, str]]:
    broker = bridge.settings.broker
    if broker is None:
        raise ConfigError(f"{bridge.settings.path}: broker: there is none, so there is nowhere to publish to")
    with explained(bridge.settings.path, "broker", broker):
        yield broker, secret_reader(broker)(broker.url_file)
