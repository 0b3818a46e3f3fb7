"""An edge gives a complete answer or `TargetUnavailable`, in time, and tells nobody what it carried."""

from __future__ import annotations

import gzip
import logging
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from bridge.adapters.http import HttpEdge
from bridge.domain.errors import ConfigError, TargetUnavailable
from tests.support.raw_server import RawServer

SHORT = timedelta(seconds=1)
SECRET = "ole-olsen"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def answering(*answers: bytes) -> RawServer:
    """Answers the n-th request of a connection with the n-th of these, then hangs up."""

    def serve(server: RawServer, connection: socket.socket, number: int) -> None:
        for answer in answers:
            if not server.read(connection):
                return
            connection.sendall(answer)

    return RawServer(serve)


def trickling(head: bytes, drop: bytes) -> RawServer:
    """Sends `head`, then `drop` again and again, one byte per 0.2 s, for as long as one listens."""

    def serve(server: RawServer, connection: socket.socket, number: int) -> None:
        server.read(connection)
        connection.sendall(head)
        while True:
            for byte in drop:
                connection.sendall(bytes([byte]))
                if server.stopping.wait(0.2):
                    return

    return RawServer(serve)


def failing_first(times: int, answer: bytes = OK) -> RawServer:
    """Hangs up on the first `times` requests without a word."""

    def serve(server: RawServer, connection: socket.socket, number: int) -> None:
        while server.read(connection) and number > times:
            connection.sendall(answer)

    return RawServer(serve)


@contextmanager
def edge_to(url: str, **options: object) -> Iterator[HttpEdge]:
    waits: list[float] = []
    options = {"timeout": timedelta(seconds=10), "sleep": waits.append, **options}
    with closing(HttpEdge(url, **options)) as edge:  # type: ignore[arg-type]
        yield edge


def reason_of(edge: HttpEdge, method: str = "GET", **options: object) -> str:
    with pytest.raises(TargetUnavailable) as caught:
        edge.request(method, "/Users", params={"filter": SECRET}, headers={"X-Name": SECRET}, **options)  # type: ignore[arg-type]
    assert_tells_nothing(caught.value)
    return caught.value.reason


def assert_tells_nothing(error: BaseException | None) -> None:
    while error is not None:
        assert SECRET not in f"{error} {error!r} {error.args}"
        error = error.__cause__ or error.__context__


def test_an_answer_comes_whole_with_lower_case_headers() -> None:
    with answering(b"HTTP/1.1 201 Created\r\nETag: x\r\nContent-Length: 2\r\n\r\nok") as server:
        with edge_to(server.url + "/scim/v2/") as edge:
            answer = edge.request("POST", "/Users", params={"a": "b c"}, headers={"X-A": "1"}, body=b"{}")
        assert (answer.status, answer.headers["etag"], answer.body) == (201, "x", b"ok")
        assert server.requests[0].startswith(b"POST /scim/v2/Users?a=b+c HTTP/1.1\r\n")
        assert b"X-A: 1\r\n" in server.requests[0]


@pytest.mark.parametrize("answer", [OK, b"HTTP/1.1 204 No Content\r\n\r\n"])
def test_a_connection_is_kept_for_the_next_request(answer: bytes) -> None:
    with answering(answer, answer, answer) as server, edge_to(server.url) as edge:
        for _ in range(3):
            edge.request("DELETE", "/Users/1")
        assert server.connections == 1


def test_a_connection_that_the_server_wants_closed_is_closed() -> None:
    def serve(server: RawServer, connection: socket.socket, number: int) -> None:
        server.read(connection)
        connection.sendall(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        if connection.recv(1) == b"":
            hung_up.set()

    hung_up = Event()
    with RawServer(serve) as server, edge_to(server.url) as edge:
        assert edge.request("GET", "/").body == b"ok"
        assert hung_up.wait(10)


def test_a_closed_edge_leaves_no_thread_and_no_connection() -> None:
    def serve(server: RawServer, connection: socket.socket, number: int) -> None:
        while server.read(connection):
            connection.sendall(OK)
        hung_up.set()

    hung_up = Event()
    before = set(threading.enumerate())
    with RawServer(serve) as server, edge_to(server.url) as edge:
        edge.request("GET", "/")
        watching = [t for t in set(threading.enumerate()) - before if t.name == "http-deadline"]
        assert len(watching) == 1
        edge.close()
        assert hung_up.wait(10)
        watching[0].join(10)
        assert not watching[0].is_alive()


def test_headers_may_be_made_for_each_request() -> None:
    tokens = iter(["one", "two"])
    with (
        answering(OK, OK) as server,
        edge_to(server.url, headers=lambda: {"Authorization": f"Bearer {next(tokens)}"}) as edge,
    ):
        edge.request("GET", "/")
        edge.request("GET", "/")
        assert [b"Bearer one" in r for r in server.requests] == [True, False]


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with answering(OK) as other:
        moved = f"HTTP/1.1 307 Moved\r\nLocation: {other.url}/\r\nContent-Length: 0\r\n\r\n".encode()
        with answering(moved) as server, edge_to(server.url) as edge:
            assert edge.request("GET", "/Users").status == 307
        assert other.connections == 0


def test_cookies_are_not_kept() -> None:
    with (
        answering(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b\r\n\r\n"), OK) as server,
        edge_to(server.url) as edge,
    ):
        edge.request("GET", "/")
        edge.request("GET", "/")
        assert b"cookie" not in server.requests[1].lower()


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"", b"HTTP/1.1 200 OK\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"a"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"a"),
    ],
    ids=["status line", "headers", "body", "chunks", "body without a length"],
)
def test_the_deadline_ends_an_answer_that_trickles(head: bytes, drop: bytes) -> None:
    with trickling(head, drop) as server, edge_to(server.url, timeout=SHORT) as edge:
        assert reason_of(edge) == "timeout"


