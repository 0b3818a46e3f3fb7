"""One connection to RabbitMQ whose loop turns only while somebody waits for a window of confirms."""

# mypy: disable-error-code="import-untyped"
# (pika ships no types)
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from pika import BasicProperties, SelectConnection
from pika.connection import Parameters
from pika.exceptions import AMQPError, ChannelClosed, ConnectionClosed
from pika.spec import Basic

_GOODBYE = 1.0
_PERSISTENT = 2
_AT_ONCE = 100
"""So many are made before the loop turns: the broker is at work on these while the next are made."""


class Broken(Exception):
    """The window ended early. `reason`: closed, nack, timeout or unreachable; `code`: AMQP's own."""

    def __init__(self, reason: str, code: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


@dataclass(frozen=True, slots=True)
class Message:
    id: str
    type: str
    routing_key: str
    content_type: str
    traceparent: str
    body: bytes = field(repr=False)

    @property
    def properties(self) -> BasicProperties:
        return BasicProperties(
            content_type=self.content_type,
            delivery_mode=_PERSISTENT,
            message_id=self.id,
            type=self.type,
            app_id="skolebro",
            headers={"traceparent": self.traceparent},
        )


@dataclass(frozen=True, slots=True)
class Settled:
    """How many of the first messages are settled, and what ended the window early, if anything did.

    `unrouted` are the places of those that no queue took; the other settled ones are confirmed.
    """

    settled: int
    unrouted: frozenset[int]
    trouble: Broken | None
    must_reconnect: bool


class Session:
    """An open connection with a channel in confirm mode, and the exchange declared."""

    _trouble: Broken | None = None
    _is_filling = False

    def __init__(self, parameters: Parameters, exchange: str, timeout: float) -> None:
        """Connects. Raises `Broken`."""
        self._exchange = exchange
        self._window: _Window | None = None
        self._sent = 0  # delivery tags count from the channel's first message
        self._channel: Any = None
        self._connection: Any = _Gathering(
            parameters,
            on_open_callback=lambda connection: connection.channel(on_open_callback=self._on_channel),
            on_open_error_callback=lambda _, error: self._fail("unreachable", error),
            on_close_callback=lambda _, error: self._fail("closed", error),
        )
        self._turn(timeout)
        if self._trouble is not None:
            self.close()
            raise self._trouble

    def publish(self, messages: Sequence[Message], window: int, mandatory: bool, timeout: float) -> Settled:
        """Send in order, at most `window` unconfirmed at a time, until all are settled or something breaks."""
        done = self._window = _Window(self._channel, self._exchange, messages, window, mandatory, self._sent)
        self._fill()
        self._turn(timeout)
        self._window, self._sent = None, done.last_tag
        return Settled(
            done.settled(), frozenset(done.unrouted), done.trouble or self._trouble, self._trouble is not None
        )

    def close(self) -> None:
        """End the connection, waiting a moment for the broker's goodbye."""
        if self._connection.is_closed:
            return
        with suppress(AMQPError, AssertionError):  # pika asserts when an attempt is aborted that had ended already
            if not self._connection.is_closing:
                self._connection.close()
            self._turn(_GOODBYE)

    # ------------------------------------------------------------ the loop

    def _turn(self, seconds: float) -> None:
        """Turn the loop until `_stop`, or note a timeout."""
        loop = self._connection.ioloop
        timer = loop.call_later(seconds, lambda: self._fail("timeout"))
        loop.start()
        loop.remove_timeout(timer)

    def _stop(self) -> None:
        self._connection.ioloop.stop()

    def _fail(self, reason: str, cause: BaseException | None = None) -> None:
        if self._trouble is None:
            root = _root(cause)
            self._trouble = Broken(
                reason, root.reply_code if isinstance(root, ConnectionClosed | ChannelClosed) else 0
            )
            self._trouble.__cause__ = root
        self._stop()

    # ------------------------------------------------------------ opening

    def _on_channel(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_close_callback(lambda _, error: self._fail("closed", error))
        channel.add_on_return_callback(self._on_return)
        channel.exchange_declare(self._exchange, "topic", durable=True, callback=self._on_exchange)

    def _on_exchange(self, _: Any) -> None:
        self._channel.confirm_delivery(self._on_confirm, callback=lambda _: self._stop())

    # ------------------------------------------------------------ sending and settling

    def _fill(self) -> None:
        """Send what there is room for, by and by."""
        self._is_filling = False
        if self._window is None or self._trouble is not None:
            return
        with self._connection.gathering():
            self._window.fill(_AT_ONCE)
        if self._window.has_room:
            self._is_filling = True
            self._connection.ioloop.add_callback(self._fill)

    def _on_return(self, _: Any, __: Any, properties: BasicProperties, ___: bytes) -> None:
        if self._window is not None:
            self._window.returned.add(properties.message_id)

    def _on_confirm(self, frame: Any) -> None:
        if self._window is None:
            return
        self._window.settle(frame.method.delivery_tag, frame.method.multiple, isinstance(frame.method, Basic.Ack))
        if self._window.is_settled:
            self._stop()
        elif not self._is_filling:
            self._fill()


class _Gathering(SelectConnection):  # type: ignore[misc]  # pika ships no types
    """Hands over at once what is sent in a `gathering`, where pika would make three calls for each message."""

    _gathered: list[bytes] | None = None

    @contextmanager
    def gathering(self) -> Iterator[None]:
        self._gathered = []
        try:
            yield
        finally:
            data, self._gathered = b"".join(self._gathered), None
            if data and self.is_open:
                self._adapter_emit_data(data)

    def _adapter_emit_data(self, data: bytes) -> None:
        if self._gathered is None:
            super()._adapter_emit_data(data)
        else:
            self._gathered.append(data)


class _Window:
    """The messages of one call: what is sent, what is settled and what went wrong first."""

    def __init__(
        self,
        channel: Any,
        exchange: str,
        messages: Sequence[Message],
        size: int,
        mandatory: bool,
        last_tag: int,
    ) -> None:
        self.returned: set[str | None] = set()
        self.unrouted: set[int] = set()
        self.trouble: Broken | None = None
        self._channel, self._exchange = channel, exchange
        self._messages, self._size, self._mandatory = messages, size, mandatory
        self._sent = 0
        self.last_tag = last_tag
        self._open: dict[int, tuple[int, str]] = {}  # delivery tag → place and id, in order
        self._is_settled = [False] * len(messages)

    @property
    def is_settled(self) -> bool:
        return not self._open and (self.trouble is not None or self._sent == len(self._messages))

    @property
    def has_room(self) -> bool:
        """Whether more can be sent: nothing once a message has failed, for it would come out of order."""
        return self.trouble is None and len(self._open) < self._size and self._sent < len(self._messages)

    def fill(self, most: int) -> None:
        """Send up to so many while there is room."""
        end = self._sent + most
        while self._sent < end and self.has_room:
            message = self._messages[self._sent]
            self._channel.basic_publish(
                self._exchange, message.routing_key, message.body, message.properties, self._mandatory
            )
            self.last_tag += 1
            self._open[self.last_tag] = self._sent, message.id
            self._sent += 1

    def settle(self, tag: int, is_multiple: bool, is_ack: bool) -> None:
        for one in list(self._up_to(tag)) if is_multiple else [tag]:
            place, identity = self._open.pop(one)
            if not is_ack:
                self.trouble = self.trouble or Broken("nack")
            else:
                self._is_settled[place] = True
                if identity in self.returned:  # the broker returns before it acknowledges
                    self.unrouted.add(place)

    def settled(self) -> int:
        """How many of the first messages are settled without a gap."""
        return next((i for i, ok in enumerate(self._is_settled) if not ok), len(self._is_settled))

    def _up_to(self, tag: int) -> Iterator[int]:
        for one in self._open:
            if one > tag:
                return
            yield one


def _root(error: BaseException | None) -> BaseException | None:
    """The error beneath pika's connection workflow, which wraps the attempts it made."""
    while error is not None:
        inner = getattr(error, "exceptions", None) or [getattr(error, "exception", None)]
        if inner[-1] is None:
            return error
        error = inner[-1]
    return None
