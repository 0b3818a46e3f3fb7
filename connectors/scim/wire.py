"""What every exchange with a SCIM service provider has in common: how it is asked, and what its answers mean."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote

from pydantic import Field

from bridge.connector import (
    ConnectorConfig,
    ContractBroken,
    Deferred,
    Http,
    HttpResponse,
    Outcome,
    Rejected,
    TargetUnauthorised,
    TargetUnavailable,
)
from bridge.domain.tracing import common_trace

AWAY = frozenset({408, 429, 502, 503, 504})
GONE = (404, 410)
STALE = (412, 428)
# RFC 7644 table 9, without what speaks of PATCH and filters: no other word of a refusal is passed on.
SCIM_TYPES = ("uniqueness", "mutability", "invalidSyntax", "invalidValue", "invalidVers", "sensitive")
CANONICAL_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")  # UUIDv5
UNNAMEABLE = ("", ".", "..")  # dots would be a step in the path (RFC 3986 §5.2.4): we would write somewhere else
NOT_SCIM = Deferred("answer_not_scim")
Json = Mapping[str, Any]


class Resource(ConnectorConfig):
    """Where a resource of the mapping lives: its endpoint below the base URL, and its schema."""

    endpoint: str = Field(pattern=r"^/[^?#]*[^/?#]$")
    urn: str = Field(pattern=r"^urn:\S+$")

    def path(self, remote_id: str) -> str:
        return f"{self.endpoint}/{quote(remote_id, safe='')}"


@dataclass(eq=False)
class Settled(Exception):
    """An answer decides the whole command, however deep we are in it."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Request:
    """One request that a command needs; whoever carries it out decides whether alone or with others."""

    method: str
    path: str
    body: Json | None = field(default=None, repr=False)
    etag: str | None = None
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    traceparent: str = ""


_T = TypeVar("_T")
Asking = Generator[Request, HttpResponse, _T]
"""What yields the requests that it needs one after the other, is sent the answers, and returns what it found."""
Steps = Asking[Outcome]


def traced(steps: Steps, traceparent: str) -> Steps:
    """The same steps, each request of which names the attempt that it belongs to."""
    try:
        request = next(steps)
        while True:
            answer = yield replace(request, traceparent=traceparent)
            request = steps.send(answer)
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome


def trace_of(requests: Iterable[Request]) -> str:
    """What names all of these at once: the first one's attempt, nothing where they are of several traces."""
    return common_trace(request.traceparent for request in requests).get("traceparent", "")


@dataclass(frozen=True, slots=True)
class Wire:
    """One service provider, asked in SCIM's media type.

    `probe` raises when our credential is refused at all. `uses_etags`: whether If-Match means anything there.
    """

    http: Http
    probe: Callable[[], None]
    uses_etags: Callable[[], bool] = lambda: True

    def send(self, request: Request) -> HttpResponse:
        """Return whatever comes back. Raises `TargetUnavailable` when nothing does."""
        body = request.body
        headers = {"Accept": "application/scim+json, application/json"}
        headers |= {} if body is None else {"Content-Type": "application/scim+json"}
        headers |= {"If-Match": request.etag} if request.etag is not None and self.uses_etags() else {}
        headers |= {"traceparent": request.traceparent} if request.traceparent else {}
        data = None if body is None else encode(body)
        params = dict(request.query) or None
        return self.http.request(request.method, request.path, headers=headers, params=params, body=data)

    def ask(self, request: Request) -> HttpResponse:
        """Return an answer that speaks of this request only. Raises `TargetError` for any other."""
        return self.judged(self.send(request))

    def judged(self, answer: HttpResponse) -> HttpResponse:
        if answer.status == 403:
            self.probe()  # refused there too: it is our credential, not this entity
        else:
            refuse(answer)
        return answer

    def carry_out(self, steps: Steps) -> Outcome:
        """Carry out one command, alone."""
        try:
            return self.finish(steps, next(steps))
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome

    def finish(self, steps: Steps, request: Request) -> Outcome:
        """Carry out one command to its end, from this request on."""
        return self.go_on(steps, self.ask(request))

    def go_on(self, steps: Steps, answer: HttpResponse) -> Outcome:
        """Carry out the rest of a command, from this answer on."""
        try:
            while True:
                answer = self.ask(steps.send(answer))
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome


def encode(body: Json) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()


def quoted(value: str) -> str:
    """A text as a filter compares with it: a JSON string (RFC 7644 §3.4.2.2), its letters as they are.

    What reads no escapes at least reads these.
    """
    return json.dumps(value, ensure_ascii=False)


def check(answer: HttpResponse) -> None:
    """Return on success; else say what the status means for this command."""
    if answer.status == 403:
        raise Settled(Rejected("forbidden", status=answer.status))
    if answer.status >= 300:
        settle(answer)


def refuse(answer: HttpResponse) -> None:
    """Raise what an answer says of the target as a whole."""
    if answer.status in (401, 403):
        raise TargetUnauthorised(f"the target answers {answer.status} to our credential")
    if answer.status in AWAY:
        raise TargetUnavailable(f"status_{answer.status}", answer.retry_after)
    if 300 <= answer.status < 400:
        raise ContractBroken(f"the target redirects ({answer.status}): base_url must name where it is")


def settle(answer: HttpResponse) -> NoReturn:
    """Say what a failure means for this command."""
    if answer.status >= 500:
        raise Settled(Deferred(f"server_error_{answer.status}", answer.retry_after, answer.status))
    scim_type = (content(answer) or {}).get("scimType")
    told = scim_type if scim_type in SCIM_TYPES else None
    raise Settled(Rejected(f"refused_{answer.status}", told, answer.status))


def content(answer: HttpResponse) -> dict[str, Any] | None:
    """The JSON object of an answer, None when it is none."""
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def id_of(resource: Json | None) -> str:
    """The id of a resource. Raises `Settled` when there is none that a path can name."""
    value = (resource or {}).get("id")
    if not isinstance(value, str) or value in UNNAMEABLE:
        raise Settled(NOT_SCIM)
    return value


def etag_of(answer: HttpResponse | None, resource: Json | None) -> str | None:
    """Take meta.version (RFC 7643 §3.1) or the ETag header, if a header can carry it back."""
    meta = (resource or {}).get("meta")
    version = meta.get("version") if isinstance(meta, dict) else None
    tag = version or (answer.headers.get("etag") if answer is not None else None)
    return tag if isinstance(tag, str) and tag.isascii() and tag.isprintable() else None
