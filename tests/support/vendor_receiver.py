"""A vendor's receiver of events as it should be, and as many a one is: each defect by name."""

from __future__ import annotations

import json
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from bridge.testing.loopback import LoopbackServer, Request, Response

KNOWN = {
    "id", "institution_number", "name", "group_id", "type", "level", "from_date", "to_date", "user_id",
    "given_name", "family_name", "protected", "kind", "roles", "main_group", "child_user_id", "contact_user_id",
    "relation", "custody", "access_level",
}  # fmt: skip


class VendorReceiver(LoopbackServer):
    """Takes events at any path; `GET` tells what it holds. `defects` are what is wrong with it."""

    def __init__(self, secret: str, *defects: str) -> None:
        super().__init__()
        self._webhook, self._defects = Webhook(secret), set(defects)
        self.held: dict[str, dict[str, Any]] = {}
        self._versions: dict[str, int] = {}

    def answer(self, request: Request) -> Response:
        if request.method == "GET":
            told = {
                subject: {"entityversion": self._versions.get(subject, 0), "object": one}
                for subject, one in self.held.items()
            }
            return Response(200, json.dumps(told).encode())
        if not self._is_signed(request):
            return Response(401)
        return self._take(request) if request.body else Response(204)

    def _is_signed(self, request: Request) -> bool:
        headers = dict(request.headers)
        if "believes anybody" in self._defects:
            return True
        if "looks at the first signature" in self._defects:
            headers["webhook-signature"] = headers.get("webhook-signature", "").split(" ")[0]
        try:
            self._webhook.verify(request.body, headers)
        except WebhookVerificationError as error:
            is_late = "timestamp" in str(error).lower() and "webhook-timestamp" in headers
            return is_late and "does not look at the time" in self._defects
        except ValueError:  # an empty body is no JSON: the signature was right
            return True
        return True

    def _take(self, request: Request) -> Response:
        defects, event = self._defects, json.loads(request.body)
        subject, version = event["subject"], event["entityversion"]
        body, is_deletion = event["data"]["object"], event["type"].endswith(".deleted.v1")
        if "asks for patience" in defects and self.arrivals % 60 == 0:
            return Response(429, headers={"Retry-After": "0"})
        if "takes little" in defects and len(request.body) > 10_000:
            return Response(413)
        if "knows ASCII only" in defects and not json.dumps(body, ensure_ascii=False).isascii():
            return Response(500)
        if "refuses what it does not know" in defects and not body.keys() <= KNOWN:
            return Response(400)
        if "wants order" in defects and subject.startswith("membership/") and not self._has(body["user_id"]):
            return Response(409)
        if "refuses to delete nobody" in defects and is_deletion and subject not in self.held:
            return Response(422)
        if version <= self._versions.get(subject, 0) and "counts no versions" not in defects:
            return Response(204)
        self._versions[subject] = version
        if is_deletion:
            if "never deletes" not in defects:
                self.held.pop(subject, None)
            if "forgets who is gone" in defects:
                del self._versions[subject]
        elif "cuts names" in defects:
            self.held[subject] = {name: str(value)[:50] for name, value in body.items()}
        else:
            self.held[subject] = body
        return Response(200, b"<!doctype html>") if "answers with a page" in defects else Response(204)

    def _has(self, user_id: str) -> bool:
        return any(one.get("user_id") == user_id for name, one in self.held.items() if name.startswith("person/"))
