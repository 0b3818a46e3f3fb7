"""What a service provider has already is found by a filter, in a list that is read once, or by its own path."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from bridge.connector import ContractBroken, Rejected
from connectors.scim.wire import NOT_SCIM, Asking, Json, Request, Resource, Settled, check, content, quoted


class Finder(Protocol):
    """How resources are found. `is_key`: externalId is the id there, so that a create cannot double."""

    is_key: bool

    def find(self, resource: Resource, name: str, value: str, *, is_fresh: bool) -> Asking[list[Json]]:
        """Return the resources that have this value; `is_fresh`: as they are now, not as we knew them."""
        ...

    def took(self, resource: Resource, remote_id: str, body: Json) -> None:
        """Learn that what is there under this id is ours, or is about to be."""
        ...

    def forget(self, resource: Resource) -> None:
        """Learn that something may have gone away."""
        ...


def has(name: str, value: str, found: Json) -> bool:
    fold = str.casefold if name == "userName" else str  # RFC 7643 §4.1.1: not caseExact
    return fold(str(found.get(name, ""))) == fold(value)


class ByFilter:
    """RFC 7644 §3.4.2.2. A server that does not know the filter may answer with all, so each one is looked at."""

    is_key = False

    def find(self, resource: Resource, name: str, value: str, *, is_fresh: bool) -> Asking[list[Json]]:
        literal = quoted(value)
        answer = yield Request("GET", resource.endpoint, query={"filter": f"{name} eq {literal}"})
        is_refused = (content(answer) or {}).get("scimType") == "invalidFilter"
        if is_refused and literal != f'"{value}"':  # it may well know filters, and not how signs are escaped
            raise Settled(Rejected(f"refused_{answer.status}", name, answer.status))
        if answer.status in (404, 405, 501) or is_refused:
            raise ContractBroken(
                f"GET {resource.endpoint} by {name} answers {answer.status}: see base_url; a server that cannot "
                "be searched needs search: list, or before_create: post"
            )
        check(answer)
        page = content(answer) or {}
        resources = page.get("Resources", [] if page.get("totalResults") == 0 else None)
        if not isinstance(resources, list):
            raise Settled(replace(NOT_SCIM, status=answer.status))
        return [one for one in resources if isinstance(one, dict) and has(name, value, one)]

    def took(self, resource: Resource, remote_id: str, body: Json) -> None:
        """Nothing is remembered."""

    def forget(self, resource: Resource) -> None:
        """Nothing is remembered."""


_KEPT = ("id", "externalId", "userName", "displayName")


@dataclass(slots=True)
class ByList:
    """For a server without a filter: an endpoint is read whole, once, and what we make is added to it.

    Only what tells resources apart is kept of them. `read` yields all that an endpoint has, or raises
    `TargetError`.
    """

    read: Callable[[Resource], Iterable[Json]]
    is_key: bool = field(default=False, init=False)
    _lists: dict[str, list[Json]] = field(default_factory=dict, init=False)

    def find(self, resource: Resource, name: str, value: str, *, is_fresh: bool) -> Asking[list[Json]]:
        if is_fresh or resource.endpoint not in self._lists:
            self._lists[resource.endpoint] = [_kept(one) for one in self.read(resource)]
        yield from ()
        return [one for one in self._lists[resource.endpoint] if has(name, value, one)]

    def took(self, resource: Resource, remote_id: str, body: Json) -> None:
        if resource.endpoint in self._lists:
            others = [one for one in self._lists[resource.endpoint] if one.get("id") != remote_id]
            self._lists[resource.endpoint] = [*others, _kept({**body, "id": remote_id})]

    def forget(self, resource: Resource) -> None:
        self._lists.pop(resource.endpoint, None)


class ByPath:
    """For a server whose id is our externalId: whatever has it is at its own path, so nobody has to be asked."""

    is_key = True

    def find(self, resource: Resource, name: str, value: str, *, is_fresh: bool) -> Asking[list[Json]]:
        yield from ()
        return [{"id": value, "externalId": value}] if name == "externalId" else []

    def took(self, resource: Resource, remote_id: str, body: Json) -> None:
        """Nothing is remembered."""

    def forget(self, resource: Resource) -> None:
        """Nothing is remembered."""


def _kept(one: Json) -> dict[str, Any]:
    return {name: one[name] for name in _KEPT if name in one}
