"""`skolebro check` and the first sync refuse a platform that does not have what the mapping sends."""

from __future__ import annotations

from pathlib import Path

from bridge.testing.faulty_proxy import FaultyProxy
from tests.support.scim import ScimServer
from tests.support.world import DAYS, World, exports, scim_target

MAPPING = """
mapping: own/courses
purpose: Courses
resources:
  User: {entity: person, fields: {userName: {from: user_id, required: true, purpose: log-in}}}
  Course: {entity: group, fields: {displayName: {from: name, required: true, purpose: shown}}}
"""


def test_a_resource_that_the_platform_lacks_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    (world.root / "courses.yaml").write_text(MAPPING)
    world.drop(exports(DAYS[0])[-1])
    resources = {"Course": {"endpoint": "/Courses", "urn": "urn:x:Course"}}
    with ScimServer() as server, FaultyProxy(server.url) as proxy:
        target = scim_target(world, proxy.url, server.token, mapping="courses.yaml", resources=resources)
        world.municipality["targets"] = {"platform": target}
        world.write()
        checked = world.run("check").ended(1)
        assert "the mapping sends Course (urn:x:Course at /Courses)" in checked.stdout
        world.run("sync")
        assert {seen.method for seen in proxy.requests} == {"GET"}
        assert server.resources("/Users") == []
