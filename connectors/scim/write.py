"""One write each: a resource comes into being, becomes as it should be, or goes away."""

from __future__ import annotations

from dataclasses import replace

from bridge.connector import ContractBroken, Deferred, Delivered, HttpResponse, Outcome, Unchanged
from connectors.scim.wire import (
    GONE,
    NOT_SCIM,
    STALE,
    Asking,
    Json,
    Request,
    Resource,
    Settled,
    Steps,
    check,
    content,
    etag_of,
    id_of,
)

CHANGED_MEANWHILE = Deferred("changed_meanwhile")


def create(resource: Resource, body: Json, known_id: str | None = None) -> Asking[Delivered | HttpResponse]:
    """POST (RFC 7644 §3.3); the answer itself where it says that something is taken already.

    `known_id` is the id that it will have, where that is not the server's choice.
    """
    answer = yield Request("POST", resource.endpoint, body)
    if answer.status == 409:
        return answer
    if answer.status in (404, 405):
        yield from _require_endpoint(resource, answer)
    check(answer)
    created = content(answer)
    if known_id is not None and (created is not None or not answer.body):
        return Delivered(known_id, etag_of(answer, created), answer.status)
    return Delivered(id_of(created), etag_of(answer, created), answer.status)


def _require_endpoint(resource: Resource, refused: HttpResponse) -> Asking[None]:
    """Where the endpoint is there, a 404 is about something that this one resource names, which may yet come."""
    listed = yield Request("GET", resource.endpoint, query={"count": "1"})
    if refused.status == 404 and listed.status < 300:
        raise Settled(Deferred("refused_404", status=404))
    raise ContractBroken(f"POST {resource.endpoint} answers {refused.status}")


def put(resource: Resource, remote_id: str, etag: str | None, body: Json) -> Asking[Outcome | None]:
    """PUT (RFC 7644 §3.5.1), once more if it changed meanwhile; None when it is not there."""
    answer = yield from _twice(Request("PUT", resource.path(remote_id), body, etag))
    if answer.status in GONE:
        return None
    check(answer)
    replaced = content(answer)
    if replaced is None and answer.status != 204:
        return replace(NOT_SCIM, status=answer.status)
    return Delivered(remote_id, etag_of(answer, replaced), answer.status)


def delete(resource: Resource, remote_id: str, etag: str | None) -> Steps:
    """DELETE (RFC 7644 §3.6); what is not there any more is as good as deleted."""
    answer = yield from _twice(Request("DELETE", resource.path(remote_id), etag=etag))
    if answer.status in GONE:
        return Unchanged(status=answer.status)
    check(answer)
    return Delivered(status=answer.status)


def _twice(request: Request) -> Asking[HttpResponse]:
    """Ask once more with the version that is there now, where ours is stale (RFC 7644 §3.14)."""
    answer = yield request
    if answer.status not in STALE:
        return answer
    current = yield Request("GET", request.path)
    if current.status not in GONE:
        check(current)
    answer = yield replace(request, etag=etag_of(current, content(current)))
    if answer.status in STALE:
        raise Settled(replace(CHANGED_MEANWHILE, status=answer.status))
    return answer
