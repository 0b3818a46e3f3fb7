"""The levers of the stand-in for STIL, by HTTP: what another process sets while it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from bridge.testing.loopback import Request, Response
from bridge.testing.stil_knobs import Knobs
from bridge.testing.stil_size import SizeName

CONTROL = "/simulator"
ServiceName = SizeName | Literal["wsiinst"]
Agreements = dict[ServiceName, set[str]]


class Levers(Protocol):
    """What of the server can be set; `StilServer` says what each means."""

    fault: str | None
    faults: dict[str, str]
    cut_at: int | None
    knobs: dict[str, Knobs]
    agreements: set[str]
    agreements_of: Agreements
    agreements_by_system: dict[str, Agreements]
    mains: dict[str, str]

    @property
    def numbers(self) -> frozenset[str]: ...

    @property
    def known_faults(self) -> frozenset[str]: ...

    def advance(self) -> None: ...


class _Settings(BaseModel):
    """The levers as JSON; one that is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", strict=False)

    fault: str | None = None
    faults: dict[str, str] = {}
    cut_at: int | None = None
    knobs: dict[str, Knobs] = {}
    agreements: set[str] = set()
    agreements_of: Agreements = {}
    agreements_by_system: dict[str, Agreements] = {}
    mains: dict[str, str] = {}


_NAMES = tuple(_Settings.model_fields)
_AS_JSON = TypeAdapter(dict[str, object])


def control(server: Levers, request: Request) -> Response:
    """Answer `GET /simulator` (how the levers stand), `PATCH /simulator` (set some), `POST /simulator/day`."""
    match request.method, request.path:
        case "GET", "/simulator":
            return _told(200, _state(server))
        case "POST", "/simulator/day":
            server.advance()
            return _told(200, _state(server))
        case "PATCH", "/simulator":
            return _set(server, request.body)
        case _:
            return _told(404, {"error": "GET or PATCH /simulator, POST /simulator/day"})


def _set(server: Levers, body: bytes) -> Response:
    try:
        settings = _Settings.model_validate_json(body)
    except ValidationError as error:
        wrong = [{"where": ".".join(map(str, one["loc"])), "what": one["msg"]} for one in error.errors()]
        return _told(400, {"error": "nothing was set", "wrong": wrong})
    faults = {name for name in (settings.fault, *settings.faults.values()) if name is not None}
    if not faults <= server.known_faults:
        return _told(400, {"error": "nothing was set: no such fault", "faults": sorted(server.known_faults)})
    unknown = sorted((settings.knobs.keys() | settings.faults.keys()) - server.numbers)
    if unknown:
        return _told(400, {"error": "nothing was set: no such institution", "institutions": unknown})
    for name in settings.model_fields_set:
        setattr(server, name, getattr(settings, name))
    return _told(200, _state(server))


def _state(server: Levers) -> dict[str, object]:
    return {name: getattr(server, name) for name in _NAMES}


def _told(status: int, content: Mapping[str, object]) -> Response:
    body = json.dumps(_AS_JSON.dump_python(dict(content), mode="json"), ensure_ascii=False, indent=2) + "\n"
    return Response(status, body.encode(), {"Content-Type": "application/json"})
