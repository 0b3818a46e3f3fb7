"""A configured queue is there as it is configured, or nothing is published."""

# mypy: disable-error-code="import-untyped"
# (pika ships no types)
from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pika import BlockingConnection
from pika.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from bridge.adapters.amqp_mismatch import mismatch
from bridge.adapters.publish_pika import PikaPublisher, parameters_of
from bridge.domain.errors import ContractBroken, TargetUnauthorised, TargetUnavailable

_HEARTBEAT = 10  # a broker that falls silent while we ask it is given up after three of these
_REFUSED = (AuthenticationError, ProbableAuthenticationError, ProbableAccessDeniedError)
_ACCESS_REFUSED, _NOT_FOUND, _PRECONDITION_FAILED = 403, 404, 406
_ABSENT = re.compile(r"no (queue|exchange) '")  # a queue whose node is down is "not found" too, and not absent
_SEGMENT = 50_000_000  # bytes; a stream forgets whole segments only, and the broker's own are ten times as large
_MEND = (
    "Nothing was changed. Delete it, and it is made as configured and filled from the event log; or write the "
    "configuration as it is; or name another one"
)


@dataclass(frozen=True, slots=True)
class EventQueue:
    """A queue and what it is to be. `keep`: a stream, which tells each consumer again what is younger than this.

    Else it is a quorum queue: what comes back `delivery_limit` times goes to the queue `dead_letters`.
    """

    name: str
    keys: tuple[str, ...]
    delivery_limit: int
    dead_letters: str
    keep: timedelta | None

    @property
    def fill(self) -> str:
        """The exchange that leads to this queue alone."""
        return f"{self.name}.fill"

    @property
    def arguments(self) -> dict[str, Any]:
        if self.keep is not None:
            age = f"{max(1, int(self.keep.total_seconds()))}s"
            return {"x-queue-type": "stream", "x-max-age": age, "x-stream-max-segment-size-bytes": _SEGMENT}
        return {
            "x-queue-type": "quorum",
            "x-delivery-limit": self.delivery_limit,
            "x-dead-letter-exchange": self.dead_letters,
            "x-dead-letter-strategy": "at-least-once",  # or a dead letter could be lost on its way
            "x-overflow": "reject-publish",  # which that asks for; without a limit of length nothing is rejected
            # Else who connects after a crash gets newer events before what it had not acknowledged until then.
            "x-single-active-consumer": True,
        }


