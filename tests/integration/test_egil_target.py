"""The EGIL target keeps every promise of a target, whoever chooses the ids, and takes things apart in reverse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bridge.adapters.http import HttpEdge
from bridge.connector import ContractBroken, Delivered, Rejected, Services
from bridge.domain.entities import Kind
from bridge.engine.guard import GuardPolicy
from bridge.engine.views import Scope
from bridge.mapping import load_mapping
from bridge.testing.conformance_target import ProxiedReceiver, ReadsBackConformance, Samples, TargetConformance
from bridge.testing.faulty_proxy import Fault, FaultyProxy
from connectors.scim import EgilConfig, egil
from connectors.scim.egil import RESOURCES, with_refs
from connectors.scim.target import ScimTarget
from tests.support.egil import EgilReceiver, egil_server
from tests.support.engine import SCHOOL, TOWN, Bench, group, pupil, teacher
from tests.support.scim import ScimServer
from tests.support.scim_target import OURS, after, apply


def make(url: str, tmp_path: Path, proof: str | None = None, **settings: Any) -> Iterator[ScimTarget]:
    edges: list[HttpEdge] = []

    def http(base_url: str, **options: Any) -> HttpEdge:
        edges.append(HttpEdge(base_url, sleep=lambda _: None, **options))
        return edges[-1]

    if proof is not None:
        settings["token_file"] = tmp_path / "token"
        settings["token_file"].write_text(proof)
    services = Services(TOWN, None, http, Path.read_text, lambda: pytest.fail("no clock"), Path.read_bytes)
    assert egil.target is not None
    target = egil.target(EgilConfig(base_url=url, **settings), services)
    assert isinstance(target, ScimTarget)
    yield target
    for edge in edges:
        edge.close()


def school(identity: str, name: str) -> dict[str, Any]:
    return {"externalId": identity, "displayName": name, "owner": {"value": OURS}}


def classes() -> Samples:
    first, second = ({"institution_number": SCHOOL, "group_id": name} for name in ("1A", "1B"))
    return Samples.of("StudentGroup", "group", first, second, school)


class _Conformance(TargetConformance, ReadsBackConformance):
    @pytest.fixture
    def samples(self) -> Samples:
        return classes()

    def sent_object(self, body: bytes) -> dict[str, Any]:
        document = {name: value for name, value in json.loads(body).items() if name != "schemas"}
        return {**document, "owner": {"value": document["owner"]["value"]}}


class TestAtAServerWithOurIds(_Conformance):
    @pytest.fixture
    def server(self) -> Iterator[EgilReceiver]:
        with EgilReceiver() as server:
            yield server

    @pytest.fixture
    def proxy(self, server: EgilReceiver) -> Iterator[FaultyProxy]:
        with FaultyProxy(server.url) as proxy:
            yield proxy

    @pytest.fixture
    def target(self, proxy: FaultyProxy, tmp_path: Path) -> Iterator[ScimTarget]:
        for target in make(proxy.url, tmp_path):
            target.require(["StudentGroup"])
            target.probe()
            yield target

    @pytest.fixture
    def receiver(self, proxy: FaultyProxy, server: EgilReceiver) -> ProxiedReceiver:
        return ProxiedReceiver(proxy, lambda: len(server.stored["/StudentGroups"]))

    def test_a_creation_takes_one_request(self, target: ScimTarget, proxy: FaultyProxy, samples: Samples) -> None:
        before = len(proxy.requests)
        assert apply(target, samples.create) == Delivered(samples.create.id)
        assert [seen.method for seen in proxy.requests[before:]] == ["POST"]
        update = replace(samples.update, remote_id=None)  # there is no table of ids to lose
        assert apply(target, update) == Delivered(samples.create.id)

    def test_what_is_in_doubt_is_sent_by_the_verbs_of_the_profile_alone(
        self, target: ScimTarget, server: EgilReceiver, proxy: FaultyProxy, samples: Samples
    ) -> None:
        before = len(proxy.requests)
        doubtful = replace(samples.create, in_doubt=True)
        assert [apply(target, doubtful), apply(target, doubtful)] == [Delivered(samples.create.id)] * 2
        assert [seen.method for seen in proxy.requests[before:]] == ["PUT", "POST", "PUT"]

    def test_what_is_there_already_is_written_over(
        self, target: ScimTarget, server: EgilReceiver, samples: Samples
    ) -> None:
        apply(target, samples.create)
        assert apply(target, replace(samples.create, document=samples.update.document)) == Delivered(
            samples.create.id
        )
        assert server.stored["/StudentGroups"][samples.create.id]["displayName"] == "Birgit"

    def test_a_success_that_is_a_page_is_none(
        self, target: ScimTarget, proxy: FaultyProxy, samples: Samples
    ) -> None:
        proxy.fault = Fault("garbage")
        assert not isinstance(apply(target, samples.create), Delivered)


@pytest.fixture(scope="module")
def egil_running() -> Iterator[ScimServer]:
    with egil_server() as server:
        yield server


class TestAtAServerWithItsOwnIds(_Conformance):
    @pytest.fixture
    def server(self, egil_running: ScimServer) -> ScimServer:
        egil_running.clear()
        return egil_running

    @pytest.fixture
    def proxy(self, server: ScimServer) -> Iterator[FaultyProxy]:
        with FaultyProxy(server.url) as proxy:
            yield proxy

    @pytest.fixture
    def target(
        self, proxy: FaultyProxy, server: ScimServer, tmp_path: Path, samples: Samples
    ) -> Iterator[ScimTarget]:
        for target in make(proxy.url, tmp_path, server.token, ids="server", ref="absolute"):
            target.require(["StudentGroup"])
            target.probe()
            apply(target, samples.delete)  # the list is read: a failure is one of the entity then
            yield target

    @pytest.fixture
    def receiver(self, proxy: FaultyProxy, server: ScimServer) -> ProxiedReceiver:
        return ProxiedReceiver(proxy, lambda: len(server.resources("/StudentGroups")))

    def test_the_list_is_read_once_for_many(
        self, target: ScimTarget, proxy: FaultyProxy, samples: Samples
    ) -> None:
        assert len(list(target.apply([samples.create, samples.other]))) == 2
        listed = [seen for seen in proxy.requests if seen.path.startswith("/StudentGroups?startIndex")]
        assert len(listed) == 1
        assert not any("filter" in seen.path for seen in proxy.requests)

    def test_what_was_deleted_is_made_again(
        self, target: ScimTarget, server: ScimServer, samples: Samples
    ) -> None:
        """The list that was read still had it."""
        for _ in range(2):
            created = apply(target, samples.create)
            assert isinstance(created, Delivered)
            assert isinstance(apply(target, after(created, samples.delete)), Delivered)
        assert server.resources("/StudentGroups") == []

    def test_a_server_without_the_types_is_refused_first(
        self, target: ScimTarget, proxy: FaultyProxy, samples: Samples
    ) -> None:
        target.require(["SchoolUnit", "Course"])
        with pytest.raises(ContractBroken, match="the mapping sends Course"):
            target.probe()

    def test_one_that_others_made_is_left_alone(
        self, target: ScimTarget, server: ScimServer, samples: Samples
    ) -> None:
        body = {"schemas": [RESOURCES["Student"].urn], **_user("hr-1")}
        server.call("POST", "/Users", body)
        create = replace(samples.create, resource="Student", document=_user(samples.create.id))
        assert apply(target, create) == Rejected("taken_by_other")


def _user(identity: str) -> dict[str, Any]:
    name = {"givenName": "Ane", "familyName": "Ærø"}
    return {"externalId": identity, "userName": "ane", "displayName": "Ane Ærø", "name": name}


# ---------------------------------------------------------------- taking apart


def test_what_goes_goes_in_reverse_and_after_all_that_comes(tmp_path: Path) -> None:
    bench = Bench(
        mapping=load_mapping("egil/ss12000"), policy=GuardPolicy(max_deleted_percent=100, min_deleted=99)
    )
    bench.policy = replace(bench.policy, deletion_grace=timedelta(0))
    bench.target_policy = replace(bench.target_policy, max_deleted_percent=100.0)
    bench.rendering = replace(bench.rendering, scope=Scope(TOWN, name="Prøveby"))
    with EgilReceiver() as server, FaultyProxy(server.url) as proxy:
        for target in make(proxy.url, tmp_path):
            bench.target = target  # type: ignore[assignment]
            bench.take(group("1A"), group("1B"), pupil("ane"), pupil("bo", "1B"), teacher("tea", ["1A", "1B"]))
            while bench.deliver():
                pass
            before = len(proxy.requests)
            bench.take(group("1A"), pupil("ane"), pupil("new"), teacher("two", ["1A"]))
            while bench.deliver():
                pass
    steps = [(seen.method, seen.path.split("/")[1]) for seen in proxy.requests[before:]]
    assert steps == [
        ("POST", "Users"),
        ("POST", "Users"),
        ("POST", "Employments"),
        ("PUT", "StudentGroups"),
        ("PUT", "Activities"),
        ("DELETE", "Activities"),
        ("DELETE", "StudentGroups"),
        ("DELETE", "Employments"),
        ("DELETE", "Users"),
        ("DELETE", "Users"),
    ]
    assert [len(stored) for stored in server.stored.values()] == [1, 1, 3, 1, 1, 1]
    activity = bench.rendering.scope.id(Kind.TEACHING, (SCHOOL, "1A"))
    employment = bench.rendering.scope.id(Kind.AFFILIATION, (SCHOOL, "two", "employee"))
    (held,) = server.stored["/Activities"].values()
    assert held["externalId"] == activity
    assert held["teachers"] == [{"value": employment, "$ref": f"Employments/{employment}"}]


# ---------------------------------------------------------------- settings


def test_references_are_written_wherever_they_stand() -> None:
    document = {
        "owner": {"value": "a/b"},
        "teachers": [{"value": "1"}, {"value": "2"}],
        "urn:x:User": {"enrolments": [{"value": "s"}], "civicNo": "7"},
        "user": 7,
    }
    assert with_refs(document, RESOURCES, "https://platform.example/v2") == {
        "owner": {"value": "a/b", "$ref": "https://platform.example/v2/SchoolUnits/a%2Fb"},
        "teachers": [
            {"value": "1", "$ref": "https://platform.example/v2/Employments/1"},
            {"value": "2", "$ref": "https://platform.example/v2/Employments/2"},
        ],
        "urn:x:User": {
            "enrolments": [{"value": "s", "$ref": "https://platform.example/v2/SchoolUnits/s"}],
            "civicNo": "7",
        },
        "user": 7,
    }
    assert with_refs({"owner": {"value": "s"}}, RESOURCES, "") == {
        "owner": {"value": "s", "$ref": "SchoolUnits/s"}
    }


@pytest.mark.parametrize(("ref", "told"), [("omit", None), ("relative", f"SchoolUnits/{OURS}")])
def test_the_setting_decides_how_references_look(tmp_path: Path, ref: str, told: str | None) -> None:
    samples = classes()
    with EgilReceiver() as server:
        for target in make(server.url, tmp_path, ref=ref):
            apply(target, samples.create)
        (held,) = server.stored["/StudentGroups"].values()
    assert held["owner"].get("$ref") == told


def test_a_key_may_be_the_proof(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("a secret")
    with EgilReceiver() as server, FaultyProxy(server.url) as proxy:
        for target in make(proxy.url, tmp_path, api_key_file=tmp_path / "key", api_key_header="X-Skolsynk"):
            target.require(["Organisation"])
            target.probe()
    assert {seen.headers["x-skolsynk"] for seen in proxy.requests} == {"a secret"}
    assert proxy.requests[-1].path.startswith("/Organisations")


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_key_file": "a", "token_file": "b"},
        {"api_key_header": "X: y"},
        {"ids": "ours"},
        {"ref": "none"},
        {"bulk": "announced"},
        {"timeout": 0},
    ],
)
def test_a_configuration_that_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EgilConfig(base_url="https://127.0.0.1", **wrong)


def test_a_group_is_deleted_where_its_id_was_never_known(tmp_path: Path) -> None:
    samples = classes()
    with EgilReceiver() as server:
        for target in make(server.url, tmp_path):
            created = apply(target, samples.create)
            apply(target, replace(after(created, samples.delete), remote_id=None))
        assert server.stored["/StudentGroups"] == {}
