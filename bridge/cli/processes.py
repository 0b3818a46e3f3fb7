"""Real programs on loopback, for stand-ins and the demonstration: none outlives us."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from bridge.domain.errors import ConfigError, SourceUnavailable

_START_LIMIT = 30.0


def scim_command(port: int, token: str) -> list[str]:
    """The command of a SCIM server on loopback. Raises `ConfigError` when it is not installed."""
    program = Path(sys.executable).with_name("scim2-server")
    if not program.exists():
        raise ConfigError("this needs scim2-server: install skolebro[demo], or use `make setup`")
    return [str(program), "--port", str(port), "--bearer-token", token]


@contextmanager
def process(command: list[str], log: Path | None) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program away from the Ctrl-C of a terminal, and end it with the block; `log` None: it is silent."""
    with Path(log or os.devnull).open("ab") as out:
        started = subprocess.Popen(  # noqa: S603 - our own programs
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(70)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def await_port(port: int, started: subprocess.Popen[bytes], stopping: Event) -> None:
    """Wait until the SCIM server listens, or until we are to stop. Raises `SourceUnavailable`."""
    end = time.monotonic() + _START_LIMIT
    while not stopping.is_set():
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > end or started.poll() is not None:
            raise SourceUnavailable("the SCIM server did not come up")
        stopping.wait(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(host: str, port: int, option: str) -> None:
    """Raises `ConfigError` where nobody could listen."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise taken(host, port, option, error) from error


def taken(host: str, port: int, option: str, error: OSError) -> ConfigError:
    """What a port that cannot be had is told as, in the words of `skolebro run`."""
    why = "is taken by another program" if error.errno == errno.EADDRINUSE else "cannot be opened"
    return ConfigError(f"{option}: port {port} on {host} {why}; choose another port")


def private(path: Path, text: str) -> None:
    """Write a secret into a file that is nobody else's."""
    path.touch(mode=0o600)
    path.write_text(text)
