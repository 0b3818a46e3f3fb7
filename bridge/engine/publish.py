"""Events reach the broker in order, and the cursor passes only what the broker has confirmed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from bridge.domain.entities import Kind
from bridge.domain.errors import TargetUnavailable
from bridge.domain.events import Event
from bridge.engine.codec import identity_fields
from bridge.observe import Metrics
from bridge.ports import EventPublisher, Store


def publish_step(
    store: Store, publisher: EventPublisher, municipality: str, limit: int, metrics: Metrics | None = None
) -> int:
    """Publish the next events of a municipality's log, at most `limit`, and return how many are confirmed.

    Fewer than there were: the rest is published again next time, under the same ids.
    Raises `TargetError` when nothing could be confirmed, `StoreError` when the log cannot be read.
    """
    name = cursor_name(municipality)
    with store.read() as reader:
        events = reader.events(municipality, reader.cursor(name), limit)
    confirmed = _published(publisher, events, metrics) if events else 0
    if confirmed:
        with store.write() as uow:
            # A second publisher may have been faster; going back would only publish more twice.
            uow.set_cursor(name, max(uow.cursor(name), events[confirmed - 1].sequence))
    return confirmed


def _published(publisher: EventPublisher, events: Sequence[Event], metrics: Metrics | None) -> int:
    try:
        confirmed = publisher.publish([identifying(event) for event in events])
    except TargetUnavailable as error:
        if metrics is not None:
            metrics.published(error.reason)
        raise
    if metrics is not None:
        metrics.published("ack", confirmed)
    return confirmed


def identifying(event: Event) -> Event:
    """The event with identifiers and the names of changed fields only.

    Values need an allow-list a subscriber, which the broker does not know; who may see them asks for them.
    """
    data = msgspec.json.decode(event.data)
    kind, _, identity = event.subject.partition("/")
    told: dict[str, object] = {"object": {"id": identity, **identity_fields(Kind(kind), event.key)}}
    if "changed" in data:
        told["changed"] = data["changed"]
    return replace(event, data=msgspec.json.encode(told))


def cursor_name(municipality: str) -> str:
    """The name under which the log's reader that publishes keeps its place."""
    return f"publish/{municipality}"
