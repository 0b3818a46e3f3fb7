"""Many commands in one request end as if each had gone alone, whatever part of the answer is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scim2_models import BulkOperation, BulkRequest, User

from bridge.connector import (
    Command,
    ContractBroken,
    Deferred,
    Delivered,
    Rejected,
    Target,
    TargetUnavailable,
    Unchanged,
)
from bridge.domain.changes import Operation
from bridge.domain.ids import CanonicalId
from bridge.testing.conformance_target import (
    ProxiedReceiver,
    ReadsBackConformance,
    Receiver,
    Samples,
    TargetConformance,
)
from bridge.testing.faulty_proxy import Fault, FaultyProxy
from connectors.scim.target import ScimTarget
from tests.support.scim import ScimServer
from tests.support.scim_target import make_target, user, user_samples

BULK = {"bulk": "announced", "before_create": "post", "discovery": "required"}


@pytest.fixture
def target(proxy: FaultyProxy, server: ScimServer, tmp_path: Path) -> Iterator[ScimTarget]:
    for made in make_target(proxy.url, server.token, tmp_path, **BULK):
        made.probe()
        yield made


@pytest.fixture
def samples() -> Samples:
    return user_samples()


class TestInBulk(TargetConformance, ReadsBackConformance):
    @pytest.fixture
    def receiver(self, proxy: FaultyProxy, server: ScimServer) -> ProxiedReceiver:
        return ProxiedReceiver(proxy, lambda: len(server.resources("/Users")))

    def sent_object(self, body: bytes) -> dict[str, Any]:
        return {name: value for name, value in json.loads(body).items() if name != "schemas"}

    def test_a_refused_entity_does_not_stop_the_next(
        self, target: Target, samples: Samples, receiver: Receiver
    ) -> None:
        """A Bulk that is refused whole did nothing: its commands go one by one."""
        receiver.fail(400, times=1)
        assert [type(one) for one in target.apply([samples.create, samples.other])] == [Delivered, Delivered]

    def test_a_stumble_over_one_entity_is_tried_again_later(
        self, target: Target, samples: Samples, receiver: Receiver
    ) -> None:
        """Nobody knows how far a Bulk got over which the server stumbled."""
        receiver.fail(500, times=1)
        assert [type(one) for one in target.apply([samples.create, samples.other])] == [Deferred, Deferred]


def people(samples: Samples, count: int) -> list[Command]:
    identities = [CanonicalId(f"{number:08x}-5d0c-5b8e-9a3c-6f1f0a4d6b11") for number in range(count)]
    return [replace(samples.create, id=one, document=user(one, f"Ane{one[:8]}")) for one in identities]


def writes(proxy: FaultyProxy) -> list[str]:
    return [f"{seen.method} {seen.path}" for seen in proxy.requests if seen.method != "GET"]


def operations(proxy: FaultyProxy) -> list[dict[str, Any]]:
    sent = [json.loads(seen.body) for seen in proxy.requests if seen.path == "/Bulk"]
    return [operation for body in sent for operation in body["Operations"]]


# ---------------------------------------------------------------- what is sent


def test_a_whole_life_takes_three_requests(
    target: ScimTarget, proxy: FaultyProxy, server: ScimServer, samples: Samples
) -> None:
    first = people(samples, 30)
    created = list(target.apply(first))
    assert {user["externalId"] for user in server.resources("/Users")} == {command.id for command in first}
    known = [
        replace(command, remote_id=outcome.remote_id, etag=outcome.etag)
        for command, outcome in zip(first, created, strict=True)
        if isinstance(outcome, Delivered)
    ]
    again = [replace(one, operation=Operation.UPDATED, document=user(one.id, "Bo")) for one in known]
    updated = list(target.apply(again))
    assert {user["displayName"] for user in server.resources("/Users")} == {"Bo Ærø"}
    assert [one.remote_id for one in updated if isinstance(one, Delivered)] == [one.remote_id for one in known]
    gone = [replace(one, operation=Operation.DELETED, document=None, etag=None) for one in known]
    assert [type(one) for one in target.apply(gone)] == [Delivered] * 30
    assert server.resources("/Users") == []
    assert writes(proxy) == ["POST /Bulk"] * 3


def test_every_body_is_valid_scim(target: ScimTarget, proxy: FaultyProxy, samples: Samples) -> None:
    list(target.apply(people(samples, 3)))
    (sent,) = [seen for seen in proxy.requests if seen.path == "/Bulk"]
    body = BulkRequest[User[Any]].model_validate_json(sent.body)
    assert body.operations is not None
    assert {one.method for one in body.operations} == {BulkOperation.Method.post}
    assert len({one.bulk_id for one in body.operations}) == 3
    assert "failOnErrors" not in json.loads(sent.body)


@pytest.mark.parametrize(
    ("limits", "loads"), [({"maxOperations": 4, "maxPayloadSize": 10**6}, [4, 4, 2]), ({"maxOperations": 99}, [])]
)
def test_no_more_goes_along_than_is_announced(
    proxy: FaultyProxy,
    server: ScimServer,
    tmp_path: Path,
    samples: Samples,
    limits: dict[str, int],
    loads: list[int],
) -> None:
    body = json.dumps({"bulk": {"supported": True, **limits}}).encode()
    proxy.fault = Fault("status", code=200, body=body, match=lambda method, path: "Config" in path)
    for target in make_target(proxy.url, server.token, tmp_path, **BULK):
        assert {type(one) for one in target.apply(people(samples, 10))} == {Delivered}
    sent = [json.loads(seen.body) for seen in proxy.requests if seen.path == "/Bulk"]
    assert [len(one["Operations"]) for one in sent] == loads
    assert len(server.resources("/Users")) == 10


def test_no_request_is_larger_than_is_announced(
    proxy: FaultyProxy, server: ScimServer, tmp_path: Path, samples: Samples
) -> None:
    body = json.dumps({"bulk": {"supported": True, "maxOperations": 99, "maxPayloadSize": 1500}}).encode()
    proxy.fault = Fault("status", code=200, body=body, match=lambda method, path: "Config" in path)
    many = people(samples, 10)
    assert many[3].document is not None
    many[3] = replace(many[3], document={**many[3].document, "title": "x" * 2000})  # too large for any Bulk
    for target in make_target(proxy.url, server.token, tmp_path, **BULK):
        assert {type(one) for one in target.apply(many)} == {Delivered}
    sizes = [len(seen.body) for seen in proxy.requests if seen.path == "/Bulk"]
    assert len(sizes) >= 2
    assert max(sizes) <= 1500
    assert len(server.resources("/Users")) == 10


def test_it_is_not_used_where_it_is_not_wanted(
    proxy: FaultyProxy, server: ScimServer, tmp_path: Path, samples: Samples
) -> None:
    for target in make_target(proxy.url, server.token, tmp_path, **{**BULK, "bulk": "never"}):
        list(target.apply(people(samples, 3)))
    assert writes(proxy) == ["POST /Users"] * 3


def test_what_has_to_be_looked_for_goes_alone_and_in_its_turn(
    target: ScimTarget, proxy: FaultyProxy, server: ScimServer, samples: Samples
) -> None:
    """A name that is freed by one command may be taken by the next."""
    one, two = people(samples, 2)
    (first,) = target.apply([one])
    assert isinstance(first, Delivered)
    assert one.document is not None
    name = one.document["userName"]
    freed = replace(
        one,
        operation=Operation.UPDATED,
        remote_id=first.remote_id,
        document={**one.document, "userName": "another"},
    )
    taken = replace(two, in_doubt=True, document={**user(two.id, "Bo"), "userName": name})
    assert [type(outcome) for outcome in target.apply([freed, taken])] == [Delivered, Delivered]
    assert {user["userName"] for user in server.resources("/Users")} == {"another", name}


# ---------------------------------------------------------------- what comes back


def test_each_has_the_outcome_of_its_own(target: ScimTarget, server: ScimServer, samples: Samples) -> None:
    new, taken, odd, old = people(samples, 4)
    assert taken.document is not None
    body = {**taken.document, "externalId": "hr-1"}
    server.call("POST", "/Users", {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], **body})
    odd = replace(odd, document={**user(odd.id, "Bo"), "unheard": 1})
    old = replace(old, operation=Operation.DELETED, document=None, remote_id="not there")
    outcomes = list(target.apply([new, taken, odd, old]))
    assert isinstance(outcomes[0], Delivered)
    assert outcomes[1:] == [
        Rejected("taken_by_other"),
        Rejected("refused_400", "invalidSyntax"),
        Unchanged(),
    ]


def test_a_lost_answer_leaves_all_in_doubt_and_nothing_doubles(
    target: ScimTarget, proxy: FaultyProxy, server: ScimServer, samples: Samples
) -> None:
    many = people(samples, 5)
    proxy.fault = Fault("cut_request", is_forwarded=True, match=lambda method, path: path == "/Bulk")
    with pytest.raises(TargetUnavailable):
        list(target.apply(many))
    assert not target.capabilities.in_order  # so the engine takes none of them for unsent
    proxy.fault = None
    again = target.apply([replace(one, in_doubt=True) for one in many])
    assert {type(outcome) for outcome in again} == {Delivered}
    assert len(server.resources("/Users")) == 5


def test_one_that_is_forbidden_is_rejected_alone(target: ScimTarget, proxy: FaultyProxy, samples: Samples) -> None:
    answer = {"Operations": [_part("0", 201, "/Users/a"), _part("1", 403), _part("2", 201, "/Users/b")]}
    _answered(proxy, answer)
    found = list(target.apply(people(samples, 3)))
    assert found == [Delivered("a"), Rejected("forbidden"), Delivered("b")]


def _part(bulk_id: str, status: Any, location: str | None = None) -> dict[str, Any]:
    place = {} if location is None else {"location": f"https://platform.example/v2{location}"}
    return {"method": "POST", "bulkId": bulk_id, "status": status, **place}


def _answered(proxy: FaultyProxy, answer: Any, status: int = 200) -> None:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    proxy.fault = Fault("status", code=status, body=body, match=lambda method, path: path == "/Bulk")


UNANSWERED = Deferred("bulk_unanswered")


@pytest.mark.parametrize(
    ("parts", "outcomes"),
    [
        ([], [UNANSWERED, UNANSWERED]),
        ([_part("0", "201", "/Users/a")], [Delivered("a"), UNANSWERED]),
        ([_part("0", 201, "/Users/a"), _part("1", {"code": "201"}, "/Users/b")], [Delivered("a"), Delivered("b")]),
        ([_part("1", "201", "/Users/b"), _part("0", "201", "/Users/a")], [UNANSWERED, UNANSWERED]),
        ([7, {"method": "PUT", "status": "200"}], [UNANSWERED, UNANSWERED]),
        ([_part("0", "2OO"), _part("1", None)], [UNANSWERED, UNANSWERED]),
        ([_part("0", "201"), _part("1", "201", "/Users/..")], [Deferred("answer_not_scim")] * 2),
        ([_part("0", "500"), _part("1", "201", "/Users/b")], [Deferred("server_error_500"), Delivered("b")]),
    ],
)
def test_of_an_answer_only_what_is_certain_counts(
    target: ScimTarget, proxy: FaultyProxy, samples: Samples, parts: list[Any], outcomes: Sequence[object]
) -> None:
    _answered(proxy, {"Operations": parts})
    assert list(target.apply(people(samples, 2))) == outcomes


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"Operations": {}}', b'{"Operations": null}'])
def test_an_answer_that_is_none_leaves_all_in_doubt(
    target: ScimTarget, proxy: FaultyProxy, samples: Samples, body: bytes
) -> None:
    _answered(proxy, body)
    assert list(target.apply(people(samples, 2))) == [UNANSWERED, UNANSWERED]


@pytest.mark.parametrize("status", [404, 405, 501])
def test_bulk_that_is_announced_and_not_there_breaks_the_contract(
    target: ScimTarget, proxy: FaultyProxy, samples: Samples, status: int
) -> None:
    _answered(proxy, b"", status)
    with pytest.raises(ContractBroken, match="set bulk: never"):
        list(target.apply(people(samples, 2)))


def test_a_bulk_that_is_refused_goes_one_by_one(
    target: ScimTarget, proxy: FaultyProxy, server: ScimServer, samples: Samples
) -> None:
    _answered(proxy, b"", 400)
    assert {type(one) for one in target.apply(people(samples, 3))} == {Delivered}
    assert len(server.resources("/Users")) == 3
