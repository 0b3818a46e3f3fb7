"""A wire between a client and a server on loopback that can be cut, or fall silent, at a chosen byte."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Lock, Thread
from typing import Self

_CHUNK = 4096


class TcpProxy:
    """Forwards bytes both ways, byte for byte; a context manager.

    `server` may be changed for the connections to come. `cut_after(n)` closes every connection once n
    more bytes went from the client to the server; `cut()` does so at once; `mute()` keeps connections
    open and forwards nothing more, new ones included.
    """

    def __init__(self, host: str, port: int) -> None:
        self.server = (host, port)
        self._lock = Lock()
        self._left: int | None = None
        self._is_mute = False
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end(self._listener)
        self.cut()

    def cut_after(self, size: int) -> None:
        with self._lock:
            self._left = size

    def mute(self) -> None:
        with self._lock:
            self._is_mute = True

    def cut(self) -> None:
        with self._lock:
            ended, self._sockets, self._left = self._sockets, set(), None
        for one in ended:
            self._end(one)

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed: the end
            while True:
                client, _ = self._listener.accept()
                self._join(client)

    def _join(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self.server)
        except OSError:
            return client.close()
        with self._lock:
            self._sockets |= {client, server}
        Thread(target=self._pump, args=(client, server, True), daemon=True).start()
        Thread(target=self._pump, args=(server, client, False), daemon=True).start()
        return None

    def _pump(self, source: socket.socket, sink: socket.socket, is_upward: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                allowed = self._allowed(len(data)) if is_upward else len(data)
                if not self._is_mute:
                    sink.sendall(data[:allowed])
                if allowed < len(data):
                    self.cut()
        self._end(source)
        self._end(sink)

    def _allowed(self, size: int) -> int:
        with self._lock:
            if self._left is None:
                return size
            allowed = min(size, self._left)
            self._left -= allowed
            return allowed

    @staticmethod
    def _end(one: socket.socket) -> None:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
