"""A message of a broker is forgotten there only when its end is told; until then it comes again."""

# mypy: disable-error-code="no-untyped-call, import-untyped"
# (py-amqp ships no types)
from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from random import SystemRandom
from threading import Event, RLock
from time import monotonic
from typing import Any
from urllib.parse import unquote, urlsplit

from amqp.basic_message import Message

from bridge.adapters.kombu_session import DEATHS, Address, Session, Topology, greet
from bridge.domain.errors import ConfigError, SnapshotInvalid, SourceUnavailable
from bridge.ports import FROM_FEED, FeedMessage, Random

LARGEST = 64 * 2**20
TOO_LARGE, ENCODED, POISON = "too_large", "encoding_not_supported", "poison_message"
_SLICE = 0.25  # how soon a thread that waits sees that the feed is closed
_AT_LEAST = 0.01  # a wait of nothing still takes what has already arrived
_JITTER = 5.0  # the longest that a new connection is put off
_PLAIN = frozenset({"", "identity", "binary", "utf-8", "utf8", "us-ascii"})
_KEPT = ("content_type", "content_encoding", "correlation_id", "message_id", "timestamp", "type", "app_id")
# Headers that mean something to the broker: further queues for the copy, and how often the original came back.
_BROKERS = ("cc", "bcc", "x-")
_PERSISTENT = 2


class KombuFeed:
    """`Feed` on a RabbitMQ queue, which it declares with the dead letters behind it.

    A queue that is there already is taken as it is. Ours is a durable quorum queue: it counts how often a message
    came back, so that one that ends our process again and again is set aside. Bodies are bytes: nothing is decoded
    or decompressed. One thread at a time receives and ends messages; `close` may come from another. Whoever works
    on a message for some minutes may lose the connection meanwhile; then the message comes again, as ever.
    """

    def __init__(
        self,
        url: str,
        queue: str,
        *,
        now: Callable[[], datetime],
        exchange: str | None = None,
        routing_keys: Sequence[str] = ("#",),
        dead_letters: str | None = None,
        ca_file: Path | None = None,
        certificate_file: Path | None = None,
        key_file: Path | None = None,
        heartbeat: timedelta = timedelta(seconds=60),
        timeout: timedelta = timedelta(seconds=10),
        largest: int = LARGEST,
        random: Random | None = None,
    ) -> None:
        """Connects at first use.

        `url` may hold a credential and is never shown; without one the client certificate says who we are.
        The queue is bound to `exchange`, if one is named, by each of `routing_keys`. `ca_file` replaces the
        system's authorities. `timeout` is for each answer of the broker; a body of more than `largest` bytes is
        dead. Raises `ConfigError`.
        """
        self._address = _address(url, ca_file, certificate_file, key_file)
        self._topology = Topology(queue, dead_letters or f"{queue}.dead", exchange, tuple(routing_keys))
        self._waits = heartbeat.total_seconds(), timeout.total_seconds()
        self._now, self._largest, self._random = now, largest, random or SystemRandom()
        self._session: Session | None = None
        self._lock, self._closed = RLock(), Event()
        self._is_reconnecting = False

    def receive(self, seconds: float) -> FeedMessage | None:
        """Wait for a message, at most this long; at once None when the feed is closed.

        Raises `SourceUnavailable` when the broker is away, and `SnapshotInvalid` for a message that nobody can
        use (too_large, encoding_not_supported, poison_message) and that is among the dead letters by now.
        """
        end = monotonic() + seconds
        if self._is_reconnecting:  # not all bridges at once when the broker comes back
            self._closed.wait(self._random.random() * min(seconds, _JITTER))
        is_first = True
        while not self._closed.is_set() and (is_first or monotonic() < end):
            is_first = False
            with self._lock:
                message = self._take(min(_SLICE, max(_AT_LEAST, end - monotonic())))
            if message is not None:
                return message
        return None

    def probe(self) -> None:
        """Connect and say goodbye; declares and takes nothing. Raises `SourceUnavailable`."""
        greet(self._address, *self._waits)

    def close(self) -> None:
        """Let go of a waiting thread and of the broker; may be called twice."""
        self._closed.set()
        with self._lock:
            self._drop()

    def _take(self, seconds: float) -> _Delivered | None:
        if self._closed.is_set():
            return None
        try:
            session = self._session = self._session or Session(self._address, self._topology, *self._waits)
            delivery = session.take(seconds)
        except SourceUnavailable:
            self._lose(self._session)
            raise
        self._is_reconnecting = False
        return None if delivery is None else self._checked(session, delivery)

    def _checked(self, session: Session, delivery: Any) -> _Delivered:
        message = _Delivered(
            body=_bytes(delivery),
            content_type=str(delivery.properties.get("content_type") or ""),
            origin=f"{FROM_FEED}{self._topology.queue}",
            institution=_text(_headers(delivery).get("institution")),
            _feed=self,
            _session=session,
            _delivery=delivery,
        )
        if (reason := _unusable(delivery, message.body, self._largest)) is not None:
            message.dead(reason)
            raise SnapshotInvalid(reason, message.origin)
        return message

    # ------------------------------------------------------------ the ends of a message

    def _end(self, session: Session, end: Callable[[Session], None]) -> None:
        with self._lock:
            try:
                end(session)
            except SourceUnavailable:
                self._lose(session)
                raise

    def _give_back(self, session: Session, delivery: Any) -> None:
        with self._lock:
            session.give_back(delivery)
            if session is self._session:
                self._session = None

    def _lose(self, session: Session | None) -> None:
        """Let a broken session go, but not the one that has replaced it."""
        self._is_reconnecting = True
        if session is self._session:
            self._drop()

    def _copy(self, delivery: Any, reason: str) -> Message:
        """The message with why and when, and without what would route it, let it expire or get it refused."""
        told = {
            "skolebro-reason": reason,
            "skolebro-routing-key": delivery.delivery_info["routing_key"],
            "skolebro-exchange": delivery.delivery_info["exchange"],
            "skolebro-time": self._now().isoformat(),
        }
        headers = {
            name: value
            for name, value in _headers(delivery).items()
            if isinstance(name, str) and isinstance(value, str | int) and not name.lower().startswith(_BROKERS)
        }
        kept = {name: delivery.properties[name] for name in _KEPT if name in delivery.properties}
        return Message(_bytes(delivery), application_headers=headers | told, delivery_mode=_PERSISTENT, **kept)

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()


