"""The stand-ins for Aula and for a bad network do what they promise."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from standardwebhooks import Webhook

from bridge.testing.aula_receiver import AulaReceiver
from bridge.testing.faulty_proxy import Fault, FaultyProxy
from bridge.testing.loopback import LoopbackServer, Request, Response
from tests.support.simulators import Answer, call

C3 = "{https://brugerdatabasen.stil.dk/bpi/common/3}"
E7 = "{https://brugerdatabasen.stil.dk/bpi/wsieksport/7}"
E7C = "{https://brugerdatabasen.stil.dk/bpi/wsieksport/7/common}"
FM = "{https://brugerdatabasen.stil.dk/bpi/wsieksport/7/fullmyndighed}"
SOAP = "{http://www.w3.org/2003/05/soap-envelope}"
WSA = "{http://www.w3.org/2005/08/addressing}"
SCHOOL = "101001"
SECRET = "whsec_" + base64.b64encode(b"a secret of the tests, 32 bytes!").decode()
WITH_CPR = "<e:filtre><e:cprFilter><e:inkluderCpr>true</e:inkluderCpr></e:cprFilter></e:filtre>"


def event(
    operation: str, version: int, event_id: str, entity: str = "person", content: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": f"/municipality/999/institution/{SCHOOL}",
        "type": f"skolebro.{entity}.{operation}.v1",
        "subject": f"{entity}/1",
        "entityversion": version,
        "data": {"object": content or {"version": version}},
    }


def send(receiver: AulaReceiver, body: dict[str, Any] | bytes, secret: str = SECRET, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    now = datetime.now(UTC)
    signed = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", now, content.decode()),
        "content-type": "application/cloudevents+json; charset=utf-8",
    }
    return call(receiver.events_url, content, signed | headers)


@pytest.fixture
def aula() -> Iterator[AulaReceiver]:
    with AulaReceiver(SECRET) as receiver:
        yield receiver


class TestAulaReceiver:
    def test_a_signed_event_is_kept_and_applied(self, aula: AulaReceiver) -> None:
        assert send(aula, event("created", 1, "a")).status == 200
        assert aula.objects == {"person/1": {"version": 1}}
        assert [e["id"] for e in aula.received] == ["a"]

    def test_a_bad_signature_is_refused(self, aula: AulaReceiver) -> None:
        stranger = "whsec_" + base64.b64encode(b"another secret, as long as that.").decode()
        assert send(aula, event("created", 1, "a"), secret=stranger).status == 401
        assert (aula.received, aula.objects) == ([], {})

    @pytest.mark.parametrize("signature", ["", "nonsense", "v1,***", "v2,AAAA"])
    def test_a_signature_that_is_none_is_refused(self, aula: AulaReceiver, signature: str) -> None:
        assert send(aula, event("created", 1, "a"), **{"webhook-signature": signature}).status == 401

    @pytest.mark.parametrize(
        "missing", ["id", "source", "specversion", "type", "subject", "entityversion", "data"]
    )
    def test_an_event_without_an_attribute_it_needs_is_refused(self, aula: AulaReceiver, missing: str) -> None:
        incomplete = {name: value for name, value in event("created", 1, "a").items() if name != missing}
        assert send(aula, incomplete).status == 400
        assert aula.received == []

    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b"1"])
    def test_a_body_that_is_no_event_is_refused(self, aula: AulaReceiver, body: bytes) -> None:
        assert send(aula, body).status == 400

    def test_another_content_type_is_refused(self, aula: AulaReceiver) -> None:
        assert send(aula, event("created", 1, "a"), **{"content-type": "application/json"}).status == 415

    def test_a_repeat_is_accepted_and_changes_nothing(self, aula: AulaReceiver) -> None:
        assert [send(aula, event("created", 1, "a")).status for _ in range(2)] == [200, 200]
        assert (len(aula.received), aula.duplicates, aula.stale) == (2, 1, 0)

    def test_an_older_version_is_dropped(self, aula: AulaReceiver) -> None:
        for version, event_id in ((2, "b"), (1, "a"), (3, "c")):
            send(aula, event("updated", version, event_id))
        assert aula.objects == {"person/1": {"version": 3}}
        assert (aula.stale, aula.duplicates) == (1, 0)

    def test_what_is_deleted_does_not_come_back_by_a_late_update(self, aula: AulaReceiver) -> None:
        send(aula, event("created", 1, "a"))
        send(aula, event("deleted", 3, "c"))
        send(aula, event("updated", 2, "b"))
        assert (aula.objects, aula.stale) == ({}, 1)
        send(aula, event("created", 4, "d"))
        assert aula.objects == {"person/1": {"version": 4}}

    def test_a_control_event_is_kept_and_changes_nothing(self, aula: AulaReceiver) -> None:
        control = {
            "specversion": "1.0",
            "id": "s",
            "source": "/municipality/999",
            "type": "skolebro.snapshot.started.v1",
        }
        assert send(aula, control).status == 200
        assert (len(aula.received), aula.objects) == (1, {})

    def test_it_shows_what_it_holds(self, aula: AulaReceiver) -> None:
        send(aula, event("created", 1, "a"))
        send(aula, event("created", 1, "b", entity="group", content={"name": "0. årgang"}))
        assert call(f"{aula.url}/state").json == {"person": 1, "group": 1}
        assert call(f"{aula.url}/objects").json["group/1"] == {"name": "0. årgang"}

    def test_it_remembers_no_more_events_than_it_is_told_to(self) -> None:
        with AulaReceiver(SECRET, keep=2) as aula:
            for version in (1, 2, 3):
                send(aula, event("updated", version, str(version)))
            assert [e["id"] for e in aula.received] == ["2", "3"]
            assert aula.objects == {"person/1": {"version": 3}}

    def test_other_methods_and_paths_are_refused(self, aula: AulaReceiver) -> None:
        assert call(aula.events_url).status == call(f"{aula.url}/state", b"").status == 405
        assert call(f"{aula.url}/elsewhere").status == 404


class Echo(LoopbackServer):
    """Sends back the body it got, or the path when there was none."""

    def answer(self, request: Request) -> Response:
        return Response(201, request.body or request.path.encode(), {"X-Method": request.method, "ETag": "1"})


def test_a_request_in_chunks_is_one_request() -> None:
    """RFC 9112 §7.1: SOAP stacks send a long request in chunks."""
    with (
        Echo() as server,
        socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=10) as client,
    ):
        head = b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.sendall(head + b"3\r\nabc\r\n4;x=1\r\ndefg\r\n0\r\nTrailer: 1\r\n\r\n")
        response = http.client.HTTPResponse(client)
        response.begin()
        assert response.read() == b"abcdefg"
        client.sendall(head + b"ff\r\nabc")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""  # it never became a request


class Broken(LoopbackServer):
    def answer(self, request: Request) -> Response:
        raise LookupError("a fault of the stand-in")


def call_and_note(url: str, ends: list[type[Exception]]) -> None:
    try:
        call(url)
    except (OSError, http.client.HTTPException) as error:
        ends.append(type(error))


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as server:
        yield server


@pytest.fixture
def proxy(echo: Echo) -> Iterator[FaultyProxy]:
    with FaultyProxy(echo.url + "/base/") as server:
        yield server


class TestFaultyProxy:
    def test_it_passes_requests_on_and_keeps_them(self, proxy: FaultyProxy) -> None:
        answer = call(f"{proxy.url}/a?b=c", "æ".encode(), {"X-Trace": "7"}, method="PATCH")
        assert (answer.status, answer.body) == (201, "æ".encode())
        assert (answer.headers["X-Method"], answer.headers["ETag"]) == ("PATCH", "1")
        (seen,) = proxy.requests
        assert (seen.method, seen.path, seen.body, seen.status) == ("PATCH", "/a?b=c", "æ".encode(), 201)
        assert seen.headers["x-trace"] == "7"

    def test_it_keeps_the_path_of_the_upstream(self, proxy: FaultyProxy) -> None:
        assert call(f"{proxy.url}/a?b=c").body == b"/base/a?b=c"

    def test_one_connection_carries_many_requests(self, proxy: FaultyProxy) -> None:
        connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=10)
        for path in ("/1", "/2"):
            connection.request("GET", path)
            socket_used = connection.sock
            assert connection.getresponse().read() == b"/base" + path.encode()
            assert connection.sock is socket_used
        connection.close()

    @pytest.mark.parametrize("sent", [b"", b"ab"])
    def test_a_body_that_its_sender_did_not_finish_is_no_request(
        self, proxy: FaultyProxy, echo: Echo, sent: bytes
    ) -> None:
        host, _, port = proxy.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\n" + sent)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""
        assert proxy.requests == [] and proxy.arrivals == echo.arrivals == 0

    def test_it_answers_with_the_status_it_is_told(self, proxy: FaultyProxy, echo: Echo) -> None:
        proxy.fault = Fault("status", code=429, headers={"Retry-After": "3"}, body=b"slower")
        answer = call(proxy.url)
        assert (answer.status, answer.headers["Retry-After"], answer.body) == (429, "3", b"slower")
        assert proxy.requests[0].status == 429
        assert not echo.wait_for_requests(1, timeout=timedelta())

    def test_it_answers_with_a_page(self, proxy: FaultyProxy) -> None:
        proxy.fault = Fault("garbage")
        answer = call(proxy.url)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html")

    def test_it_cuts_an_answer_that_the_upstream_gave(self, proxy: FaultyProxy, echo: Echo) -> None:
        proxy.fault = Fault("cut_response")
        with pytest.raises(http.client.IncompleteRead) as cut:
            call(f"{proxy.url}/half")
        assert cut.value.partial == b"/base"
        assert echo.wait_for_requests(1)
        assert proxy.requests[0].status == 201

    def test_it_closes_before_the_upstream_is_asked(self, proxy: FaultyProxy, echo: Echo) -> None:
        proxy.fault = Fault("cut_request")
        with pytest.raises(http.client.RemoteDisconnected):
            call(proxy.url)
        assert proxy.requests[0].status is None
        assert not echo.wait_for_requests(1, timeout=timedelta())

    def test_a_hanging_request_ends_when_the_proxy_stops(self, echo: Echo) -> None:
        ends: list[type[Exception]] = []
        with FaultyProxy(echo.url) as proxy:
            proxy.fault = Fault("hang", is_forwarded=True)
            client = threading.Thread(target=call_and_note, args=(proxy.url, ends))
            client.start()
            assert echo.wait_for_requests(1)
        client.join(10)
        assert ends == [http.client.RemoteDisconnected]
        assert [seen.status for seen in proxy.requests] == [None]

    def test_a_slow_answer_comes_whole(self, proxy: FaultyProxy) -> None:
        proxy.fault = Fault("slow", byte_interval=timedelta(microseconds=1))
        assert call(f"{proxy.url}/slow").body == b"/base/slow"

    def test_a_fault_befalls_as_many_requests_as_it_has_left(self, proxy: FaultyProxy) -> None:
        proxy.fault = Fault("status", remaining=2)
        assert [call(proxy.url).status for _ in range(3)] == [503, 503, 201]
        assert proxy.fault is None

    def test_a_fault_befalls_what_it_matches(self, proxy: FaultyProxy) -> None:
        proxy.fault = Fault("status", remaining=1, match=lambda method, path: path == "/bad")
        assert [call(proxy.url + path).status for path in ("/good", "/bad", "/bad")] == [201, 503, 201]

    def test_an_upstream_that_is_gone_gives_502(self, proxy: FaultyProxy, echo: Echo) -> None:
        echo.stop()
        assert call(proxy.url).status == 502
        echo.start()
        assert call(proxy.url).status == 201

    @pytest.mark.parametrize(
        "url", ["http://school.example", "https://127.0.0.1", "ftp://localhost", "http://10.0.0.1"]
    )
    def test_it_stands_before_loopback_only(self, url: str) -> None:
        with pytest.raises(ValueError, match="loopback"):
            FaultyProxy(url)


class TestStopping:
    def test_no_thread_is_left(self) -> None:
        threads = threading.active_count()
        connections = []
        with Echo() as server:
            for _ in range(3):
                connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
                connection.request("GET", "/")
                connection.getresponse().read()
                connections.append(connection)
            assert threading.active_count() > threads
        assert threading.active_count() == threads
        for connection in connections:
            connection.close()

    def test_stopping_twice_does_nothing(self) -> None:
        server = Echo().start()
        server.stop()
        server.stop()

    def test_an_error_of_the_stand_in_itself_comes_to_light(self) -> None:
        server = Broken().start()
        with pytest.raises(http.client.RemoteDisconnected):
            call(server.url)
        with pytest.raises(LookupError):
            server.stop()
