"""Vendors at a real server: who is let in, what they are told, and that they never wait for ever."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from bridge.connector import Capabilities
from bridge.engine.breaker import switch_off
from bridge.ports import RETIRED, SHADOW
from bridge.web.vendor_api import document
from tests.support.engine import TARGET, Bench, group, mapping_of, parent, pupil
from tests.support.vendor_site import OTHER_TOKEN, PUBLIC, TOKEN, Site, served
from tests.support.vendors import VENDOR, reference, vendor_feed

ROOT = Path(__file__).parents[2]
GUIDE, REFERENCE = ROOT / "docs/how-to/vendor-feed.md", ROOT / "docs/reference/openapi.json"


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.take(group("1A"), pupil("anna", contacts=[parent("mor")]), pupil("bo"), pupil("carl"))
    return bench


@pytest.fixture
def site(bench: Bench) -> Iterator[Site]:
    with served(Site({TOKEN: vendor_feed(bench), OTHER_TOKEN: vendor_feed(bench)})) as site:
        yield site


def test_a_batch_is_cloud_events_with_the_way_on(site: Site) -> None:
    answer = site.get("/v1/events?limit=2")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/cloudevents-batch+json")
    assert [event["specversion"] for event in answer.json()] == ["1.0", "1.0"]
    assert answer.links["next"]["url"] == f"/v1/events?after={answer.headers['Skolebro-Cursor']}&limit=2"
    following = site.get(answer.links["next"]["url"]).json()
    assert following[0]["sequence"] > answer.json()[-1]["sequence"]


def test_what_the_vendor_has_is_not_sent_again_nor_audited(site: Site, bench: Bench) -> None:
    first = site.get("/v1/events")
    before = len(bench.audit())
    again = site.get("/v1/events", headers={"If-None-Match": f'"x", W/{first.headers["ETag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert (again.headers["ETag"], again.headers["Link"]) == (first.headers["ETag"], first.headers["Link"])
    assert len(bench.audit()) == before


@pytest.mark.parametrize("token", [None, "", "c" * 32, "a" * 31, "æ", "a" * 5_000])
def test_nobody_is_let_in_without_a_token(site: Site, bench: Bench, token: str | None) -> None:
    headers = {"Authorization": f"Bearer {token}".encode()} if token is not None else {}
    before = len(bench.audit())
    for path in ("/v1/events", "/v1/snapshot", "/v1/events?limit=x"):
        answer = site.get(path, None, headers=headers)
        assert answer.status_code in (401, 431, 400) and (answer.status_code == 401 or len(token or "") > 100)
        assert answer.headers.get("Content-Type") == "application/problem+json"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert len(bench.audit()) == before


@pytest.mark.parametrize(
    ("path", "status", "name"),
    [
        ("/v1/events?limit=0", 400, "parameter"),
        ("/v1/events?limit=1001", 400, "parameter"),
        ("/v1/events?limit=١", 400, "parameter"),
        ("/v1/events?wait=61", 400, "parameter"),
        ("/v1/events?limit=1&limit=2", 400, "parameter"),
        ("/v1/events?other=1", 400, "parameter"),
        ("/v1/snapshot?wait=1", 400, "parameter"),
        ("/v1/events?after=", 400, "parameter"),
        ("/v1/events?after=%00%F0", 400, "parameter"),
        ("/v1/events?after=w", 404, "cursor"),
        ("/v1/events?after=WyJlIix7IjEwMSI6LTF9XQ", 404, "cursor"),
        ("/v1/snapshot?after=WyJlIix7IjEwMSI6MX1d", 404, "cursor"),
        ("/v1/events?after=WyJlIix7IjEwMiI6MX1d", 403, "foreign"),
        ("/v1/events?after=WyJlIix7IjEwMSI6OTk5OX1d", 410, "past"),
        ("/v1/events?since=yesterday", 400, "parameter"),
        ("/v1/events?since=2026-02-30T00:00:00Z", 400, "parameter"),
        ("/v1/events?since=2026-01-01T00:00:00", 400, "parameter"),
        ("/v1/events?since=0001-01-01T00:00:00%2B23:00", 400, "parameter"),
        ("/v1/events?since=2026-01-01T00:00:00Z&after=WyJlIix7fV0", 400, "parameter"),
        ("/v1/events?since=2020-01-01T00:00:00Z", 410, "past"),
        ("/v1/snapshot?since=2026-01-01T00:00:00Z", 400, "parameter"),
        ("/v1/deliveries?wait=1", 400, "parameter"),
        ("/v1/deliveries?after=WyJlIix7IjEwMSI6MX1d", 404, "cursor"),
        ("/v1/deliveries?after=WyJkIiw5XQ&since=2026-01-01T00:00:00Z", 400, "parameter"),
        ("/v1/replay", 405, "method"),
        ("/v1/", 404, "nothing"),
    ],
)
def test_what_cannot_be_answered_is_a_problem(site: Site, path: str, status: int, name: str) -> None:
    site.get("/v1/events")
    answer = site.get(path)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    told = answer.json()
    assert (told["status"], told["type"]) == (status, f"urn:skolebro:problem:{name}")
    if status == 410:
        assert "</v1/snapshot>" in answer.headers["Link"]


@pytest.fixture
def pushing() -> Iterator[tuple[Site, Bench]]:
    """Two vendors, of whom the first has a target, which has confirmed what there is."""
    bench = Bench(mapping=mapping_of(VENDOR), capabilities=Capabilities(references="canonical", max_batch=50))
    bench.vendor = "books"
    bench.take(group("1A"), pupil("anna", given_name="Hemmelig"), pupil("bo"))
    bench.drain()
    other = replace(vendor_feed(bench), vendor="films")
    feeds = {TOKEN: vendor_feed(bench), OTHER_TOKEN: other}
    with served(Site(feeds, renderings={TOKEN: [bench.rendering]})) as site:
        yield site, bench


def test_the_delivery_log_is_read_in_pages_and_is_the_vendors_own(pushing: tuple[Site, Bench]) -> None:
    site, bench = pushing
    site.get("/v1/events?limit=3")
    answer, found = site.get("/v1/deliveries?limit=2"), []
    while shown := answer.json():
        assert answer.headers["Content-Type"] == "application/json"
        found += shown
        cursor = answer.headers["Skolebro-Cursor"]
        assert answer.links["next"]["url"] == f"/v1/deliveries?after={cursor}&limit=2"
        answer = site.get(answer.links["next"]["url"])
    assert [one["id"] for one in found[:-1]] == [command.delivery_key for command in bench.target.commands]
    assert (found[-1]["kind"], found[-1]["count"]) == ("fetch", 3)
    assert "emmelig" not in str(found)
    assert site.get("/v1/deliveries", OTHER_TOKEN).json() == []
    since = site.get("/v1/deliveries?since=2026-08-11T06:00:00Z").json()
    assert since == found
    assert site.get("/v1/deliveries?since=2026-08-12T06:00:00Z").json() == []


def test_the_log_that_the_vendor_has_is_not_sent_again(pushing: tuple[Site, Bench]) -> None:
    site, bench = pushing
    first, before = site.get("/v1/deliveries"), len(bench.audit())
    again = site.get("/v1/deliveries", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert len(bench.audit()) == before


def test_the_feed_is_read_again_from_a_time_on(pushing: tuple[Site, Bench]) -> None:
    site, bench = pushing
    everything = site.get("/v1/events").json()
    bench.clock.forward(hours=1)
    bench.take(group("1A"), pupil("anna"), pupil("bo"), pupil("carl"))
    site.get("/v1/events")
    bench.clock.forward(hours=1)
    answer = site.get("/v1/events?since=2026-08-11T06:30:00.5Z")
    assert {event["time"][:16] for event in answer.json()} == {"2026-08-11T07:00"}
    assert site.get(answer.links["next"]["url"]).json() == []
    assert len(site.get("/v1/events?since=2026-08-11T08:00:00%2B02:00").json()) >= len(everything)


def test_a_replay_is_asked_for_by_its_own_vendor_only(pushing: tuple[Site, Bench]) -> None:
    site, bench = pushing
    asked = {"target": TARGET, "since": "2026-08-11T05:00:00Z", "until": "2026-08-11T07:00:00Z"}
    foreign, nowhere = (
        site.post("/v1/replay", asked, OTHER_TOKEN),
        site.post("/v1/replay", {**asked, "target": "x"}),
    )
    assert foreign.status_code == nowhere.status_code == 404
    assert foreign.content == nowhere.content
    assert site.post("/v1/replay", asked, None).status_code == 401
    before = len(bench.target.commands)
    done = site.post("/v1/replay", asked)
    assert (done.status_code, done.headers["Content-Type"]) == (202, "application/json")
    assert done.json() == {
        "target": TARGET,
        "entities": before,
        "deletions": 0,
        "ends": "2026-08-11T06:01:00Z",
    }
    again = site.post("/v1/replay", asked)
    assert (again.status_code, again.headers["Retry-After"]) == (429, "60")
    assert again.json()["type"] == "urn:skolebro:problem:replaying"
    bench.clock.forward(hours=1)
    bench.drain()
    assert len(bench.target.commands) == 2 * before


def test_a_replay_goes_on_behind_a_cursor_of_the_log(pushing: tuple[Site, Bench]) -> None:
    site, bench = pushing
    cursor = site.get("/v1/deliveries?limit=2").headers["Skolebro-Cursor"]
    bench.clock.forward(hours=1)
    done = site.post("/v1/replay", {"target": TARGET, "after": cursor})
    assert done.json()["entities"] == len(bench.target.commands) - 2


@pytest.mark.parametrize(("pause", "name"), [(SHADOW, "shadow"), (RETIRED, "paused")])
def test_where_nothing_may_be_sent_a_replay_is_refused_with_the_reason(
    pushing: tuple[Site, Bench], pause: str, name: str
) -> None:
    site, bench = pushing
    with bench.store.write() as uow:
        switch_off(uow, TARGET, pause)
    answer = site.post("/v1/replay", {"target": TARGET, "since": "2026-08-11T05:00:00Z"})
    assert (answer.status_code, answer.json()["type"]) == (409, f"urn:skolebro:problem:{name}")


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"target": TARGET},
        {"since": "2026-08-11T05:00:00Z"},
        {"target": TARGET, "since": "now"},
        {"target": TARGET, "since": None},
        {"target": TARGET, "since": ""},
        {"target": TARGET, "since": "2026-08-11T05:00:00Z", "after": "WyJkIiw5XQ"},
        {"target": TARGET, "after": "æ"},
        {"target": TARGET, "since": "2026-08-11T05:00:00Z", "until": ""},
        {"target": TARGET, "since": "2026-08-11T05:00:00Z", "by": "me"},
        {"target": "x" * 10_000, "since": "2026-08-11T05:00:00Z"},
    ],
)
def test_a_replay_that_is_not_asked_for_properly_is_a_problem(pushing: tuple[Site, Bench], body: Any) -> None:
    answer = pushing[0].post("/v1/replay", body)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:skolebro:problem:body")


def test_whose_body_does_not_come_is_not_waited_for(bench: Bench) -> None:
    with served(Site({TOKEN: vendor_feed(bench)}, patience=timedelta(milliseconds=50))) as site:
        address = urlsplit(site.url)
        head = f"POST /v1/replay HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
            connection.sendall(f"{head}Content-Length: 9\r\n\r\n{{".encode())
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))  # until it hangs up
    assert answer.startswith(b"HTTP/1.1 400 ") and b"urn:skolebro:problem:body" in answer


def test_only_get_is_taken(site: Site) -> None:
    answer = requests.post(f"{site.url}/v1/events", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10)
    assert (answer.status_code, answer.json()["type"]) == (405, "urn:skolebro:problem:method")


def test_the_feed_is_under_the_public_name_and_the_pages_are_not(site: Site) -> None:
    assert site.get("/v1/events", headers={"Host": PUBLIC}).status_code == 200
    assert site.get("/v1/events", headers={"Host": "evil.example"}).status_code == 400
    assert site.get("/status", headers={"Host": PUBLIC}).status_code == 400
    assert site.get("/status").status_code == 200


def test_who_asks_too_often_is_told_how_long_to_wait(bench: Bench) -> None:
    with served(Site({TOKEN: vendor_feed(bench), OTHER_TOKEN: vendor_feed(bench)}, per_minute=2)) as site:
        assert [site.get("/v1/events").status_code for _ in range(2)] == [200, 200]
        refused = site.get("/v1/events")
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "30")
        assert site.get("/v1/events", OTHER_TOKEN).status_code == 200, "each vendor has its own pace"
        site.beats.at += 30
        assert site.get("/v1/events").status_code == 200
        shown = site.metrics.exposition().decode()
        assert 'bridge_served_requests_total{code_class="4xx",target="vendors/books"} 1.0' in shown


@contextmanager
def waiting(site: Site, number: int) -> Iterator[list[requests.Response]]:
    """So many who wait for news, from when they do; their answers are there when the block is left."""
    cursor = site.get("/v1/events").headers["Skolebro-Cursor"]
    answers: list[requests.Response] = []
    waiters = [
        Thread(target=lambda: answers.append(site.get(f"/v1/events?wait=25&after={cursor}")))
        for _ in range(number)
    ]
    for waiter in waiters:
        waiter.start()
    until = monotonic() + 20
    while site.deps.waiting["books"] < number and monotonic() < until:
        site.get("/v1/openapi.json", None)
    assert site.deps.waiting["books"] == number
    yield answers
    for waiter in waiters:
        waiter.join()
    assert site.deps.waiting["books"] == 0


def test_whoever_waits_is_told_what_comes(site: Site, bench: Bench) -> None:
    with waiting(site, 2) as answers:
        bench.take(group("1A"), pupil("anna"), pupil("bo"), pupil("carl"), pupil("dorte"))
    for answer in answers:
        assert any(event["data"]["object"].get("user_id") == "dorte" for event in answer.json())


def test_only_a_few_of_one_vendor_wait_at_once(site: Site, bench: Bench) -> None:
    with waiting(site, 4):
        cursor = site.get("/v1/events").headers["Skolebro-Cursor"]
        refused = site.get(f"/v1/events?wait=25&after={cursor}")
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:skolebro:problem:waiting")
        assert site.get(f"/v1/events?after={cursor}").status_code == 200
        site.stopping.set()


def test_where_nothing_comes_the_wait_ends_with_nothing(site: Site) -> None:
    cursor = site.get("/v1/events").headers["Skolebro-Cursor"]
    answer = site.get(f"/v1/events?wait=1&after={cursor}")
    assert (answer.status_code, answer.json(), answer.headers["Skolebro-Cursor"]) == (200, [], cursor)


def test_the_wait_ends_when_the_server_is_to_stop(site: Site) -> None:
    with waiting(site, 1) as answers:
        site.stopping.set()
    assert [answer.json() for answer in answers] == [[]]


def test_the_contract_is_the_one_that_is_kept(site: Site) -> None:
    """Write `document(...)` there when it has changed on purpose."""
    assert site.get("/v1/openapi.json", None).content == REFERENCE.read_bytes() == document(site.api)
    assert site.get("/v1/openapi.json", None).json()["openapi"].startswith("3.1.")


def example() -> dict[str, Any]:
    """The consumer of the guide."""
    text = GUIDE.read_text(encoding="utf-8").partition("## A consumer in Python\n")[2]
    code = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    ") or not line)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, str(GUIDE), "exec"), names)  # noqa: S102 - it is our own guide
    assert len([line for line in code.splitlines() if line.strip()]) <= 40
    return names


def test_the_example_of_the_guide_ends_with_the_state(site: Site, bench: Bench) -> None:
    names = example()
    get = names["connect"](site.url, TOKEN)
    cursor, held = names["snapshot"](get)
    bench.take(group("1A"), group("1B"), pupil("anna", "1B", protected=True, given_name="Zzz"), pupil("eva"))
    cursor, held = names["follow"](get, cursor, held, wait=0)
    feed = vendor_feed(bench)
    assert {name: one for name, (_, one) in held.items()} == reference(bench, feed)
    assert "Zzz" not in str(held)
    stale = re.sub(".*", "WyJlIix7IjEwMSI6OTk5OX1d", cursor, count=1)
    assert names["follow"](get, stale, {}, wait=0)[1] == held, "after 410 the snapshot is taken"
