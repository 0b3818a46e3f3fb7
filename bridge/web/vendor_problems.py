"""Why a vendor's request is refused, as `application/problem+json` (RFC 9457); nothing of it is quoted."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from starlette.responses import Response

PROBLEM_TYPE = "application/problem+json"
SNAPSHOT_LINK = '</v1/snapshot>; rel="urn:skolebro:rel:snapshot"'
NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

PROBLEMS: Mapping[str, tuple[int, str]] = {
    "parameter": (
        400,
        "A parameter is unknown here, or its value is not allowed (a + in a time is %2B): see /v1/openapi.json",
    ),
    "body": (400, "The body is not what this operation takes: see /v1/openapi.json"),
    "cursor": (404, "There is no such cursor here; take it from the Link or the Skolebro-Cursor of an answer"),
    "token": (401, "A bearer token of a vendor is needed"),
    "foreign": (403, "The cursor is of municipalities that are not yours"),
    "nothing": (404, "There is nothing at this address"),
    "target": (404, "You have no such target"),
    "method": (405, "This address does not take this method"),
    "paused": (409, "Nothing is sent to the target now: it fails, has ended or is switched off"),
    "shadow": (409, "Nothing is sent to the target yet: it is in shadow"),
    "held": (409, "Something at the target waits for a person's decision, or its mapping is not applied yet"),
    "past": (
        410,
        "What has gone since this cursor is not remembered: take the snapshot, and go on from its cursor",
    ),
    "often": (429, "Too many requests: wait as long as Retry-After says"),
    "waiting": (429, "Too many requests of yours wait already"),
    "replaying": (
        429,
        "A replay of this target is under way, or was asked for just now: wait as long as Retry-After says",
    ),
    "failed": (500, "Something failed here"),
    "away": (503, "The events cannot be read now; ask again later"),
}
"""Status and title of each, by the name that ends its type."""


class Refused(Exception):
    """The request ends here."""

    def __init__(self, name: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(name)
        self.name, self.headers = name, dict(headers or {})


def problem(name: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that says it."""
    status, title = PROBLEMS[name]
    body = {"type": f"urn:skolebro:problem:{name}", "title": title, "status": status}
    return Response(msgspec.json.encode(body), status, {**NO_STORE, **(headers or {})}, PROBLEM_TYPE)


def titles(status: int) -> str:
    """What an answer of this status may mean."""
    return "; ".join(title for code, title in PROBLEMS.values() if code == status) or HTTPStatus(status).phrase