def test_the_deadline_ends_a_server_that_says_nothing_while_tls_shakes_hands() -> None:
    def serve(server: RawServer, connection: socket.socket, number: int) -> None:
        server.stopping.wait()

    with (
        RawServer(serve) as server,
        edge_to(server.url.replace("http", "https"), timeout=SHORT) as edge,
    ):
        assert reason_of(edge) == "timeout"


def test_the_deadline_of_one_request_does_not_end_the_next() -> None:
    def serve(server: RawServer, connection: socket.socket, number: int) -> None:
        while server.read(connection):
            if number == 1:
                server.stopping.wait()
            connection.sendall(OK)

    with RawServer(serve) as server, edge_to(server.url, timeout=SHORT) as edge:
        assert reason_of(edge) == "timeout"
        assert edge.request("GET", "/").body == b"ok"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    ],
)
def test_a_cut_body_is_an_error(answer: bytes) -> None:
    with answering(answer) as server, edge_to(server.url) as edge:
        assert reason_of(edge, "POST") == "answer_cut"


def test_a_body_over_the_cap_is_refused() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + b"a" * 101
    with answering(answer) as server, edge_to(server.url, max_body=100) as edge:
        assert reason_of(edge) == "answer_too_large"
    with answering(answer) as server, edge_to(server.url, max_body=101) as edge:
        assert len(edge.request("GET", "/").body) == 101


def test_the_cap_counts_what_is_unpacked() -> None:
    packed = gzip.compress(b"a" * 10_000_000)
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed
    with answering(answer) as server, edge_to(server.url, max_body=1_000_000) as edge:
        assert reason_of(edge) == "answer_too_large"


