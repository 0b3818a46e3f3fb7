"""The SCIM connector against scim2-server: what the server holds in the end is what it should have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from scim2_models import EnterpriseUser, Group, User

from bridge.connector import Deferred, Delivered
from bridge.testing.conformance_target import (
    HttpReadsBackConformance,
    HttpTargetConformance,
    ProxiedReceiver,
    Samples,
)
from bridge.testing.faulty_proxy import Fault, FaultyProxy
from connectors.scim import ScimConfig
from connectors.scim.target import ScimTarget
from tests.support.scim import ScimServer
from tests.support.scim_target import OURS, after, apply, group, make_target, user, user_samples

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


@pytest.fixture
def target(proxy: FaultyProxy, server: ScimServer, tmp_path: Path) -> Iterator[ScimTarget]:
    yield from make_target(proxy.url, server.token, tmp_path)


@pytest.fixture
def samples() -> Samples:
    return user_samples()


class _ScimConformance(HttpTargetConformance):
    def sent_object(self, body: bytes) -> dict[str, Any]:
        return {name: value for name, value in json.loads(body).items() if name != "schemas"}


class TestUsers(_ScimConformance, HttpReadsBackConformance):
    @pytest.fixture
    def receiver(self, proxy: FaultyProxy, server: ScimServer) -> ProxiedReceiver:
        return ProxiedReceiver(proxy, lambda: len(server.resources("/Users")))


class TestGroups(_ScimConformance, HttpReadsBackConformance):
    @pytest.fixture
    def samples(self) -> Samples:
        keys = [{"institution_number": "101001", "group_id": name} for name in ("1A", "1B")]
        return Samples.of("Group", "group", *keys, group)

    @pytest.fixture
    def receiver(self, proxy: FaultyProxy, server: ScimServer) -> ProxiedReceiver:
        return ProxiedReceiver(proxy, lambda: len(server.resources("/Groups")))


# ---------------------------------------------------------------- what the server holds


def test_what_arrives_is_what_was_sent(target: ScimTarget, server: ScimServer, samples: Samples) -> None:
    created = apply(target, samples.create)
    apply(target, after(created, samples.update))
    (held,) = server.resources("/Users")
    assert held["name"] == {"givenName": "Birgit", "familyName": "Ærø"}
    assert samples.update.document is not None
    assert {name: held[name] for name in samples.update.document} == dict(samples.update.document)


def test_members_are_found_by_the_ids_of_the_server(
    target: ScimTarget, server: ScimServer, samples: Samples
) -> None:
    person = apply(target, samples.create)
    assert isinstance(person, Delivered)
    body = {**group(OURS, "1A"), "members": [{"value": person.remote_id}]}
    apply(target, replace(samples.create, resource="Group", kind="group", document=body))
    (held,) = server.resources("/Groups")
    assert [member["value"] for member in held["members"]] == [server.resources("/Users")[0]["id"]]


def test_every_body_is_valid_scim(target: ScimTarget, proxy: FaultyProxy, samples: Samples) -> None:
    extended = {**user(samples.create.id, "Astrid"), ENTERPRISE: {"employeeNumber": "7"}}
    created = apply(target, replace(samples.create, document=extended))
    apply(target, after(created, samples.update))
    apply(target, replace(samples.create, resource="Group", document=group(OURS, "1A")))
    written = [request for request in proxy.requests if request.body]
    bodies = [request.body for request in written]
    first = User[EnterpriseUser].model_validate_json(bodies[0])
    assert first.schemas == ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE]
    assert User[EnterpriseUser].model_validate_json(bodies[1]).user_name == f"{samples.create.id[:8]}@skole"
    assert Group.model_validate_json(bodies[2]).display_name == "1A"
    assert {request.headers["content-type"] for request in written} == {"application/scim+json"}


# ---------------------------------------------------------------- changed behind our back


def test_a_user_who_was_deleted_there_is_created_anew(
    target: ScimTarget, server: ScimServer, samples: Samples
) -> None:
    created = apply(target, samples.create)
    assert isinstance(created, Delivered)
    server.call("DELETE", f"/Users/{created.remote_id}")
    again = apply(target, after(created, samples.update))
    (held,) = server.resources("/Users")
    assert isinstance(again, Delivered)
    assert again.remote_id == held["id"] != created.remote_id


def test_a_user_who_was_changed_there_is_set_right(
    target: ScimTarget, server: ScimServer, proxy: FaultyProxy, samples: Samples
) -> None:
    created = apply(target, samples.create)
    assert isinstance(created, Delivered)
    (held,) = server.resources("/Users")
    server.call("PUT", f"/Users/{held['id']}", {**held, "displayName": "By Hand"})
    updated = apply(target, after(created, samples.update))
    assert isinstance(updated, Delivered)
    assert updated.etag not in (None, created.etag)
    assert [request.status for request in proxy.requests[3:]] == [412, 200, 200]
    assert server.resources("/Users")[0]["displayName"] == "Birgit Ærø"


def test_a_user_who_changes_all_the_time_waits(target: ScimTarget, proxy: FaultyProxy, samples: Samples) -> None:
    created = apply(target, samples.create)
    proxy.fault = Fault("status", code=412, match=lambda method, path: method == "PUT")
    assert apply(target, after(created, samples.update)) == Deferred("changed_meanwhile")


# ---------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout": 0},
        {"client_key_file": "key.pem"},
        {"resources": {"User": {"endpoint": "Users", "urn": "urn:x"}}},
        {"resources": {"User": {"endpoint": "/Users/", "urn": "urn:x"}}},
        {"token": "secret"},
    ],
)
def test_a_configuration_that_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ScimConfig(base_url="https://127.0.0.1", **wrong)
