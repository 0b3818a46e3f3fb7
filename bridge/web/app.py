"""What an operator and a monitor may see of the bridge: state and numbers, no person, and nothing to change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import msgspec
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import Response

from bridge.domain.errors import BridgeError
from bridge.engine.guard import REASON_TEXTS
from bridge.observe import EXPOSITION_TYPE, Status, as_json
from bridge.ports import Hold
from bridge.web.anomalies_page import anomalies_page
from bridge.web.hold_page import hold_page, no_hold_page
from bridge.web.page import status_page, style_hash, trouble_page

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_HTML, _JSON, _TEXT = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"
_OK, _NOT_FOUND, _UNAVAILABLE, _FAILED = 200, 404, 503, 500


@dataclass(frozen=True, slots=True)
class Health:
    """Whether all is well; `reasons` say why not, `degraded` what is wrong without being ours to restart."""

    ok: bool
    reasons: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WebDeps:
    """Where the pages get what they show; each is called anew for every request, from any thread.

    `status` and `exposition` may raise `BridgeError`. `liveness` looks at loop ticks only, never at a
    database, broker or target: their outage must not become a restart storm. `readiness`: the store can
    be written and the audit chain read; a target that is down is `degraded`, not unready. `hold` finds one by its
    number, `parts` what of it was carried out by itself.
    """

    status: Callable[[], Status]
    exposition: Callable[[], bytes]
    liveness: Callable[[], Health]
    readiness: Callable[[], Health]
    hold: Callable[[int], Hold | None] = lambda _: None
    parts: Callable[[int], Sequence[Hold]] = lambda _: ()


def create_app(deps: WebDeps, allowed_hosts: Sequence[str] = LOOPBACK_NAMES) -> FastAPI:
    """Return the application.

    Requests under a name that is not in `allowed_hosts` are refused: there is no login, so a web page
    elsewhere that lets its own name point to this machine (DNS rebinding) must not read ours.
    """
    app = FastAPI(title="Skolebro", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts), www_redirect=False)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_error)
    _add_pages(app, deps)
    _add_metrics(app, deps.exposition)
    _add_probes(app, deps.liveness, deps.readiness)
    return app


def create_monitor(
    liveness: Callable[[], Health], readiness: Callable[[], Health], exposition: Callable[[], bytes]
) -> FastAPI:
    """Return the application of a process among others: its probes and its metrics, and nothing of any school's.

    It answers under any name: a container's probes and collectors of metrics ask by address.
    """
    app = FastAPI(title="Skolebro", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_error)
    _add_metrics(app, exposition)
    _add_probes(app, liveness, readiness)
    return app


@cache
def headers() -> dict[str, str]:
    """Return what every answer carries: nothing may be framed, stored, guessed or fetched from elsewhere."""
    return {
        "Content-Security-Policy": f"default-src 'none'; style-src '{style_hash()}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def _add_pages(app: FastAPI, deps: WebDeps) -> None:
    @app.get("/")
    def page() -> Response:
        try:
            return _respond(_OK, status_page(deps.status()), _HTML)
        except BridgeError as error:
            return _respond(_UNAVAILABLE, trouble_page(str(error)), _HTML)

    @app.get("/holds/{number}")
    def hold(number: int) -> Response:
        try:
            found, parts = deps.hold(number), deps.parts(number)
        except BridgeError as error:
            return _respond(_UNAVAILABLE, trouble_page(str(error)), _HTML)
        if found is None:
            return _respond(_NOT_FOUND, no_hold_page(number), _HTML)
        return _respond(_OK, hold_page(found, REASON_TEXTS, parts), _HTML)

    @app.get("/anomalies")
    def anomalies() -> Response:
        try:
            return _respond(_OK, anomalies_page(deps.status().anomalies), _HTML)
        except BridgeError as error:
            return _respond(_UNAVAILABLE, trouble_page(str(error)), _HTML)

    @app.get("/status")
    def status() -> Response:
        try:
            return _json(_OK, as_json(deps.status()))
        except BridgeError as error:
            return _json(_UNAVAILABLE, {"well": False, "attention": [str(error)]})


def _add_metrics(app: FastAPI, exposition: Callable[[], bytes]) -> None:
    @app.get("/metrics")
    def metrics() -> Response:
        return _respond(_OK, exposition(), EXPOSITION_TYPE)


def _add_probes(app: FastAPI, liveness: Callable[[], Health], readiness: Callable[[], Health]) -> None:
    @app.get("/health/live")
    def live() -> Response:
        return _health(liveness())

    @app.get("/health/ready")
    def ready() -> Response:
        return _health(readiness())


def _health(health: Health) -> Response:
    return _json(_OK if health.ok else _UNAVAILABLE, msgspec.to_builtins(health))


def _json(status: int, value: object) -> Response:
    return _respond(status, msgspec.json.encode(value), _JSON)


def _respond(status: int, content: bytes | str, media_type: str) -> Response:
    return Response(content, status, headers(), media_type)


def _on_http_error(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else _FAILED
    return _respond(status, f"{status}\n", _TEXT)


def _on_error(_: Request, __: Exception) -> Response:
    return _respond(_FAILED, "Something failed; the log names the place.\n", _TEXT)
