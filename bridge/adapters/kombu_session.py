"""One connection to RabbitMQ that hands out one message at a time, and no wait on it is without end."""

# mypy: disable-error-code="no-untyped-call, import-untyped"
# (kombu says that it is typed, but most of it is not; py-amqp, which is beneath it, ships no types)
from __future__ import annotations

import re
import socket
import ssl
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from amqp import exceptions as amqp
from amqp.basic_message import Message
from kombu.connection import Connection

from bridge.adapters.amqp_mismatch import mismatch
from bridge.domain.errors import SourceUnavailable

DEATHS = 5
_BROKERS_LIMIT = 2 * DEATHS  # for what kills us before we can look at its count
_PATIENCE_ON_THE_WIRE = 30_000  # milliseconds for a packet's acknowledgement; the library would give one second
_STREAM = re.compile(r"current is (the value )?'stream'")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is and who we are there: `user` None is whoever the client certificate names.

    `tls` are the options of the TLS layer, None for plain TCP.
    """

    host: str
    port: int
    virtual_host: str
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)
    tls: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Topology:
    """What is declared: `dead_letters` is the name of a queue and of the exchange before it."""

    queue: str
    dead_letters: str
    exchange: str | None
    routing_keys: tuple[str, ...]


class Session:
    """An open connection with everything declared and a consumer that gets the next message after each end."""

    def __init__(self, address: Address, topology: Topology, heartbeat: float, timeout: float) -> None:
        """Connects; `timeout` is for each answer of the broker. Raises `SourceUnavailable`."""
        self._topology, self._timeout = topology, timeout
        self._arrived: deque[Any] = deque()
        self._quiet = self._beat_at = 0.0
        with _connecting(address):
            self._bare = _open(address, heartbeat, timeout)
        try:
            with self._explaining():
                self._channel = self._declared()
                self._channel.auto_decode = False  # a body stays bytes, whatever encoding the sender claims
                self._channel.basic_qos(0, 1, False)
                self._tag = self._channel.basic_consume(topology.queue, callback=self._arrived.append)
        except BaseException:
            self.close()
            raise

    def take(self, seconds: float) -> Any:
        """Return the message that has come, waiting for it at most this long, or None."""
        if not self._arrived:
            with self._explaining():
                self._listen(seconds)
        return self._arrived.popleft() if self._arrived else None

    def acknowledge(self, delivery: Any) -> None:
        """Let the broker forget a message."""
        with self._explaining():
            self._channel.basic_ack(delivery.delivery_tag)

    def bury(self, delivery: Any, copy: Message) -> None:
        """Put a copy to the dead letters, and acknowledge the message once the broker has confirmed that.

        Rejecting it would be simpler, but carries no reason and, on an older broker, is confirmed by nobody.
        """
        with self._explaining():
            channel = self._bare.channel()
            channel.basic_publish_confirm(
                copy,
                exchange=self._topology.dead_letters,
                routing_key=delivery.delivery_info["routing_key"],
                mandatory=True,
                timeout=self._timeout,
            )
            channel.close()
            self._channel.basic_ack(delivery.delivery_tag)

    def give_back(self, delivery: Any) -> None:
        """Put a message back to where it was, and end; never raises: a connection that breaks does the same."""
        with suppress(Exception):
            self._channel.basic_cancel(self._tag)  # or it would be handed out to us again at once
            self._channel.basic_reject(delivery.delivery_tag, requeue=True)
        self.close()

    def close(self) -> None:
        """Say goodbye to the broker; what is not acknowledged comes again."""
        with suppress(Exception):
            self._bare.close()
        with suppress(Exception):
            self._bare.collect()

    # ------------------------------------------------------------ listening

    def _listen(self, seconds: float) -> None:
        """Let the broker speak, and keep the connection alive meanwhile.

        Silence is counted only while somebody listens: a long step between two calls is not the broker's.
        """
        heard, began = self._bare.bytes_recv, monotonic()
        if began - self._beat_at > self._bare.heartbeat / 2:
            self._bare.send_heartbeat()
            self._beat_at = began
        with suppress(TimeoutError):
            self._bare.drain_events(timeout=seconds)
        self._quiet = 0.0 if self._bare.bytes_recv != heard else self._quiet + monotonic() - began
        if self._quiet > 2 * self._bare.heartbeat:
            raise SourceUnavailable("broker_silent: the broker says nothing any more; we connect to it anew")

    # ------------------------------------------------------------ declaring

    def _declared(self) -> Any:
        """Declare all that is ours and return a channel."""
        wanted = self._topology
        self._ensure_exchange(wanted.exchange)
        channel = self._bare.channel()
        channel.exchange_declare(wanted.dead_letters, "fanout", durable=True, auto_delete=False)
        _declare_queue(channel, wanted.dead_letters, {})
        channel.queue_bind(wanted.dead_letters, wanted.dead_letters)
        self._ensure_queue(wanted)
        for key in wanted.routing_keys if wanted.exchange else ():
            channel.queue_bind(wanted.queue, wanted.exchange, key)
        return channel

    def _ensure_queue(self, wanted: Topology) -> None:
        """A queue that is there is taken as it is: it is somebody else's."""
        at_least_once = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
        limit = {"x-dead-letter-exchange": wanted.dead_letters, "x-delivery-limit": _BROKERS_LIMIT}
        channel = self._bare.channel()
        try:
            _declare_queue(channel, wanted.queue, limit | at_least_once)
        except amqp.PreconditionFailed as error:  # which has closed the channel
            if _STREAM.search(str(error.reply_text)):
                raise  # a stream forgets nothing and would begin after what waits in it
            channel = self._bare.channel()
            channel.queue_declare(wanted.queue, passive=True)
        channel.close()

    def _ensure_exchange(self, name: str | None) -> None:
        """An exchange that is there is taken as it is, whatever its type: it is somebody else's."""
        if name is None:
            return
        channel = self._bare.channel()
        try:
            channel.exchange_declare(name, "topic", passive=True)
        except amqp.NotFound:  # which has closed the channel
            channel = self._bare.channel()
            channel.exchange_declare(name, "topic", durable=True, auto_delete=False)
        channel.close()

    # ------------------------------------------------------------ explaining

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Every way in which the libraries say that it went wrong becomes `SourceUnavailable`."""
        try:
            yield
        except SourceUnavailable:
            raise
        except Exception as error:
            raise SourceUnavailable(self._explanation(error)) from error

    def _explanation(self, error: Exception) -> str:
        names = self._topology
        match error:
            case amqp.PreconditionFailed() | amqp.ResourceLocked():
                return _mismatch(error, names)
            case amqp.AccessRefused() | amqp.NotAllowed():
                return (
                    f"broker_refused: our user needs configure, write and read on {names.queue} and"
                    f" {names.dead_letters}" + (f", and read on {names.exchange}" if names.exchange else "")
                )
            case amqp.ConsumerCancelled():
                return f"queue_gone: the queue {names.queue} was deleted; it is declared anew"
            case amqp.MessageNacked() | amqp.ChannelError():
                return (
                    f"dead_letters_refused: the broker did not take a message for {names.dead_letters};"
                    " it stays where it was. See whether that queue is full or gone"
                )
            case _:
                return "broker_lost: the connection to the broker broke; what was not acknowledged comes again"


def greet(address: Address, heartbeat: float, timeout: float) -> None:
    """Connect and end it at once. Raises `SourceUnavailable`."""
    with _connecting(address):
        bare = _open(address, heartbeat, timeout)
    with suppress(Exception):
        bare.close()


@contextmanager
def _connecting(address: Address) -> Iterator[None]:
    """Say why there is no connection, never quoting the credential."""
    try:
        yield
    except Exception as error:
        place = f"{address.host}:{address.port}"
        raise SourceUnavailable(_why_not(error, place, address.tls is not None)) from error


def _why_not(error: Exception, place: str, is_tls: bool) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"tls_failed: the certificate of {place} is not trusted: {error.verify_message}; see ca_file"
        case amqp.AMQPError():
            return f"broker_refused: {place} refuses our user, its password or the virtual host; see url_file"
        case ConnectionRefusedError() | TimeoutError() | socket.gaierror():
            return f"broker_unreachable: {place} does not answer; what others sent waits there"
        case OSError() if is_tls:
            return (
                f"tls_failed: {place} ended the TLS handshake; see that it speaks TLS there, and that it takes the"
                " certificate in certificate_file"
            )
        case _:
            return f"broker_unreachable: {place} broke the connection off; see that it is an AMQP broker"


def _mismatch(error: amqp.AMQPError, names: Topology) -> str:
    otherwise = f"{names.queue} or {names.dead_letters} exists already as something else"
    what = mismatch(str(error.reply_text)) or otherwise
    return (
        f"queue_mismatch: {what}; it is left as it is, for it may be somebody else's. Name another queue, or"
        " delete that one once it is empty"
    )


def _declare_queue(channel: Any, name: str, arguments: Mapping[str, Any]) -> None:
    # A quorum queue counts how often a message came back, which no other kind of queue does.
    wanted = {"x-queue-type": "quorum", **arguments}
    channel.queue_declare(name, durable=True, auto_delete=False, arguments=wanted)


def _open(address: Address, heartbeat: float, timeout: float) -> Any:
    """Return an open connection on which every single read and write ends in time."""
    options: dict[str, Any] = {
        "client_properties": {"connection_name": "skolebro feed"},
        "socket_settings": {socket.TCP_USER_TIMEOUT: _PATIENCE_ON_THE_WIRE},
    }
    connection = Connection(
        transport="pyamqp",
        hostname=f"[{address.host}]" if ":" in address.host else address.host,
        port=address.port,
        virtual_host=address.virtual_host,
        userid=address.user,
        password=address.password,
        login_method="PLAIN" if address.user else "EXTERNAL",
        ssl=dict(address.tls) if address.tls is not None else False,
        heartbeat=heartbeat,
        connect_timeout=timeout,
        transport_options=options,
    )
    bare = connection.transport.establish_connection()
    bare.sock.settimeout(timeout)
    return bare
