"""The promises that Skolebro relies on, kept against a stand-in of the platform."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from klasselog.target import KlasselogTarget

from bridge.adapters.http import HttpEdge
from bridge.testing.conformance_target import (
    HttpReadsBackConformance,
    HttpTargetConformance,
    ProxiedReceiver,
    Samples,
)
from bridge.testing.faulty_proxy import FaultyProxy
from bridge.testing.loopback import LoopbackServer, Request, Response


class Klasselog(LoopbackServer):
    """A stand-in: what is put is kept, what is deleted is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.pupils: dict[str, dict[str, Any]] = {}

    def answer(self, request: Request) -> Response:
        identifier = request.path.removeprefix("/pupils/")
        match request.method:
            case "PUT":
                self.pupils[identifier] = {"id": identifier, **json.loads(request.body)}
            case "DELETE":
                return Response(204 if self.pupils.pop(identifier, None) else 404)
            case "GET":
                listed = json.dumps({"pupils": list(self.pupils.values())})
                return Response(200, listed.encode())
        return Response(204)


@pytest.fixture
def klasselog() -> Iterator[Klasselog]:
    with Klasselog() as server:
        yield server


@pytest.fixture
def proxy(klasselog: Klasselog) -> Iterator[FaultyProxy]:
    with FaultyProxy(klasselog.url) as proxy:
        yield proxy


class TestKlasselog(HttpTargetConformance, HttpReadsBackConformance):
    @pytest.fixture
    def target(self, proxy: FaultyProxy) -> Iterator[KlasselogTarget]:
        http = HttpEdge(proxy.url, sleep=lambda seconds: None)
        yield KlasselogTarget(http)
        http.close()

    @pytest.fixture
    def receiver(self, proxy: FaultyProxy, klasselog: Klasselog) -> ProxiedReceiver:
        return ProxiedReceiver(proxy, lambda: len(klasselog.pupils))

    @pytest.fixture
    def samples(self) -> Samples:
        return Samples.of(
            "Pupil",
            "person",
            {"user_id": "astr1234"},
            {"user_id": "cars1234"},
            lambda identifier, name: {"login": identifier[:8], "name": name},
        )
