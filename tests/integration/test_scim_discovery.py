"""What a SCIM server says of itself decides what it is sent; what it cannot take is refused before anything is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.connector import ContractBroken, Delivered, TargetUnavailable
from bridge.testing.conformance_target import ProxiedReceiver, ReadsBackConformance, Samples, TargetConformance
from bridge.testing.faulty_proxy import Fault, FaultyProxy
from connectors.scim.target import ScimTarget
from tests.support.scim import ScimServer
from tests.support.scim_target import after, apply, make_target, user_samples

ASKED = ["/ServiceProviderConfig", "/ResourceTypes"]


@pytest.fixture
def samples() -> Samples:
    return user_samples()


@pytest.fixture
def target(proxy: FaultyProxy, server: ScimServer, tmp_path: Path) -> Iterator[ScimTarget]:
    for made in make_target(proxy.url, server.token, tmp_path, discovery="required"):
        made.require(["User", "Group"])
        yield made


class TestASpokenTo(TargetConformance, ReadsBackConformance):
    """All promises hold with what the server announces, too."""

    @pytest.fixture
    def target(self, proxy: FaultyProxy, server: ScimServer, tmp_path: Path) -> Iterator[ScimTarget]:
        for made in make_target(proxy.url, server.token, tmp_path, discovery="required", members="patch"):
            made.require(["User", "Group"])
            made.probe()
            yield made

    @pytest.fixture
    def receiver(self, proxy: FaultyProxy, server: ScimServer) -> ProxiedReceiver:
        return ProxiedReceiver(proxy, lambda: len(server.resources("/Users")))

    def sent_object(self, body: bytes) -> dict[str, Any]:
        return {name: value for name, value in json.loads(body).items() if name != "schemas"}


def _answer(proxy: FaultyProxy, to: str, told: Any, status: int = 200) -> None:
    body = json.dumps(told).encode()
    proxy.fault = Fault("status", code=status, body=body, match=lambda method, path: path == to)


def _types(*pairs: tuple[str, str]) -> dict[str, Any]:
    listed = [{"name": "a", "endpoint": endpoint, "schema": schema} for endpoint, schema in pairs]
    return {"totalResults": len(listed), "Resources": listed}


USER, GROUP = (f"urn:ietf:params:scim:schemas:core:2.0:{name}" for name in ("User", "Group"))


def test_it_is_read_once_before_the_first_command(
    target: ScimTarget, proxy: FaultyProxy, samples: Samples
) -> None:
    apply(target, samples.create)
    apply(target, samples.other)
    assert [seen.path for seen in proxy.requests][:2] == ASKED
    assert [seen.path for seen in proxy.requests if seen.path in ASKED] == ASKED


@pytest.mark.parametrize(
    ("types", "lacks"),
    [
        (_types(("/Users", USER)), "Group"),
        (_types(("/Users", USER), ("/Classes", GROUP)), "Group"),
        (_types(("/Users", "urn:x:User"), ("/Groups", GROUP)), "User"),
        (_types(), "User"),
        ({"Resources": "Astrid Ærø"}, "User"),
    ],
)
def test_a_server_without_what_is_sent_is_sent_nothing(
    target: ScimTarget, proxy: FaultyProxy, samples: Samples, types: dict[str, Any], lacks: str
) -> None:
    _answer(proxy, "/ResourceTypes", types)
    for attempt in (lambda: apply(target, samples.create), target.probe):
        with pytest.raises(ContractBroken, match=f"the mapping sends {lacks} "):
            attempt()
    assert {seen.method for seen in proxy.requests} == {"GET"}


def test_what_the_server_has_is_told_and_nothing_else_of_its_answer(
    target: ScimTarget, proxy: FaultyProxy
) -> None:
    _answer(proxy, "/ResourceTypes", _types(("/Pupils", "urn:x:Pupil"), ("/Astrid Ærø\n", USER)))
    with pytest.raises(ContractBroken) as caught:
        target.probe()
    assert "there are urn:x:Pupil at /Pupils and 1 more" in str(caught.value)
    assert "Astrid" not in str(caught.value)


def test_endpoints_may_be_told_as_whole_urls_and_schemas_in_other_letters(
    target: ScimTarget, proxy: FaultyProxy, samples: Samples
) -> None:
    types = _types(("https://platform.example/v2/Users", USER.upper()), ("Groups/", GROUP))
    _answer(proxy, "/ResourceTypes", types)
    assert isinstance(apply(target, samples.create), Delivered)


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_that_says_nothing_is_worked_with_by_configuration(
    proxy: FaultyProxy, server: ScimServer, tmp_path: Path, samples: Samples, status: int
) -> None:
    proxy.fault = Fault("status", code=status, match=lambda method, path: path in ASKED)
    for target in make_target(proxy.url, server.token, tmp_path, discovery="if_there"):
        target.require(["User", "Group"])
        target.probe()
        created = apply(target, samples.create)
        assert isinstance(apply(target, after(created, samples.update)), Delivered)
    for target in make_target(proxy.url, server.token, tmp_path, discovery="required"):
        with pytest.raises(ContractBroken, match=f"answers {status}"):
            target.probe()


def test_nothing_is_asked_where_that_is_switched_off(
    proxy: FaultyProxy, server: ScimServer, tmp_path: Path, samples: Samples
) -> None:
    for target in make_target(proxy.url, server.token, tmp_path, discovery="off"):
        target.require(["User"])
        target.probe()
        apply(target, samples.create)
    assert not {seen.path for seen in proxy.requests} & set(ASKED)


def test_a_resource_without_a_place_is_refused_even_then(
    proxy: FaultyProxy, server: ScimServer, tmp_path: Path
) -> None:
    for target in make_target(proxy.url, server.token, tmp_path, discovery="off"):
        target.require(["Course"])
        with pytest.raises(ContractBroken, match="the mapping sends Course"):
            target.probe()


def test_what_was_not_read_is_read_again(target: ScimTarget, proxy: FaultyProxy, samples: Samples) -> None:
    proxy.fault = Fault("status", code=500, remaining=1)
    with pytest.raises(TargetUnavailable):
        apply(target, samples.create)
    assert isinstance(apply(target, samples.create), Delivered)


@pytest.mark.parametrize(
    ("etag", "sent"), [({"supported": True}, True), ({"supported": False}, False), (7, False)]
)
def test_a_version_is_named_only_where_versions_are_announced(
    target: ScimTarget, proxy: FaultyProxy, samples: Samples, etag: object, sent: bool
) -> None:
    _answer(proxy, "/ServiceProviderConfig", {"etag": etag})
    created = apply(target, samples.create)
    updated = apply(target, after(created, samples.update))
    apply(target, after(updated, samples.delete))
    assert [("if-match" in seen.headers) for seen in proxy.requests[-2:]] == [sent, sent]


def test_what_was_changed_meanwhile_is_deleted_all_the_same(
    target: ScimTarget, proxy: FaultyProxy, server: ScimServer, samples: Samples
) -> None:
    created = apply(target, samples.create)
    (held,) = server.resources("/Users")
    server.call("PUT", f"/Users/{held['id']}", {**held, "displayName": "By Hand"})
    assert isinstance(apply(target, after(created, samples.delete)), Delivered)
    assert [seen.status for seen in proxy.requests[-3:]] == [412, 200, 204]
    assert server.resources("/Users") == []
