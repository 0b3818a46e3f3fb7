"""What is too large for a SCIM server (413) goes in parts or is rejected alone; nothing pauses for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.connector import Command, Delivered, Rejected
from bridge.domain.changes import Operation
from bridge.domain.ids import CanonicalId
from bridge.testing.faulty_proxy import FaultyProxy
from bridge.testing.loopback import Request, Response
from connectors.scim.target import ScimTarget
from tests.support.scim import ScimServer
from tests.support.scim_target import after, apply, group, make_target, user, user_samples

MOST = 4000
BULK: dict[str, Any] = {"bulk": "announced", "before_create": "post", "discovery": "required"}
CREATE = user_samples().create


class NarrowProxy(FaultyProxy):
    """Takes no body of more than `most` bytes, as what stands before a platform may, whatever that announces."""

    def __init__(self, upstream_url: str) -> None:
        super().__init__(upstream_url)
        self.most = MOST
        self.refused: list[Request] = []

    def answer(self, request: Request) -> Response | None:
        if len(request.body) > self.most:
            self.refused.append(request)
            return Response(413)
        return super().answer(request)


@pytest.fixture
def narrow(server: ScimServer) -> Iterator[NarrowProxy]:
    with NarrowProxy(server.url) as narrow:
        yield narrow


@pytest.fixture
def target(narrow: NarrowProxy, server: ScimServer, tmp_path: Path) -> Iterator[ScimTarget]:
    yield from make_target(narrow.url, server.token, tmp_path, members_per_patch=500, **BULK)


def people(count: int) -> list[Command]:
    identities = [CanonicalId(f"{number:08x}-5d0c-5b8e-9a3c-6f1f0a4d6b11") for number in range(count)]
    return [replace(CREATE, id=one, document=user(one, f"Ane{one[:8]}")) for one in identities]


def sizes(narrow: NarrowProxy, path: str) -> list[int]:
    return [len(seen.body) for seen in narrow.requests if seen.path.startswith(path) and seen.body]


# ---------------------------------------------------------------- Bulk


def test_a_bulk_that_is_too_large_goes_in_parts(
    target: ScimTarget, narrow: NarrowProxy, server: ScimServer
) -> None:
    commands = people(100)
    outcomes = list(target.apply(commands))
    assert {type(one) for one in outcomes} == {Delivered}
    by_id = {one["id"]: one["externalId"] for one in server.resources("/Users")}
    told = [one.remote_id for one in outcomes if isinstance(one, Delivered)]
    assert [by_id[one or ""] for one in told] == [command.id for command in commands]
    assert len(narrow.refused) <= 5  # what was learned of one holds for the rest
    assert len(sizes(narrow, "/Bulk")) < 30
    assert len(sizes(narrow, "/Users")) < 5  # what is left over of a part may be one


def test_one_that_is_too_large_alone_is_rejected_and_the_others_go_on(
    target: ScimTarget, narrow: NarrowProxy, server: ScimServer
) -> None:
    commands = people(20)
    large = {**(commands[7].document or {}), "title": "x" * MOST}
    commands[7] = replace(commands[7], document=large)
    outcomes = list(target.apply(commands))
    assert outcomes[7] == Rejected("refused_413")
    assert [type(one) for one in outcomes].count(Delivered) == 19
    assert len(server.resources("/Users")) == 19
    assert len(narrow.refused) < 8
    assert len(sizes(narrow, "/Bulk")) > 1


def test_a_server_that_takes_nothing_is_asked_a_few_times_only(
    target: ScimTarget, narrow: NarrowProxy, server: ScimServer
) -> None:
    narrow.most = 0
    assert {*target.apply(people(16))} == {Rejected("refused_413")}
    assert len(narrow.refused) < 16 + 6
    assert server.resources("/Users") == []


# ---------------------------------------------------------------- members


def class_of(*members: str) -> dict[str, Any]:
    return {**group(CREATE.id, "1A"), "members": [{"value": one} for one in members]}


def update(target: ScimTarget, narrow: NarrowProxy, before: dict[str, Any], now: dict[str, Any]) -> Command:
    """The group is there as it was before; returns the command that brings it to what is now."""
    narrow.most = 10**6
    create = replace(CREATE, resource="Group", document=before)
    command = after(apply(target, create), create)
    narrow.most = MOST
    return replace(command, operation=Operation.UPDATED, previous=before, document=now)


PEOPLE = [f"person {number:04}" for number in range(400)]


def test_a_patch_that_is_too_large_goes_in_parts(
    target: ScimTarget, narrow: NarrowProxy, server: ScimServer
) -> None:
    now = {**class_of(*PEOPLE[100:]), "displayName": "2A"}
    outcome = apply(target, update(target, narrow, class_of(*PEOPLE[:300]), now))
    (found,) = server.resources("/Groups")
    assert {one["value"] for one in found["members"]} == {*PEOPLE[100:]}
    assert found["displayName"] == "2A"
    assert isinstance(outcome, Delivered)
    assert outcome.etag == found["meta"]["version"]
    assert {seen.method for seen in narrow.refused} == {"PATCH"}
    assert len(narrow.refused) <= 4
    named = [seen for seen in narrow.requests if seen.method == "PATCH" and b"displayName" in seen.body]
    assert len(named) == 1


def test_a_member_that_is_too_large_alone_rejects_the_group(
    target: ScimTarget, narrow: NarrowProxy, server: ScimServer
) -> None:
    before = class_of(*PEOPLE[:3])
    outcome = apply(target, update(target, narrow, before, class_of(*PEOPLE[:3], "x" * MOST)))
    assert outcome == Rejected("refused_413")
    (found,) = server.resources("/Groups")
    assert [one["value"] for one in found["members"]] == PEOPLE[:3]
    assert [seen.method for seen in narrow.refused] == ["PATCH", "PUT"]


def test_a_server_that_enforces_less_than_is_announced_is_served(server: ScimServer, tmp_path: Path) -> None:
    """The server that nobody here wrote refuses by itself; only what it says of itself is another's."""
    told = server.call("GET", "/ServiceProviderConfig").json()
    told.pop("meta", None)
    told.pop("authenticationSchemes", None)
    told["bulk"] = {"supported": True, "maxOperations": 1000, "maxPayloadSize": MOST}
    file = tmp_path / "configuration.json"
    file.write_text(json.dumps(told))
    with ScimServer("--service-provider-config", str(file)) as strict, Boaster(strict.url) as boaster:
        for target in make_target(boaster.url, strict.token, tmp_path, **BULK):
            assert {type(one) for one in target.apply(people(60))} == {Delivered}
        statuses = [seen.status for seen in boaster.requests if seen.path == "/Bulk"]
        assert len(strict.resources("/Users")) == 60
    assert 413 in statuses
    assert 200 in statuses


class Boaster(FaultyProxy):
    """Passes all on, and says that a Bulk may be of any size."""

    def answer(self, request: Request) -> Response | None:
        answer = super().answer(request)
        if answer is None or not request.path.endswith("/ServiceProviderConfig"):
            return answer
        told = json.loads(answer.body)
        told["bulk"]["maxPayloadSize"] = 10**7
        return replace(answer, body=json.dumps(told).encode())