@dataclass(slots=True)
class _Delivered:
    """A message that is out; a session that broke meanwhile cannot end it, and the broker has it back."""

    body: bytes = field(repr=False)
    content_type: str
    origin: str
    institution: str | None
    _feed: KombuFeed = field(repr=False)
    _session: Session = field(repr=False)
    _delivery: Any = field(repr=False)

    def done(self) -> None:
        self._feed._end(self._session, lambda session: session.acknowledge(self._delivery))

    def dead(self, reason: str) -> None:
        copy = self._feed._copy(self._delivery, reason)
        self._feed._end(self._session, lambda session: session.bury(self._delivery, copy))

    def later(self) -> None:
        self._feed._give_back(self._session, self._delivery)


def _unusable(delivery: Any, body: bytes, largest: int) -> str | None:
    """Why a message must not even be handed out."""
    headers = _headers(delivery)
    deaths = headers.get("x-delivery-count") or 0
    if isinstance(deaths, int) and deaths >= DEATHS:
        return POISON
    # kombu's own way to say that a body is compressed is a header.
    encoding = _text(delivery.properties.get("content_encoding")) or ""
    if encoding.lower() not in _PLAIN or headers.get("compression"):
        return ENCODED
    return TOO_LARGE if len(body) > largest else None


def _headers(delivery: Any) -> dict[str, Any]:
    return delivery.properties.get("application_headers") or {}


def _bytes(delivery: Any) -> bytes:
    body = delivery.body
    return body if isinstance(body, bytes) else b""  # the library gives a text for no body at all


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


# ---------------------------------------------------------------- the address


def _address(url: str, ca: Path | None, certificate: Path | None, key: Path | None) -> Address:
    """Read the URL, without quoting it in any error."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if parts.scheme not in ("amqp", "amqps") or not host or parts.query or parts.fragment:
            raise ValueError
    except ValueError:
        raise ConfigError(
            "url_file: its content is not amqps://<user>:<password>@<host>:<port>/<vhost> and nothing more"
        ) from None
    is_tls = parts.scheme == "amqps"
    _require_security(host, is_tls, parts.username is not None, certificate)
    return Address(
        host=host,
        port=port or (5671 if is_tls else 5672),
        virtual_host=unquote(parts.path.strip("/")) or "/",
        user=unquote(parts.username) if parts.username is not None else None,
        password=unquote(parts.password or ""),
        tls=_tls(host, ca, certificate, key) if is_tls else None,
    )


def _require_security(host: str, is_tls: bool, has_user: bool, certificate: Path | None) -> None:
    if not is_tls and not _is_loopback(host):
        raise ConfigError("url_file: use amqps:// (amqp:// is for loopback addresses only)")
    if not is_tls and certificate is not None:
        raise ConfigError("certificate_file: a certificate is for an amqps:// URL only")
    if not has_user and certificate is None:
        raise ConfigError("url_file: it names no user, and there is no certificate_file to name one")


def _tls(host: str, ca: Path | None, certificate: Path | None, key: Path | None) -> dict[str, Any]:
    """Return what the library needs to verify the broker, having tried that the files can be used.

    The files are read again for each connection, so that a renewed certificate needs no restart.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if ca is not None:
            context.load_verify_locations(cafile=ca)
    except (OSError, ValueError) as error:
        raise ConfigError(f"ca_file: {ca} holds no certificate authorities in PEM form") from error
    try:
        if certificate is not None:
            # An empty password, or OpenSSL would ask for one on the terminal.
            context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"certificate_file: {certificate} and key_file are not a certificate and its unencrypted key (PEM)"
        ) from error
    return {
        "server_hostname": host,
        "cert_reqs": ssl.CERT_REQUIRED,
        "tls_minimum_version": ssl.TLSVersion.TLSv1_2,
        "ca_certs": str(ca) if ca else None,
        "certfile": str(certificate) if certificate else None,
        "keyfile": str(key) if key else None,
    }


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
