"""Each command ends with one resource in the state it should have, found again by externalId if need be."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn
from urllib.parse import quote

from pydantic import Field

from bridge.connector import (
    Capabilities,
    Command,
    ConnectorConfig,
    ContractBroken,
    Deferred,
    Delivered,
    Http,
    HttpResponse,
    Outcome,
    Rejected,
    TargetUnauthorised,
    TargetUnavailable,
    Unchanged,
)
from bridge.domain.changes import Operation

AWAY = frozenset({408, 429, 502, 503, 504})
# RFC 7644 table 9, without what speaks of PATCH and filters: no other word of a refusal is passed on.
SCIM_TYPES = ("uniqueness", "mutability", "invalidSyntax", "invalidValue", "invalidVers", "sensitive")
CANONICAL_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")  # UUIDv5
GONE = (404, 410)
NOT_SCIM = Deferred("answer_not_scim")
CHANGED_MEANWHILE = Deferred("changed_meanwhile")
Json = Mapping[str, Any]


class Resource(ConnectorConfig):
    """Where a resource of the mapping lives: its endpoint below the base URL, and its schema."""

    endpoint: str = Field(pattern=r"^/[^?#]*[^/?#]$")
    urn: str = Field(pattern=r"^urn:\S+$")


@dataclass(eq=False)
class _Settled(Exception):
    """An answer decides the whole command, however deep we are in it."""

    outcome: Outcome


class ScimTarget:
    """`bridge.connector.Target` for RFC 7644.

    externalId need not be unique at the server (RFC 7643 §3.1), so a create that is repeated blindly
    may double: whatever is in doubt is looked up first.
    """

    capabilities = Capabilities(
        references="remote", max_batch=50, idempotent_create=False, inactive={"User": {"active": False}}
    )

    def __init__(self, http: Http, resources: Mapping[str, Resource], *, takes_over: bool = False) -> None:
        """`takes_over`: what carries another system's externalId is adopted too."""
        self._http, self._resources, self._takes_over = http, resources, takes_over

    def apply(self, batch: Sequence[Command]) -> Iterator[Outcome]:
        """Yield one outcome per command, in order.

        Raises `TargetUnavailable` for 408, 429, 502, 503 and 504 too (RFC 9110 §15, RFC 6585 §4),
        `TargetUnauthorised` for 403 only if the probe fails too, `ContractBroken` for a redirect.
        """
        for command in batch:
            yield self._one(command)

    def probe(self) -> None:
        """Read the service provider configuration (RFC 7644 §4) and, as that may be public, one user."""
        answer = self._send("GET", "/ServiceProviderConfig")
        _refuse(answer)
        if answer.status >= 500:
            raise TargetUnavailable(f"status_{answer.status}")
        if answer.status != 200 or _json(answer) is None:
            raise ContractBroken("GET /ServiceProviderConfig does not answer as RFC 7644 §4 says")
        users = self._resources["User"].endpoint
        answer = self._send("GET", users, count="1")
        _refuse(answer)
        if answer.status >= 300 and answer.status not in (404, 501):
            raise ContractBroken(f"GET {users} answers {answer.status}")

    def _one(self, command: Command) -> Outcome:
        resource = self._resources.get(command.resource)
        if resource is None:
            return Rejected("resource_not_configured", command.resource)
        try:
            return (self._delete if command.operation is Operation.DELETED else self._bring)(resource, command)
        except _Settled as settled:
            return settled.outcome

    def _bring(self, resource: Resource, command: Command) -> Outcome:
        """PUT what is known to be there, look up what may be, POST what is not."""
        document = command.document or {}
        extensions = sorted(name for name in document if name.startswith("urn:"))
        body = {"schemas": [resource.urn, *extensions], **document}
        if command.remote_id is not None:
            replaced = self._replace(resource, command.remote_id, command.etag, body)
            return replaced or self._create(resource, body)
        # Nothing but userName is unique, so any other resource could be made a second time unnoticed.
        if command.in_doubt or command.operation is Operation.UPDATED or "userName" not in body:
            found = self._find(resource, "externalId", body)
            if found is not None:
                return self._adopt(resource, found, body)
        return self._create(resource, body)

    def _create(self, resource: Resource, body: Json) -> Outcome:
        """POST (RFC 7644 §3.3); what is taken already is looked up and adopted."""
        answer = self._send("POST", resource.endpoint, body)
        if answer.status == 409:  # displayName is not unique, so it identifies nobody
            found = self._find(resource, "externalId", body) or self._find(resource, "userName", body)
            return self._adopt(resource, found or _settle(answer), body)
        if answer.status in (404, 405):
            raise ContractBroken(f"POST {resource.endpoint} answers {answer.status}")
        self._check(answer)
        created = _json(answer)
        return Delivered(_id(created), _etag(answer, created), answer.status)

    def _adopt(self, resource: Resource, found: Json, body: Json) -> Outcome:
        """PUT over what somebody else made, unless another system or another of our entities claims it."""
        theirs = found.get("externalId") or body.get("externalId")
        if theirs != body.get("externalId") and not (self._takes_over and not CANONICAL_ID.fullmatch(str(theirs))):
            return Rejected("taken_by_other")
        return self._replace(resource, _id(found), None, body) or CHANGED_MEANWHILE

    def _replace(self, resource: Resource, remote_id: str, etag: str | None, body: Json) -> Outcome | None:
        """PUT (RFC 7644 §3.5.1), once more if it changed meanwhile (§3.14); None when it is not there."""
        path = f"{resource.endpoint}/{quote(remote_id, safe='')}"
        answer = self._send("PUT", path, body, etag)
        if answer.status in (412, 428):
            current = self._send("GET", path)
            if current.status not in GONE:
                self._check(current)
            answer = self._send("PUT", path, body, _etag(current, _json(current)))
        if answer.status in GONE:
            return None
        if answer.status in (412, 428):
            return replace(CHANGED_MEANWHILE, status=answer.status)
        self._check(answer)
        replaced = _json(answer)
        if replaced is None and answer.status != 204:
            return replace(NOT_SCIM, status=answer.status)
        return Delivered(remote_id, _etag(answer, replaced), answer.status)

    def _delete(self, resource: Resource, command: Command) -> Outcome:
        """DELETE (RFC 7644 §3.6); what is not there any more is as good as deleted."""
        remote_id = command.remote_id
        if remote_id is None:
            found = self._find(resource, "externalId", {"externalId": command.id, **(command.previous or {})})
            if found is None:
                return Unchanged()
            remote_id = _id(found)
        answer = self._send("DELETE", f"{resource.endpoint}/{quote(remote_id, safe='')}")
        if answer.status in GONE:
            return Unchanged(status=answer.status)
        self._check(answer)
        return Delivered(status=answer.status)

    def _find(self, resource: Resource, name: str, body: Json) -> Json | None:
        """Return the one resource that has our value (RFC 7644 §3.4.2.2), None when there is none.

        A server that does not know the filter may answer with everybody, so each resource is looked at.
        """
        value = body.get(name)
        if not isinstance(value, str):
            return None
        answer = self._send("GET", resource.endpoint, filter=f"{name} eq {json.dumps(value)}")
        self._check(answer)
        page = _json(answer) or {}
        resources = page.get("Resources", [] if page.get("totalResults") == 0 else None)
        if not isinstance(resources, list):
            raise _Settled(replace(NOT_SCIM, status=answer.status))
        fold = str.casefold if name == "userName" else str  # RFC 7643 §4.1.1: not caseExact
        matches = [r for r in resources if isinstance(r, dict) and fold(str(r.get(name, ""))) == fold(value)]
        if len(matches) > 1:
            raise _Settled(Rejected("ambiguous_match", name))
        return matches[0] if matches else None

    def _send(
        self, method: str, path: str, body: Json | None = None, etag: str | None = None, **query: str
    ) -> HttpResponse:
        headers = {"Accept": "application/scim+json, application/json"}
        headers |= {} if body is None else {"Content-Type": "application/scim+json"}
        headers |= {} if etag is None else {"If-Match": etag}
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        return self._http.request(method, path, headers=headers, params=query or None, body=data)

    def _check(self, answer: HttpResponse) -> None:
        """Return on success; else say what the status means for this command, or for the target."""
        if answer.status == 403:
            self.probe()  # refused there too: it is our credential, not this entity
            raise _Settled(Rejected("forbidden", status=answer.status))
        if answer.status >= 300:
            _refuse(answer)
            _settle(answer)


