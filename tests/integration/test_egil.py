"""Two days of a municipality at two EGIL servers: exactly what should be there, in the order that EGIL wants."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from scim2_models import Context

from bridge.adapters.http import HttpEdge
from bridge.connector import Services
from bridge.engine.desire import deliveries_of
from bridge.engine.guard import GuardPolicy
from bridge.engine.plan import Step, plan
from bridge.engine.reconcile import reconcile
from bridge.engine.tell import Teller
from bridge.engine.views import Scope
from bridge.mapping import load_mapping
from bridge.observe import Metrics
from bridge.testing.faulty_proxy import FaultyProxy, SeenRequest
from connectors.scim import EgilConfig, egil
from connectors.stil import folder
from tests.support.egil import ENDPOINTS, EgilReceiver, Objects, egil_server, expected, held, models
from tests.support.engine import TARGET, TOWN, Bench
from tests.support.reference import Reference, read_day
from tests.support.world import DAYS, exports

pytestmark = pytest.mark.slow  # days to strict servers with both kinds of ids
NAME = "Prøveby Kommune"
VERBS = {"created": "POST", "updated": "PUT", "deleted": "DELETE"}


class Town(Bench):
    """A bench between the drop folder and an EGIL server behind a proxy."""

    def __init__(self, incoming: Path, url: str, base: str, **settings: Any) -> None:
        super().__init__(mapping=load_mapping("egil/ss12000"), policy=GuardPolicy(deletion_grace=timedelta(0)))
        self.edge = HttpEdge(url, sleep=lambda _: None, **settings.pop("edge", {}))
        self.rendering = replace(self.rendering, scope=Scope(TOWN, name=NAME), system=url)
        self._incoming = incoming
        services = Services(
            TOWN, None, lambda *_, **__: self.edge, Path.read_text, lambda: datetime.now(UTC), Path.read_bytes
        )
        assert folder.source is not None
        assert egil.target is not None
        config = folder.config.model_validate({"folder": incoming, "settle": timedelta(0)})
        self.source = folder.source(config, services)  # type: ignore[assignment]
        made: Any = egil.target(EgilConfig(base_url=base, **settings), services)
        made.require([resource.name for resource in self.rendering.mapping.resources])
        self.target = made

    def day(self, number: int) -> list[Step]:
        """Take the exports of a day in and deliver them; returns what was planned before."""
        for file in exports(DAYS[number]):
            shutil.copy(file, self._incoming / file.name)
        self.refresh()
        steps = plan(self.store, [self.intake], [self.lane]).targets[TARGET]
        assert {end for end, _ in self.fetch()} <= {"recorded", "unchanged"}
        while self.deliver():
            pass
        return steps

    def left(self) -> list[Any]:
        """What is not as it should be."""
        with self.store.read() as reader:
            return [row for row in deliveries_of(reader, TARGET) if row.is_due or row.state == "rejected"]


@dataclass(frozen=True)
class Pass:
    """What was planned, sent and is there after one day."""

    steps: list[Step]
    seen: list[SeenRequest]
    held: Objects
    day: Reference


@dataclass(frozen=True)
class Line:
    town: Town
    passes: list[Pass]
    base: str


def _passes(town: Town, proxy: FaultyProxy, there: Callable[[], Objects]) -> list[Pass]:
    found = []
    for number in (0, 1, 1):
        before = len(proxy.requests)
        steps = town.day(number)
        assert town.left() == []
        found.append(Pass(steps, proxy.requests[before:], there(), read_day(exports(DAYS[number]), TOWN)))
    return found


@pytest.fixture(scope="module", params=["server", "externalId"])
def line(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """Day 1, day 2 and day 2 again at a strict SCIM server with ids of its own, and at one that takes ours."""
    incoming = tmp_path_factory.mktemp("incoming")
    if request.param == "server":
        with egil_server() as server, FaultyProxy(server.url) as proxy:
            proof = {"headers": {"Authorization": f"Bearer {server.token}"}}
            town = Town(
                incoming, proxy.url, proxy.url, ids="server", ref="absolute", discovery="required", edge=proof
            )
            yield Line(town, _passes(town, proxy, lambda: held(server.dump(), proxy.url)), f"{proxy.url}/")
            town.edge.close()
    else:
        with EgilReceiver() as receiver, FaultyProxy(receiver.url) as proxy:
            town = Town(incoming, proxy.url, proxy.url)
            yield Line(town, _passes(town, proxy, lambda: _relative(receiver)), "")
            town.edge.close()


def _relative(receiver: EgilReceiver) -> Objects:
    """With the slash that `held` expects before each endpoint."""
    text = json.dumps(receiver.resources())
    return held(json.loads(text.replace('"$ref": "', '"$ref": "/')), "")


EVERY_PASS = pytest.mark.parametrize("number", [0, 1, 2], ids=["day1", "day2", "day2-again"])


@EVERY_PASS
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_server_holds_exactly_the_resources_of_the_day(line: Line, number: int, endpoint: str) -> None:
    it = line.passes[number]
    assert it.held[endpoint] == expected(it.day, NAME)[endpoint]


@EVERY_PASS
def test_what_is_sent_is_what_was_planned(line: Line, number: int) -> None:
    it = line.passes[number]
    writes = [(seen.method, _endpoint(seen)) for seen in it.seen if seen.method != "GET"]
    planned = [(VERBS[step.operation], _ENDPOINT_OF.get(step.resource, "/Users")) for step in it.steps]
    assert sorted(writes) == sorted(planned)
    assert {seen.status for seen in it.seen} <= {200, 201, 204, 404}  # 404: discovery that is not there


def test_a_repeated_day_sends_nothing(line: Line) -> None:
    assert [seen for seen in line.passes[2].seen if seen.method != "GET"] == []


_ENDPOINT_OF = {name: f"/{name}s" for name in ("Organisation", "SchoolUnit", "Employment", "StudentGroup")}
_ENDPOINT_OF["Activity"] = "/Activities"


def _endpoint(seen: SeenRequest) -> str:
    return "/" + seen.path.split("/")[1].partition("?")[0]


def test_types_are_created_in_order(line: Line) -> None:
    posts = [ENDPOINTS.index(_endpoint(seen)) for seen in line.passes[0].seen if seen.method == "POST"]
    assert posts == sorted(posts)
    assert set(posts) == set(range(len(ENDPOINTS)))


def test_deletions_come_last(line: Line) -> None:
    writes = [seen for seen in line.passes[1].seen if seen.method != "GET"]
    gone = [seen for seen in writes if seen.method == "DELETE"]
    assert gone  # all of one kind on this day; how the kinds follow each other test_egil_target.py tells
    assert {seen.method for seen in writes[: -len(gone)]} == {"POST", "PUT"}


@EVERY_PASS
def test_every_body_is_valid(line: Line, number: int) -> None:
    contexts = {"POST": Context.RESOURCE_CREATION_REQUEST, "PUT": Context.RESOURCE_REPLACEMENT_REQUEST}
    known = models()
    for seen in line.passes[number].seen:
        if seen.body:
            body = json.loads(seen.body)
            if line.base == "":  # a relative reference is what EgilSCIM sends; the models know URLs only
                body = json.loads(seen.body.replace(b'"$ref": "', b'"$ref": "https://platform.example/'))
            known[_endpoint(seen)].model_validate(body, scim_ctx=contexts[seen.method])


def test_nothing_but_the_verbs_of_the_profile_is_used(line: Line) -> None:
    seen = [one for it in line.passes for one in it.seen]
    assert {one.method for one in seen} <= {"GET", "POST", "PUT", "DELETE"}
    assert not any("filter=" in one.path or "Bulk" in one.path for one in seen)


def test_it_is_read_back_as_it_was_sent(line: Line) -> None:
    line.town.clock.forward(hours=1)
    report = reconcile(line.town.lane, "report", Teller(Metrics("test"), line.town.clock.now))
    assert report is not None
    assert (report.drift, report.foreign) == ((), 0)
