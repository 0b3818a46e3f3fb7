"""The queue beside a municipality's source, built from its section of the configuration."""

from __future__ import annotations

from bridge.adapters.feed_kombu import KombuFeed
from bridge.app.bridge import Bridge
from bridge.config import FeedSection, MunicipalitySettings, explained, secret_reader


def make_feed(bridge: Bridge, municipality: MunicipalitySettings, feed: FeedSection) -> KombuFeed:
    """Return the feed, not connected yet. Raises `ConfigError`."""
    at = f"municipalities.{municipality.code}.feed"
    with explained(bridge.settings.path, at, feed):
        return KombuFeed(
            secret_reader(feed)(feed.url_file),
            feed.queue,
            now=bridge.clock.now,
            exchange=feed.exchange,
            routing_keys=feed.routing_keys,
            dead_letters=feed.dead_letters,
            ca_file=feed.ca_file,
            certificate_file=feed.certificate_file,
            key_file=feed.key_file,
        )
