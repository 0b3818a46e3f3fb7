"""A stand-in is a function from request to response; stopping it ends every thread and connection it had."""

from __future__ import annotations

import socket
import socketserver
import ssl
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Event, Lock, Thread, current_thread
from typing import Self

_HANDSHAKE = timedelta(seconds=10)
_LINE = 65_536


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came; header names are in lower case, `path` carries the query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back: whole, cut (half way, or after `cut_at` bytes of body), or a byte per `byte_interval`."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    is_cut: bool = False
    cut_at: int | None = None
    byte_interval: timedelta | None = None

    def head(self) -> bytes:
        """The status line and the headers, ended by the empty line."""
        fields = [f"{name}: {value}" for name, value in self.headers.items()]
        lines = [f"HTTP/1.1 {self.status} {responses.get(self.status, '')}", *fields]
        if self.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


class LoopbackServer(ABC):
    """An HTTP/1.1 server with keep-alive that runs in threads, silently; also a context manager.

    With `tls` it speaks TLS and nothing else. The port is kept, so a server that is stopped and started again
    is found where it was.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._host, self._port = host, port
        self.tls = tls
        self._server: _Server | None = None
        self._thread: Thread | None = None
        self._arrivals = self._under_way = self._most_at_once = 0
        self._arrived = Condition()
        self.stopping = Event()

    @property
    def url(self) -> str:
        """The base URL, without a closing slash; its port is known once the server has started."""
        return f"{'https' if self.tls else 'http'}://{self._host}:{self._port}"

    @property
    def arrivals(self) -> int:
        """How many requests have come in, answered or not."""
        return self._arrivals

    @property
    def most_at_once(self) -> int:
        """How many requests have been under way at the same time, at most."""
        return self._most_at_once

    def start(self) -> Self:
        """Listen and answer from now on; starting twice does nothing.

        Raises:
            OSError: the port is taken.
        """
        if self._server is not None:
            return self
        self.stopping.clear()
        self._server = _Server((self._host, self._port), self)
        self._port = self._server.server_port
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """End every answer that is under way and every connection; stopping twice does nothing.

        Raises:
            Exception: the first error that the stand-in itself had while it ran.
        """
        server, thread, self._server = self._server, self._thread, None
        if server is None or thread is None:
            return
        self.stopping.set()
        server.shutdown()
        thread.join()
        server.close()
        if server.errors:
            raise server.errors[0]

    def wait_for_requests(self, count: int, timeout: timedelta = timedelta(seconds=10)) -> bool:
        """Wait until `count` requests in all have come in, answered or not; False when the time runs out."""
        with self._arrived:
            return self._arrived.wait_for(lambda: self._arrivals >= count, timeout.total_seconds())

    def note_arrival(self) -> None:
        """Count one request that has been read to its end."""
        with self._arrived:
            self._arrivals += 1
            self._under_way += 1
            self._most_at_once = max(self._most_at_once, self._under_way)
            self._arrived.notify_all()

    def note_end(self) -> None:
        """Count one of them as answered."""
        with self._arrived:
            self._under_way -= 1

    @abstractmethod
    def answer(self, request: Request) -> Response | None:
        """Answer one request, in its connection's thread; None closes the connection without an answer."""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], owner: LoopbackServer) -> None:
        self.owner = owner
        self.errors: list[Exception] = []
        self._connections: dict[Thread, socket.socket] = {}
        self._lock = Lock()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer asks the name service for its own name here, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        if isinstance(request, tuple):
            raise TypeError("this server listens to streams, not to datagrams")
        thread = Thread(target=self._serve_connection, args=(request, client_address), daemon=True)
        with self._lock:
            self._connections[thread] = request
        thread.start()

    def _serve_connection(self, request: socket.socket, client_address: object) -> None:
        secured = self._secured(request)
        if secured is not None:
            self.process_request_thread(secured, client_address)
        with self._lock:
            self._connections.pop(current_thread(), None)

    def _secured(self, request: socket.socket) -> socket.socket | None:
        """The connection as it is spoken over; None when the other side would not speak TLS."""
        if self.owner.tls is None:
            return request
        request.settimeout(_HANDSHAKE.total_seconds())
        try:
            secured = self.owner.tls.wrap_socket(request, server_side=True)
        except OSError:
            request.close()
            return None
        secured.settimeout(None)
        with self._lock:
            self._connections[current_thread()] = secured
        return secured

    def handle_error(self, request: object, client_address: object) -> None:
        error = sys.exception()
        # A client that goes away is everyday life; anything else is a fault of the stand-in.
        if isinstance(error, Exception) and not isinstance(error, OSError):
            self.errors.append(error)

    def close(self) -> None:
        """Close the door, then end every connection and wait for its thread."""
        self.server_close()
        with self._lock:
            connections = dict(self._connections)
        for thread, connection in connections.items():
            _hang_up(connection)
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self._chunked() if "chunked" in headers.get("transfer-encoding", "").lower() else self._counted()
        if body is None:  # its sender died: it never became a request
            self.close_connection = True
            return
        request = Request(self.command, self.path, headers, body)
        owner = self.server.owner
        owner.note_arrival()
        try:
            response = owner.answer(request)
        finally:
            owner.note_end()
        if response is None:
            self.close_connection = True
        else:
            self._send(response)

    def _counted(self) -> bytes | None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        return body if len(body) == length else None

    def _chunked(self) -> bytes | None:
        """The body of a request in chunks (RFC 9112 §7.1); trailers are passed over."""
        pieces: list[bytes] = []
        try:
            while size := int(self.rfile.readline(_LINE).partition(b";")[0], 16):
                piece = self.rfile.read(size)
                if len(piece) < size:
                    return None
                pieces.append(piece)
                self.rfile.readline(_LINE)
        except ValueError:
            return None
        while self.rfile.readline(_LINE).strip():
            continue
        return b"".join(pieces)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815

    def _send(self, response: Response) -> None:
        head = response.head()
        body = b"" if self.command == "HEAD" else response.body
        if response.is_cut:
            self.close_connection = True
            # Clients take a cut head for a whole one, so a response without a body is cut in its first line.
            end = len(body) // 2 if response.cut_at is None else response.cut_at
            message = head + body[:end] if body else head[:5]
        else:
            message = head + body
        if response.byte_interval is None:
            self.wfile.write(message)
        else:
            self._send_slowly(message, response.byte_interval)

    def _send_slowly(self, message: bytes, interval: timedelta) -> None:
        for position in range(len(message)):
            self.wfile.write(message[position : position + 1])
            self.wfile.flush()
            if self.server.owner.stopping.wait(interval.total_seconds()):
                self.close_connection = True
                return

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: the requests carry personal data."""


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was first
