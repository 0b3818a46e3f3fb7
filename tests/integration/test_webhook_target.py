"""Webhooks over real HTTP: every message is one that three judges accept, whatever happens around it."""

from __future__ import annotations

import base64
import json
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import standardwebhooks
import svix.webhooks
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge.adapters.http import HttpEdge
from bridge.connector import (
    Command,
    ConfigError,
    Deferred,
    Delivered,
    Rejected,
    Services,
    TargetGone,
    TargetUnauthorised,
    TargetUnavailable,
)
from bridge.domain.records import Record
from bridge.engine.guard import GuardPolicy
from bridge.mapping import load_mapping
from bridge.testing.aula_receiver import AulaReceiver
from bridge.testing.conformance_target import HttpTargetConformance, ProxiedReceiver, Samples
from bridge.testing.faulty_proxy import Fault, FaultyProxy, SeenRequest
from bridge.webhooks import EventTarget
from connectors.webhook import WebhookConfig, connector
from tests.support.anything import schools
from tests.support.certificates import Authority, authority
from tests.support.engine import Bench, group, pupil

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD_SECRET = "whsec_" + base64.b64encode(bytes(range(32, 64))).decode()
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = PRIVATE.public_key().public_bytes_raw()
NAUGHTY = (
    "=cmd|' /C calc'!A0",
    "Robert'); DROP TABLE--",
    "\u202eאבג",
    "👩‍👧",
    "a\nb",
    "</person>",
    "%s {}",
    "\x00",
)


@pytest.fixture
def receiver_of_events() -> Iterator[AulaReceiver]:
    with AulaReceiver(SECRET) as receiver:
        yield receiver


@pytest.fixture
def proxy(receiver_of_events: AulaReceiver) -> Iterator[FaultyProxy]:
    with FaultyProxy(receiver_of_events.url) as proxy:
        yield proxy


@pytest.fixture
def target(proxy: FaultyProxy, tmp_path: Path) -> Iterator[EventTarget]:
    with made(f"{proxy.url}/events", tmp_path) as target:
        yield target


@contextmanager
def made(url: str, folder: Path, secret: str = SECRET, **config: Any) -> Iterator[EventTarget]:
    """The target as the composition root makes it; its connection ends with the test."""
    file = folder / "secret"
    file.write_text(secret)
    edges: list[HttpEdge] = []

    def http(base_url: str, **options: Any) -> HttpEdge:
        edges.append(HttpEdge(base_url, sleep=lambda seconds: None, **options))
        return edges[-1]

    assert connector.target is not None
    services = Services(
        "9999", None, http, lambda path: path.read_text(), lambda: datetime.now(UTC), Path.read_bytes
    )
    target = connector.target(WebhookConfig(url=url, secret_file=file, **config), services)
    assert isinstance(target, EventTarget)
    try:
        yield target
    finally:
        for edge in edges:
            edge.close()


def person(identifier: str, name: str) -> dict[str, Any]:
    return {"user_id": identifier[:8], "given_name": name, "family_name": "Ærø", "protected": False}


@pytest.fixture
def samples() -> Samples:
    return Samples.of("person", "person", {"user_id": "astr1234"}, {"user_id": "cars1234"}, person)


class TestWebhook(HttpTargetConformance):
    @pytest.fixture
    def receiver(self, proxy: FaultyProxy, receiver_of_events: AulaReceiver) -> ProxiedReceiver:
        return ProxiedReceiver(proxy, lambda: len(receiver_of_events.objects))

    def sent_object(self, body: bytes) -> dict[str, Any]:
        entity = json.loads(body)["data"]["object"]
        assert isinstance(entity, dict)
        return entity


# ---------------------------------------------------------------- three judges


def judged(request: SeenRequest, secret: str = SECRET) -> dict[str, Any]:
    """What a message says, once everybody who did not write us has accepted it."""
    headers = dict(request.headers)
    svix.webhooks.Webhook(secret).verify(request.body, headers)
    standardwebhooks.Webhook(secret).verify(request.body, headers)
    event = from_structured_event(HTTPMessage(headers, request.body))
    assert event.get_id() == headers["webhook-id"]
    return dict(event.get_data())  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(days=st.lists(schools(), min_size=1, max_size=3))
