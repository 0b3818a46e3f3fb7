"""For connector authors: changes as signed events over HTTPS (CloudEvents 1.0, Standard Webhooks).

A receiver gets, for each entity, the one event that leads from what it confirmed to what it should have.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from cloudevents.core.bindings.http import to_structured_event
from cloudevents.core.v1.event import CloudEvent
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import Webhook

from bridge.connector import (
    Capabilities,
    Command,
    ContractBroken,
    Deferred,
    Delivered,
    Http,
    HttpResponse,
    Outcome,
    Rejected,
    TargetGone,
    TargetUnauthorised,
    TargetUnavailable,
    trace_headers,
)
from bridge.domain.changes import Operation
from bridge.domain.events import Event, attributes, event_subject, event_type, step_data

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
RECOMMENDED_BYTES = 20_000
"""Standard Webhooks recommends that payloads stay below 20 kB."""
AWAY = frozenset({408, 429, 502, 503, 504})
NOWHERE = frozenset({404, 405})
"""Each event goes to the same address: these speak of that, as while a receiver is moved, and of no event."""
PAGE = re.compile(rb"\s*<(!doctype\s+html|html)\b", re.IGNORECASE)
"""How a log-in or maintenance page begins: something before the receiver answered 200 in its place."""

_Sign = Callable[[str, datetime, str], str]


class Signer:
    """Signs as Standard Webhooks says, once for each secret: while secrets change, either one will do.

    A secret is `whsec_` (HMAC-SHA256, signature `v1`) and base64 of 24 to 64 random bytes, or `whsk_` (ed25519,
    signature `v1a`) and base64 of a private key: 32 bytes, or 64 with the public key behind them.

    Raises:
        ValueError: what is given are not secrets; the text quotes nothing of it.
    """

    def __init__(self, secrets: str, now: Callable[[], datetime]) -> None:
        self._signs = [_sign_by(secret) for secret in secrets.split() or [""]]
        self._now = now

    def headers(self, message_id: str, body: bytes) -> dict[str, str]:
        """Return webhook-id, webhook-timestamp (of this attempt) and webhook-signature for a body."""
        now = self._now().astimezone(UTC).replace(microsecond=0)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(sign(message_id, now, body.decode()) for sign in self._signs),
        }


def _sign_by(secret: str) -> _Sign:
    kind, _, text = secret.partition("_")
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if kind == "whsec" and 24 <= len(key) <= 64:
        return Webhook(secret).sign
    if kind == "whsk" and len(key) in (32, 64):
        return _ed25519(key)
    raise ValueError(
        "not a Standard Webhooks secret (whsec_ and 24 to 64 bytes in base64, or whsk_ and a private ed25519 key)"
    )


def _ed25519(key: bytes) -> _Sign:
    private = Ed25519PrivateKey.from_private_bytes(key[:32])
    if key[32:] not in (b"", private.public_key().public_bytes_raw()):
        raise ValueError("the public half of a whsk_ secret does not belong to its private half")

    def sign(message_id: str, at: datetime, text: str) -> str:
        signature = private.sign(f"{message_id}.{int(at.timestamp())}.{text}".encode())
        return f"v1a,{base64.b64encode(signature).decode()}"

    return sign


class EventTarget:
    """`bridge.connector.Target` for a receiver of Skolebro's events.

    An event of more than `max_bytes` is told without what was before, and if that does not help, it is not sent.
    """

    capabilities = Capabilities(references="canonical", max_batch=50, idempotent_create=True)

    def __init__(self, http: Http, signer: Signer, path: str, max_bytes: int | None = None) -> None:
        self._http, self._signer, self._path, self._max_bytes = http, signer, path, max_bytes

    def apply(self, batch: Sequence[Command]) -> Iterator[Outcome]:
        """Yield one outcome per command, in order; any 2xx but a web page confirms (Standard Webhooks).

        Raises `TargetUnavailable` for 408, 429, 502, 503 and 504 too, `TargetUnauthorised` for 401 and
        403, `ContractBroken` for a redirect, `TargetGone` for 410, by which a receiver ends the subscription.
        """
        for command in batch:
            body = to_structured_event(cloud_event(command)).body
            if self._is_too_large(body) and command.document is not None:
                # What was is the receiver's to remember; what is must arrive, above all if less is shown now.
                body = to_structured_event(cloud_event(replace(command, previous=None))).body
            if self._is_too_large(body):
                yield Rejected("event_too_large")
            else:
                yield _outcome(self._send("POST", command.delivery_key, body, trace_headers([command])))

    def probe(self) -> None:
        """Ask for the endpoint's options, signed: who refuses that would refuse events too.

        A receiver that answers in any other way is there; more cannot be known without an event.
        """
        answer = self._send("OPTIONS", "probe", b"")
        _refuse(answer)
        if answer.status >= 500 and answer.status != 501:
            raise TargetUnavailable(f"status_{answer.status}", answer.retry_after)

    def _is_too_large(self, body: bytes) -> bool:
        return self._max_bytes is not None and len(body) > self._max_bytes

    def _send(
        self, method: str, message_id: str, body: bytes, trace: Mapping[str, str] | None = None
    ) -> HttpResponse:
        headers = {**self._signer.headers(message_id, body), **(trace or {})}
        headers |= {"Content-Type": CONTENT_TYPE} if body else {}
        # The receiver knows a repeat by its webhook-id.
        return self._http.request(method, self._path, headers=headers, body=body or None, repeatable=True)


def cloud_event(command: Command) -> CloudEvent:
    """Return the event of a command: id = delivery key, else as `bridge.domain.events.attributes` says."""
    event = Event(
        sequence=command.sequence,
        id=command.delivery_key,
        type=event_type(command.kind, command.operation),
        municipality=command.municipality,
        institution=command.institution,
        subject=event_subject(command.kind, command.id),
        key=command.key,
        version=command.version,
        time=command.time,
        cause=command.cause,
        data=b"",
    )
    told = {**attributes(event), "time": command.time}
    if command.traceparent:  # made for this attempt, and not handed on by anybody: it is the header's own
        told["traceparent"] = command.traceparent
    if not command.institution:
        del told["partitionkey"]  # it must not be empty (CloudEvents, extension partitioning)
    return CloudEvent(told, _data(command))


def _data(command: Command) -> dict[str, Any]:
    if command.operation is Operation.DELETED or command.document is None:
        return {"object": {**command.identity, "id": command.id}}
    if command.operation is Operation.CREATED:
        return step_data(None, command.document)
    if command.previous is None or command.previous == command.document:
        # What the receiver holds is not known, so everything may be news to it.
        return {"object": dict(command.document), "changed": sorted(command.document), "previous": {}}
    return step_data(command.previous, command.document)


def _outcome(answer: HttpResponse) -> Outcome:
    _refuse(answer)
    status = answer.status
    if status < 300:
        is_page = PAGE.match(answer.body)
        return Deferred("answer_is_a_page", status=status) if is_page else Delivered(status=status)
    if status >= 500:
        return Deferred(f"server_error_{status}", answer.retry_after, status)
    if status in NOWHERE:
        return Deferred(f"refused_{status}", answer.retry_after, status)
    return Rejected(f"refused_{status}", status=status)


def _refuse(answer: HttpResponse) -> None:
    """Raise what an answer says of the target as a whole."""
    if answer.status in (401, 403):
        raise TargetUnauthorised(f"the receiver answers {answer.status} to our signature or certificate")
    if answer.status in AWAY:
        raise TargetUnavailable(f"status_{answer.status}", answer.retry_after)
    if answer.status == 410:
        raise TargetGone("the receiver answers 410: it wants no more events")
    if 300 <= answer.status < 400:
        raise ContractBroken(f"the receiver redirects ({answer.status}): base_url must name where it is")
