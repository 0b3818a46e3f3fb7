"""One trace id goes from the answer of STIL to every message and every attempt, over a refusal and a restart."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from bridge.adapters.publish_pika import CONTENT_TYPE
from bridge.app.bridge import Bridge, open_bridge
from bridge.app.events import publisher, queues
from bridge.app.serve import web_server
from bridge.cli.trace_id import follow
from bridge.config import load_settings
from bridge.domain.tracing import span_id, trace_id
from bridge.engine.audit import verify
from bridge.engine.breaker import hurry
from bridge.engine.publishing import Publishing
from bridge.observe import configure_logging
from bridge.registry import Registry
from bridge.testing.aula_receiver import AulaReceiver
from bridge.testing.faulty_proxy import Fault, FaultyProxy, SeenRequest
from bridge.testing.stil_makeup import Makeup
from bridge.testing.stil_municipality import Municipality
from bridge.testing.stil_server import StilServer
from tests.support.events import EventCorner, drained
from tests.support.rabbitmq import require_rabbitmq, url
from tests.support.scim import ScimServer
from tests.support.world import webhook_secret

CODE, TOKEN = "999", "0123456789abcdef" * 2
PLATFORM, VENDOR = f"{CODE}/platform", f"{CODE}/vendor"


@dataclass
class Site:
    """A school at STIL, a SCIM server and a vendor's webhook, each behind a wire, and a corner of a broker."""

    config: Path
    stil: StilServer
    to_stil: FaultyProxy
    to_scim: FaultyProxy
    to_vendor: FaultyProxy
    corner: EventCorner

    @contextmanager
    def bridge(self) -> Iterator[Bridge]:
        """The bridge as a process would open it."""
        bridge = open_bridge(load_settings(self.config, Registry()))
        try:
            with bridge.alone():
                yield bridge
        finally:
            bridge.store.close()

    def sync(self) -> None:
        """One pass in a process of its own, in which no target pauses."""
        with self.bridge() as bridge:
            with bridge.store.write() as uow:
                for target in bridge.live_targets:
                    hurry(uow, target)
            bridge.sync()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    require_rabbitmq()
    secret = webhook_secret()
    with ExitStack() as stack:
        stil = stack.enter_context(StilServer(Municipality(7, 1, 30, CODE, makeup=Makeup(tracks="AB"))))
        scim, vendor = stack.enter_context(ScimServer()), stack.enter_context(AulaReceiver(secret))
        to_stil, to_scim, to_vendor = (stack.enter_context(FaultyProxy(one.url)) for one in (stil, scim, vendor))
        corner = stack.enter_context(EventCorner())
        corner.wanted()
        for name, text in (("scim", scim.token), ("vendor", secret), ("broker", url()), ("token", TOKEN)):
            (tmp_path / name).touch(mode=0o600)
            (tmp_path / name).write_text(text)
        told = {
            "state_folder": "state",
            "web": {"listen": "127.0.0.1:0"},
            "retry": {"base": "1h", "ceiling": "6h", "retry_after_cap": "1h"},
            "broker": {"url_file": "broker", "exchange": corner.name, "queues": {corner.queue: ["#"]}},
            "vendors": {"books": {"municipalities": [CODE], "mapping": "webhook/events", "token_file": "token"}},
            "municipalities": {
                CODE: {
                    "name": "Prøveby",
                    "institutions": "all",
                    "source": {"connector": "stil", "base_url": to_stil.url, "udbydersystem_id": "test"},
                    "targets": {
                        "platform": {"connector": "scim", "base_url": to_scim.url, "token_file": "scim"},
                        "vendor": {
                            "connector": "webhook",
                            "url": f"{to_vendor.url}/events",
                            "secret_file": "vendor",
                        },
                    },
                }
            },
        }
        config = tmp_path / "skolebro.yaml"
        config.write_text(yaml.safe_dump(told), encoding="utf-8")
        yield Site(config, stil, to_stil, to_scim, to_vendor, corner)


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    out = io.StringIO()
    configure_logging(stream=out, json=True)
    yield out
    configure_logging(stream=io.StringIO())


def parents(seen: list[SeenRequest]) -> list[tuple[str, str]]:
    """Trace and span of each request that carries them."""
    headers = ({name.lower(): value for name, value in one.headers.items()} for one in seen)
    found = (told["traceparent"].split("-") for told in headers if "traceparent" in told)
    return [(trace, span) for version, trace, span, flags in found if (version, flags) == ("00", "01")]


def traces(texts: list[str]) -> set[str]:
    return {text.split("-")[1] for text in texts}


