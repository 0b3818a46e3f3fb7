"""Vendors at a real server: who is let in, what they are told, and that they never wait for ever."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests

from bridge.web.vendor_api import document
from tests.support.engine import Bench, group, parent, pupil
from tests.support.vendor_site import OTHER_TOKEN, PUBLIC, TOKEN, Site, served
from tests.support.vendors import reference, vendor_feed

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
        ("/v1/deliveries", 404, "nothing"),
        ("/v1/", 404, "nothing"),
    ],
)
def test_what_cannot_be_answered_is_a_problem(site: Site, path: str, status: int, name: str) -> None:
    answer = site.get(path)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    told = answer.json()
    assert (told["status"], told["type"]) == (status, f"urn:skolebro:problem:{name}")
    if status == 410:
        assert "</v1/snapshot>" in answer.headers["Link"]


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


def test_whoever_waits_is_told_what_comes(site: Site, bench: Bench) -> None:
    cursor = site.get("/v1/events").headers["Skolebro-Cursor"]
    answers: list[requests.Response] = []
    waiter = Thread(target=lambda: answers.append(site.get(f"/v1/events?wait=20&after={cursor}")))
    waiter.start()
    bench.take(group("1A"), pupil("anna"), pupil("bo"), pupil("carl"), pupil("dorte"))
    waiter.join()
    assert any(event["data"]["object"].get("user_id") == "dorte" for event in answers[0].json())


def test_where_nothing_comes_the_wait_ends_with_nothing(site: Site) -> None:
    cursor = site.get("/v1/events").headers["Skolebro-Cursor"]
    answer = site.get(f"/v1/events?wait=1&after={cursor}")
    assert (answer.status_code, answer.json(), answer.headers["Skolebro-Cursor"]) == (200, [], cursor)


def test_the_wait_ends_when_the_server_is_to_stop(site: Site) -> None:
    cursor = site.get("/v1/events").headers["Skolebro-Cursor"]
    site.stopping.set()
    assert site.get(f"/v1/events?wait=60&after={cursor}").json() == []


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
    assert len([line for line in code.splitlines() if line.strip()]) <= 46
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
