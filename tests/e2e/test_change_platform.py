"""A municipality changes platform and goes back, by the commands of the guide, at two servers that are real."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bridge.testing.aula_receiver import AulaReceiver
from bridge.testing.faulty_proxy import FaultyProxy
from tests.support.scim import ScimServer
from tests.support.world import DAYS, MUNICIPALITY, World, scim_target, webhook_secret

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "change-platform.md"
OLD, NEW = f"{MUNICIPALITY}/old", f"{MUNICIPALITY}/new"
COMMANDS = [
    tuple(text.split()[1:])
    for block in re.findall(r"```sh\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    for text in block.splitlines()
]
COMPARE, ACTIVATE_NEW, RETIRE_OLD, ACTIVATE_OLD, RETIRE_NEW, PREVIEW, APPROVE = COMMANDS
(NOBODY,) = re.findall(r"```yaml\n(mapping: nobody\n.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


class Two:
    """The old platform is a SCIM server, the new one gets events; proxies see every request at either."""

    def __init__(self, folder: Path, scim: ScimServer, events: AulaReceiver) -> None:
        self.scim, self.events = scim, events
        self.at_old, self.at_new = FaultyProxy(scim.url), FaultyProxy(events.url)
        self.world = World(folder)

    def configure(self, secret: str) -> None:
        self.world.secret("new", secret)
        new = {"connector": "webhook", "url": f"{self.at_new.url}/events", "secret_file": "new", "start": "shadow"}
        self.world.settings["municipalities"][MUNICIPALITY]["targets"] = {
            "old": scim_target(self.world, self.at_old.url, self.scim.token),
            "new": new,
        }
        self.world.write()

    def day(self, number: int) -> Mapping[str, Any]:
        self.world.drop(DAYS[number] / "280555.xml")
        return dict(self.world.sync())

    def sent(self) -> tuple[int, int]:
        """How many changes have reached either."""
        return tuple(  # type: ignore[return-value]
            sum(request.method not in ("GET", "OPTIONS") for request in proxy.requests)
            for proxy in (self.at_old, self.at_new)
        )

    def logins(self) -> tuple[set[str], set[str]]:
        """Who is at the old one, and which of them who are no parents at the new one."""
        old = {user["userName"].lower() for user in self.scim.resources("/Users")}
        new = {one["user_id"].lower() for key, one in self.events.objects.items() if key.startswith("person/")}
        return old, new


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    secret = webhook_secret()
    with ScimServer() as scim, AulaReceiver(secret) as events:
        made = Two(tmp_path / "world", scim, events)
        with made.at_old, made.at_new:
            made.configure(secret)
            yield made


def test_the_whole_move_and_the_way_back(two: Two) -> None:
    world = two.world
    two.day(0)
    old_has, new_has = two.logins()
    assert old_has
    assert two.sent()[1] == 0
    assert not new_has
    status = world.run("status", "--json").ended(0).json
    assert any(note.startswith(f"{NEW} is in shadow") for note in status["notes"])

    compared = world.run(*COMPARE, "--json").ended(0).json
    assert (compared["new"], compared["old"]) == (NEW, OLD)
    assert compared["kinds"]["person"] == {"both": len(old_has), "only_new": 0, "only_old": 0}
    assert compared["to_send"]["deleted"] == 0
    world.run(*COMPARE, "--ids").ended(0)
    (look,) = world.rows("SELECT record FROM audit WHERE record LIKE '%people.shown%'")
    assert f'"target":"{NEW}"' in look[0]
    planned = world.run("plan", "--json").ended(0).json
    assert planned["paused"] == {NEW: "shadow"}
    assert two.sent()[1] == 0, "looking sends nothing"

    world.run(*ACTIVATE_NEW[:-1]).ended(1)  # without --yes
    assert two.sent()[1] == 0
    world.run(*ACTIVATE_NEW).ended(0)
    world.run(*RETIRE_OLD).ended(0)
    before = two.sent()[0]
    two.day(1)
    assert two.logins()[0] == old_has, "the old one keeps what it has"
    assert two.sent()[0] == before
    assert len(two.logins()[1]) == compared["kinds"]["person"]["both"] + _net(world, len(old_has))

    world.run(*ACTIVATE_OLD).ended(0)
    world.run(*RETIRE_NEW).ended(0)
    told = world.sync()
    assert told["problems"] == []
    old_now, new_now = two.logins()
    assert old_now == new_now, "both are as of the second day"
    again = [request for request in two.at_old.requests if request.method == "POST" and "Users" in request.path]
    assert len({request.body for request in again}) == len(again), "nobody was made twice"
    settled = two.sent()
    world.sync()
    assert two.sent() == settled

    kinds = {row[0] for row in world.rows("SELECT json_extract(record, '$.kind') FROM audit")}
    assert {"target.activated", "target.retired"} <= kinds
    world.run("audit", "verify").ended(0)


_WANTED = "SELECT count(*) FROM deliveries WHERE target = ? AND kind = 'person' AND desired IS NOT NULL"
_STORED = "SELECT count(*) FROM deliveries WHERE target = ? AND confirmed_body IS NOT NULL"


def _net(world: World, before: int) -> int:
    """How many more people the second day has, of those who are sent."""
    return int(world.rows(_WANTED, NEW)[0][0]) - before


def test_what_is_stored_of_a_platform_that_is_left_for_good_can_be_forgotten(two: Two) -> None:
    two.day(0)
    said = two.world.run("target", "retire", OLD, "--forget", "--yes").ended(1).stderr
    assert f"{OLD} is still switched on: `skolebro target retire {OLD} --yes` first" in said
    two.world.run(*RETIRE_OLD).ended(0)
    two.world.run("target", "retire", OLD, "--forget").ended(1)
    assert two.world.rows(_STORED, OLD) != [(0,)]
    two.world.run("target", "retire", OLD, "--forget", "--yes").ended(0)
    two.world.sync()
    assert two.world.rows(_STORED, OLD) == [(0,)]
    rows = {one["target"]: one["pause_reason"] for one in listed(two)}
    assert rows == {OLD: "retired", NEW: "shadow"}


def test_what_waits_to_be_deleted_is_not_forgotten_by_mistake(two: Two) -> None:
    two.day(0)
    two.world.run(*RETIRE_OLD).ended(0)
    take_everything_away(two)
    two.world.sync()
    two.world.run(*APPROVE).ended(0)
    two.world.sync()
    forget = ("target", "retire", OLD, "--forget", "--yes")
    said = two.world.run(*forget).ended(1).stderr
    assert f"{kept(two)} deletions are due at {OLD}" in said
    assert f"`skolebro target activate {OLD} --yes`" in said
    assert two.world.rows(_STORED, OLD) != [(0,)]
    two.world.run(*forget, "--leave-accounts").ended(0)
    assert two.world.rows(_STORED, OLD) == [(0,)]


def test_a_new_target_is_in_shadow_before_the_first_sync(two: Two) -> None:
    rows = {one["target"]: one["pause_reason"] for one in listed(two)}
    assert rows == {OLD: None, NEW: "shadow"}
    assert "in shadow: computes, sends nothing" in two.world.run("target", "list").ended(0).stdout
    said = two.world.run(*ACTIVATE_NEW).ended(2).stderr
    assert "begins in shadow with the first `skolebro sync`" in said


def test_with_a_third_target_what_status_suggests_can_be_run(two: Two) -> None:
    two.world.municipality["targets"]["third"] = {"connector": "aula"}
    two.world.write()
    two.day(0)
    assert two.world.run("target", "compare", NEW, "--json").ended(0).json["old"] == OLD, "Aula only looks"
    two.world.municipality["targets"]["fourth"] = two.world.municipality["targets"]["new"]
    two.world.write()
    two.world.sync()
    two.world.run("target", "compare", NEW).ended(2)
    (note,) = [one for one in two.world.run("status", "--json").ended(0).json["notes"] if one.startswith(NEW)]
    suggested = re.findall(r"`skolebro (target compare .*?)`", note)
    assert two.world.run(*suggested[0].split(), "--json").ended(0).json["old"] == OLD


def test_a_plan_says_of_a_target_that_only_looks_that_nothing_is_sent(two: Two) -> None:
    two.world.municipality["targets"]["aula"] = {"connector": "aula"}
    two.world.write()
    two.world.drop(DAYS[0] / "280555.xml")
    told = two.world.run("plan", "--json").ended(0).json
    assert (set(told["targets"]), told["observed"]) == ({OLD, NEW}, [f"{MUNICIPALITY}/aula"])
    said = two.world.run("plan").ended(0).stdout
    assert f"{MUNICIPALITY}/aula: only looks, nothing is sent" in said
    assert f"{MUNICIPALITY}/aula: " not in said.replace(f"{MUNICIPALITY}/aula: only looks", "")


def listed(two: Two) -> list[dict[str, Any]]:
    return list(two.world.run("target", "list", "--json").ended(0).json["targets"])


def take_everything_away(two: Two) -> None:
    """What the guide says of the configuration."""
    (two.world.root / "nobody.yaml").write_text(NOBODY, encoding="utf-8")
    two.world.municipality["targets"]["old"] |= {"mapping": "nobody.yaml", "leavers": {"retention": "0s"}}
    two.world.write()


def kept(two: Two) -> int:
    """How much the old platform has."""
    return len(two.scim.resources("/Users")) + len(two.scim.resources("/Groups"))


def test_retiring_deletes_nobody_and_a_mapping_that_names_nothing_does_when_a_person_has_said_so(two: Two) -> None:
    two.day(0)
    had = kept(two)
    two.world.run(*RETIRE_OLD).ended(0)
    take_everything_away(two)
    two.world.sync()
    (hold,) = two.world.holds()
    assert (hold["reasons"], hold["counts"]["stored"]) == (["mapping_removes"], had)
    two.world.run(*PREVIEW).ended(0)
    two.world.run(*APPROVE).ended(0)
    two.world.sync()
    assert kept(two) == had, "it is retired"
    assert f"and {had} deletions" in two.world.run(*ACTIVATE_OLD[:-1]).ended(1).stderr
    two.world.run(*ACTIVATE_OLD).ended(0)
    two.world.sync()
    assert kept(two) == 0
    assert "keep 0 entities" in two.world.run(*RETIRE_OLD[:-1]).ended(1).stderr


def test_before_it_is_retired_everything_goes_as_soon_as_the_hold_is_approved(two: Two) -> None:
    two.day(0)
    had = kept(two)
    take_everything_away(two)
    two.world.sync()
    assert kept(two) == had
    two.world.run(*APPROVE).ended(0)
    two.world.sync()
    assert kept(two) == 0


def test_a_platform_that_does_not_answer_is_not_switched_on(two: Two) -> None:
    two.day(0)
    two.at_new.stop()
    said = two.world.run(*ACTIVATE_NEW).ended(1).stderr
    assert "does not take our requests: nothing answers at that address; see address and port" in said
    assert "firewall" in said
    checked = two.world.run("check").ended(1).stdout
    assert f"FAIL target {NEW}: nothing answers at that address" in checked
    assert "(connect_failed)" in checked
    assert "Nothing was changed" in said
