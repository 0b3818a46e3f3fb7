"""What a SCIM server answers counts for no more than it proves, and its refusals for what they say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.connector import ContractBroken, Deferred, Delivered, Rejected, TargetUnauthorised, TargetUnavailable
from bridge.testing.conformance_target import Samples
from bridge.testing.faulty_proxy import Fault, FaultyProxy
from connectors.scim.target import ScimTarget
from tests.support.scim import ScimServer
from tests.support.scim_target import after, apply, is_post, make_target, user_samples


@pytest.fixture
def target(proxy: FaultyProxy, server: ScimServer, tmp_path: Path) -> Iterator[ScimTarget]:
    yield from make_target(proxy.url, server.token, tmp_path)


@pytest.fixture
def samples() -> Samples:
    return user_samples()


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


def test_one_entity_that_is_answered_404_does_not_stop_the_target(
    target: ScimTarget, proxy: FaultyProxy, samples: Samples
) -> None:
    """As when a group names a member whom the server does not have any more."""
    proxy.fault = Fault("status", code=404, remaining=1, match=is_post)
    first, second = target.apply([samples.create, samples.other])
    assert first == Deferred("refused_404", status=404)
    assert isinstance(second, Delivered)


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
