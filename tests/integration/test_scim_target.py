"""The SCIM connector against scim2-server: what the server holds in the end is what it should have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from scim2_models import EnterpriseUser, Group, User

from bridge.adapters.http import HttpEdge
from bridge.connector import (
    Command,
    ContractBroken,
    Deferred,
    Delivered,
    Outcome,
    Rejected,
    Services,
    TargetUnauthorised,
    TargetUnavailable,
    Unchanged,
)
from bridge.testing.conformance_target import (
    ProxiedReceiver,
    ReadsBackConformance,
    Samples,
    TargetConformance,
)
from bridge.testing.faulty_proxy import Fault, FaultyProxy
from connectors.scim import CORE, ScimConfig, connector
from connectors.scim.target import ScimTarget
from tests.support.scim import ScimServer

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
OURS = "0f0e7a2b-5d0c-5b8e-9a3c-6f1f0a4d6b11"


@pytest.fixture(scope="module")
def running() -> Iterator[ScimServer]:
    with ScimServer() as server:
        yield server


@pytest.fixture
def server(running: ScimServer) -> ScimServer:
    """The server, empty again: starting it takes longer than all else here."""
    for endpoint, resources in running.dump().items():
        for resource in resources:
            running.call("DELETE", f"{endpoint}/{resource['id']}")
    return running


@pytest.fixture
def proxy(server: ScimServer) -> Iterator[FaultyProxy]:
    with FaultyProxy(server.url) as proxy:
        yield proxy


@pytest.fixture
def target(proxy: FaultyProxy, server: ScimServer, tmp_path: Path) -> Iterator[ScimTarget]:
    yield from make_target(proxy.url, server.token, tmp_path)


def make_target(url: str, token: str, folder: Path, **config: Any) -> Iterator[ScimTarget]:
    """The target as the composition root would make it; its connections end with the test."""
    edges: list[HttpEdge] = []

    def http(base_url: str, **options: Any) -> HttpEdge:
        edges.append(HttpEdge(base_url, sleep=lambda seconds: None, **options))
        return edges[-1]

    secret = folder / "token"
    secret.write_text(token)
    services = Services(
        "9999", None, http, lambda path: path.read_text(), lambda: pytest.fail("no clock"), Path.read_bytes
    )
    assert connector.target is not None
    made = connector.target(ScimConfig(base_url=url, token_file=secret, **config), services)
    assert isinstance(made, ScimTarget)
    yield made
    for edge in edges:
        edge.close()


def user(identifier: str, name: str) -> dict[str, Any]:
    return {
        "externalId": identifier,
        "userName": f"{identifier[:8]}@skole",
        "name": {"givenName": name, "familyName": "Ærø"},
        "displayName": f"{name} Ærø",
        "active": True,
        "emails": [{"value": f"{name.lower()}@skole.example", "type": "work", "primary": True}],
    }


def group(identifier: str, name: str) -> dict[str, Any]:
    return {"externalId": identifier, "displayName": name}


@pytest.fixture
def samples() -> Samples:
    return Samples.of("User", "person", {"user_id": "astr1234"}, {"user_id": "cars1234"}, user)


def apply(target: ScimTarget, command: Command) -> Outcome:
    (outcome,) = target.apply([command])
    return outcome


def after(outcome: Outcome, command: Command) -> Command:
    assert isinstance(outcome, Delivered)
    return replace(command, remote_id=outcome.remote_id, etag=outcome.etag)


class _ScimConformance(TargetConformance):
    def sent_object(self, body: bytes) -> dict[str, Any]:
        return {name: value for name, value in json.loads(body).items() if name != "schemas"}


class TestUsers(_ScimConformance, ReadsBackConformance):
    @pytest.fixture
    def receiver(self, proxy: FaultyProxy, server: ScimServer) -> ProxiedReceiver:
        return ProxiedReceiver(proxy, lambda: len(server.resources("/Users")))


class TestGroups(_ScimConformance, ReadsBackConformance):
    @pytest.fixture
    def samples(self) -> Samples:
        keys = [{"institution_number": "101001", "group_id": name} for name in ("1A", "1B")]
        return Samples.of("Group", "group", *keys, group)

    @pytest.fixture
    def receiver(self, proxy: FaultyProxy, server: ScimServer) -> ProxiedReceiver:
        return ProxiedReceiver(proxy, lambda: len(server.resources("/Groups")))


def is_post(method: str, path: str) -> bool:
    return method == "POST"


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


# ---------------------------------------------------------------- adopting


def test_a_group_is_never_made_twice(target: ScimTarget, server: ScimServer, samples: Samples) -> None:
    again = replace(samples.create, resource="Group", document=group(OURS, "1A"))
    assert [type(outcome) for outcome in target.apply([again, again])] == [Delivered, Delivered]
    assert len(server.resources("/Groups")) == 1


def test_an_account_of_another_system_is_left_alone(
    target: ScimTarget, server: ScimServer, samples: Samples
) -> None:
    body = {**user(samples.create.id, "By Hand"), "externalId": "hr-4711"}
    server.call("POST", "/Users", {"schemas": [CORE["User"].urn], **body})
    assert apply(target, samples.create) == Rejected("taken_by_other")
    (held,) = server.resources("/Users")
    assert held["externalId"] == "hr-4711"


def test_an_account_of_another_system_is_taken_over_when_the_municipality_says_so(
    proxy: FaultyProxy, server: ScimServer, samples: Samples, tmp_path: Path
) -> None:
    body = {**user(samples.create.id, "By Hand"), "externalId": "hr-4711"}
    made = server.call("POST", "/Users", {"schemas": [CORE["User"].urn], **body}).json()
    for target in make_target(proxy.url, server.token, tmp_path, adopt="any"):
        assert isinstance(outcome := apply(target, samples.create), Delivered)
        assert outcome.remote_id == made["id"]


def test_a_user_name_that_is_taken_by_nobody_of_ours_is_adopted(
    target: ScimTarget, server: ScimServer, samples: Samples
) -> None:
    body = user(samples.create.id, "By Hand")
    del body["externalId"]
    body["userName"] = body["userName"].upper()
    made = server.call("POST", "/Users", {"schemas": [CORE["User"].urn], **body}).json()
    outcome = apply(target, samples.create)
    (held,) = server.resources("/Users")
    assert isinstance(outcome, Delivered)
    assert outcome.remote_id == held["id"] == made["id"]
    assert held["externalId"] == samples.create.id
    assert held["displayName"] == "Astrid Ærø"


def test_a_user_name_that_belongs_to_another_entity_of_ours_is_left_alone(
    target: ScimTarget, server: ScimServer, samples: Samples
) -> None:
    assert samples.other.document is not None
    apply(target, samples.other)
    namesake = {**user(samples.create.id, "Astrid"), "userName": samples.other.document["userName"]}
    assert apply(target, replace(samples.create, document=namesake)) == Rejected("taken_by_other")
    (held,) = server.resources("/Users")
    assert held["externalId"] == samples.other.id


def test_an_update_that_lost_its_id_finds_the_user_again(
    target: ScimTarget, server: ScimServer, samples: Samples
) -> None:
    created = apply(target, samples.create)
    updated = apply(target, samples.update)
    assert isinstance(created, Delivered)
    assert isinstance(updated, Delivered)
    assert updated.remote_id == created.remote_id
    assert [held["displayName"] for held in server.resources("/Users")] == ["Birgit Ærø"]


def test_two_that_look_alike_are_not_guessed_between(
    target: ScimTarget, server: ScimServer, samples: Samples
) -> None:
    twin = replace(samples.create, resource="Group", document=group(OURS, "1A"))
    for _ in range(2):
        server.call("POST", "/Groups", {"schemas": [CORE["Group"].urn], **group(OURS, "1A")})
    assert apply(target, replace(twin, in_doubt=True)) == Rejected("ambiguous_match", "externalId")
    delete = replace(samples.delete, resource="Group", previous=twin.document)
    assert apply(target, delete) == Rejected("ambiguous_match", "externalId")
    assert len(server.resources("/Groups")) == 2


def test_a_conflict_that_nobody_explains_is_rejected(
    target: ScimTarget, proxy: FaultyProxy, samples: Samples
) -> None:
    refusal = json.dumps({"scimType": "uniqueness", "detail": "Astrid is taken"}).encode()
    proxy.fault = Fault("status", code=409, body=refusal, remaining=1, match=is_post)
    assert apply(target, samples.create) == Rejected("refused_409", "uniqueness")


def test_a_delete_without_an_id_finds_the_user(target: ScimTarget, server: ScimServer, samples: Samples) -> None:
    apply(target, samples.create)
    assert apply(target, samples.delete) == Delivered()
    assert server.resources("/Users") == []
    assert apply(target, samples.delete) == Unchanged()


def test_an_update_of_what_is_not_known_is_looked_up_before_it_is_created(
    target: ScimTarget, proxy: FaultyProxy, samples: Samples
) -> None:
    apply(target, samples.update)
    assert [request.method for request in proxy.requests] == ["GET", "GET", "POST"]


# ---------------------------------------------------------------- before the first create


def by_hand(server: ScimServer, samples: Samples) -> dict[str, Any]:
    """An account that somebody made at the platform, under the name that ours will have."""
    body = user(samples.create.id, "By Hand")
    del body["externalId"]
    made: dict[str, Any] = server.call("POST", "/Users", {"schemas": [CORE["User"].urn], **body}).json()
    return made


def test_a_hand_made_account_is_adopted_without_an_attempt_to_double_it(
    target: ScimTarget, server: ScimServer, proxy: FaultyProxy, samples: Samples
) -> None:
    made = by_hand(server, samples)
    outcome = apply(target, samples.create)
    assert isinstance(outcome, Delivered)
    assert outcome.remote_id == made["id"]
    assert [request.method for request in proxy.requests] == ["GET", "GET", "PUT"]


def test_the_look_up_can_be_left_to_the_server(
    proxy: FaultyProxy, server: ScimServer, samples: Samples, tmp_path: Path
) -> None:
    for target in make_target(proxy.url, server.token, tmp_path, before_create="post"):
        apply(target, samples.create)
        assert [request.method for request in proxy.requests] == ["POST"]


def test_what_is_gone_where_we_knew_it_is_looked_for_before_it_is_made_again(
    target: ScimTarget, server: ScimServer, samples: Samples
) -> None:
    created = apply(target, samples.create)
    assert isinstance(created, Delivered)
    (held,) = server.resources("/Users")
    server.call("DELETE", f"/Users/{held['id']}")
    del held["id"], held["meta"]
    moved = server.call("POST", "/Users", held).json()
    updated = apply(target, after(created, samples.update))
    assert isinstance(updated, Delivered)
    assert updated.remote_id == moved["id"]
    assert len(server.resources("/Users")) == 1


def test_an_account_that_is_gone_is_not_made_again_to_be_put_to_sleep(
    target: ScimTarget, server: ScimServer, samples: Samples
) -> None:
    created = apply(target, samples.create)
    (held,) = server.resources("/Users")
    server.call("DELETE", f"/Users/{held['id']}")
    sleep = replace(after(created, samples.update), may_create=False)
    assert apply(target, sleep) == Unchanged(is_gone=True)
    assert server.resources("/Users") == []


def test_a_namesake_is_not_put_to_sleep_in_place_of_an_account_that_is_gone(
    target: ScimTarget, server: ScimServer, samples: Samples
) -> None:
    created = apply(target, samples.create)
    (held,) = server.resources("/Users")
    server.call("DELETE", f"/Users/{held['id']}")
    by_hand(server, samples)
    sleep = replace(after(created, samples.update), may_create=False)
    assert apply(target, sleep) == Unchanged(is_gone=True)


def test_a_server_that_cannot_be_searched_is_told_of_as_a_whole(
    target: ScimTarget, proxy: FaultyProxy, samples: Samples
) -> None:
    refusal = json.dumps({"scimType": "invalidFilter"}).encode()
    proxy.fault = Fault("status", code=400, body=refusal, match=lambda method, path: "filter=" in path)
    with pytest.raises(ContractBroken, match="before_create: post"):
        apply(target, samples.create)


def test_a_group_is_not_taken_for_ours_by_its_name(
    target: ScimTarget, server: ScimServer, samples: Samples
) -> None:
    server.call("POST", "/Groups", {"schemas": [CORE["Group"].urn], "displayName": "1A"})
    apply(target, replace(samples.create, resource="Group", document=group(OURS, "1A")))
    assert len(server.resources("/Groups")) == 2


def test_a_group_is_ours_by_its_name_where_that_is_configured(
    proxy: FaultyProxy, server: ScimServer, samples: Samples, tmp_path: Path
) -> None:
    ours = replace(samples.create, resource="Group", document=group(OURS, "1A"))
    school = server.call("POST", "/Groups", {"schemas": [CORE["Group"].urn], "displayName": "1A"}).json()
    other = {**group("0f0e7a2b-5d0c-5b8e-9a3c-6f1f0a4d6b12", "1A"), "schemas": [CORE["Group"].urn]}
    server.call("POST", "/Groups", other)
    for target in make_target(proxy.url, server.token, tmp_path, adopt_groups="by_name"):
        outcome = apply(target, ours)
        assert isinstance(outcome, Delivered)
        assert outcome.remote_id == school["id"], "the only one that nobody claims"
    assert len(server.resources("/Groups")) == 2


def test_between_two_groups_of_one_name_nobody_guesses(
    proxy: FaultyProxy, server: ScimServer, samples: Samples, tmp_path: Path
) -> None:
    for _ in range(2):
        server.call("POST", "/Groups", {"schemas": [CORE["Group"].urn], "displayName": "1A"})
    ours = replace(samples.create, resource="Group", document=group(OURS, "1A"))
    for target in make_target(proxy.url, server.token, tmp_path, adopt_groups="by_name"):
        assert apply(target, ours) == Rejected("ambiguous_match", "displayName")
    assert len(server.resources("/Groups")) == 2


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


# ---------------------------------------------------------------- answers that cannot be believed


def test_success_that_is_not_scim_is_no_success(target: ScimTarget, proxy: FaultyProxy, samples: Samples) -> None:
    created = apply(target, samples.create)
    proxy.fault = Fault("garbage")
    assert apply(target, samples.other) == Deferred("answer_not_scim")
    assert apply(target, after(created, samples.update)) == Deferred("answer_not_scim")
    assert apply(target, replace(samples.other, in_doubt=True)) == Deferred("answer_not_scim")
    with pytest.raises(ContractBroken):
        target.probe()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"id": 7}',
        b'{"id": ""}',
        b'{"id": ".."}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"id": "a", "meta"',
    ],
)
def test_a_creation_without_an_id_is_no_success(
    target: ScimTarget, proxy: FaultyProxy, samples: Samples, body: bytes
) -> None:
    proxy.fault = Fault("status", code=201, body=body, match=is_post)
    assert apply(target, samples.create) == Deferred("answer_not_scim")


@pytest.mark.parametrize("meta", [7, None, {"version": 7}, {"version": "a\nb: c"}, {"version": ["x"]}])
def test_a_version_that_no_header_can_carry_is_not_kept(
    target: ScimTarget, proxy: FaultyProxy, samples: Samples, meta: object
) -> None:
    body = json.dumps({"id": "a/b", "meta": meta}).encode()
    proxy.fault = Fault("status", code=201, body=body, match=is_post)
    assert apply(target, samples.create) == Delivered("a/b")


def test_an_id_stays_one_step_of_the_path(target: ScimTarget, proxy: FaultyProxy, samples: Samples) -> None:
    apply(target, replace(samples.update, remote_id="a/../b?c#d"))
    assert proxy.requests[0].path == "/Users/a%2F..%2Fb%3Fc%23d"


def test_an_answer_of_204_is_enough_for_an_update(
    target: ScimTarget, proxy: FaultyProxy, samples: Samples
) -> None:
    proxy.fault = Fault("status", code=204, headers={"ETag": 'W/"2"'})
    assert apply(target, replace(samples.update, remote_id="a")) == Delivered("a", 'W/"2"')


def test_a_server_that_ignores_the_filter_is_not_believed(
    target: ScimTarget, proxy: FaultyProxy, server: ScimServer, samples: Samples
) -> None:
    apply(target, samples.other)
    everybody = json.dumps({"totalResults": 1, "Resources": server.resources("/Users")}).encode()
    proxy.fault = Fault("status", code=200, body=everybody, remaining=1)
    outcome = apply(target, replace(samples.create, in_doubt=True))
    assert isinstance(outcome, Delivered)
    assert len(server.resources("/Users")) == 2


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("scim_type", "told"), [("invalidValue", "invalidValue"), ("Astrid", None), (["x"], None), (None, None)]
)
def test_of_a_refusal_only_the_known_word_is_passed_on(
    target: ScimTarget, proxy: FaultyProxy, samples: Samples, scim_type: object, told: str | None
) -> None:
    refusal = json.dumps({"scimType": scim_type, "detail": "Astrid is no name"}).encode()
    proxy.fault = Fault("status", code=422, body=refusal)
    assert apply(target, samples.create) == Rejected("refused_422", told)


def test_what_is_forbidden_for_one_entity_only_is_rejected(
    target: ScimTarget, proxy: FaultyProxy, samples: Samples
) -> None:
    proxy.fault = Fault("status", code=403, match=is_post)
    assert apply(target, samples.create) == Rejected("forbidden")


def test_a_public_configuration_does_not_hide_a_bad_token(
    proxy: FaultyProxy, server: ScimServer, tmp_path: Path
) -> None:
    proxy.fault = Fault("status", code=403, match=lambda method, path: path.startswith("/Users"))
    for target in make_target(proxy.url, server.token, tmp_path):
        with pytest.raises(TargetUnauthorised):
            target.probe()
    proxy.fault = None
    for target in make_target(proxy.url, "of somebody else", tmp_path):
        with pytest.raises(TargetUnauthorised):
            target.probe()


@pytest.mark.parametrize("status", [404, 501])
def test_a_server_that_does_not_list_users_can_be_used(
    target: ScimTarget, proxy: FaultyProxy, status: int
) -> None:
    proxy.fault = Fault("status", code=status, match=lambda method, path: path.startswith("/Users"))
    target.probe()


def test_an_endpoint_that_is_not_there_is_no_fault_of_the_entity(
    proxy: FaultyProxy, server: ScimServer, tmp_path: Path, samples: Samples
) -> None:
    resources = {"User": {"endpoint": "/Pupils", "urn": "urn:x:Pupil"}}
    for target in make_target(proxy.url, server.token, tmp_path, resources=resources):
        with pytest.raises(ContractBroken):
            apply(target, samples.create)
        assert apply(target, replace(samples.create, resource="Course")) == Rejected(
            "resource_not_configured", "Course"
        )


@pytest.mark.parametrize("kind", ["cut_response", "cut_request", "hang", "slow"])
def test_an_answer_that_does_not_come_whole_leaves_the_outcome_open(
    proxy: FaultyProxy, server: ScimServer, tmp_path: Path, samples: Samples, kind: Any
) -> None:
    proxy.fault = Fault(kind, is_forwarded=True)
    for target in make_target(proxy.url, server.token, tmp_path, timeout=timedelta(seconds=1)):
        with pytest.raises(TargetUnavailable):
            apply(target, samples.create)
        proxy.fault = None
        assert isinstance(apply(target, replace(samples.create, in_doubt=True)), Delivered)
        assert len(server.resources("/Users")) == 1


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
