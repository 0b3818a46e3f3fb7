"""A corner of the standing RabbitMQ broker for tests."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from typing import Any, Self
from uuid import uuid4

import pika

from bridge.adapters.feed_kombu import KombuFeed
from tests.support.needs import rabbitmq_port, require

HOST, PORT = "127.0.0.1", rabbitmq_port()


def require_rabbitmq() -> None:
    require("rabbitmq")


def url(port: int = PORT, credential: str = "guest:guest") -> str:
    return f"amqp://{credential}@{HOST}:{port}//"


class Corner:
    """A `FeedPlace` with names of its own on a broker, which `close` removes again."""

    def __init__(self, port: int = PORT, exchange: bool = False) -> None:
        self.port = port
        self.queue = f"test.{uuid4()}"
        self.dead = f"{self.queue}.dead"
        self.exchange = f"{self.queue}.exchange" if exchange else None
        self._open = ExitStack()
        self._connection: Any = None
        self._is_declared = False

    def __enter__(self) -> Self:
        self._connection = self._connect()
        self.channel = self._connection.channel()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        with suppress(pika.exceptions.AMQPError):  # its broker may have been stopped meanwhile
            self._connection.close()
        self._connection = self._connect()
        cleaning = self._connection.channel()
        for queue in (self.queue, self.dead):
            cleaning.queue_delete(queue)
        for exchange in filter(None, (self.dead, self.exchange)):
            cleaning.exchange_delete(exchange)
        self._connection.close()

    def _connect(self) -> Any:
        return pika.BlockingConnection(pika.ConnectionParameters(HOST, self.port, heartbeat=0))

    def open(self, address: str | None = None, **options: Any) -> KombuFeed:
        """A feed here, closed at the end; its queue is there once it has been asked for the first time."""
        known: dict[str, Any] = {"exchange": self.exchange, "now": lambda: datetime.now(UTC)}
        feed = KombuFeed(address or url(self.port), self.queue, **known | options)
        self._open.callback(feed.close)
        return feed

    def declare(self) -> None:
        """Let a feed declare what it needs, and go; once, for what it is handed meanwhile counts as returned."""
        if not self._is_declared:
            feed = self.open()
            feed.receive(0)
            feed.close()
        self._is_declared = True

    def send(
        self,
        body: bytes,
        content_type: str = "",
        institution: str | None = None,
        headers: Mapping[str, Any] | None = None,
        key: str | None = None,
        **properties: Any,
    ) -> None:
        """Send to the queue itself, or by a routing key to the exchange; returns once the broker has it."""
        named = {"institution": institution} if institution else {}
        told = pika.BasicProperties(
            content_type=content_type or None, headers={**named, **(headers or {})}, delivery_mode=2, **properties
        )
        if key is None:
            self.declare()
        channel = self._connection.channel()
        channel.confirm_delivery()
        exchange = "" if key is None else self.exchange or ""
        channel.basic_publish(exchange, self.queue if key is None else key, body, told, mandatory=True)
        channel.close()

    def dead_letters(self) -> list[tuple[bytes, str]]:
        return [(body, properties.headers.get("skolebro-reason", "")) for properties, body in self.take_dead()]

    def take_dead(self) -> list[tuple[Any, bytes]]:
        """Take all dead letters out, with their properties."""
        return self.drain(self.dead)

    def drain(self, queue: str) -> list[tuple[Any, bytes]]:
        got = []
        while (message := self.channel.basic_get(queue, auto_ack=True))[0] is not None:
            got.append((message[1], message[2]))
        return got

    def left(self) -> int:
        """How many messages wait in the queue; one that is out is not among them."""
        return len(self.drain(self.queue))
