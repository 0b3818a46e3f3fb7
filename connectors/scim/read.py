"""Everything that a service provider has of a resource, page by page: all of it, or an error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bridge.connector import ContractBroken, Remote, TargetUnavailable, differing_fields
from bridge.domain.ids import CanonicalId
from connectors.scim.wire import (
    CANONICAL_ID,
    Json,
    Request,
    Resource,
    Settled,
    Wire,
    content,
    etag_of,
    id_of,
    refuse,
)

_PAGE = 100
_INCOMPLETE = "read_back_incomplete"


def read_resources(wire: Wire, names: Sequence[str], resource: Resource, key: str = "id") -> Iterator[Remote]:
    """Yield each resource once for each name that it may have, with no more than a page in memory.

    What is not one of ours comes once only. `key` is what it goes by there: its id, or our externalId.

    A server may give fewer a page than it is asked for, and repeat some. That the pages are all there is told by
    totalResults only: where it changes meanwhile, or is not what was read, something may have slipped between two
    pages. Raises `TargetUnavailable` then, and `TargetError` for every answer that is no page.
    """
    for id_, one in _resources(wire, resource, key):
        remote = _remote(names[0], id_, one)
        yield remote
        if remote.id is not None:
            yield from (replace(remote, resource=name) for name in names[1:])


def read_all(wire: Wire, resource: Resource) -> Iterator[Json]:
    """Yield each resource of an endpoint as it is there. Raises as `read_resources` does."""
    return (one for _, one in _resources(wire, resource, "id"))


def _resources(wire: Wire, resource: Resource, key: str) -> Iterator[tuple[str, Json]]:
    """Page by page (RFC 7644 §3.4.2.4)."""
    seen: set[str] = set()
    total: int | None = None
    start = 1  # counted from 1, as RFC 7644 does
    while total is None or len(seen) < total:
        told, page = _page(wire, resource, start, key)
        if total not in (None, told):
            raise TargetUnavailable(_INCOMPLETE)
        total = told
        new = {id_: one for id_, one in page if id_ not in seen}
        yield from new.items()
        seen.update(new)
        start += len(page)
        if not new:
            break
    if len(seen) != total:
        raise TargetUnavailable(_INCOMPLETE)


def _page(wire: Wire, resource: Resource, start: int, key: str) -> tuple[int, list[tuple[str, Json]]]:
    """How many there are in all, and those of one page with their ids."""
    query = {"startIndex": str(start), "count": str(_PAGE)}
    answer = wire.send(Request("GET", resource.endpoint, query=query))
    refuse(answer)
    if answer.status >= 500:
        raise TargetUnavailable(f"status_{answer.status}")
    if answer.status != 200:
        raise ContractBroken(f"GET {resource.endpoint} answers {answer.status}: it cannot be read back")
    page = content(answer) or {}
    total, found = page.get("totalResults"), page.get("Resources", [])
    if not isinstance(total, int) or isinstance(total, bool) or not isinstance(found, list):
        raise ContractBroken(f"GET {resource.endpoint} does not answer with a list as RFC 7644 §3.4.2 says")
    return total, [(_id(resource, one, key), one) for one in found]


def _id(resource: Resource, found: Any, key: str) -> str:
    try:
        return id_of({"id": found.get(key)} if isinstance(found, dict) else None)
    except Settled as none:
        raise ContractBroken(f"GET {resource.endpoint} lists something without {key}") from none


def _remote(name: str, remote_id: str, found: Json) -> Remote:
    told = found.get("externalId")
    is_canonical = isinstance(told, str) and CANONICAL_ID.fullmatch(told) is not None
    return Remote(name, remote_id, CanonicalId(str(told)) if is_canonical else None, found, etag_of(None, found))


def differing(sent: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the fields that differ; upper and lower case of userName mean nothing (RFC 7643 §4.1.1)."""
    return differing_fields(_folded(sent), _folded(found))


def _folded(document: Mapping[str, Any]) -> Mapping[str, Any]:
    name = document.get("userName")
    return {**document, "userName": name.casefold()} if isinstance(name, str) else document