@pytest.mark.parametrize(
    "answer",
    [
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 101 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: " + b"b" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=["no status line", "too many headers", "a header too long", "not gzip"],
)
def test_what_is_not_http_is_refused(answer: bytes) -> None:
    with answering(answer) as server, edge_to(server.url) as edge:
        assert reason_of(edge) == "answer_malformed"


def test_a_refused_connection_is_tried_three_times_whatever_the_method() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    waits: list[float] = []
    with edge_to(url, sleep=waits.append) as edge:
        assert reason_of(edge, "POST", body=SECRET.encode()) == "connect_failed"
    assert len(waits) == 2


def test_a_lost_connection_is_made_again_where_a_repeat_does_no_harm() -> None:
    with failing_first(2) as server, edge_to(server.url) as edge:
        assert edge.request("PUT", "/Users/1", body=b"{}").body == b"ok"
    with failing_first(1) as server, edge_to(server.url) as edge:
        assert edge.request("POST", "/events", body=b"{}", repeatable=True).body == b"ok"


def test_a_request_that_is_made_again_is_the_same_attempt_in_the_same_trace() -> None:
    told = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-a3ce929d0e0e4736-01"}
    with failing_first(2) as server, edge_to(server.url) as edge:
        edge.request("PUT", "/Users/1", headers=told, body=b"{}")
        assert len(server.requests) == 3
        assert all(f"traceparent: {told['traceparent']}".encode() in request for request in server.requests)


def test_a_lost_connection_is_not_made_again_where_a_repeat_might_do_harm() -> None:
    with failing_first(9) as server, edge_to(server.url) as edge:
        assert reason_of(edge, "POST") == "connection_lost"
        assert reason_of(edge, "PUT", repeatable=False) == "connection_lost"
        assert server.connections == 2


def test_a_status_is_never_tried_again() -> None:
    away = b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\nRetry-After: 7\r\n\r\n"
    with answering(away, OK) as server, edge_to(server.url) as edge:
        assert edge.request("GET", "/").retry_after == timedelta(seconds=7)
        assert len(server.requests) == 1


def test_a_header_that_http_cannot_carry_is_refused_without_quoting_it() -> None:
    with answering(OK) as server, edge_to(server.url) as edge:
        for value in (f"{SECRET}\nX: y", f"{SECRET}\N{SNOWMAN}"):
            with pytest.raises(TargetUnavailable, match="request_invalid") as caught:
                edge.request("GET", "/", headers={"X-Name": value})
            assert_tells_nothing(caught.value)


def test_no_log_says_what_was_asked_or_answered(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    odd = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + SECRET.encode() + b"\r\n\r\nok"
    with answering(odd) as server, edge_to(server.url) as edge:
        with suppress(TargetUnavailable):
            edge.request("GET", "/Users", params={"filter": SECRET})
        assert server.requests
    assert SECRET not in caplog.text


def test_the_observer_hears_of_each_request_once() -> None:
    heard: list[tuple[str, str]] = []
    with (
        failing_first(1) as server,
        edge_to(server.url, observer=lambda method, result, _: heard.append((method, result))) as edge,
    ):
        edge.request("GET", "/")
    with failing_first(1) as server, edge_to(server.url, observer=lambda m, r, _: heard.append((m, r))) as edge:
        reason_of(edge, "POST")
    assert heard == [("GET", "2xx"), ("POST", "connection_lost")]


def test_a_proxy_is_used_and_the_deadline_holds_behind_it() -> None:
    with answering(OK) as proxy, edge_to("http://127.0.0.1:9", proxy=proxy.url) as edge:
        assert edge.request("GET", "/Users").body == b"ok"
        assert proxy.requests[0].startswith(b"GET http://127.0.0.1:9/Users ")
    with trickling(b"", b"HTTP/1.1 200 OK\r\n") as proxy:
        for base in ("http://127.0.0.1:9", "https://127.0.0.1:9"):
            with edge_to(base, proxy=proxy.url, timeout=SHORT) as edge:
                assert reason_of(edge) == "timeout"


@pytest.mark.parametrize(
    "url",
    [
        "https://ole-olsen:x@127.0.0.1",
        "https://ole-olsen@127.0.0.1",
        "http://ole-olsen.example",
        "ftp://127.0.0.1",
        "127.0.0.1/ole-olsen",
        "https://127.0.0.1/?ole-olsen",
        "https://[ole-olsen",
        "https://127.0.0.1:ole-olsen",
        "",
    ],
)
def test_a_base_url_that_cannot_be_used_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        HttpEdge(url)
    assert_tells_nothing(caught.value)


# ---------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=stand-in"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@contextmanager
def tls_server(
    certificate: tuple[Path, Path],
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    client_ca: Path | None = None,
    answer: bytes = OK,
) -> Iterator[tuple[RawServer, str]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    if newest < ssl.TLSVersion.TLSv1_2:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = newest
    context.maximum_version = newest
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)

    def serve(server: RawServer, connection: socket.socket, number: int) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            if server.read(secure):
                secure.sendall(answer)

    with RawServer(serve) as server:
        yield server, server.url.replace("http", "https")


def test_a_certificate_that_nobody_vouches_for_is_refused_before_anything_is_sent(
    certificate: tuple[Path, Path],
) -> None:
    with tls_server(certificate) as (server, url), edge_to(url) as edge:
        assert reason_of(edge) == "tls_failed"
        assert server.requests == []
        assert server.connections == 1


def test_a_named_authority_is_believed(certificate: tuple[Path, Path]) -> None:
    with tls_server(certificate) as (_, url), edge_to(url, ca_file=certificate[0]) as edge:
        assert edge.request("GET", "/").body == b"ok"


def test_a_certificate_for_another_host_is_refused(certificate: tuple[Path, Path]) -> None:
    with (
        tls_server(certificate) as (server, url),
        edge_to(url.replace("127.0.0.1", "localhost"), ca_file=certificate[0]) as edge,
    ):
        assert reason_of(edge) == "tls_failed"
        assert server.requests == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_tls_before_1_2_is_refused(certificate: tuple[Path, Path]) -> None:
    with (
        tls_server(certificate, ssl.TLSVersion.TLSv1_1) as (server, url),
        edge_to(url, ca_file=certificate[0]) as edge,
    ):
        assert reason_of(edge) == "tls_failed"
        assert server.requests == []


def test_our_certificate_is_shown_to_who_asks(certificate: tuple[Path, Path]) -> None:
    with (
        tls_server(certificate, client_ca=certificate[0]) as (_, url),
        edge_to(url, ca_file=certificate[0], client_cert=certificate) as edge,
    ):
        assert edge.request("GET", "/").body == b"ok"


def test_a_cut_body_is_an_error_over_tls_too(certificate: tuple[Path, Path]) -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok"
    with (
        tls_server(certificate, answer=cut) as (_, url),
        edge_to(url, ca_file=certificate[0]) as edge,
    ):
        assert reason_of(edge, "POST") == "answer_cut"


def test_certificate_files_that_cannot_be_used_are_a_mistake_of_the_configuration(
    certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(ConfigError, match=r"empty\.pem"):
        HttpEdge("https://127.0.0.1", ca_file=tmp_path / "empty.pem")
    with pytest.raises(ConfigError, match=r"empty\.pem"):
        HttpEdge("https://127.0.0.1", client_cert=(tmp_path / "empty.pem", certificate[1]))
