"""Who asks and what may be read: clients with their secrets, bearer tokens, and signed requests.

A token is signed with a key made of the client's secret, so it outlives a restart, is good at every process that
knows the client, and ends with the secret.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import token_urlsafe
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, unquote_plus
from urllib.request import parse_http_list

from oauthlib.oauth1.rfc5849 import signature

from connectors.oneroster.shapes import Version

_SCOPES = "https://purl.imsglobal.org/spec/or/{version}/scope/{name}"
_WINDOW = timedelta(minutes=5)
_LONGEST_NONCE = 255  # each is remembered for some minutes
_NOBODY = "nobody has this secret, and comparing with it takes as long as with another"


def scope(version: Version, name: str) -> str:
    """The full name of a scope, such as ``roster-core.readonly``."""
    return _SCOPES.format(version=version, name=name)


class NotAuthorised(Exception):
    """Nobody we know asks: 401. `presented` says whether any proof was there."""

    def __init__(self, *, presented: bool) -> None:
        super().__init__()
        self.presented = presented


@dataclass(frozen=True, slots=True)
class Client:
    """One that may fetch. `scopes` are without version; `signatures` are the methods of OAuth 1.0a it may use."""

    id: str
    secret: str = field(repr=False)
    scopes: frozenset[str]
    versions: frozenset[Version]
    signatures: frozenset[str] = frozenset()

    def full_scopes(self) -> set[str]:
        return {scope(version, name) for version in self.versions for name in self.scopes}


class Gate:
    """Lets clients in. `public_url` is what they sign for, `now` the time by which tokens and signatures end."""

    def __init__(
        self, clients: Iterable[Client], public_url: str, lifetime: timedelta, now: Callable[[], datetime]
    ) -> None:
        self._clients = {client.id: client for client in clients}
        self._named = {_text(name.encode()): client for name, client in self._clients.items()}
        self.lifetime = lifetime
        self._url, self._now = public_url, now
        self._seen = _Nonces()

    def client(self, authorization: str) -> Client:
        """The client that proves itself by HTTP Basic (RFC 6749 §2.3.1). Raises `NotAuthorised`."""
        found = _basic(authorization)
        if found is None:
            raise NotAuthorised(presented=bool(authorization))
        for name, secret in dict.fromkeys((found, (unquote_plus(found[0]), unquote_plus(found[1])))):
            client = self._clients.get(name)
            if _same(client.secret if client else _NOBODY, secret) and client is not None:
                return client
        raise NotAuthorised(presented=True)

    def token(self, client: Client, asked: Sequence[str]) -> tuple[str, set[str]]:
        """Return a token and its scopes: those of the client that were asked for, or all of them."""
        granted = client.full_scopes() & {*asked} if asked else client.full_scopes()
        until = int((self._now() + self.lifetime).timestamp())
        claims = {"scopes": sorted(granted), "until": until, "once": token_urlsafe(9)}
        body = f"{_text(client.id.encode())}.{_text(json.dumps(claims).encode())}"
        return f"{body}.{self._seal(client, body)}", granted

    def scopes(self, request: Request) -> set[str]:
        """What this request may read. Raises `NotAuthorised`."""
        scheme, _, rest = request.authorization.partition(" ")
        match scheme.lower():
            case "bearer":
                return self._bearer(rest.strip())
            case "oauth":
                return self._signed(request)
            case _:
                raise NotAuthorised(presented=bool(request.authorization))

    def _bearer(self, token: str) -> set[str]:
        body, _, seal = token.rpartition(".")
        name, _, claimed = body.partition(".")
        client = self._named.get(name)
        if not _same(self._seal(client, body) if client else _NOBODY, seal) or client is None:
            raise NotAuthorised(presented=True)
        claims = json.loads(base64.urlsafe_b64decode(claimed + "=" * (-len(claimed) % 4)))  # it is ours
        if self._now().timestamp() >= claims["until"]:
            raise NotAuthorised(presented=True)
        return client.full_scopes() & {*claims["scopes"]}

    def _seal(self, client: Client, body: str) -> str:
        key = hmac.digest(client.secret.encode(), b"skolebro oneroster token\0" + self._url.encode(), "sha256")
        return _text(hmac.digest(key, body.encode(), "sha256"))

    def _signed(self, request: Request) -> set[str]:
        """OAuth 1.0a with a client's secret and no token (RFC 5849 §3): of version 1.1 only, and each once."""
        params = _parameters(request.authorization)
        told = dict(params)
        client = self._clients.get(told.get("oauth_consumer_key", ""))
        method = told.get("oauth_signature_method", "")
        is_ours = self._is_signature(client.secret if client else _NOBODY, request, params, method)
        is_allowed = client is not None and method in client.signatures
        if not (is_ours and is_allowed and told.get("oauth_version", "1.0") == "1.0") or client is None:
            raise NotAuthorised(presented=True)
        self._use(client.id, told.get("oauth_timestamp", ""), told.get("oauth_nonce", ""))
        return client.full_scopes() & {scope("v1p1", name) for name in client.scopes}

    def _is_signature(self, secret: str, request: Request, params: Sequence[tuple[str, str]], method: str) -> bool:
        sign = _METHODS.get(method)
        given = dict(params).get("oauth_signature", "")
        if sign is None or not given:
            return False
        signed = [*parse_qsl(request.query, keep_blank_values=True), *params]
        normal = signature.normalize_parameters(
            [pair for pair in signed if pair[0] != "oauth_signature"]  # type: ignore[arg-type]  # a wrong stub
        )
        uri = signature.base_string_uri(self._url + request.path)
        return _same(sign(signature.signature_base_string("GET", uri, normal), _Signer(secret)), given)

    def _use(self, client: str, timestamp: str, nonce: str) -> None:
        now = self._now().timestamp()
        is_time = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12
        if not (is_time and 0 < len(nonce) <= _LONGEST_NONCE):
            raise NotAuthorised(presented=True)
        is_near = abs(now - int(timestamp)) <= _WINDOW.total_seconds()
        if not is_near or not self._seen.add((client, timestamp, nonce), now):
            raise NotAuthorised(presented=True)


