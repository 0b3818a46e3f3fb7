"""A reverse proxy on loopback that keeps every request it saw and fails in exactly the way it is told to."""

from __future__ import annotations

import http.client
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from threading import Lock
from typing import Literal, assert_never
from urllib.parse import urlsplit

from bridge.testing.loopback import LoopbackServer, Request, Response

HTML = b"<!DOCTYPE html><title>Not the service you asked for</title>"
# These belong to one connection, so they are not passed on (RFC 9110, 7.6.1); the length is counted anew.
HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length"}

FaultKind = Literal["status", "garbage", "cut_response", "cut_request", "hang", "slow"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail.

    status: answer `code`, `headers` and `body` without asking the upstream.
    garbage: answer 200 with an HTML page without asking the upstream.
    cut_response: ask the upstream, then close half way through its answer.
    cut_request: ask the upstream if `is_forwarded`, then close without a word of its answer.
    hang: ask the upstream if `is_forwarded`, then say nothing until the proxy stops.
    slow: ask the upstream, then send its answer one byte per `byte_interval`.
    """

    kind: FaultKind
    code: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_forwarded: bool = False
    byte_interval: timedelta = timedelta(milliseconds=200)
    remaining: int | None = None  # how many requests it still befalls; None: until it is cleared
    match: Callable[[str, str], bool] | None = None  # method and path; None: every request


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request; `status` is the one it was answered with, None when there was no answer at all."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int | None


class FaultyProxy(LoopbackServer):
    """Passes requests on to `upstream_url`; an upstream that does not answer gives 502.

    Raises:
        ValueError: the upstream is not plain HTTP on loopback.
    """

    def __init__(
        self,
        upstream_url: str,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        upstream_timeout: timedelta = timedelta(seconds=30),
    ) -> None:
        super().__init__(host, port)
        self._upstream = _loopback_address(upstream_url)
        self._prefix = urlsplit(upstream_url).path.rstrip("/")
        self._timeout = upstream_timeout.total_seconds()
        self._lock = Lock()
        self._fault: Fault | None = None
        self._requests: list[SeenRequest] = []

    @property
    def fault(self) -> Fault | None:
        """What befalls the next request it matches; set it to None to heal."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        with self._lock:
            self._fault = fault

    @property
    def requests(self) -> list[SeenRequest]:
        """Every request so far, in the order in which they were answered or given up."""
        with self._lock:
            return list(self._requests)

    def answer(self, request: Request) -> Response | None:
        fault = self._take_fault(request)
        response = self._respond(request, fault)
        seen = SeenRequest(
            request.method, request.path, request.headers, request.body, response.status if response else None
        )
        with self._lock:
            self._requests.append(seen)
        if fault is not None and fault.kind == "hang":
            self.stopping.wait()
        return response

    def _take_fault(self, request: Request) -> Fault | None:
        with self._lock:
            fault = self._fault
            if fault is None or (fault.match is not None and not fault.match(request.method, request.path)):
                return None
            if fault.remaining is not None:
                self._fault = replace(fault, remaining=fault.remaining - 1) if fault.remaining > 1 else None
            return fault if fault.remaining != 0 else None

    def _respond(self, request: Request, fault: Fault | None) -> Response | None:
        if fault is None:
            return self._forward(request)
        match fault.kind:
            case "status":
                return Response(fault.code, fault.body, fault.headers)
            case "garbage":
                return Response(200, HTML, {"Content-Type": "text/html"})
            case "cut_response":
                return replace(self._forward(request), is_cut=True)
            case "cut_request":
                if fault.is_forwarded:
                    self._forward(request)
                return None
            case "hang":
                if fault.is_forwarded:
                    self._forward(request)
                return None
            case "slow":
                return replace(self._forward(request), byte_interval=fault.byte_interval)
            case _:
                assert_never(fault.kind)

    def _forward(self, request: Request) -> Response:
        headers = {name: value for name, value in request.headers.items() if name not in HOP_BY_HOP | {"host"}}
        connection = http.client.HTTPConnection(*self._upstream, timeout=self._timeout)
        try:
            connection.request(request.method, self._prefix + request.path, request.body or None, headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            return Response(502)
        finally:
            connection.close()
        passed_on = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP}
        return Response(answer.status, body, passed_on)


def _loopback_address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "http" or not (host == "localhost" or _is_loopback(host)):
        raise ValueError("a faulty proxy stands before plain HTTP on loopback only")
    return host, parts.port or 80


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
