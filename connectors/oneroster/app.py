"""What clients fetch from: nobody is let in without a proof, and every answer is one that the OpenAPI names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from copy import deepcopy
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import Body, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from bridge.domain.errors import StoreError
from connectors.oneroster.collections import COLLECTIONS, Collection
from connectors.oneroster.openapi import describe, list_operation, one_operation
from connectors.oneroster.problems import Refused, problem
from connectors.oneroster.query import Minor
from connectors.oneroster.service import Service
from connectors.oneroster.shapes import Version
from connectors.oneroster.tokens import Gate, NotAuthorised

SERVICES: Mapping[Version, str] = {"v1p1": "/ims/oneroster/v1p1", "v1p2": "/ims/oneroster/rostering/v1p2"}
_LONGEST_BODY = 8192
_TOO_LONG = JSONResponse(
    problem("v1p2", "invaliddata", "the body of a request is small and says how long it is"), 413
)
_FORM = "application/x-www-form-urlencoded"
_MINORS: Mapping[int, Minor] = {401: "unauthorisedrequest", 403: "forbidden", 404: "unknownobject"}
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


class OneRosterApp(FastAPI):
    """Its `openapi()` is the whole contract; it is not served."""

    def __init__(self, token_path: str) -> None:
        super().__init__(
            title="Skolebro OneRoster", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
        )
        self._token_path = token_path

    def openapi(self) -> dict[str, Any]:
        return describe(deepcopy(super().openapi()), self._token_path)


def create_app(gate: Gate, services: Mapping[Version, Service], token_path: str) -> OneRosterApp:
    """Return the application; `services` answer for one version each."""
    app = OneRosterApp(token_path)
    app.add_exception_handler(Refused, _on_refused)
    app.add_exception_handler(StoreError, _on_store_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_error)
    _add_token(app, gate, token_path)
    for version, service in services.items():
        for collection in COLLECTIONS:
            _add_collection(app, service, SERVICES[version], collection)
    return app


def guarded(app: Asgi) -> Asgi:
    """The application behind a limit: the body of a request is small, and says how long it is."""

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:  # servers know an ASGI 3 app by `async`
        headers = dict(scope.get("headers", ()))
        length = headers.get(b"content-length", b"0")
        if b"transfer-encoding" in headers or not length.isdigit() or int(length[:9]) > _LONGEST_BODY:
            await _TOO_LONG(scope, receive, send)
        else:
            await app(scope, receive, send)

    return limited


def _add_collection(app: FastAPI, service: Service, base: str, collection: Collection) -> None:
    names = collection.parameters

    def objects(request: Request) -> Response:
        return service.objects(collection, request, [request.path_params[name] for name in names])

    def one(request: Request) -> Response:
        return service.one(collection, request, request.path_params["sourcedId"])

    path = f"{base}/{collection.path}"
    _add(app, path, list_operation(service.version, service.shapes, collection), objects)
    if collection.has_members:
        _add(app, f"{path}/{{sourcedId}}", one_operation(service.version, service.shapes, collection), one)


def _add(app: FastAPI, path: str, operation: dict[str, Any], answer: Callable[[Request], Response]) -> None:
    """Some clients end a path with a slash; a redirect would be to another path than the one that they signed."""
    app.get(path, **operation)(answer)
    app.get(f"{path}/", include_in_schema=False)(answer)


def _add_token(app: FastAPI, gate: Gate, path: str) -> None:
    """Client credentials (RFC 6749 §4.4)."""

    @app.post(path, operation_id="token")
    def token(request: Request, body: Annotated[bytes, Body(media_type=_FORM)] = b"") -> Response:
        try:
            client = gate.client(request.headers.get("authorization", ""))
        except NotAuthorised:
            return _token_error(401, "invalid_client", {"WWW-Authenticate": 'Basic realm="OneRoster"'})
        form = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
        told = dict(form)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != _FORM or len(told) != len(form):
            return _token_error(400, "invalid_request")
        if told.get("grant_type") != "client_credentials":
            return _token_error(400, "unsupported_grant_type" if "grant_type" in told else "invalid_request")
        made, granted = gate.token(client, told.get("scope", "").split())
        if not granted:
            return _token_error(400, "invalid_scope")
        answer: dict[str, Any] = {"access_token": made, "token_type": "Bearer", "scope": " ".join(sorted(granted))}
        answer["expires_in"] = int(gate.lifetime.total_seconds())
        return JSONResponse(answer, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})

    @app.exception_handler(RequestValidationError)
    def unreadable(request: Request, error: RequestValidationError) -> Response:
        return _token_error(400, "invalid_request")


def _token_error(status: int, code: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": code}, status, {"Cache-Control": "no-store", **(headers or {})})


def _version(request: Request) -> Version:
    return "v1p1" if SERVICES["v1p1"] in request.scope["path"] else "v1p2"


def _on_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 - it is registered for these only
    return JSONResponse(problem(_version(request), error.minor, error.text), error.status, error.headers)


def _on_store_error(request: Request, _: Exception) -> Response:
    body = problem(_version(request), "server_busy", "the roster cannot be read now; ask again later")
    return JSONResponse(body, 503, {"Retry-After": "60"})


def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these only
    body = problem(
        _version(request), _MINORS.get(error.status_code, "invaliddata"), "there is nothing of that kind here"
    )
    return JSONResponse(body, error.status_code, error.headers)


def _on_error(request: Request, _: Exception) -> Response:
    return JSONResponse(problem(_version(request), "internal_server_error", "something failed here"), 500)
