"""Of a large class only who comes and goes is told, in blocks; and all of it wherever that is not certain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scim2_models import Context, Group, PatchOp

from bridge.connector import Command, Delivered
from bridge.domain.changes import Operation
from bridge.testing.conformance_target import Samples
from bridge.testing.faulty_proxy import Fault, FaultyProxy
from connectors.scim.members import difference
from connectors.scim.target import ScimTarget
from tests.support.scim import ScimServer
from tests.support.scim_target import after, apply, group, make_target

PER_PATCH = 3


@pytest.fixture
def target(proxy: FaultyProxy, server: ScimServer, tmp_path: Path) -> Iterator[ScimTarget]:
    yield from make_target(proxy.url, server.token, tmp_path, discovery="if_there", members_per_patch=PER_PATCH)


def class_of(name: str, *people: str) -> dict[str, Any]:
    return {"externalId": _CREATE.id, "displayName": name, "members": [{"value": one} for one in people]}


_KEY = {"institution_number": "101001", "group_id": "1A"}
_CREATE = Samples.of("Group", "group", _KEY, {**_KEY, "group_id": "1B"}, group).create
PEOPLE = [f"person {number}" for number in range(20)]
BEFORE, AFTER = class_of("1A", *PEOPLE[:16]), class_of("1A", *PEOPLE[4:])


def made(target: ScimTarget, document: dict[str, Any] = BEFORE) -> Command:
    """The group is there; returns the command that brings it from there to AFTER."""
    created = apply(target, replace(_CREATE, document=document))
    update = replace(_CREATE, operation=Operation.UPDATED, previous=document, document=AFTER)
    return after(created, update)


def held(server: ScimServer) -> tuple[str, list[str]]:
    (one,) = server.resources("/Groups")
    return one["displayName"], sorted(member["value"] for member in one["members"])


IS_THERE = ("1A", sorted(PEOPLE[4:]))


def writes(proxy: FaultyProxy) -> list[str]:
    return [seen.method for seen in proxy.requests if seen.method != "GET"]


def test_only_who_comes_and_goes_is_told_in_blocks(
    target: ScimTarget, proxy: FaultyProxy, server: ScimServer
) -> None:
    outcome = apply(target, made(target))
    assert held(server) == IS_THERE
    patches = [json.loads(seen.body) for seen in proxy.requests if seen.method == "PATCH"]
    assert len(patches) == 3  # four go and four come, three at a time
    for body in patches:
        PatchOp[Group].model_validate(body, scim_ctx=Context.RESOURCE_PATCH_REQUEST)
        operations = body["Operations"]
        assert sum(len(one["value"]) if one["op"] == "add" else 1 for one in operations) <= PER_PATCH
    assert isinstance(outcome, Delivered)
    assert outcome.etag == server.resources("/Groups")[0]["meta"]["version"]


def test_a_new_name_goes_along(target: ScimTarget, proxy: FaultyProxy, server: ScimServer) -> None:
    update = made(target)
    apply(target, replace(update, document={**AFTER, "displayName": "2A"}))
    assert held(server) == ("2A", sorted(PEOPLE[4:]))
    assert set(writes(proxy)[1:]) == {"PATCH"}


@pytest.mark.parametrize("doubt", [{"in_doubt": True}, {"is_resent": True}])
def test_what_is_not_certain_is_told_whole(
    target: ScimTarget, proxy: FaultyProxy, server: ScimServer, doubt: dict[str, Any]
) -> None:
    """The server has something else than what we believe, so a difference from that would leave it wrong."""
    update = made(target)
    server.call("PUT", f"/Groups/{update.remote_id}", {"schemas": [], **class_of("1A", "a stranger")})
    apply(target, replace(update, etag=None, **doubt))
    assert held(server) == IS_THERE
    assert writes(proxy)[1:] == ["PUT"]


def test_a_group_that_was_changed_there_is_told_whole(
    target: ScimTarget, proxy: FaultyProxy, server: ScimServer
) -> None:
    update = made(target)
    server.call("PUT", f"/Groups/{update.remote_id}", {"schemas": [], **class_of("1A", "a stranger")})
    assert isinstance(apply(target, update), Delivered)
    assert held(server) == IS_THERE
    assert writes(proxy)[1:] == ["PATCH", "PUT"]  # 412 to the first


@pytest.mark.parametrize("status", [400, 404, 405, 409, 412, 422])
def test_a_block_that_is_not_taken_is_no_end(
    target: ScimTarget, proxy: FaultyProxy, server: ScimServer, status: int
) -> None:
    update = made(target)
    second = iter([False, True, False])
    proxy.fault = Fault("status", code=status, match=lambda method, path: method == "PATCH" and next(second))
    assert isinstance(apply(target, update), Delivered)
    assert held(server) == IS_THERE
    assert writes(proxy)[1:] == ["PATCH", "PATCH", "PUT"]


def test_a_group_that_is_gone_is_made_again(target: ScimTarget, server: ScimServer) -> None:
    update = made(target)
    server.call("DELETE", f"/Groups/{update.remote_id}")
    assert isinstance(apply(target, update), Delivered)
    assert held(server) == IS_THERE


@pytest.mark.parametrize("kind", ["cut_request", "cut_response"])
def test_a_lost_answer_is_followed_by_all_of_it(
    target: ScimTarget, proxy: FaultyProxy, server: ScimServer, kind: Any
) -> None:
    update = made(target)
    proxy.fault = Fault(kind, is_forwarded=True, match=lambda method, path: method == "PATCH")
    with pytest.raises(Exception):  # noqa: B017 - which one the conformance suite says
        apply(target, update)
    proxy.fault = None
    assert isinstance(apply(target, replace(update, in_doubt=True)), Delivered)
    assert held(server) == IS_THERE


@pytest.mark.parametrize(
    ("settings", "method"),
    [
        ({"members": "put"}, "PUT"),
        ({"discovery": "off"}, "PUT"),
        ({"discovery": "off", "members": "patch"}, "PATCH"),
    ],
)
def test_the_setting_decides(
    proxy: FaultyProxy, server: ScimServer, tmp_path: Path, settings: dict[str, Any], method: str
) -> None:
    for target in make_target(proxy.url, server.token, tmp_path, **settings):
        apply(target, made(target))
    assert writes(proxy)[1:] == [method]
    assert held(server) == IS_THERE


def test_a_server_that_announces_no_patch_gets_none(
    target: ScimTarget, proxy: FaultyProxy, server: ScimServer
) -> None:
    body = json.dumps({"patch": {"supported": False}}).encode()
    proxy.fault = Fault("status", code=200, body=body, match=lambda method, path: "Config" in path)
    apply(target, made(target))
    assert writes(proxy)[1:] == ["PUT"]


def test_where_most_members_change_all_is_shorter(
    target: ScimTarget, proxy: FaultyProxy, server: ScimServer
) -> None:
    apply(target, made(target, class_of("1A", *PEOPLE[:5])))
    assert writes(proxy)[1:] == ["PUT"]


@pytest.mark.parametrize(
    ("before", "after_"),
    [
        ({"members": [{"display": "x"}]}, {"members": []}),
        ({"members": [{"value": "x"}, {"value": "x"}]}, {"members": []}),
        ({"members": "x"}, {"members": []}),
        ({"members": []}, {"members": [{"value": "x"}], "urn:x": {"a": 1}}),
    ],
)
def test_what_cannot_be_told_apart_is_told_whole(before: dict[str, Any], after_: dict[str, Any]) -> None:
    assert difference(before, after_) is None


_MEMBERS = st.dictionaries(st.text(min_size=1, max_size=3), st.sampled_from(["User", "Group"]), max_size=8)


@given(_MEMBERS, _MEMBERS)
def test_a_difference_leads_from_one_to_the_other(before: dict[str, str], then: dict[str, str]) -> None:
    one, two = ([{"value": v, "type": t} for v, t in members.items()] for members in (before, then))
    found = difference({"members": one}, {"members": two})
    assert found is not None
    there = {member["value"]: member for member in one if member["value"] not in found.gone}
    there |= {member["value"]: member for member in found.new}
    assert sorted(there.values(), key=str) == sorted(two, key=str)
