"""Many commands go out in one request (RFC 7644 §3.7), each with the outcome that its own part of the answer says.

Only the first request of a command goes along, and only if it writes: what has to be asked before or after is
asked alone. failOnErrors is left out, so that the server goes on as far as it can (§3.7.3): with 0, some stop at
the first error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote, urlsplit

from bridge.connector import ContractBroken, Deferred, HttpResponse, Outcome
from connectors.scim.discover import BulkLimits
from connectors.scim.wire import Json, Request, Steps, Wire, content, encode, trace_of

BULK_REQUEST = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
UNANSWERED = Deferred("bulk_unanswered")
_EMPTY = len(encode({"schemas": [BULK_REQUEST], "Operations": []}))
_BAD, _TOO_LARGE = 400, 413
_NOT_IMPLEMENTED = 501


def deliver_in_bulks(wire: Wire, limits: BulkLimits, many: Iterable[Steps]) -> Iterator[Outcome]:
    """Yield one outcome per command, in order. Raises `TargetError`: then nobody knows what became of the rest."""
    load = _Load(wire, limits)
    for steps in many:
        try:
            first = next(steps)
        except StopIteration as settled:
            yield from load.sent()
            yield settled.value
            continue
        yield from load.taken(steps, first)
    yield from load.sent()


@dataclass(slots=True)
class _Load:
    """What goes out together next."""

    wire: Wire
    limits: BulkLimits
    _open: list[tuple[Steps, Request]] = field(default_factory=list)
    _size: int = _EMPTY

    def taken(self, steps: Steps, first: Request) -> Iterator[Outcome]:
        """Take one more along; yield the outcomes of what had to go before, and its own if it goes alone."""
        if not self._has_room(first):
            yield from self.sent()
        if self._has_room(first):
            self._open.append((steps, first))
            self._size += _size_of(first)
        else:
            yield self.wire.finish(steps, first)

    def sent(self) -> Iterator[Outcome]:
        """Send what there is and yield the outcomes; one alone needs no Bulk.

        A Bulk that is refused as a whole did nothing, so all that was in it may go in another way.
        """
        going, size = self._open, self._size
        self._open, self._size = [], _EMPTY
        answer = _bulk(self.wire, [request for _, request in going]) if len(going) > 1 else None
        if answer is None or answer.status == _BAD:
            yield from (self.wire.finish(*one) for one in going)
        elif answer.status == _TOO_LARGE:
            # Whatever is announced (RFC 7644 §3.7.4), something on the way takes less.
            self.limits = replace(self.limits, payload=size // 2)
            for one in going:
                yield from self.taken(*one)
            yield from self.sent()
        else:
            answers = _answers(answer, [request for _, request in going])
            for (steps, _), own in zip(going, answers, strict=True):
                yield UNANSWERED if own is None else self.wire.go_on(steps, self.wire.judged(own))

    def _has_room(self, request: Request) -> bool:
        if request.method == "GET" or len(self._open) >= self.limits.operations:
            return False
        return self._size + _size_of(request) <= self.limits.payload


def _bulk(wire: Wire, requests: list[Request]) -> HttpResponse:
    """Send these requests in one."""
    told = requests if wire.uses_etags() else [replace(request, etag=None) for request in requests]
    operations = [_operation(number, request) for number, request in enumerate(told)]
    body = {"schemas": [BULK_REQUEST], "Operations": operations}
    return wire.ask(Request("POST", "/Bulk", body, traceparent=trace_of(requests)))


def _answers(answer: HttpResponse, requests: list[Request]) -> list[HttpResponse | None]:
    """Return each request's own answer, None for one that has none."""
    if answer.status >= 500 and answer.status != _NOT_IMPLEMENTED:
        return [answer for _ in requests]
    if answer.status >= 300:
        raise ContractBroken(f"POST /Bulk answers {answer.status}, although it is announced: set bulk: never")
    parts = (content(answer) or {}).get("Operations")
    there = [*(parts if isinstance(parts, list) else []), *[None] * len(requests)]
    return [_answer(part, *one) for one, part in zip(enumerate(requests), there, strict=False)]


def _operation(number: int, request: Request) -> Json:
    """One operation; bulkId is required of a POST (RFC 7644 §3.7), and nothing refers to it."""
    body = {"data": request.body} if request.body is not None else {}
    bulk_id = {"bulkId": str(number)} if request.method == "POST" else {}
    version = {"version": request.etag} if request.etag is not None else {}
    return {"method": request.method, **bulk_id, **version, "path": request.path, **body}


def _size_of(request: Request) -> int:
    """At most so many bytes does an operation add."""
    return len(encode({**_operation(10**6, request), "": ""}))


def _answer(part: Any, number: int, request: Request) -> HttpResponse | None:
    """What an operation would have been answered alone; None where it is not certainly the answer to this one.

    The version and the location of a success stand beside it, and its resource may be left out (§3.7.3).
    """
    if not isinstance(part, dict) or not _is_of(part, number, request):
        return None
    status, location = _status(part.get("status")), part.get("location")
    told = part.get("response")
    body = dict(told) if isinstance(told, dict) else {}
    if status is None or status < 200:
        return None
    if status < 300 and request.method == "POST" and isinstance(location, str):
        body = {"id": unquote(urlsplit(location).path.rpartition("/")[2]), **body}
    if status < 300 and not body:
        status = 204
    version = part.get("version")
    headers = {"etag": version} if isinstance(version, str) else {}
    return HttpResponse(status, headers, encode(body) if body else b"")


def _is_of(part: Json, number: int, request: Request) -> bool:
    """An answer without its bulkId or location is believed for its place."""
    if str(part.get("method")).upper() != request.method:
        return False
    if request.method == "POST":
        return str(part.get("bulkId", number)) == str(number)
    location = part.get("location")
    return not isinstance(location, str) or unquote(urlsplit(location).path).endswith(unquote(request.path))


def _status(told: Any) -> int | None:
    """A text (§3.7.3); a number too, as in the examples of drafts that some still follow."""
    told = told.get("code") if isinstance(told, dict) else told
    text = str(told)
    return int(text) if len(text) == 3 and text.isascii() and text.isdigit() else None
