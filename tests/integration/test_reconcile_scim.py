"""A SCIM server is read back and set right: rows 30 and 45 to 47 of the fault matrix, on a server of strangers."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from bridge.adapters.http import HttpEdge
from bridge.connector import HttpResponse
from bridge.domain.errors import TargetUnavailable
from bridge.engine.reconcile import Report, reconcile, shown
from bridge.engine.tell import Teller
from bridge.mapping import load_mapping
from bridge.observe import Metrics
from bridge.testing.faulty_proxy import Fault, FaultyProxy
from connectors.scim import CORE
from connectors.scim.target import Adoption, ScimTarget
from tests.support.engine import Bench, group, person_id, pupil, teacher
from tests.support.exports import Export
from tests.support.scim import ScimServer
from tests.support.world import DAYS, MUNICIPALITY, World, scim_target

pytestmark = pytest.mark.slow  # real processes by the dozen; the engine is told of in tests/unit

ANE, BO = person_id("ane"), person_id("bo")
PLATFORM = f"{MUNICIPALITY}/platform"
PEOPLE = (pupil("ane", email="ane@skole.example"), pupil("bo"), teacher("tea", ["1A"]))


class Habits:
    """A server that stores what it is sent in its own manner."""

    def __init__(self, edge: HttpEdge) -> None:
        self._edge = edge
        self.habit: Callable[[dict[str, Any]], dict[str, Any]] = dict
        self.written = 0

    def request(self, method: str, path: str, *, body: bytes | None = None, **options: Any) -> HttpResponse:
        if body is not None:
            self.written += 1
            body = json.dumps(self.habit(json.loads(body))).encode()
        return self._edge.request(method, path, body=body, **options)


class Town(Bench):
    """A bench whose target is a real SCIM server."""

    def __init__(self, server: ScimServer, url: str) -> None:
        super().__init__(mapping=load_mapping("scim/core"))
        self.server = server
        self.edge = HttpEdge(url, sleep=lambda _: None, headers={"Authorization": f"Bearer {server.token}"})
        self.http = Habits(self.edge)
        self.use(ScimTarget(self.http, CORE, Adoption(looks_first=True)))

    def use(self, target: Any) -> None:
        self.target = target

    def settle(self) -> None:
        """Deliver until nothing is due now."""
        while self.deliver():
            pass

    def read(self, policy: Any = "restore") -> Report:
        """Reconcile an hour later, and deliver what is due then."""
        self.clock.forward(hours=1)
        report = reconcile(self.lane, policy, Teller(Metrics("test"), self.clock.now))
        assert report is not None
        self.clock.forward(minutes=1)
        self.settle()
        return report

    def user(self, identity: str) -> dict[str, Any]:
        return next(user for user in self.server.resources("/Users") if user.get("externalId") == identity)

    def edit(self, identity: str, **fields: Any) -> None:
        """Change a user as somebody at the platform would."""
        held = self.user(identity)
        self.server.call("PUT", f"/Users/{held['id']}", {**held, **fields})

    def members(self) -> set[str]:
        (held,) = self.server.resources("/Groups")
        return {member["value"] for member in held["members"]}


@pytest.fixture
def town(server: ScimServer, proxy: FaultyProxy) -> Iterator[Town]:
    town = Town(server, proxy.url)
    town.take(group("1A"), *PEOPLE)
    town.settle()
    yield town
    town.edge.close()


# ---------------------------------------------------------------- nothing, and what is not ours


def test_what_the_server_adds_by_itself_is_no_difference(town: Town) -> None:
    report = town.read()
    assert (report.read, report.foreign, report.drift) == (4, 0, ())


def test_what_others_made_is_counted_and_left_alone(town: Town, server: ScimServer) -> None:
    made = {"schemas": [CORE["User"].urn], "userName": "guest", "displayName": "Ane Holm"}
    server.call("POST", "/Users", made)
    server.call("POST", "/Users", {**made, "userName": "hr", "externalId": "hr-4711"})
    assert town.read().foreign == 2
    assert {user["userName"] for user in server.resources("/Users")} == {"ane", "bo", "tea", "guest", "hr"}


def test_a_server_that_sorts_members_and_composes_letters_is_left_alone(town: Town, server: ScimServer) -> None:
    town.take(group("1A"), pupil("ane", given_name="A\u030ase"), *PEOPLE[1:])
    town.settle()
    (held,) = server.resources("/Groups")
    server.call("PUT", f"/Groups/{held['id']}", {**held, "members": held["members"][::-1]})
    town.edit(ANE, name={"givenName": "\u00c5se", "familyName": "Holm"}, displayName="\u00c5se Holm")
    assert town.read().drift == ()


# ---------------------------------------------------------------- row 46


def test_row_46_an_edit_by_hand_is_reported_or_set_right(town: Town) -> None:
    town.edit(ANE, displayName="By Hand", active=False)
    (row,) = town.read("report").drift
    assert (row.id, row.what, row.fields) == (ANE, "changed", ("active", "displayName"))
    assert town.user(ANE)["displayName"] == "By Hand"
    town.read()
    assert (town.user(ANE)["displayName"], town.user(ANE)["active"]) == ("Ane Holm", True)
    assert town.read().drift == ()


def test_row_46_what_was_deleted_by_hand_is_made_again(town: Town, server: ScimServer) -> None:
    server.call("DELETE", f"/Users/{town.user(ANE)['id']}")
    assert shown(town.read().drift)["missing"] == 1
    assert town.user(ANE)["id"] in town.members()
    assert town.read().drift == ()


def test_row_46_a_member_that_was_added_by_hand_goes(town: Town, server: ScimServer) -> None:
    guest = server.call("POST", "/Users", {"schemas": [CORE["User"].urn], "userName": "guest"}).json()
    (held,) = server.resources("/Groups")
    members = [*held["members"], {"value": guest["id"]}]
    server.call("PUT", f"/Groups/{held['id']}", {**held, "members": members})
    (row,) = town.read().drift
    assert row.fields == ("members",)
    assert guest["id"] not in town.members()
    assert len(server.resources("/Users")) == 4, "the guest stays"


# ---------------------------------------------------------------- row 45


@pytest.mark.parametrize(
    ("habit", "field"),
    [
        (lambda body: {name: value for name, value in body.items() if name != "userType"}, "userType"),
        (lambda body: {**body, **_named(body, str.strip)}, "displayName"),
        (lambda body: {**body, **_named(body, str.upper)}, "displayName"),
    ],
    ids=["dropped", "trimmed", "case"],
)
def test_row_45_what_the_server_changes_back_is_parked_after_three_rounds(
    town: Town, habit: Callable[[dict[str, Any]], dict[str, Any]], field: str
) -> None:
    town.http.habit = habit
    town.take(group("1A"), pupil("ane", given_name=" Ane", email="ane@skole.example"), *PEOPLE[1:])
    town.settle()
    written = []
    for _ in range(6):
        before = town.http.written
        report = town.read()
        written.append(town.http.written - before)
    row = next(row for row in report.drift if row.id == ANE)
    assert (row.state, field in row.fields) == ("parked", True)
    assert [bool(number) for number in written] == [True, True, True, False, False, False]


def _named(body: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    return {"displayName": change(body["displayName"])} if "userName" in body else {}


# ---------------------------------------------------------------- row 47


def test_row_47_a_restored_server_with_other_ids_is_learned_again(town: Town, server: ScimServer) -> None:
    old = {user["externalId"]: user["id"] for user in server.resources("/Users")}
    (school,) = server.resources("/Groups")
    for user in server.resources("/Users"):
        server.call("DELETE", f"/Users/{user['id']}")
        server.call("POST", "/Users", {k: v for k, v in user.items() if k not in ("id", "meta")})
    new = {user["externalId"]: user["id"] for user in server.resources("/Users")}
    members = [{"value": new[identity]} for identity in old]
    server.call("PUT", f"/Groups/{school['id']}", {**school, "members": members})
    assert not set(old.values()) & set(new.values())

    assert shown(town.read().drift)["moved"] == 3
    assert {town.delivery(identity).remote_id for identity in (ANE, BO)} == {new[ANE], new[BO]}
    assert town.read().drift == ()
    assert len(server.resources("/Users")) == 3
    assert town.members() == set(new.values())


# ---------------------------------------------------------------- a reading that is not whole


def test_a_reading_that_is_cut_changes_nothing(town: Town, proxy: FaultyProxy, server: ScimServer) -> None:
    before = server.dump()
    for fault in (
        Fault("cut_response", match=lambda method, path: path.startswith("/Groups")),
        Fault("garbage", match=lambda method, path: path.startswith("/Groups")),
        Fault("status", code=503),
    ):
        proxy.fault = fault
        with pytest.raises(Exception, match=r"unavailable|does not answer"):
            town.read()
    proxy.fault = None
    assert server.dump() == before
    assert town.target_state().reconciled_at is None


def test_a_list_that_says_there_are_none_while_there_are_is_held(server: ScimServer, proxy: FaultyProxy) -> None:
    town = Town(server, proxy.url)
    town.take(group("1A"), *(pupil(f"user{number}") for number in range(30)))
    town.settle()
    nobody = json.dumps({"totalResults": 0, "Resources": []}).encode()
    proxy.fault = Fault("status", code=200, body=nobody, match=lambda method, path: method == "GET")
    report = town.read()
    town.edge.close()
    assert (report.hold, len(report.mended)) == (1, 0)
    assert len(server.resources("/Users")) == 30


# ---------------------------------------------------------------- before the first create


class Lax:
    """A server that does not care how often a userName is there."""

    def __init__(self) -> None:
        self.users: dict[str, dict[str, Any]] = {}

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
        **_: Any,
    ) -> HttpResponse:
        place = unquote(path.removeprefix("/Users").lstrip("/"))
        if method == "GET":
            name, _, value = (params or {})["filter"].partition(" eq ")
            found = [one for one in self.users.values() if one.get(name) == json.loads(value)]
            return self._answer(200, {"totalResults": len(found), "Resources": found})
        place = place or f"{len(self.users) + 1}"
        self.users[place] = {**json.loads(body or b"{}"), "id": place}
        return self._answer(201 if method == "POST" else 200, self.users[place])

    @staticmethod
    def _answer(status: int, content: Any) -> HttpResponse:
        return HttpResponse(status, {}, json.dumps(content).encode())


@pytest.mark.parametrize(("looks_first", "number"), [(True, 3), (False, 4)])
def test_an_account_made_by_hand_is_doubled_only_where_nobody_looks(
    server: ScimServer, looks_first: bool, number: int
) -> None:
    town, lax = Town(server, server.url), Lax()
    lax.users["by-hand"] = {"id": "by-hand", "userName": "ane", "displayName": "Ane at school"}
    town.use(ScimTarget(lax, CORE, Adoption(looks_first=looks_first)))
    town.take(*PEOPLE)
    town.settle()
    town.edge.close()
    people = [user for user in lax.users.values() if "userName" in user]
    assert len(people) == number
    assert (lax.users["by-hand"].get("externalId") == ANE) is looks_first


# ---------------------------------------------------------------- the command


@pytest.fixture
def world(server: ScimServer, tmp_path: Path) -> World:
    """Ten pupils and five others of tests/data, delivered."""
    world = World(tmp_path)
    world.municipality["targets"] = {"platform": scim_target(world, server.url, server.token)}
    world.write()
    world.drop_bytes("101001.xml", Export.of(DAYS[0] / "101001.xml").cut(10).bytes())
    world.sync()
    return world


def found(world: World, code: int, *args: str) -> Any:
    (report,) = world.run("reconcile", *args, "--json").ended(code).json["targets"]
    return report


def disclosures(world: World) -> int:
    """How often anything was sent."""
    ((number,),) = world.rows("SELECT count(*) FROM audit WHERE record LIKE '%disclosure.intent%'")
    return int(number)


def test_the_command_shows_what_differs_and_sets_it_right_when_asked(world: World, server: ScimServer) -> None:
    assert found(world, 0)["drift"] == []
    first, second = server.resources("/Users")[:2]
    server.call("PUT", f"/Users/{first['id']}", {**first, "displayName": "By Hand"})
    server.call("DELETE", f"/Users/{second['id']}")
    report = found(world, 1, PLATFORM)
    assert report["counts"]["missing"] == 1
    assert {row["id"]: row["fields"] for row in report["drift"] if row["what"] == "changed"}[
        first["externalId"]
    ] == ["displayName"]
    told = world.run("reconcile", "list").ended(0).stdout
    assert "By Hand" not in told
    assert first["externalId"] in told
    assert first["userName"] in told, "a person is told of by what the school knows them by"
    keys = {row["id"]: row["key"] for row in report["drift"]}
    for user in (first, second):
        assert keys[user["externalId"]] == [user["userName"]]
    assert first["userName"] in world.run("deliveries", "list").ended(0).stdout
    status = world.run("status", "--json").ended(1).json
    assert status["targets"][0]["drifted"] == report["left"] > 1
    assert any("skolebro reconcile --repair" in sentence for sentence in status["attention"])

    assert found(world, 0, "--repair")["left"] == 0
    world.sync()
    assert found(world, 0)["drift"] == []
    assert {user["externalId"] for user in server.resources("/Users")} >= {second["externalId"]}
    assert server.call("GET", f"/Users/{first['id']}").json()["displayName"] == first["displayName"]
    assert world.run("status", "--json").json["targets"][0]["drifted"] == 0


def test_a_drift_that_was_approved_needs_no_second_repair_the_next_sync_sets_it_right(
    world: World, server: ScimServer
) -> None:
    there = {user["externalId"]: user["userName"] for user in server.resources("/Users")}
    for user in server.resources("/Users"):
        server.call("DELETE", f"/Users/{user['id']}")
    assert found(world, 1, "--repair")["hold"] == 1
    world.sync()
    assert server.resources("/Users") == []
    steps = world.run("holds", "preview", "1", "--json").ended(0).json["targets"][PLATFORM]
    assert {step["key"][0] for step in steps if step["operation"] == "created"} == set(there.values())
    listed = world.run("reconcile", "list").ended(0).stdout
    assert "more: --all" not in listed
    assert f"would be made again ({len(there)})" in world.run("holds", "show", "1").ended(0).stdout
    world.run("holds", "approve", "1").ended(0)
    world.sync()
    assert {user["externalId"] for user in server.resources("/Users")} == set(there)
    assert [hold["state"] for hold in world.holds("--all")] == ["applied"]


def test_a_sync_says_that_a_target_cannot_be_read_to_set_right_what_was_approved(
    world: World, server: ScimServer
) -> None:
    for user in server.resources("/Users"):
        server.call("DELETE", f"/Users/{user['id']}")
    found(world, 1, "--repair")
    world.run("holds", "approve", "1").ended(0)
    world.secret("scim-token", "another")
    (problem,) = world.sync(1)["problems"]
    assert problem.startswith(f"{PLATFORM} could not be read back")


def test_the_command_sends_everything_again_only_when_it_is_confirmed(world: World, server: ScimServer) -> None:
    places = {user["id"] for user in server.resources("/Users")}
    sent = disclosures(world)
    announced = world.run("resync", PLATFORM).ended(1).stderr
    assert "--yes" in announced
    world.sync()
    assert disclosures(world) == sent
    due = world.run("resync", PLATFORM, "--yes", "--json").ended(0).json["due"]
    world.sync()
    assert due > len(places)
    assert announced.startswith(f"skolebro: {due} entities would be sent to {PLATFORM} again")
    assert disclosures(world) - sent == due
    assert {user["id"] for user in server.resources("/Users")} == places
    assert world.rows("SELECT count(*) FROM audit WHERE record LIKE '%target.resync%'") == [(1,)]


def test_the_command_begins_anew_with_what_is_parked(world: World) -> None:
    row = (PLATFORM, ANE, "person", "changed", '["email"]', 3, "parked", 0)
    world.edit("INSERT INTO drift VALUES (?, ?, ?, ?, ?, ?, ?, ?)", *row)
    (parked,) = world.run("reconcile", "list", PLATFORM, "--json").ended(0).json["drift"]
    assert (parked["id"], parked["fields"], parked["state"]) == (ANE, ["email"], "parked")
    assert world.run("reconcile", "retry", PLATFORM, "--json").ended(0).json == {"retried": 1}
    (again,) = world.run("reconcile", "list", "--json").ended(0).json["drift"]
    assert (again["rounds"], again["state"]) == (0, "open")


def test_the_command_says_what_it_cannot_do(world: World) -> None:
    assert "no target" in world.run("reconcile", "0751/other").ended(2).stderr
    assert world.run("reconcile", "retry", "--json").ended(0).json == {"retried": 0}
    world.municipality["targets"]["platform"]["base_url"] = "http://127.0.0.1:1"
    world.write()
    answer = world.run("reconcile", "--json").ended(1).json
    assert answer["targets"] == []
    assert "not applied" in answer["problems"][0]


def test_row_30_after_a_restore_of_our_state_nothing_is_deleted(world: World, server: ScimServer) -> None:
    state, backup = world.root / "state" / "skolebro.db", world.root / "backup.db"
    with closing(sqlite3.connect(state)) as ours, closing(sqlite3.connect(backup)) as copy:
        ours.backup(copy)
    world.drop_bytes("101001.xml", Export.of(DAYS[0] / "101001.xml").cut(12).later(days=1).bytes())
    world.sync()
    there = {user["externalId"] for user in server.resources("/Users")}
    for beside in ("-wal", "-shm"):
        state.with_name(state.name + beside).unlink(missing_ok=True)
    shutil.copyfile(backup, state)

    report = found(world, 1)
    assert report["foreign"] == 2
    assert {row["what"] for row in report["drift"]} <= {"changed"}
    assert {user["externalId"] for user in server.resources("/Users")} == there
    world.drop_bytes("101001.xml", Export.of(DAYS[0] / "101001.xml").cut(12).later(days=1).bytes())
    world.sync()
    assert {user["externalId"] for user in server.resources("/Users")} == there
    assert len(server.resources("/Users")) == len(there), "nobody is there twice"


def test_a_server_that_fails_in_the_middle_is_no_reason_to_pause(town: Town, proxy: FaultyProxy) -> None:
    proxy.fault = Fault("status", code=503)
    with pytest.raises(TargetUnavailable):
        town.read()
    assert town.target_state().paused_until is None
