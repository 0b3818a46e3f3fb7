"""RabbitMQ for tests: a corner of the standing broker, and own nodes that may be stopped or demand TLS."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import pika
import pytest

from bridge.adapters.feed_kombu import KombuFeed
from tests.support.certificates import Authority

HOST, PORT = "127.0.0.1", 5672
OTHER_HOST = "127.0.0.2"
FEEDER = "feeder"
_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_CONTROL = _SERVER.with_name("rabbitmqctl")
_START = 90.0
_POLL = 0.1


def require_rabbitmq() -> None:
    """Fail with a plain sentence when the standing broker is not there."""
    if not _answers(PORT):
        pytest.fail(
            "RabbitMQ does not answer at 127.0.0.1:5672. Start it, for instance with "
            "`docker run --rm -p 127.0.0.1:5672:5672 rabbitmq:4` or `systemctl start rabbitmq-server`."
        )


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


# ---------------------------------------------------------------- a node of its own


class Node:
    """A RabbitMQ node on loopback ports of its own, for as long as the block lasts; it may be stopped and started.

    With an authority it also speaks TLS at `tls_port`, on 127.0.0.2 too, which its certificate does not name.
    There it demands a client certificate, and lets the user in whom it names: `FEEDER`, without a password.
    """

    def __init__(self, folder: Path, ca: Authority | None = None) -> None:
        if not _SERVER.exists():
            pytest.fail(f"There is no RabbitMQ server at {_SERVER}. Install the package rabbitmq-server.")
        self._folder, self._ca = folder, ca
        self.port, self.tls_port, self._distribution = _free_ports(3)
        self._process: subprocess.Popen[bytes] | None = None
        self._configure()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        with (self._folder / "out").open("ab") as out:
            self._process = subprocess.Popen(
                [_SERVER], env=self._environment(), stdout=out, stderr=out, start_new_session=True
            )
        until = time.monotonic() + _START
        while not _is_ready(self.port):
            assert self._process.poll() is None and time.monotonic() < until, self._said()
            time.sleep(_POLL)

    def stop(self) -> None:
        """Stop it in good order, as an update of the machine does."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        os.kill(self._beam(process.pid), signal.SIGTERM)
        try:
            process.wait(_START)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            os.kill(self._beam(process.pid), signal.SIGKILL)
            process.wait(_START)

    def control(self, *words: str) -> None:
        """Tell it something by `rabbitmqctl`."""
        name = f"test-{self.port}@localhost"
        subprocess.run([_CONTROL, "-n", name, *words], env=self._environment(), check=True, capture_output=True)

    def _beam(self, fallback: int) -> int:
        """The process that is the node itself: what was started is a shell around it."""
        try:
            return int((self._folder / "pid").read_text())
        except (OSError, ValueError):
            return fallback

    def _said(self) -> str:
        return f"the RabbitMQ node did not start: {(self._folder / 'out').read_text()[-2000:]}"

    def _configure(self) -> None:
        lines = [f"listeners.tcp.1 = {HOST}:{self.port}", "log.file = false", "log.console = true"]
        if self._ca is not None:
            certificate, key = self._ca.issue("broker")
            lines += [
                f"listeners.ssl.1 = {HOST}:{self.tls_port}",
                f"listeners.ssl.2 = {OTHER_HOST}:{self.tls_port}",
                f"ssl_options.cacertfile = {self._ca.file}",
                f"ssl_options.certfile = {certificate}",
                f"ssl_options.keyfile = {key}",
                "ssl_options.verify = verify_peer",
                "ssl_options.fail_if_no_peer_cert = true",
                "ssl_cert_login_from = common_name",
                "auth_mechanisms.1 = PLAIN",
                "auth_mechanisms.2 = EXTERNAL",
                f"load_definitions = {self._folder / 'definitions.json'}",
            ]
        (self._folder / "definitions.json").write_text(json.dumps(_definitions()))
        (self._folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
        (self._folder / "plugins").write_text("[rabbitmq_auth_mechanism_ssl].\n" if self._ca else "[].\n")

    def _environment(self) -> dict[str, str]:
        folder = self._folder
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"test-{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        }


def _definitions() -> dict[str, Any]:
    """Who may do what; the feeder has no password that could be used."""
    may = {"vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
    return {
        "vhosts": [{"name": "/"}],
        "users": [
            {"name": "guest", "password": "guest", "tags": "administrator"},
            {"name": FEEDER, "password_hash": "", "tags": ""},
        ],
        "permissions": [{"user": "guest", **may}, {"user": FEEDER, **may}],
    }


def _free_ports(count: int) -> list[int]:
    """Below those that the system gives to clients: who asks a node that is away for one of these finds itself."""
    found: list[int] = []
    with ExitStack() as stack:
        while len(found) < count:
            one = stack.enter_context(socket.socket())
            with suppress(OSError):
                one.bind((HOST, random.randrange(20_000, 32_000)))
                found.append(one.getsockname()[1])
    return found


def _answers(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=2).close()
    except OSError:
        return False
    return True


def _is_ready(port: int) -> bool:
    """Whether it greets: a port that is open belongs to a node that may still be waking up."""
    try:
        pika.BlockingConnection(pika.ConnectionParameters(HOST, port)).close()
    except (pika.exceptions.AMQPError, OSError):
        return False
    return True