@dataclass(frozen=True, slots=True)
class Request:
    """What the proof of a GET may depend on. `path` begins below the public URL."""

    path: str
    query: str
    authorization: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Signer:
    """A client without a token, by the names that oauthlib has for it."""

    client_secret: str = field(repr=False)
    resource_owner_secret: str = ""


class _Nonces:
    """Which signed requests were taken; each is forgotten when its timestamp is too old anyway."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._taken: dict[tuple[str, str, str], float] = {}

    def add(self, one: tuple[str, str, str], now: float) -> bool:
        """Whether it is new."""
        with self._lock:
            old = now - 2 * _WINDOW.total_seconds()
            while self._taken and next(iter(self._taken.values())) < old:
                del self._taken[next(iter(self._taken))]
            if one in self._taken:
                return False
            self._taken[one] = now
            return True


_METHODS: Mapping[str, Any] = {
    "HMAC-SHA256": signature.sign_hmac_sha256_with_client,
    "HMAC-SHA1": signature.sign_hmac_sha1_with_client,
}


def _basic(authorization: str) -> tuple[str, str] | None:
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, secret = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
    except ValueError:
        return None
    return (name, secret) if colon else None


def _parameters(authorization: str) -> list[tuple[str, str]]:
    """What a header of OAuth 1.0a says, each name once (RFC 5849 §3.1). Raises `NotAuthorised`."""
    names = [part.partition("=")[0] for part in parse_http_list(authorization.partition(" ")[2])]
    if len({*names}) < len(names):  # oauthlib would take the last of them
        raise NotAuthorised(presented=True)
    try:
        return list(
            signature.collect_parameters(headers={"Authorization": authorization}, exclude_oauth_signature=False)
        )
    except ValueError:
        raise NotAuthorised(presented=True) from None


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
