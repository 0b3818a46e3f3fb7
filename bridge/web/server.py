"""A web application runs in a thread of its own until it is told to stop; the console on loopback only."""

from __future__ import annotations

import errno
import ipaddress
import socket
from threading import Thread
from typing import Literal

import uvicorn
from starlette.types import ASGIApp

from bridge.domain.errors import ConfigError
from bridge.observe import LogEvent, log

_BACKLOG = 128
_GRACE = 2
_EVENTS = {
    "web": (LogEvent.WEB_STARTED, LogEvent.WEB_STOPPED),
    "monitor": (LogEvent.MONITOR_STARTED, LogEvent.MONITOR_STOPPED),
}


class WebServer:
    """Serves one application; `start` returns when connections are taken, `stop` when the thread is gone."""

    def __init__(self, app: ASGIApp, host: str, port: int, kind: Literal["web", "monitor"] = "web") -> None:
        """`port` 0 takes any free one.

        Raises `ConfigError` for a console that other machines could reach; a monitor may be anywhere.
        """
        self._kind = kind
        if kind == "web" and not _is_loopback(host):
            raise ConfigError(
                f"web.listen: {host} can be reached from other machines, and there is no login yet; "
                "use 127.0.0.1 and put a reverse proxy with a login before it"
            )
        self._host, self._port = host, port
        self._socket: socket.socket | None = None
        self._thread: Thread | None = None
        config = uvicorn.Config(
            app,
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE,
        )
        self._server = uvicorn.Server(config)

    @property
    def url(self) -> str:
        """Where the application answers; known once it is started."""
        port = self._socket.getsockname()[1] if self._socket else self._port
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{port}/"

    def start(self) -> None:
        """Take the port and serve. Raises `ConfigError` when the port cannot be had."""
        self._socket = listen(self._host, self._port, "--monitor" if self._kind == "monitor" else "web.listen")
        self._port = self._socket.getsockname()[1]
        self._thread = Thread(target=self._server.run, args=([self._socket],), name=self._kind, daemon=True)
        self._thread.start()
        log.emit(_EVENTS[self._kind][0], host=self._host, port=self._port)

    def stop(self) -> None:
        """Finish what is being answered, for two seconds at most; may be called twice."""
        if self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join()
        self._thread = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        log.emit(_EVENTS[self._kind][1])


def listen(host: str, port: int, key: str = "web.listen") -> socket.socket:
    """Take a port, for answers that leave at once. Raises `ConfigError` when it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # Listening before the thread runs: whoever comes early waits instead of being refused.
        listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        # asyncio does it for its own sockets only; each answer on a kept connection would wait 40 ms for an ACK.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        why = "is taken by another program" if error.errno == errno.EADDRINUSE else "cannot be opened"
        raise ConfigError(f"{key}: port {port} on {host} {why}; choose another port") from error


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
