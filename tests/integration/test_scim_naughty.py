"""Whatever somebody, a class or an id is called comes back from a SCIM server as it was sent, and is found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus, urlencode

import pytest

from bridge.connector import Command, Delivered, Rejected
from bridge.domain.changes import Operation
from bridge.domain.ids import CanonicalId
from bridge.testing.faulty_proxy import FaultyProxy
from connectors.scim import CORE
from connectors.scim.target import ScimTarget
from tests.integration.test_egil_target import classes, make
from tests.support.egil import EgilReceiver, egil_server
from tests.support.naughty import NAUGHTY
from tests.support.scim import ScimServer
from tests.support.scim_target import after, apply, group, make_target, user, user_samples

SENDABLE = tuple(text for text in NAUGHTY if text.isascii() or text.encode("utf-8", "ignore").decode() == text)
LONE = "\ud800"
CREATE = user_samples().create
WAYS: dict[str, dict[str, Any]] = {
    "filter": {},
    "list": {"search": "list"},
    "bulk": {"bulk": "announced", "before_create": "post", "discovery": "required"},
}


def test_only_what_utf8_cannot_carry_is_left_out() -> None:
    assert {*NAUGHTY} - {*SENDABLE} == {LONE}


@pytest.fixture(params=WAYS)
def target(request: pytest.FixtureRequest, server: ScimServer, tmp_path: Path) -> Iterator[ScimTarget]:
    yield from make_target(server.url, server.token, tmp_path, **WAYS[request.param])


def canonical(number: int) -> CanonicalId:
    return CanonicalId(f"{number:08x}-5d0c-5b8e-9a3c-6f1f0a4d6b11")


def creations(*texts: str) -> list[Command]:
    """A user and a group of each of these texts: it is their name, their user name and their externalId."""
    documents: list[tuple[str, dict[str, Any]]] = []
    for text in texts:
        named = {"userName": text, "name": {"givenName": text, "familyName": text}, "displayName": text}
        documents += [("User", {**user(text, text), **named}), ("Group", group(text, text))]
    return [
        replace(CREATE, resource=resource, id=canonical(number), document=document)
        for number, (resource, document) in enumerate(documents)
    ]


def held(server: ScimServer) -> dict[str, dict[str, Any]]:
    """Users and groups by their own id."""
    return {one["id"]: one for endpoint in ("/Users", "/Groups") for one in server.resources(endpoint)}


def carried_out(target: ScimTarget, commands: list[Command]) -> list[Command]:
    """Tell all in one batch; returns the commands with the ids that they are known by now."""
    return [after(outcome, one) for outcome, one in zip(target.apply(commands), commands, strict=True)]


# ---------------------------------------------------------------- users and groups


def test_all_are_there_as_they_were_sent_and_never_twice(target: ScimTarget, server: ScimServer) -> None:
    commands = creations(*SENDABLE)
    known = carried_out(target, commands)
    there = held(server)
    assert len(there) == len(commands)
    for command in known:
        assert command.document is not None
        found = there[command.remote_id or ""]
        assert {name: found.get(name) for name in command.document} == command.document
    sent = {one.remote_id: one for one in known}
    for remote in target.read_back(["User", "Group"]):
        told = sent[remote.remote_id].document or {}
        assert target.differing(remote.resource, told, remote.document) == ()
    again = carried_out(target, commands)
    assert [one.remote_id for one in again] == [one.remote_id for one in known]
    assert held(server).keys() == there.keys()


def test_each_is_found_by_a_filter_and_alone(server: ScimServer, tmp_path: Path) -> None:
    """By that of a stranger too: what is asked here is written by nobody of ours."""
    commands = creations(*SENDABLE)
    for target in make_target(server.url, server.token, tmp_path, before_create="post", bulk="announced"):
        known = carried_out(target, commands)
    for command in known:
        endpoint, document = CORE[command.resource].endpoint, command.document or {}
        asked = urlencode({"filter": f"externalId eq {json.dumps(document['externalId'])}"})
        page = server.call("GET", f"{endpoint}?{asked}").json()
        assert [one["id"] for one in page["Resources"]] == [command.remote_id]


def test_without_the_id_that_the_server_gave_they_are_found_and_deleted(
    server: ScimServer, tmp_path: Path
) -> None:
    commands = creations(*SENDABLE)
    gone = [replace(one, operation=Operation.DELETED, document=None, previous=one.document) for one in commands]
    for target in make_target(server.url, server.token, tmp_path):
        carried_out(target, commands)
        assert {type(outcome) for outcome in target.apply(gone)} == {Delivered}
    assert held(server) == {}


def test_a_group_that_somebody_made_is_ours_by_its_name(server: ScimServer, tmp_path: Path) -> None:
    made = {}
    for text in SENDABLE:
        body = {"schemas": [CORE["Group"].urn], "displayName": text}
        made[text] = server.call("POST", "/Groups", body).json()["id"]
    groups = [one for one in creations(*SENDABLE) if one.resource == "Group"]
    for target in make_target(server.url, server.token, tmp_path, adopt_groups="by_name"):
        known = carried_out(target, groups)
    assert {(one.document or {})["displayName"]: one.remote_id for one in known} == made
    assert {one["externalId"] for one in server.resources("/Groups")} == {*SENDABLE}


def test_letters_are_asked_for_as_they_are(proxy: FaultyProxy, server: ScimServer, tmp_path: Path) -> None:
    """Not every server reads the escapes of JSON; but quotes and breaks must be escaped."""
    for target in make_target(proxy.url, server.token, tmp_path):
        list(target.apply(creations('Ærø "\n')[1:]))
    asked = unquote_plus(next(seen.path for seen in proxy.requests if "filter=" in seen.path))
    assert asked == '/Groups?filter=externalId eq "Ærø \\"\\n"'


def test_members_come_and_go_by_patch(server: ScimServer, tmp_path: Path) -> None:
    members = [{"value": text} for text in SENDABLE]
    document = {**group(CREATE.id, "all"), "members": members}
    create = replace(CREATE, resource="Group", document={**document, "members": members[:40]})
    for target in make_target(server.url, server.token, tmp_path, members="patch", members_per_patch=10):
        known = after(apply(target, create), create)
        update = replace(known, operation=Operation.UPDATED, previous=create.document)
        told = replace(update, document={**document, "members": members[20:]})
        assert isinstance(apply(target, told), Delivered)
    (found,) = server.resources("/Groups")
    assert {one["value"] for one in found["members"]} == {*SENDABLE[20:]}
    assert int(found["meta"]["version"].strip('W/"')) > int((known.etag or "").strip('W/"'))


# ---------------------------------------------------------------- what is refused


def test_what_utf8_cannot_carry_is_refused_alone(target: ScimTarget, server: ScimServer) -> None:
    before, odd, behind = creations("a", LONE, "b")[::2]
    outcomes = list(target.apply([before, odd, behind]))
    assert outcomes[1] == Rejected("not_in_utf8", "externalId")
    assert [type(outcomes[0]), type(outcomes[2])] == [Delivered, Delivered]
    within = replace(odd, document={**(before.document or {}), "name": {"givenName": f"a{LONE}"}})
    assert apply(target, within) == Rejected("not_in_utf8", "name")
    assert len(held(server)) == 2


# ---------------------------------------------------------------- EGIL


def of_egil(*texts: str) -> list[Command]:
    """Classes of which the text is name, id and school."""
    create = classes().create
    return [
        replace(
            create,
            id=canonical(number),
            document={"externalId": text, "displayName": text, "owner": {"value": text}},
        )
        for number, text in enumerate(texts)
    ]


def as_told(found: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    return {one["externalId"]: (one["displayName"], one["owner"]["value"]) for one in found}


ALL = {text: (text, text) for text in SENDABLE}


def test_egil_with_ids_of_the_server(tmp_path: Path) -> None:
    commands = of_egil(*SENDABLE)
    with egil_server() as server:
        for target in make(server.url, tmp_path, server.token, ids="server", ref="absolute"):
            known = carried_out(target, commands)
            again = carried_out(target, commands)
            found = server.resources("/StudentGroups")
            assert as_told(found) == ALL
            assert [one.remote_id for one in again] == [one.remote_id for one in known]
            assert len(found) == len(commands)


def test_egil_with_our_ids_in_the_path(tmp_path: Path) -> None:
    commands = of_egil(*SENDABLE)
    with EgilReceiver() as server:
        for target in make(server.url, tmp_path):
            known = carried_out(target, commands)
            assert [one.remote_id for one in known] == [*SENDABLE]
            changed = [replace(one, operation=Operation.UPDATED) for one in known]
            assert {type(outcome) for outcome in target.apply(changed)} == {Delivered}
            assert as_told([*server.stored["/StudentGroups"].values()]) == ALL
            gone = [replace(one, operation=Operation.DELETED, document=None) for one in known]
            assert {type(outcome) for outcome in target.apply(gone)} == {Delivered}
            assert server.stored["/StudentGroups"] == {}


@pytest.mark.parametrize("identifier", ["", ".", ".."])
def test_an_id_of_ours_that_no_path_can_name_is_refused(tmp_path: Path, identifier: str) -> None:
    """It would be the endpoint, or one above it."""
    with EgilReceiver() as server:
        for target in make(server.url, tmp_path):
            (odd, fine) = of_egil(identifier, "1A")
            for doubt in (False, True):
                outcomes = list(target.apply([replace(odd, in_doubt=doubt), fine]))
                assert outcomes[0] == Rejected("no_id_in_a_path", "externalId")
                assert isinstance(outcomes[1], Delivered)
            assert [*server.stored["/StudentGroups"]] == ["1A"]
