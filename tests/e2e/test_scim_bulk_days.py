"""Two days that go out in Bulk end as if every command had gone alone, though an answer is lost on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.testing.faulty_proxy import Fault, FaultyProxy
from tests.support.reference import read_day
from tests.support.scim import ScimServer
from tests.support.world import DAYS, MUNICIPALITY, World, exports, scim_target


def _plain(resource: dict[str, Any], known: dict[str, str]) -> dict[str, Any]:
    """What was sent, members by externalId."""
    body = {name: value for name, value in resource.items() if name not in ("id", "meta")}
    return body | (
        {"members": sorted(known[one["value"]] for one in body["members"])} if body.get("members") else {}
    )


@pytest.mark.slow
def test_the_server_holds_exactly_what_it_should(tmp_path: Path) -> None:
    world = World(tmp_path / "world", sections={"retry": {"base": "1s"}, "breaker": {"patience_base": "1s"}})
    with ScimServer() as server, FaultyProxy(server.url) as proxy:
        target = scim_target(world, proxy.url, server.token, bulk="announced", before_create="post")
        world.municipality["targets"] = {"platform": target}
        world.write()
        proxy.fault = Fault(
            "cut_request", is_forwarded=True, remaining=1, match=lambda method, path: path == "/Bulk"
        )
        for day in DAYS:
            world.drop(*exports(day))
            while any(row["due"] for row in world.run("sync", "--json").json["targets"]):
                pass  # the target pauses for a moment after the answer that was lost
            expected = read_day(exports(day), MUNICIPALITY)
            users, groups = server.resources("/Users"), server.resources("/Groups")
            known = {user["id"]: user["externalId"] for user in users}
            assert {user["externalId"]: _plain(user, {}) for user in users} == expected.users()
            assert {group["externalId"]: _plain(group, known) for group in groups} == expected.scim_groups()
            assert len(users) == len(known)
    assert sum(seen.path == "/Bulk" for seen in proxy.requests) >= 3
    assert sum(seen.method == "POST" and seen.path == "/Users" for seen in proxy.requests) < 10
