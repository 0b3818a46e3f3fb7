"""What a target serves is reached under its own path and names, and nothing else is by them."""

from __future__ import annotations

import http.client
import io
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from bridge.domain.ids import TargetId
from bridge.engine.tell import Teller
from bridge.observe import Metrics, Status
from bridge.web.app import Health, WebDeps, create_app
from bridge.web.served import path_of, with_served
from bridge.web.server import WebServer
from tests.support.engine import MORNING

ROSTER, OTHER = TargetId("101/roster"), TargetId("101/other")
PUBLIC = "skolebro.kommune.example"
WELL = Status(MORNING, (), (), (), (), (), 0, "0:" + "00" * 32)


async def roster(scope: Any, receive: Any, send: Any) -> None:
    """Say which path below the mount was asked for; break before or amid the answer when asked to."""
    below = scope["path"].removeprefix(scope["root_path"])
    if below == "/breaks":
        raise ValueError("0101011234")
    status = 404 if below == "/nothing" else 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    if below == "/breaks-off":
        await send({"type": "http.response.body", "body": b"so far", "more_body": True})
        raise ValueError("0101011234")
    await send({"type": "http.response.body", "body": f"roster has {below}".encode()})


async def other(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the other"})


class Site:
    """A running server with the operator's pages and two targets that serve."""

    def __init__(self) -> None:
        self.metrics = Metrics("0")
        teller = Teller(self.metrics, lambda: MORNING)
        deps = WebDeps(lambda: WELL, self.metrics.exposition, lambda: Health(True), lambda: Health(True))
        app = with_served(create_app(deps), {ROSTER: roster, OTHER: other}, [PUBLIC], teller)
        self.server = WebServer(app, "127.0.0.1", 0)

    def ask(self, path: str, host: str | None = None) -> requests.Response:
        headers = {"Host": host} if host else {}
        return requests.get(self.server.url[:-1] + path, headers=headers, timeout=10, allow_redirects=False)

    def raw(self, path: str, host: str) -> tuple[int, bytes]:
        """Ask for a path as it is, which a good client would tidy up."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", int(self.server.url.rpartition(":")[2][:-1]), timeout=10
        )
        connection.putrequest("GET", path, skip_host=True)
        connection.putheader("Host", host)
        connection.endheaders()
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    site.server.start()
    yield site
    site.server.stop()


@pytest.mark.parametrize("host", [None, "localhost", "127.0.0.1:1234", PUBLIC, f"{PUBLIC}:443", PUBLIC.upper()])
def test_each_target_is_below_its_own_path_under_every_name_of_ours(site: Site, host: str | None) -> None:
    assert path_of(ROSTER) == "/targets/101/roster/"
    assert site.ask("/targets/101/roster/orgs?limit=1", host).text == "roster has /orgs"
    assert site.ask("/targets/101/roster/", host).text == "roster has /"
    assert site.ask("/targets/101/other/orgs", host).text == "the other"


@pytest.mark.parametrize("host", ["evil.example", f"x.{PUBLIC}", "kommune.example", "", "192.0.2.1"])
def test_under_a_name_that_is_not_ours_there_is_nothing(site: Site, host: str) -> None:
    for path in ("/targets/101/roster/orgs", "/", "/status", "/metrics"):
        status, text = site.raw(path, host)
        assert (status, b"roster" in text) == (400, False)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/status",
        "/metrics",
        "/holds/1",
        "/health/live",
        "/health/ready",
        "/targets",
        "//status",
        "/targets/../status",
        "/%74argets/../status",
    ],
)
def test_under_a_public_name_the_operators_pages_are_not_there(site: Site, path: str) -> None:
    status, text = site.raw(path, PUBLIC)
    assert status in (400, 404)
    assert b"well" not in text.lower() and b"bridge_" not in text


@pytest.mark.parametrize("path", ["/targets/101/roster/../../../status", "/targets/101/roster/%2e%2e/status"])
def test_a_path_that_climbs_stays_with_the_target(site: Site, path: str) -> None:
    status, text = site.raw(path, PUBLIC)
    assert (status, text.startswith(b"roster has /")) == (200, True)


@pytest.mark.parametrize("path", ["/targets/", "/targets/101/", "/targets/101/roster", "/targets/102/roster/"])
def test_what_nobody_serves_is_not_found_and_leads_nowhere(site: Site, path: str) -> None:
    answer = site.ask(path, PUBLIC)
    assert (answer.status_code, "location" in answer.headers) == (404, False)


@pytest.mark.parametrize("path", ["/", "/status", "/metrics", "/health/live", "/health/ready"])
def test_the_operators_pages_are_as_ever_on_this_machine(site: Site, path: str) -> None:
    answer = site.ask(path)
    assert answer.status_code == 200
    assert answer.headers["X-Frame-Options"] == "DENY"


def test_what_breaks_says_nothing_of_why_and_the_log_names_the_target(site: Site, stream: io.StringIO) -> None:
    answer = site.ask("/targets/101/roster/breaks", PUBLIC)
    assert (answer.status_code, answer.text) == (500, "Something failed.\n")
    assert "0101011234" not in str(answer.headers) + stream.getvalue()
    assert '"serving.failed"' in stream.getvalue() and '"101/roster"' in stream.getvalue()
    assert site.ask("/targets/101/roster/orgs", PUBLIC).status_code == 200


def test_what_breaks_off_is_an_answer_that_is_not_whole(site: Site, stream: io.StringIO) -> None:
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        site.ask("/targets/101/roster/breaks-off", PUBLIC)
    assert "0101011234" not in stream.getvalue()


def test_answers_are_counted_by_target_and_class(site: Site, stream: io.StringIO) -> None:
    for path in ("orgs", "users", "nothing", "breaks"):
        site.ask(f"/targets/101/roster/{path}", PUBLIC)
    site.ask("/targets/101/other/")
    site.ask("/targets/101/roster/orgs", "evil.example")
    shown = site.metrics.exposition().decode()
    for code_class, target, number in (
        ("2xx", ROSTER, 2),
        ("4xx", ROSTER, 1),
        ("5xx", ROSTER, 1),
        ("2xx", OTHER, 1),
    ):
        assert f'bridge_served_requests_total{{code_class="{code_class}",target="{target}"}} {number}.0' in shown
