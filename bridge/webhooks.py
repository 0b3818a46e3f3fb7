"""For connector authors: changes as signed events over HTTPS (CloudEvents 1.0, Standard Webhooks).

A receiver gets, for each entity, the one event that leads from what it confirmed to what it should have.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from cloudevents.core.bindings.http import to_structured_event
from cloudevents.core.v1.event import CloudEvent
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
)
from bridge.domain.changes import Operation
from bridge.domain.events import Event, attributes, event_subject, event_type, step_data

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
AWAY = frozenset({408, 429, 502, 503, 504})
PAGE = re.compile(rb"\s*<(!doctype\s+html|html)\b", re.IGNORECASE)
"""How a log-in or maintenance page begins: something before the receiver answered 200 in its place."""


class Signer:
    """Signs as Standard Webhooks says, once for each secret: while secrets change, either one will do.

    Raises:
        ValueError: what is given are not secrets; the text quotes nothing of it.
    """

    def __init__(self, secrets: str, now: Callable[[], datetime]) -> None:
        if not secrets.split() or not all(_is_secret(secret) for secret in secrets.split()):
            raise ValueError("not a Standard Webhooks secret (whsec_ and 24 to 64 bytes in base64)")
        self._keys = [Webhook(secret) for secret in secrets.split()]
        self._now = now

    def headers(self, message_id: str, body: bytes) -> dict[str, str]:
        """Return webhook-id, webhook-timestamp (of this attempt) and webhook-signature for a body."""
        now = self._now().astimezone(UTC).replace(microsecond=0)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(key.sign(message_id, now, body.decode()) for key in self._keys),
        }


def _is_secret(text: str) -> bool:
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        return False
    return text.startswith("whsec_") and 24 <= len(key) <= 64


class EventTarget:
    """`bridge.connector.Target` for a receiver of Skolebro's events."""

    capabilities = Capabilities(references="canonical", max_batch=50, idempotent_create=True)

    def __init__(self, http: Http, signer: Signer, path: str) -> None:
        self._http, self._signer, self._path = http, signer, path

    def apply(self, batch: Sequence[Command]) -> Iterator[Outcome]:
        """Yield one outcome per command, in order; any 2xx but a web page confirms (Standard Webhooks).

        Raises `TargetUnavailable` for 408, 429, 502, 503 and 504 too, `TargetUnauthorised` for 401 and
        403, `ContractBroken` for a redirect, `TargetGone` for 410, by which a receiver ends the subscription.
        """
        for command in batch:
            body = to_structured_event(cloud_event(command)).body
            answer = self._send("POST", command.delivery_key, body)
            yield _outcome(answer)

    def probe(self) -> None:
        """Ask for the endpoint's options, signed: who refuses that would refuse events too.

        A receiver that answers in any other way is there; more cannot be known without an event.
        """
        answer = self._send("OPTIONS", "probe", b"")
        _refuse(answer)
        if answer.status >= 500 and answer.status != 501:
            raise TargetUnavailable(f"status_{answer.status}", answer.retry_after)

    def _send(self, method: str, message_id: str, body: bytes) -> HttpResponse:
        headers = self._signer.headers(message_id, body)
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
