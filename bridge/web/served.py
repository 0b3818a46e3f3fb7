"""What targets serve stands beside the operator's pages, under other names, and breaks without a word of why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bridge.domain.ids import TargetId
from bridge.web.app import LOOPBACK_NAMES

_TOP, VENDORS = "/targets", "/v1"
_FAILED = 500


class ServeWitness(Protocol):
    """Whoever is told how requests to targets went."""

    def answered(self, target: str, status: int) -> None: ...

    def serving_failed(self, target: str, error: Exception) -> None: ...


def path_of(target: TargetId) -> str:
    """Where what a target serves is found at this server."""
    return f"{_TOP}/{target}/"


def with_served(
    pages: ASGIApp,
    served: Mapping[TargetId, Callable[..., Any]],
    public_hosts: Sequence[str],
    witness: ServeWitness,
    vendors: ASGIApp | None = None,
) -> ASGIApp:
    """Return the pages, and beside them what targets serve, each at its `path_of`, and what `vendors` fetch.

    Only what is served answers to `public_hosts`, by which a reverse proxy is reached; the pages keep to the names
    that they were made with.
    """
    mounts = [Mount(f"/{target}", app=_watched(app, target, witness)) for target, app in served.items()]
    hosts = [*LOOPBACK_NAMES, *public_hosts]

    def door(app: ASGIApp) -> ASGIApp:
        return TrustedHostMiddleware(app, allowed_hosts=hosts, www_redirect=False)

    routes = [Mount(_TOP, app=door(Router(mounts, redirect_slashes=False)))]
    if vendors is not None:
        routes.append(Mount(VENDORS, app=door(vendors)))
    return Router([*routes, Mount("", app=pages)], redirect_slashes=False)


def _watched(app: ASGIApp, target: TargetId, witness: ServeWitness) -> ASGIApp:
    """Tell the witness how each request ended; whoever asked learns no more of a failure than that it is one."""
    safe = ServerErrorMiddleware(app, handler=partial(_on_error, target, witness))

    def watched(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        def noting(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                witness.answered(target, message["status"])
            return send(message)

        return safe(scope, receive, noting)

    return watched


def _on_error(target: TargetId, witness: ServeWitness, _: Request, error: Exception) -> Response:
    witness.serving_failed(target, error)
    return PlainTextResponse("Something failed.\n", _FAILED, {"Cache-Control": "no-store"})
