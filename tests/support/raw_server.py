"""A server that speaks whatever a test wants over a bare connection, HTTP or not."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from threading import Event, Thread


class RawServer:
    """Gives each connection to `serve(connection, its number)` in a thread; keeps what was asked."""

    def __init__(self, serve: Callable[[RawServer, socket.socket, int], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._serve = serve
        self._threads: list[Thread] = []
        self._open: list[socket.socket] = []
        self.stopping = Event()
        self.requests: list[bytes] = []
        self.connections = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> RawServer:
        self._acceptor = Thread(target=self._accept, daemon=True)
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        for connection in self._open:
            with closing(connection):
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
        for thread in self._threads:
            thread.join()

    def read(self, connection: socket.socket) -> bytes:
        """Read one request; b"" when the other side hung up."""
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            if not part:
                return b""
            data += part
        self.requests.append(data)
        return data

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = Thread(target=self._run, args=(connection, self.connections), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, connection: socket.socket, number: int) -> None:
        try:
            self._serve(self, connection, number)
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the client hung up, which is what many of these tests are about