def _refuse(answer: HttpResponse) -> None:
    """Raise what an answer says of the target as a whole."""
    if answer.status in (401, 403):
        raise TargetUnauthorised(f"the target answers {answer.status} to our credential")
    if answer.status in AWAY:
        raise TargetUnavailable(f"status_{answer.status}", answer.retry_after)
    if 300 <= answer.status < 400:
        raise ContractBroken(f"the target redirects ({answer.status}): base_url must name where it is")


def _settle(answer: HttpResponse) -> NoReturn:
    """Say what a failure means for this command."""
    if answer.status >= 500:
        raise _Settled(Deferred(f"server_error_{answer.status}", answer.retry_after, answer.status))
    scim_type = (_json(answer) or {}).get("scimType")
    told = scim_type if scim_type in SCIM_TYPES else None
    raise _Settled(Rejected(f"refused_{answer.status}", told, answer.status))


def _json(answer: HttpResponse) -> dict[str, Any] | None:
    try:
        content = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _id(resource: Json | None) -> str:
    value = (resource or {}).get("id")
    # Dots would be taken for a step in the path (RFC 3986 §5.2.4), and we would write somewhere else.
    if not isinstance(value, str) or value in ("", ".", ".."):
        raise _Settled(NOT_SCIM)
    return value


def _etag(answer: HttpResponse, resource: Json | None) -> str | None:
    """Take meta.version (RFC 7643 §3.1) or the ETag header, if a header can carry it back."""
    meta = (resource or {}).get("meta")
    version = meta.get("version") if isinstance(meta, dict) else None
    tag = version or answer.headers.get("etag")
    return tag if isinstance(tag, str) and tag.isascii() and tag.isprintable() else None
