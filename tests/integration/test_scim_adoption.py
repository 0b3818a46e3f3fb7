"""What a SCIM server has already is found before it is made again, and never taken from others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.connector import ContractBroken, Delivered, Rejected, Unchanged
from bridge.domain.ids import CanonicalId
from bridge.testing.conformance_target import Samples
from bridge.testing.faulty_proxy import Fault, FaultyProxy
from connectors.scim import CORE
from connectors.scim.target import ScimTarget
from tests.support.scim import ScimServer
from tests.support.scim_target import OURS, after, apply, group, is_post, make_target, user, user_samples


@pytest.fixture
def target(proxy: FaultyProxy, server: ScimServer, tmp_path: Path) -> Iterator[ScimTarget]:
    yield from make_target(proxy.url, server.token, tmp_path)


@pytest.fixture
def samples() -> Samples:
    return user_samples()


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


@pytest.mark.parametrize("more", [{}, {"bulk": "announced", "discovery": "if_there"}])
def test_one_group_of_a_name_is_not_taken_for_two_of_ours(
    proxy: FaultyProxy, server: ScimServer, samples: Samples, tmp_path: Path, more: dict[str, str]
) -> None:
    """There is a 1A at every school; a list that was read once still shows it as nobody's."""
    server.call("POST", "/Groups", {"schemas": [CORE["Group"].urn], "displayName": "1A"})
    ids = [CanonicalId(OURS), CanonicalId("0f0e7a2b-5d0c-5b8e-9a3c-6f1f0a4d6b12")]
    ours = [replace(samples.create, id=one, resource="Group", document=group(one, "1A")) for one in ids]
    for target in make_target(proxy.url, server.token, tmp_path, adopt_groups="by_name", search="list", **more):
        assert [type(outcome) for outcome in target.apply(ours)] == [Delivered, Delivered]
    assert {held["externalId"] for held in server.resources("/Groups")} == set(ids)


def test_a_name_that_a_server_cannot_search_for_is_no_fault_of_its_filter(
    proxy: FaultyProxy, server: ScimServer, samples: Samples, tmp_path: Path
) -> None:
    def is_quoted(method: str, path: str) -> bool:
        return "%5C%22" in path

    refusal = json.dumps({"scimType": "invalidFilter"}).encode()
    proxy.fault = Fault("status", code=400, body=refusal, match=is_quoted)
    ours = replace(samples.create, resource="Group", document=group(OURS, 'Hold "A"'))
    for target in make_target(proxy.url, server.token, tmp_path, adopt_groups="by_name"):
        assert apply(target, ours) == Rejected("refused_400", "displayName", 400)


def test_danish_letters_are_searched_for_as_they_are(
    proxy: FaultyProxy, server: ScimServer, samples: Samples, tmp_path: Path
) -> None:
    """Not every server reads an escaped letter, and would be made a second group."""
    made = server.call("POST", "/Groups", {"schemas": [CORE["Group"].urn], "displayName": "Blå"}).json()
    for target in make_target(proxy.url, server.token, tmp_path, adopt_groups="by_name"):
        outcome = apply(target, replace(samples.create, resource="Group", document=group(OURS, "Blå")))
        assert isinstance(outcome, Delivered)
        assert outcome.remote_id == made["id"]
    assert any("Bl%C3%A5" in request.path for request in proxy.requests)


def test_between_two_groups_of_one_name_nobody_guesses(
    proxy: FaultyProxy, server: ScimServer, samples: Samples, tmp_path: Path
) -> None:
    for _ in range(2):
        server.call("POST", "/Groups", {"schemas": [CORE["Group"].urn], "displayName": "1A"})
    ours = replace(samples.create, resource="Group", document=group(OURS, "1A"))
    for target in make_target(proxy.url, server.token, tmp_path, adopt_groups="by_name"):
        assert apply(target, ours) == Rejected("ambiguous_match", "displayName")
    assert len(server.resources("/Groups")) == 2
