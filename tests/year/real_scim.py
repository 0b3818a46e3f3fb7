"""scim2-server, which nobody here wrote, in this process and without its sockets, for as long as one likes."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from wsgiref.util import setup_testing_defaults

from scim2_models import ScimProvider
from scim2_server.memory import InMemoryStorage
from scim2_server.testserver.application import BearerTokenApplication
from scim2_server.utils import (
    load_default_resource_types,
    load_default_schemas,
    load_default_service_provider_config,
)

from bridge.connector import HttpResponse
from tests.year.systems import Wire

_PAGE = 100
_SAID = {"POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}


class RealScim:
    """Takes the place of `ScimInProcess`: every request is answered by the application of `scim2-server`.

    Bulk is not announced, so that each request is one step on the wire.
    """

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        config = load_default_service_provider_config()
        assert config.bulk is not None
        config.bulk.supported = False
        schemas, types = load_default_schemas().values(), load_default_resource_types().values()
        provider = ScimProvider.from_discovery(schemas, types, config=config)
        self._app = BearerTokenApplication(InMemoryStorage(), provider)
        self._names: dict[str, str] = {}
        self._found: dict[str, dict[str, dict[str, Any]]] | None = None

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        repeatable: bool | None = None,
    ) -> HttpResponse:
        self.wire.look(f"{path} {dict(params or {})} {(body or b'').decode()}")
        answer = self._ask(method, path, headers or {}, params or {}, body or b"")
        if method in _SAID and answer.status < 300:
            self._found = None
            self._note(method, path, answer)
        return answer

    @property
    def resources(self) -> dict[str, dict[str, dict[str, Any]]]:
        """All that the server holds, by endpoint and its own id, as it answers whoever asks."""
        if self._found is None:
            self._found = {endpoint: self._read(endpoint) for endpoint in ("Users", "Groups")}
        return self._found

    def _read(self, endpoint: str) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        while True:
            params = {"startIndex": str(len(found) + 1), "count": str(_PAGE)}
            page = json.loads(self._ask("GET", f"/{endpoint}", {}, params, b"").body)
            found |= {one["id"]: one for one in page.get("Resources", [])}
            if len(found) >= page["totalResults"]:
                return found

    def _note(self, method: str, path: str, answer: HttpResponse) -> None:
        _, endpoint, *rest = path.split("/")
        if method == "POST":
            told = json.loads(answer.body)
            self._names[told["id"]] = told["externalId"]
            rest = [told["id"]]
        operation, name = _SAID[method], self._names[rest[0]]
        if operation == "update" and endpoint == "Users" and self._sleeps(rest[0]):
            operation = "sleep"
        self.wire.note(operation, endpoint, name)

    def _sleeps(self, remote_id: str) -> bool:
        return not json.loads(self._ask("GET", f"/Users/{remote_id}", {}, {}, b"").body).get("active", True)

    def _ask(
        self, method: str, path: str, headers: Mapping[str, str], params: Mapping[str, str], body: bytes
    ) -> HttpResponse:
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": f"/v2{path}",
            "QUERY_STRING": urlencode(params),
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        for name, value in headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        setup_testing_defaults(environ)
        said: list[Any] = []
        parts = self._app(environ, lambda status, fields, error=None: said.append((status, fields)))  # type: ignore[arg-type,return-value,func-returns-value]
        status, fields = said[-1]
        answered = {name.lower(): value for name, value in fields}
        return HttpResponse(int(status.split()[0]), answered, b"".join(parts))