class PikaQueues:
    """`EventQueues` on RabbitMQ: the topic exchange, the queues bound to it, and the dead letters behind them.

    Connects for each call and says goodbye after it. A binding that is not configured any more stays: AMQP has no
    way to see it.
    """

    def __init__(
        self, url: str, exchange: str, queues: Sequence[EventQueue], timeout: timedelta = timedelta(seconds=30)
    ) -> None:
        """`url` holds the credentials and is never shown. Raises `ConfigError` when it is none."""
        self._url, self._exchange, self._queues, self._timeout = url, exchange, queues, timeout
        self._parameters = parameters_of(url, timeout)
        self._parameters.heartbeat = _HEARTBEAT
        self._parameters.client_properties = {"connection_name": "skolebro queues"}

    @property
    def names(self) -> frozenset[str]:
        return frozenset(one.name for one in self._queues)

    def missing(self) -> frozenset[str]:
        """Return which of the queues are not there. Raises `TargetError`."""
        with self._connected() as broker:
            return frozenset(one.name for one in self._queues if not broker.has_queue(one.name))

    def verify(self) -> frozenset[str]:
        """Compare what is there with the configuration, change nothing, and return the queues that are missing.

        Raises `ContractBroken` with the sentence for whoever has to mend it, `TargetUnavailable` and
        `TargetUnauthorised`.
        """
        with self._connected() as broker:
            if broker.has_exchange(self._exchange):
                broker.declare_exchange(self._exchange)
            for one in self._queues:
                for name, arguments in _wanted(one).items():
                    if broker.has_queue(name):
                        broker.declare_queue(name, arguments)
            return frozenset(one.name for one in self._queues if not broker.has_queue(one.name))

    def declare(self) -> None:
        """Make what is missing, and bind it. Raises like `verify`."""
        with self._connected() as broker:
            broker.declare_exchange(self._exchange)
            for one in self._queues:
                if one.keep is None:
                    broker.declare_exchange(one.dead_letters, "fanout")
                for name, arguments in _wanted(one).items():
                    broker.declare_queue(name, arguments)
                if one.keep is None:
                    broker.bind(one.dead_letters, one.dead_letters, [""])
                broker.declare_exchange(one.fill)
                broker.bind(one.name, one.fill, one.keys)
                broker.bind(one.name, self._exchange, one.keys)

    def filler(self, queue: str) -> PikaPublisher:
        """Return what publishes into one queue; what its keys do not ask for counts as published."""
        fill = next(one.fill for one in self._queues if one.name == queue)
        return PikaPublisher(self._url, fill, timeout=self._timeout, mandatory=False)

    @contextmanager
    def _connected(self) -> Iterator[_Broker]:
        try:
            connection = BlockingConnection(self._parameters)
        except (AMQPError, OSError) as error:
            if isinstance(error, _REFUSED):
                raise TargetUnauthorised("the broker refuses our credential, or its virtual host") from error
            raise TargetUnavailable("unreachable") from error
        try:
            yield _Broker(connection)
        except ChannelClosedByBroker as error:
            raise _translated(error) from error
        except (AMQPError, OSError) as error:
            raise TargetUnavailable("closed") from error
        finally:
            with suppress(AMQPError, OSError):
                connection.close()


class _Broker:
    """The few words that are spoken with it; each on a channel of its own, for a refusal closes the channel."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def has_queue(self, name: str) -> bool:
        return self._is_there(lambda channel: channel.queue_declare(name, passive=True))

    def has_exchange(self, name: str) -> bool:
        return self._is_there(lambda channel: channel.exchange_declare(name, passive=True))

    def declare_queue(self, name: str, arguments: Mapping[str, Any]) -> None:
        self._say(lambda channel: channel.queue_declare(name, durable=True, arguments=dict(arguments)))

    def declare_exchange(self, name: str, kind: str = "topic") -> None:
        self._say(lambda channel: channel.exchange_declare(name, kind, durable=True))

    def bind(self, queue: str, exchange: str, keys: Collection[str]) -> None:
        for key in keys:
            self._say(lambda channel, key=key: channel.queue_bind(queue, exchange, key))

    def _is_there(self, look: Callable[[Any], object]) -> bool:
        try:
            self._say(look)
        except ChannelClosedByBroker as error:
            if error.reply_code == _NOT_FOUND and _ABSENT.search(error.reply_text):
                return False
            raise
        return True

    def _say(self, word: Callable[..., object]) -> None:
        channel = self._connection.channel()
        word(channel)
        channel.close()


def _wanted(one: EventQueue) -> dict[str, dict[str, Any]]:
    """The queue and that of its dead letters, each with its arguments."""
    behind = {one.dead_letters: {"x-queue-type": "quorum"}} if one.keep is None else {}
    return {**behind, one.name: one.arguments}


def _translated(error: ChannelClosedByBroker) -> Exception:
    if error.reply_code == _PRECONDITION_FAILED:
        what = mismatch(error.reply_text) or f"something is there otherwise than configured ({error.reply_text})"
        return ContractBroken(f"{what}. {_MEND}")
    if error.reply_code == _ACCESS_REFUSED:
        return TargetUnauthorised(
            "the broker refuses our user what it needs: the rights configure, write and read on the exchange, on "
            "the queues that are configured, and on their .dead and .fill"
        )
    return TargetUnavailable("closed")
