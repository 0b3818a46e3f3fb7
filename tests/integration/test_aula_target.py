"""The Aula connector against a stand-in (there is no public Aula to provision) and two judges of its messages."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from pydantic import ValidationError
from svix.webhooks import Webhook, WebhookVerificationError

from bridge.adapters.http import HttpEdge
from bridge.connector import (
    Command,
    ConfigError,
    Deferred,
    Delivered,
    Outcome,
    Rejected,
    Services,
    TargetGone,
    TargetUnavailable,
    Unchanged,
)
from bridge.domain.changes import Operation
from bridge.testing.aula_receiver import AulaReceiver
from bridge.testing.conformance_target import HttpTargetConformance, ProxiedReceiver, Samples
from bridge.testing.faulty_proxy import Fault, FaultyProxy, SeenRequest
from bridge.webhooks import EventTarget
from connectors.aula import AulaConfig, connector
from connectors.aula.target import ObserveTarget

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
AGREED: dict[str, Any] = {
    "mode": "agreement",
    "agreement": "2027-14",
    "base_url": "https://127.0.0.1",
    "secret_file": Path("s"),
    "client_certificate_file": Path("c"),
    "client_key_file": Path("k"),
}
NO_CERTIFICATE = {"client_certificate_file": None, "client_key_file": None}
OLD_SECRET = "whsec_" + base64.b64encode(bytes(range(32, 64))).decode()


@pytest.fixture
def aula() -> Iterator[AulaReceiver]:
    with AulaReceiver(SECRET) as receiver:
        yield receiver


@pytest.fixture
def proxy(aula: AulaReceiver) -> Iterator[FaultyProxy]:
    with FaultyProxy(aula.url) as proxy:
        yield proxy


@pytest.fixture
def target(proxy: FaultyProxy, tmp_path: Path) -> Iterator[EventTarget]:
    yield from make_target(proxy.url, tmp_path)


def make_target(url: str, folder: Path, secret: str = SECRET, **config: Any) -> Iterator[EventTarget]:
    """The target as the composition root would make it; its connection ends with the test."""
    file = folder / "secret"
    file.write_text(secret)
    made = connect(
        AulaConfig(mode="agreement", agreement="none, a stand-in", base_url=url, secret_file=file, **config)
    )
    assert isinstance(made, EventTarget)
    yield made
    made._http.close()  # type: ignore[attr-defined]


def connect(config: AulaConfig) -> object:
    def http(base_url: str, **options: Any) -> HttpEdge:
        return HttpEdge(base_url, sleep=lambda seconds: None, **options)

    def now() -> datetime:  # whatever zone the clock is in, the signature is in UTC
        return datetime.now(timezone(timedelta(hours=2)))

    assert connector.target is not None
    return connector.target(
        config, Services("9999", None, http, lambda path: path.read_text(), now, Path.read_bytes)
    )


def person(identifier: str, name: str) -> dict[str, Any]:
    return {"user_id": identifier[:8], "given_name": name, "family_name": "Ærø", "protected": False}


@pytest.fixture
def samples() -> Samples:
    return Samples.of("person", "person", {"user_id": "astr1234"}, {"user_id": "cars1234"}, person)


def apply(target: EventTarget | ObserveTarget, command: Command) -> Outcome:
    (outcome,) = target.apply([command])
    return outcome


def sent(request: SeenRequest) -> dict[str, Any]:
    event = json.loads(request.body)
    assert isinstance(event, dict)
    return event


class TestAgreement(HttpTargetConformance):
    @pytest.fixture
    def receiver(self, proxy: FaultyProxy, aula: AulaReceiver) -> ProxiedReceiver:
        return ProxiedReceiver(proxy, lambda: len(aula.objects))

    def sent_object(self, body: bytes) -> dict[str, Any]:
        entity = json.loads(body)["data"]["object"]
        assert isinstance(entity, dict)
        return entity


# ---------------------------------------------------------------- the message


def test_every_message_is_a_signed_cloud_event(target: EventTarget, proxy: FaultyProxy, samples: Samples) -> None:
    life = (samples.create, samples.update, samples.delete)
    commands = [replace(command, institution="101001") for command in life]
    assert list(target.apply(commands)) == [Delivered(), Delivered(), Delivered()]
    for request, command in zip(proxy.requests, commands, strict=True):
        Webhook(SECRET).verify(request.body, dict(request.headers))
        event = from_structured_event(HTTPMessage(dict(request.headers), request.body))
        assert event.get_id() == request.headers["webhook-id"] == command.delivery_key
        assert event.get_type() == f"skolebro.person.{command.operation}.v1"
        assert event.get_source() == "/municipality/9999/institution/101001"
        assert event.get_subject() == f"person/{command.id}"
        assert event.get_time() == command.time
        assert event.get_extension("sequence") == f"{command.sequence:020d}"
        assert event.get_extension("entityversion") == command.version
        assert event.get_extension("partitionkey") == "101001"
        assert event.get_extension("causeid") == command.cause
        assert request.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
        assert request.path == "/events"


def test_a_person_of_no_institution_has_no_partition_key(
    target: EventTarget, proxy: FaultyProxy, samples: Samples
) -> None:
    assert apply(target, replace(samples.delete, institution="")) == Delivered()
    assert "partitionkey" not in sent(proxy.requests[0])


def test_a_changed_body_no_longer_fits_its_signature(
    target: EventTarget, proxy: FaultyProxy, samples: Samples
) -> None:
    apply(target, samples.create)
    (request,) = proxy.requests
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body.replace(b"Astrid", b"Birgit"), dict(request.headers))


def test_an_update_says_what_changed_and_what_was(
    target: EventTarget, proxy: FaultyProxy, samples: Samples
) -> None:
    apply(target, samples.update)
    data = sent(proxy.requests[0])["data"]
    assert data == {
        "object": samples.update.document,
        "changed": ["given_name"],
        "previous": {"given_name": "Astrid"},
    }


def test_a_deletion_carries_the_keys_only(target: EventTarget, proxy: FaultyProxy, samples: Samples) -> None:
    apply(target, samples.delete)
    assert sent(proxy.requests[0])["data"] == {"object": {"id": samples.delete.id, "user_id": "astr1234"}}


@pytest.mark.parametrize("is_known", [True, False])
def test_an_update_of_what_may_or_may_not_be_there_names_all_fields(
    target: EventTarget, proxy: FaultyProxy, samples: Samples, is_known: bool
) -> None:
    document = samples.update.document
    apply(target, replace(samples.update, previous=document if is_known else None, in_doubt=True))
    event = sent(proxy.requests[0])
    assert event["type"] == "skolebro.person.updated.v1"
    assert document is not None
    assert event["data"] == {"object": document, "changed": sorted(document), "previous": {}}


def test_a_retry_is_known_by_its_id_and_counts_once(
    target: EventTarget, proxy: FaultyProxy, aula: AulaReceiver, samples: Samples
) -> None:
    proxy.fault = Fault("cut_response", remaining=1)
    assert apply(target, samples.create) == Delivered()  # the edge repeats it by itself
    assert len({request.headers["webhook-id"] for request in proxy.requests}) == 1
    assert (aula.duplicates, len(aula.objects)) == (1, 1)


def test_both_secrets_sign_while_they_are_changed(proxy: FaultyProxy, tmp_path: Path, samples: Samples) -> None:
    for target in make_target(proxy.url, tmp_path, f"{SECRET}\n{OLD_SECRET}\n"):
        assert apply(target, samples.create) == Delivered()
    (request,) = proxy.requests
    for secret in (SECRET, OLD_SECRET):
        Webhook(secret).verify(request.body, dict(request.headers))


# ---------------------------------------------------------------- the answer


def test_an_event_that_the_receiver_cannot_read_is_rejected(
    target: EventTarget, aula: AulaReceiver, samples: Samples
) -> None:
    assert apply(target, replace(samples.create, version=0)) == Rejected("refused_400")
    assert aula.objects == {}


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_is_a_confirmation(target: EventTarget, proxy: FaultyProxy, samples: Samples, status: int) -> None:
    proxy.fault = Fault("status", code=status)
    assert apply(target, samples.create) == Delivered()


@pytest.mark.parametrize(
    "page", [b"<!DOCTYPE html><title>Log in</title>", b"\n <HTML><body>Maintenance</body></HTML>"]
)
def test_a_web_page_is_no_confirmation_whatever_its_status(
    target: EventTarget, proxy: FaultyProxy, samples: Samples, page: bytes
) -> None:
    proxy.fault = Fault("status", code=200, body=page)
    assert apply(target, samples.create) == Deferred("answer_is_a_page")


def test_an_endpoint_that_is_gone_ends_the_agreement(
    target: EventTarget, proxy: FaultyProxy, samples: Samples
) -> None:
    proxy.fault = Fault("status", code=410)
    with pytest.raises(TargetGone, match="wants no more"):
        apply(target, samples.create)
    with pytest.raises(TargetGone, match="wants no more"):
        target.probe()


def test_a_receiver_that_is_silent_is_away(
    proxy: FaultyProxy, aula: AulaReceiver, tmp_path: Path, samples: Samples
) -> None:
    proxy.fault = Fault("hang", is_forwarded=True)
    for target in make_target(proxy.url, tmp_path, timeout=timedelta(seconds=1)):
        with pytest.raises(TargetUnavailable, match="timeout"):
            apply(target, samples.create)
        proxy.fault = None
        assert apply(target, replace(samples.create, in_doubt=True)) == Delivered()
    assert (aula.duplicates, len(aula.objects)) == (1, 1)


# ---------------------------------------------------------------- observing, and the configuration


def test_observing_is_the_default_and_sends_nothing(samples: Samples) -> None:
    target = connect(AulaConfig())
    assert isinstance(target, ObserveTarget)
    assert not AulaConfig().discloses
    assert list(target.apply([samples.create, samples.delete])) == [Unchanged(), Unchanged()]
    target.probe()


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({**AGREED, "agreement": None}, "mode agreement needs agreement too"),
        ({**AGREED, "agreement": " "}, "agreement"),
        ({**AGREED, "base_url": None}, "mode agreement needs base_url too"),
        ({**AGREED, "secret_file": None}, "mode agreement needs secret_file too"),
        ({**AGREED, **NO_CERTIFICATE}, "needs client_certificate_file, client_key_file too"),
        ({**AGREED, **NO_CERTIFICATE, "base_url": "127.0.0.1:1"}, "needs client_certificate_file"),
        ({**AGREED, "client_key_file": None}, "belong together"),
        ({**AGREED, "contract": "bridge-v2"}, "'bridge-v1'"),
        ({"client_certificate_file": Path("c")}, "belong together"),
        ({"mode": "push"}, "'observe' or 'agreement'"),
    ],
)
def test_an_agreement_that_is_not_complete_is_refused(config: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        AulaConfig(**config)


def test_an_agreement_is_complete_with_its_name_address_secret_and_certificate() -> None:
    config = AulaConfig(**AGREED)
    assert (config.discloses, config.contract, config.default_mapping) == (True, "bridge-v1", "aula/agreement")
    assert AulaConfig().default_mapping == "aula/observe"


def test_a_stand_in_on_this_machine_needs_no_certificate_and_nobody_else_goes_without(tmp_path: Path) -> None:
    (made,) = make_target("http://127.0.0.1:1", tmp_path)
    assert isinstance(made, EventTarget)
    with pytest.raises(ConfigError, match="loopback"):
        list(make_target("http://aula.example", tmp_path))


@pytest.mark.parametrize("secret", ["", "password", "whsec_", "whsec_!!!", "whsec_c2hvcnQ=", SECRET + " hello"])
def test_a_secret_that_signs_nothing_is_refused_without_quoting_it(tmp_path: Path, secret: str) -> None:
    with pytest.raises(ConfigError, match="secret_file") as caught:
        list(make_target("http://127.0.0.1", tmp_path, secret))
    assert secret in ("", "whsec_") or secret not in str(caught.value)


def test_the_operation_is_in_the_type(samples: Samples) -> None:
    assert [c.operation for c in (samples.create, samples.update, samples.delete)] == list(Operation)
    assert samples.create.time.tzinfo is UTC
