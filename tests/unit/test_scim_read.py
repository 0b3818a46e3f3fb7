"""All that a SCIM server has is read page by page, and an answer that may not be whole is never taken for all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from bridge.connector import (
    ContractBroken,
    HttpResponse,
    Remote,
    TargetUnauthorised,
    TargetUnavailable,
)
from bridge.domain.errors import TargetError
from connectors.scim import CORE
from connectors.scim.target import ScimTarget

OURS = "0f0e7a2b-5d0c-5b8e-9a3c-6f1f0a4d6b11"


class Listing:
    """A server with so many users that gives at most `cap` a page; `told` may lie of how many there are.

    `before` is called with the number of each page before it is answered.
    """

    def __init__(self, number: int, cap: int = 100) -> None:
        self.users: list[dict[str, Any]] = [{"id": str(n), "userName": f"user{n}"} for n in range(number)]
        self.cap = cap
        self.told: Callable[[], int] = lambda: len(self.users)
        self.before: Callable[[int], HttpResponse | None] = lambda page: None
        self.asked: list[Mapping[str, str]] = []
        self.ignores_start = False

    def request(self, method: str, path: str, *, params: Mapping[str, str], **_: Any) -> HttpResponse:
        assert (method, path) == ("GET", "/Users")
        self.asked.append(params)
        if (answer := self.before(len(self.asked))) is not None:
            return answer
        start = 0 if self.ignores_start else int(params["startIndex"]) - 1
        page = self.users[start : start + min(self.cap, int(params["count"]))]
        return listed(self.told(), page)


def listed(total: object, page: object) -> HttpResponse:
    return HttpResponse(200, {}, json.dumps({"totalResults": total, "Resources": page}).encode())


def read(server: Listing) -> list[Remote]:
    return list(ScimTarget(server, CORE).read_back(["User"]))


@pytest.mark.parametrize("number", [0, 1, 99, 100, 101, 250])
@pytest.mark.parametrize("cap", [1, 7, 100])
def test_every_user_is_read_once_however_small_the_pages_are(number: int, cap: int) -> None:
    server = Listing(number, cap)
    assert [remote.remote_id for remote in read(server)] == [str(n) for n in range(number)]
    assert len(server.asked) == max(1, -(-number // cap))


def test_a_server_that_gives_all_at_once_is_not_asked_twice() -> None:
    server = Listing(250)
    server.before = lambda page: listed(250, server.users)
    assert len(read(server)) == 250
    assert len(server.asked) == 1


def test_what_is_repeated_is_read_once() -> None:
    server = Listing(150)
    server.before = lambda page: listed(150, server.users[90:150]) if page == 2 else None
    assert len(read(server)) == 150


def test_one_who_goes_while_it_is_read_hides_nobody() -> None:
    server = Listing(150)

    def before(page: int) -> None:
        if page == 2:
            server.users.pop(0)

    server.before = before
    with pytest.raises(TargetUnavailable) as caught:
        read(server)
    assert caught.value.reason == "read_back_incomplete"


def test_one_who_comes_while_it_is_read_makes_it_incomplete() -> None:
    server = Listing(150)

    def before(page: int) -> None:
        if page == 2:
            server.users.append({"id": "new", "userName": "new"})

    server.before = before
    with pytest.raises(TargetUnavailable, match="read_back_incomplete"):
        read(server)


@pytest.mark.parametrize("told", [0, 2, 4])
def test_a_number_that_is_not_that_of_what_came_is_not_believed(told: int) -> None:
    server = Listing(3)
    server.told = lambda: told
    with pytest.raises(TargetUnavailable, match="read_back_incomplete"):
        read(server)


def test_a_server_that_always_gives_its_first_page_is_not_believed() -> None:
    server = Listing(150)
    server.ignores_start = True
    with pytest.raises(TargetUnavailable, match="read_back_incomplete"):
        read(server)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (HttpResponse(401, {}, b""), TargetUnauthorised),
        (HttpResponse(403, {}, b""), TargetUnauthorised),
        (HttpResponse(404, {}, b""), ContractBroken),
        (HttpResponse(204, {}, b""), ContractBroken),
        (HttpResponse(307, {}, b""), ContractBroken),
        (HttpResponse(429, {}, b""), TargetUnavailable),
        (HttpResponse(500, {}, b""), TargetUnavailable),
        (HttpResponse(503, {}, b""), TargetUnavailable),
        (HttpResponse(200, {}, b""), ContractBroken),
        (HttpResponse(200, {}, b"<html>"), ContractBroken),
        (HttpResponse(200, {}, b"{}"), ContractBroken),
        (listed("150", []), ContractBroken),
        (listed(True, []), ContractBroken),
        (listed(150, {}), ContractBroken),
        (listed(150, [7]), ContractBroken),
        (listed(150, [{"id": ".."}]), ContractBroken),
    ],
)
def test_a_reading_that_breaks_off_half_way_raises(answer: HttpResponse, error: type[TargetError]) -> None:
    server = Listing(150)
    server.before = lambda page: answer if page == 2 else None
    with pytest.raises(error):
        read(server)


def test_an_empty_page_half_way_is_not_the_end() -> None:
    server = Listing(150)
    server.before = lambda page: listed(150, []) if page == 2 else None
    with pytest.raises(TargetUnavailable, match="read_back_incomplete"):
        read(server)


@pytest.mark.parametrize(("told", "known"), [(OURS, OURS), ("hr-4711", None), (7, None), (None, None)])
def test_only_an_id_of_our_form_is_ours(told: object, known: str | None) -> None:
    server = Listing(0)
    server.users = [{"id": "1", "externalId": told, "meta": {"version": 'W/"1"'}}]
    (remote,) = read(server)
    assert (remote.id, remote.etag, remote.resource) == (known, 'W/"1"', "User")


def test_a_resource_without_an_endpoint_is_told() -> None:
    with pytest.raises(ContractBroken, match="Course"):
        list(ScimTarget(Listing(0), CORE).read_back(["Course"]))


def test_the_case_of_a_user_name_is_no_difference() -> None:
    target = ScimTarget(Listing(0), CORE)
    assert target.differing("User", {"userName": "Ane@Skole"}, {"userName": "ane@skole"}) == ()
    assert target.differing("User", {"displayName": "Ane"}, {"displayName": "ANE"}) == ("displayName",)
