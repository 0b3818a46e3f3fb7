"""Notices as JSON to an address, signed as Standard Webhooks says; a receiver knows a repeat by its webhook-id."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime

from standardwebhooks import Webhook

from bridge.connector import Http
from bridge.domain.errors import ConfigError, TargetUnavailable
from bridge.ports import HoldFacts, Notice, NoticeFailed

CONTENT_TYPE = "application/json; charset=utf-8"


class WebhookNotifier:
    """`bridge.ports.Notifier` by HTTP: any 2xx is taken for yes (Standard Webhooks).

    `secrets` is one secret, or the new and the old one while they are changed.

    Raises `ConfigError` for what is no Standard Webhooks secret; the text quotes nothing of it.
    """

    def __init__(self, http: Http, path: str, secrets: str, now: Callable[[], datetime]) -> None:
        if not secrets.split() or not all(map(_is_secret, secrets.split())):
            raise ConfigError("secret_file: not a Standard Webhooks secret (whsec_ and 24 to 64 bytes in base64)")
        self._http, self._path, self._now = http, path, now
        self._keys = [Webhook(secret) for secret in secrets.split()]

    def send(self, notice: Notice) -> None:
        """Post one notice. Raises `NoticeFailed`."""
        body = payload(notice)
        try:
            answer = self._http.request(
                "POST", self._path, headers=self._headers(notice.id, body), body=body.encode(), repeatable=True
            )
        except TargetUnavailable as error:
            raise NoticeFailed(error.reason, "the receiver of notices does not answer") from None
        if not 200 <= answer.status < 300:
            text = f"the receiver of notices answers {answer.status}"
            raise NoticeFailed(f"status_{answer.status}", text, answer.retry_after)

    def _headers(self, identity: str, body: str) -> dict[str, str]:
        now = self._now().astimezone(UTC).replace(microsecond=0)
        return {
            "Content-Type": CONTENT_TYPE,
            "webhook-id": identity,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(key.sign(identity, now, body) for key in self._keys),
        }


def payload(notice: Notice) -> str:
    """The JSON of a notice: `type`, `timestamp` and `data`, as Standard Webhooks advises."""
    data = {
        "municipality": notice.municipality,
        "subject": notice.subject,
        "text": notice.text,
        "holds": [_hold(one) for one in notice.holds],
    }
    told = {"type": f"skolebro.notice.{notice.kind}", "timestamp": notice.at.isoformat(), "data": data}
    return json.dumps(told, ensure_ascii=False)


def _hold(facts: HoldFacts) -> dict[str, object]:
    return {
        "hold": facts.hold,
        "subject": facts.subject,
        "institution": facts.institution or None,
        "target": facts.target,
        "reasons": facts.reasons,
        "counts": dict(facts.counts),
        "opened_at": facts.opened_at.isoformat(),
    }


def _is_secret(text: str) -> bool:
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        return False
    return text.startswith("whsec_") and 24 <= len(key) <= 64
