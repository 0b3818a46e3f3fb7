"""What `skolebro certify` sends is what a bridge sends, beside what it forges on purpose."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from bridge.adapters.clock import SystemClock
from bridge.adapters.http import HttpEdge
from bridge.cli.main import app
from bridge.testing.certify import CHECKS, Receiver, judge
from bridge.testing.certify.cast import Cast
from bridge.testing.certify.wire import Patience
from bridge.testing.loopback import Request
from tests.support.vendor_receiver import VendorReceiver

pytestmark = pytest.mark.slow  # each a whole school

SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def run(receiver: VendorReceiver, tmp_path: Path, *more: str) -> list[tuple[Request, dict[str, Any]]]:
    """Certify a receiver, and return what it took for signed."""
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    path.write_text(SECRET)
    words = ["certify", receiver.url, "--secret-file", str(path), "--pupils", "10", "--held", receiver.url, *more]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return [(request, json.loads(request.body)) for request in receiver.received]


@contextmanager
def put_through(name: str, server: VendorReceiver, secret: str) -> Iterator[Receiver]:
    clock, edge = SystemClock(), HttpEdge(server.url)
    receiver = Receiver(edge, "/", secret, clock.now, Patience(lambda _: None))
    (check,) = [one for one in CHECKS if one.name == name]
    assert judge(check, receiver, Cast("certify-1", clock.now, clock.new_id)).is_passed
    yield receiver
    edge.close()


def test_each_event_has_its_trace_in_the_header_and_its_place_in_the_log(tmp_path: Path) -> None:
    with VendorReceiver(SECRET) as receiver:
        sent = run(receiver, tmp_path)
    assert all(request.headers["traceparent"] == event["traceparent"] for request, event in sent)
    days = [event["sequence"] for _, event in sent if "999001" not in event["source"]]
    single = [event["sequence"] for _, event in sent if "999001" in event["source"]]
    of_days, deletions_at_the_end = (list(part) for _, part in groupby(days, lambda one: one < min(single)))
    assert [*of_days, *deletions_at_the_end] == sorted(days)


def test_who_becomes_protected_is_not_told_with_the_name_from_before(tmp_path: Path) -> None:
    with VendorReceiver(SECRET) as receiver:
        sent = run(receiver, tmp_path)
    masked = [event["data"] for _, event in sent if event["data"]["object"].get("protected")]
    assert len([one for one in masked if "previous" in one]) > 3
    assert all(not one.get("previous") for one in masked)


def test_single_events_are_in_the_words_of_a_bridge(tmp_path: Path) -> None:
    with VendorReceiver(SECRET) as receiver:
        sent = run(receiver, tmp_path)
    told: dict[bool, dict[str, set[str]]] = {True: {}, False: {}}
    for _, event in sent:
        if not event["type"].endswith(".deleted.v1"):
            is_single, kind = "999001" in event["source"], event["subject"].partition("/")[0]
            told[is_single].setdefault(kind, set()).update(event["data"]["object"].keys() - {"a_field_to_come"})
            if is_single and kind == "group":
                assert event["data"]["object"]["type"] == "main"
            if is_single and kind == "affiliation":
                assert event["data"]["object"]["roles"] == ["pupil"]
    assert told[True].keys() == told[False].keys()
    assert all(fields <= told[False][kind] for kind, fields in told[True].items())


def test_the_mapping_says_which_kinds_are_told(tmp_path: Path) -> None:
    with VendorReceiver(SECRET) as receiver:
        usual = {event["type"] for _, event in run(receiver, tmp_path)}
    with VendorReceiver(SECRET) as receiver:
        with_guardians = {event["type"] for _, event in run(receiver, tmp_path, "--mapping", "aula/agreement")}
    guardians = {f"skolebro.guardianship.{operation}.v1" for operation in ("created", "updated", "deleted")}
    assert not usual & guardians
    assert with_guardians >= guardians


def test_a_repeat_is_the_same_to_the_letter_and_then_another_attempt_of_the_same_event() -> None:
    with VendorReceiver(SECRET) as server, put_through("repeat", server, SECRET):
        _, first, second, third = server.received
    assert (first.headers, first.body) == (second.headers, second.body)
    assert first.headers["webhook-id"] == third.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] < third.headers["webhook-timestamp"]
    assert json.loads(first.body)["traceparent"] != json.loads(third.body)["traceparent"]


def test_a_receiver_that_only_has_a_public_key_is_certified_too() -> None:
    private = Ed25519PrivateKey.generate()

    class ByKey(VendorReceiver):
        def _is_signed(self, request: Request) -> bool:
            names = ("webhook-id", "webhook-timestamp", "webhook-signature")
            message, at, signatures = (request.headers.get(name, "") for name in names)
            text = f"{message}.{at}.".encode() + request.body
            return any(self._holds(one.removeprefix("v1a,"), text) for one in signatures.split())

        def _holds(self, signature: str, text: bytes) -> bool:
            try:
                private.public_key().verify(base64.b64decode(signature), text)
            except InvalidSignature:
                return False
            return True

    secret = "whsk_" + base64.b64encode(private.private_bytes_raw()).decode()
    for name in ("each kind", "wrong secret", "changed body", "missing headers", "other id", "two signatures"):
        with ByKey(SECRET) as server, put_through(name, server, secret):
            assert server.received
