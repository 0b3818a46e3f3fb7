"""RabbitMQ nodes of the tests' own, on loopback ports of their own, that may be stopped or demand TLS."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import pika

from tests.support.certificates import Authority
from tests.support.needs import RABBITMQ_SERVER, require
from tests.support.ports import HOST, free_ports

OTHER_HOST = "127.0.0.2"
FEEDER = "feeder"
_CONTROL = RABBITMQ_SERVER.with_name("rabbitmqctl")
_START = 90.0
_POLL = 0.1


class Node:
    """A RabbitMQ node on loopback ports of its own, for as long as the block lasts; it may be stopped and started.

    With an authority it also speaks TLS at `tls_port`, on 127.0.0.2 too, which its certificate does not name.
    There it demands a client certificate, and lets the user in whom it names: `FEEDER`, without a password.
    """

    def __init__(self, folder: Path, ca: Authority | None = None) -> None:
        require("rabbitmq-server")
        self._folder, self._ca = folder, ca
        self.port, self.tls_port, self._distribution = free_ports(3)
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
                [RABBITMQ_SERVER], env=self._environment(), stdout=out, stderr=out, start_new_session=True
            )
        until = time.monotonic() + _START
        while not is_ready(self.port):
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
            "RABBITMQRABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
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


def is_ready(port: int) -> bool:
    """Whether it greets: a port that is open belongs to a node that may still be waking up."""
    try:
        pika.BlockingConnection(pika.ConnectionParameters(HOST, port)).close()
    except (pika.exceptions.AMQPError, OSError):
        return False
    return True
