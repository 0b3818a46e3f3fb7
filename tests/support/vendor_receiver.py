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
    """Takes events at any path; `GET` tells what it holds, to whoever has `token`, if there is one.

    `defects` are what is wrong with it. `received` are the signed requests with an event, in order.
    """

    def __init__(self, secret: str, *defects: str, token: str = "") -> None:
        super().__init__()
        self._webhook, self._defects, self._token = Webhook(secret), set(defects), token
        self.held: dict[str, dict[str, Any]] = {}
        self.received: list[Request] = []
        self._versions: dict[str, int] = {}
        self._ids: set[str] = set()

    def answer(self, request: Request) -> Response | None:
        if "hangs up on what is large" in self._defects and len(request.body) > 10_000:
            return None
        if request.method == "GET":
            if self._token and request.headers.get("authorization") != f"Bearer {self._token}":
                return Response(401)
            told = {
                subject: {"entityversion": self._versions.get(subject, 0), "object": one}
                for subject, one in self.held.items()
            }
            return Response(200, json.dumps(told).encode())
        if not self._is_signed(request):
            return Response(401)
        if not request.body:
            return Response(204)
        self.received.append(request)
        return self._refusal(request) or self._take(request)

    def _is_signed(self, request: Request) -> bool:
        headers = dict(request.headers)
        if "believes anybody" in self._defects:
            return True
        if "believes who does not sign" in self._defects and "webhook-signature" not in headers:
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

    def _refusal(self, request: Request) -> Response | None:
        defects, event = self._defects, json.loads(request.body)
        subject, version, known = event["subject"], event["entityversion"], self._versions.get(event["subject"], 0)
        body, (_, _, operation, _) = event["data"]["object"], event["type"].split(".")
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
        is_there = subject in self.held
        if "refuses to delete nobody" in defects and operation == "deleted" and not is_there:
            return Response(422)
        if "breaks on deleting nobody" in defects and operation == "deleted" and not known:
            return Response(500)
        if "creates once" in defects and operation == "created" and is_there and version > known:
            return Response(409)
        if "updates what it has" in defects and operation == "updated" and not known:
            return Response(404)
        if "refuses gaps" in defects and known and version > known + 1:
            return Response(409)
        if "knows no guardians" in defects and subject.startswith("guardianship/"):
            return Response(400)
        if "tires" in defects and known > 50:
            return Response(500)
        if "refuses repeats" in defects and request.headers["webhook-id"] in self._ids:
            return Response(409)
        self._ids.add(request.headers.get("webhook-id", ""))
        return None

    def _take(self, request: Request) -> Response:
        defects, event = self._defects, json.loads(request.body)
        subject, version = event["subject"], event["entityversion"]
        body, is_deletion = event["data"]["object"], event["type"].endswith(".deleted.v1")
        if (
            "lets nobody return" in defects
            and version > 1
            and self._versions.get(subject)
            and subject not in self.held
        ):
            return Response(204)
        if version <= self._versions.get(subject, 0) and "counts no versions" not in defects:
            return Response(204)
        self._versions[subject] = version
        if is_deletion:
            if "never deletes" not in defects:
                self.held.pop(subject, None)
            if "forgets who is gone" in defects:
                del self._versions[subject]
        elif "cuts names" in defects:
            self.held[subject] = (
                {**body, "family_name": body["family_name"][:50]} if "family_name" in body else body
            )
        elif "keeps old names" in defects and body.get("protected"):
            self.held[subject] = {**self.held[subject], "protected": True}
        else:
            self.held[subject] = body
        return Response(200, b"<!doctype html>") if "answers with a page" in defects else Response(204)

    def _has(self, user_id: str) -> bool:
        return any(one.get("user_id") == user_id for name, one in self.held.items() if name.startswith("person/"))
