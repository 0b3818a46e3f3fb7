"""What every exchange with a SCIM service provider has in common: how it is asked, and what its answers mean."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn
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

AWAY = frozenset({408, 429, 502, 503, 504})
# RFC 7644 table 9, without what speaks of PATCH and filters: no other word of a refusal is passed on.
SCIM_TYPES = ("uniqueness", "mutability", "invalidSyntax", "invalidValue", "invalidVers", "sensitive")
CANONICAL_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")  # UUIDv5
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
class Wire:
    """One service provider, asked in SCIM's media type. `resources` are the mapping's, by name."""

    http: Http
    resources: Mapping[str, Resource]

    def send(
        self, method: str, path: str, body: Json | None = None, etag: str | None = None, **query: str
    ) -> HttpResponse:
        headers = {"Accept": "application/scim+json, application/json"}
        headers |= {} if body is None else {"Content-Type": "application/scim+json"}
        headers |= {} if etag is None else {"If-Match": etag}
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        return self.http.request(method, path, headers=headers, params=query or None, body=data)

    def probe(self) -> None:
        """Read the service provider configuration (RFC 7644 §4) and, as that may be public, one user."""
        answer = self.send("GET", "/ServiceProviderConfig")
        refuse(answer)
        if answer.status >= 500:
            raise TargetUnavailable(f"status_{answer.status}")
        if answer.status != 200 or content(answer) is None:
            raise ContractBroken("GET /ServiceProviderConfig does not answer as RFC 7644 §4 says")
        users = self.resources["User"].endpoint
        answer = self.send("GET", users, count="1")
        refuse(answer)
        if answer.status >= 300 and answer.status not in (404, 501):
            raise ContractBroken(f"GET {users} answers {answer.status}")

    def check(self, answer: HttpResponse) -> None:
        """Return on success; else say what the status means for this command, or for the target."""
        if answer.status == 403:
            self.probe()  # refused there too: it is our credential, not this entity
            raise Settled(Rejected("forbidden", status=answer.status))
        if answer.status >= 300:
            refuse(answer)
            settle(answer)

    def look_up(self, resource: Resource, name: str, value: str) -> list[Json]:
        """Return the resources that have this value (RFC 7644 §3.4.2.2).

        A server that does not know the filter may answer with everybody, so each resource is looked at.
        """
        answer = self.send("GET", resource.endpoint, filter=f"{name} eq {json.dumps(value)}")
        if answer.status in (404, 405, 501) or (content(answer) or {}).get("scimType") == "invalidFilter":
            raise ContractBroken(
                f"GET {resource.endpoint} by {name} answers {answer.status}: see base_url; a server that cannot "
                "be searched needs before_create: post"
            )
        self.check(answer)
        page = content(answer) or {}
        resources = page.get("Resources", [] if page.get("totalResults") == 0 else None)
        if not isinstance(resources, list):
            raise Settled(replace(NOT_SCIM, status=answer.status))
        fold = str.casefold if name == "userName" else str  # RFC 7643 §4.1.1: not caseExact
        return [r for r in resources if isinstance(r, dict) and fold(str(r.get(name, ""))) == fold(value)]


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
    # Dots would be taken for a step in the path (RFC 3986 §5.2.4), and we would write somewhere else.
    if not isinstance(value, str) or value in ("", ".", ".."):
        raise Settled(NOT_SCIM)
    return value


def etag_of(answer: HttpResponse | None, resource: Json | None) -> str | None:
    """Take meta.version (RFC 7643 §3.1) or the ETag header, if a header can carry it back."""
    meta = (resource or {}).get("meta")
    version = meta.get("version") if isinstance(meta, dict) else None
    tag = version or (answer.headers.get("etag") if answer is not None else None)
    return tag if isinstance(tag, str) and tag.isascii() and tag.isprintable() else None