def test_every_message_of_any_days_is_accepted_by_all(
    days: list[list[Record]], target: EventTarget, proxy: FaultyProxy, receiver_of_events: AulaReceiver
) -> None:
    bench = Bench(mapping=load_mapping("webhook/events"), policy=GuardPolicy(max_deleted_percent=100.0))
    for records in days:
        bench.take(*records)
        commands = bench.drain()
        first = len(proxy.requests)
        assert [type(outcome) for outcome in target.apply(commands)] == [Delivered] * len(commands)
        for request, command in zip(proxy.requests[first:], commands, strict=True):
            told = judged(request)["object"]
            assert told == (command.document or {**command.identity, "id": command.id})


@pytest.mark.parametrize("name", NAUGHTY)
def test_what_people_are_called_arrives_as_it_is(
    name: str, target: EventTarget, proxy: FaultyProxy, samples: Samples
) -> None:
    command = replace(samples.create, document={"given_name": name, name: name})
    assert list(target.apply([command])) == [Delivered()]
    assert judged(proxy.requests[-1])["object"] == {"given_name": name, name: name}


def test_while_a_secret_is_changed_either_one_accepts(
    proxy: FaultyProxy, tmp_path: Path, samples: Samples
) -> None:
    with made(f"{proxy.url}/events", tmp_path, secret=f"{SECRET}\n{OLD_SECRET}\n") as target:
        list(target.apply([samples.create]))
    judged(proxy.requests[-1], SECRET)
    judged(proxy.requests[-1], OLD_SECRET)


@pytest.mark.parametrize("key", [bytes(range(32)), bytes(range(32)) + PUBLIC])
def test_who_has_the_public_key_alone_can_verify_too(
    proxy: FaultyProxy, tmp_path: Path, samples: Samples, key: bytes
) -> None:
    secret = f"whsk_{base64.b64encode(key).decode()}"
    with made(f"{proxy.url}/events", tmp_path, secret=f"{secret}\n{SECRET}") as target:
        assert list(target.apply([samples.create])) == [Delivered()]
    request = proxy.requests[-1]
    judged(request)  # a verifier of the older kind passes over the newer signature
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    version, signature = request.headers["webhook-signature"].split()[0].split(",")
    assert version == "v1a"
    PRIVATE.public_key().verify(base64.b64decode(signature), signed)


@pytest.mark.parametrize("key", [bytes(31), bytes(range(32)) + bytes(32), bytes(65)])
def test_what_is_no_private_key_is_refused_and_not_quoted(tmp_path: Path, key: bytes) -> None:
    secret = f"whsk_{base64.b64encode(key).decode()}"
    with pytest.raises(ConfigError, match="secret_file") as caught, made("http://127.0.0.1:1", tmp_path, secret):
        pass
    assert secret not in str(caught.value)


def test_a_changed_body_is_accepted_by_nobody(target: EventTarget, proxy: FaultyProxy, samples: Samples) -> None:
    list(target.apply([samples.create]))
    request = proxy.requests[-1]
    with pytest.raises(svix.webhooks.WebhookVerificationError):
        svix.webhooks.Webhook(SECRET).verify(request.body.replace(b"Astrid", b"Birgit"), dict(request.headers))


# ---------------------------------------------------------------- too large


def test_what_is_too_large_is_not_sent_and_stops_nothing(
    proxy: FaultyProxy, tmp_path: Path, samples: Samples
) -> None:
    large = replace(samples.create, document={"given_name": "ø" * 1_000})
    with made(f"{proxy.url}/events", tmp_path, max_event_bytes=1_500) as target:
        assert list(target.apply([large, samples.other])) == [Rejected("event_too_large"), Delivered()]
    assert len(proxy.requests) == 1


def test_less_is_told_where_what_was_makes_it_too_large(
    proxy: FaultyProxy, tmp_path: Path, samples: Samples
) -> None:
    hidden = replace(samples.update, previous={**(samples.update.document or {}), "address": "a" * 1_500})
    with made(f"{proxy.url}/events", tmp_path, max_event_bytes=1_500) as target:
        assert list(target.apply([hidden])) == [Delivered()]
    assert judged(proxy.requests[-1])["object"] == hidden.document


# ---------------------------------------------------------------- gone