def test_one_trace_id_is_everywhere(site: Site, lines: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    site.to_vendor.fault = Fault("status", code=503, remaining=1, match=lambda method, _: method == "POST")
    site.sync()
    refused = [one for one in site.to_vendor.requests if one.method == "POST"]
    assert [one.status for one in refused] == [503]
    site.sync()  # another process than the one that was refused
    posts = [one for one in site.to_vendor.requests if one.method == "POST"]

    with site.bridge() as bridge:
        with bridge.store.read() as reader:
            (run,) = (one for one in reader.runs(100) if one.result == "recorded")
            events = reader.events(CODE, 0, 10_000)
            chain = [json.loads(row.record) for row in reader.audit_rows(0, 100_000)]
            assert verify(reader).ok
        messages, feed = _published(bridge, site.corner), _fetched(bridge)
    trace = trace_id(run.id)
    assert trace.replace("0", "") and trace == run.id.replace("-", "")

    logged = [json.loads(line) for line in lines.getvalue().splitlines()]
    recorded = next(one for one in logged if one["event"] == "snapshot.recorded")
    assert (recorded["trace_id"], recorded["run"]) == (trace, run.id)

    assert {trace_id(event.cause) for event in events} == {trace}
    assert len(messages) == len(events) == run.changes
    assert traces([told["traceparent"] for told, _ in messages]) == {trace}
    assert all(told["traceparent"] == body["traceparent"] for told, body in messages)
    assert feed and traces([event["traceparent"] for event in feed]) == {trace}

    # At the vendor: one id in header and body, also when it is tried again, and a span for each attempt.
    assert {found for found, _ in parents(posts)} == {trace}
    assert len({span for _, span in parents(posts)}) == len(posts)
    for post, (_, span) in zip(posts, parents(posts), strict=True):
        assert json.loads(post.body)["traceparent"] == f"00-{trace}-{span}-01"
    again = next(one for one in posts[1:] if _message(one) == _message(refused[0]))
    assert parents([again])[0] != parents(refused)[0]
    writes = [one for one in site.to_scim.requests if one.method == "POST"]
    assert writes and {found for found, _ in parents(writes)} == {trace}

    # In the audit: each attempt by its span.
    intents = [one for one in chain if one["kind"] == "disclosure.intent"]
    assert {one["trace"] for one in intents} == {trace}
    spans = {(one["target"], span_id(one["intent"])) for one in intents}
    assert {(VENDOR, span) for _, span in parents(posts)} <= spans
    assert {(PLATFORM, span) for _, span in parents(writes)} <= spans

    # And a vendor who reads the header out is answered.
    capsys.readouterr()
    assert follow(site.config, f"00-{trace}-{parents(refused)[0][1]}-01", json=False)
    said = capsys.readouterr().out
    for word in (f"Run {run.id}", f"institution {run.institution}", f"events 1 to {len(events)}", "HTTP 503"):
        assert word in said
    assert f"is the attempt at {VENDOR}" in said and "published to the broker" in said


def test_the_next_day_is_another_trace_and_stil_is_told_none(site: Site) -> None:
    site.sync()
    first = {found for found, _ in parents(site.to_scim.requests)}
    before = len(site.to_scim.requests)
    site.stil.advance()
    site.sync()
    second = {found for found, _ in parents(site.to_scim.requests[before:])}
    assert len(first) == len(second) == 1 and first.isdisjoint(second)
    assert site.to_stil.requests and parents(site.to_stil.requests) == []


def _message(request: SeenRequest) -> str:
    return str(json.loads(request.body)["id"])


def _published(bridge: Bridge, corner: EventCorner) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The headers and the body of each message in the queue."""
    publishing = Publishing(
        bridge.store, publisher(bridge), queues(bridge), [CODE], 500, bridge.clock.monotonic, bridge.metrics
    )
    drained(publishing)
    publishing.close()
    got = corner.drain()
    assert {properties.content_type for _, properties, _ in got} == {CONTENT_TYPE}
    return [(properties.headers, json.loads(body)) for _, properties, body in got]


def _fetched(bridge: Bridge) -> list[dict[str, Any]]:
    """The events of the vendor feed, from the beginning."""
    server = web_server(bridge, bridge.teller, [])
    assert server is not None
    server.start()
    try:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = requests.get(f"{server.url}v1/events?limit=1000", headers=headers, timeout=60)
        found: list[dict[str, Any]] = answer.json()
    finally:
        bridge.stopping.set()
        server.stop()
    return found