@pytest.mark.parametrize("status", [404, 405])
def test_no_change_is_set_aside_while_nobody_is_at_the_address(
    target: EventTarget, proxy: FaultyProxy, samples: Samples, status: int
) -> None:
    proxy.fault = Fault("status", code=status, remaining=1)
    first, again = target.apply([samples.create, samples.create])
    assert first == Deferred(f"refused_{status}", status=status)
    assert isinstance(again, Delivered)


def test_410_ends_the_deliveries(target: EventTarget, proxy: FaultyProxy, samples: Samples) -> None:
    proxy.fault = Fault("status", code=410)
    with pytest.raises(TargetGone):
        list(target.apply([samples.create]))
    with pytest.raises(TargetGone):
        target.probe()


# ---------------------------------------------------------------- certificates


@contextmanager
def guarded(folder: Path, trusted: Authority) -> Iterator[AulaReceiver]:
    """A receiver that lets in who shows a certificate of this authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority(folder, "server-ca").issue("server"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(trusted.file)
    receiver = AulaReceiver(SECRET)
    receiver.tls = context
    with receiver:
        yield receiver


def test_who_shows_the_agreed_certificate_is_let_in(tmp_path: Path, samples: Samples) -> None:
    ours = authority(tmp_path, "ours")
    certificate, key = ours.issue("bridge")
    files = {"client_certificate_file": certificate, "client_key_file": key, "ca_file": tmp_path / "server-ca.pem"}
    with guarded(tmp_path, ours) as receiver, made(receiver.events_url, tmp_path, **files) as target:
        assert list(target.apply([samples.create])) == [Delivered()]
        assert len(receiver.objects) == 1


@pytest.mark.parametrize("has_another", [True, False])
def test_who_shows_another_certificate_or_none_is_not(tmp_path: Path, samples: Samples, has_another: bool) -> None:
    ours, strangers = authority(tmp_path, "ours"), authority(tmp_path, "strangers")
    files: dict[str, Any] = {"ca_file": tmp_path / "server-ca.pem"}
    if has_another:
        certificate, key = strangers.issue("stranger")
        files |= {"client_certificate_file": certificate, "client_key_file": key}
    with guarded(tmp_path, ours) as receiver, made(receiver.events_url, tmp_path, **files) as target:
        with pytest.raises(TargetUnavailable):
            list(target.apply([samples.create]))
        assert receiver.objects == {}


# ---------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    "url",
    ["vendor.example/x", "ftp://vendor.example/x", "https://a:b@vendor.example/x", "https://vendor.example/x?y=1"],
)
def test_what_is_no_address_of_an_endpoint_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        WebhookConfig(url=url, secret_file=tmp_path)


def test_what_is_no_secret_is_refused_and_not_quoted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught, made("http://127.0.0.1:1/x", tmp_path, secret="hunter2"):
        pass
    assert "hunter2" not in str(caught.value)


def test_members_of_a_body_of_a_batch_are_one_event_each(target: EventTarget, proxy: FaultyProxy) -> None:
    bench = Bench(mapping=load_mapping("webhook/events"))
    bench.take(group("1A"), pupil("anna"), pupil("bo"))
    commands: list[Command] = bench.drain()
    list(target.apply(commands))
    assert len(proxy.requests) == len(commands)
    assert [request.headers["webhook-id"] for request in proxy.requests] == [one.delivery_key for one in commands]


# ---------------------------------------------------------------- the how-to

_HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "webhooks.md"


def test_the_receiver_of_the_how_to_takes_what_is_sent_and_nothing_else(tmp_path: Path, samples: Samples) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", _HOW_TO.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {"SECRET": SECRET}
    exec(compile(code.split("# ---", 1)[0], str(_HOW_TO), "exec"), names)  # noqa: S102 - our own document
    with HTTPServer(("127.0.0.1", 0), names["Receiver"]) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        stale = replace(samples.create, delivery_key="late")
        with made(url, tmp_path) as target:
            assert list(target.apply([samples.create, samples.update, samples.update, stale])) == [Delivered()] * 4
        held = {subject: entity["given_name"] for subject, entity in names["held"].items()}
        with made(url, tmp_path, secret=OLD_SECRET) as stranger, pytest.raises(TargetUnauthorised):
            list(stranger.apply([samples.other]))
        with made(url, tmp_path) as target:
            list(target.apply([samples.delete]))
        server.shutdown()
    assert held == {f"person/{samples.create.id}": "Birgit"}
    assert names["held"] == {}
