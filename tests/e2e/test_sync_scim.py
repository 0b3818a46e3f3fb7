"""Two days and a repeated one, brought by the real command to a real SCIM server and to an Aula stand-in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from scim2_models import Context, Group, PatchOp, User

from bridge.testing.aula_receiver import AulaReceiver
from bridge.testing.faulty_proxy import FaultyProxy, SeenRequest
from tests.support.reference import Reference, canonical_id, read_day
from tests.support.scim import ScimServer
from tests.support.world import (
    DAYS,
    MUNICIPALITY,
    World,
    aula_target,
    exports,
    scim_target,
    webhook_secret,
)

pytestmark = pytest.mark.slow  # three days to a real server
PLATFORM, AULA = f"{MUNICIPALITY}/platform", f"{MUNICIPALITY}/aula"
DISCOVERY = ("/ServiceProviderConfig", "/ResourceTypes")
METHODS = {"created": "POST", "updated": "PUT", "deleted": "DELETE"}
Objects = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Pass:
    """One plan and the sync after it: what was announced, what was sent and what is there now."""

    plan: Mapping[str, Any]
    told: Mapping[str, Any]
    scim: list[SeenRequest]
    aula: list[SeenRequest]
    users: Objects
    groups: Objects
    before_objects: Objects
    objects: Objects
    reference: Reference
    before: Mapping[str, Counter[Any]]
    after: Mapping[str, Counter[Any]]
    runs: int


class Line:
    """The whole line from the drop folder to both targets, each behind a proxy that sees every request."""

    def __init__(self, world: World, scim: ScimServer, aula: AulaReceiver) -> None:
        self.world, self.scim, self.aula = world, scim, aula
        self.at_scim, self.at_aula = FaultyProxy(scim.url), FaultyProxy(aula.url)

    def one_pass(self, day: int) -> Pass:
        world, files = self.world, exports(DAYS[day])
        world.drop(*files)
        plan = world.run("plan", "--json").ended(0).json
        before, runs = world.tables(), len(world.rows("SELECT * FROM runs"))
        sent = len(self.at_scim.requests), len(self.at_aula.requests)
        objects = self.aula.objects
        told = world.sync()
        return Pass(
            plan=plan,
            told=told,
            scim=self.at_scim.requests[sent[0] :],
            aula=self.at_aula.requests[sent[1] :],
            users=_by_external_id(self.scim.resources("/Users")),
            groups=_by_external_id(self.scim.resources("/Groups")),
            before_objects=objects,
            objects=self.aula.objects,
            reference=read_day(files, MUNICIPALITY),
            before=before,
            after=world.tables(),
            runs=len(world.rows("SELECT * FROM runs")) - runs,
        )


def _by_external_id(resources: list[dict[str, Any]]) -> Objects:
    found = {resource["externalId"]: resource for resource in resources}
    assert len(found) == len(resources), "an externalId stands there twice"
    return found


@pytest.fixture(scope="module")
def passes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Pass]]:
    """Day 1, day 2 and day 2 again, all of tests/data: about half a minute, paid once."""
    world, secret = World(tmp_path_factory.mktemp("line") / "world"), webhook_secret()
    with ScimServer() as scim, AulaReceiver(secret) as aula:
        line = Line(world, scim, aula)
        with line.at_scim, line.at_aula:
            world.municipality["targets"] = {
                # That users are looked for before they are made is told elsewhere; here it would take minutes.
                "platform": scim_target(world, line.at_scim.url, scim.token, before_create="post"),
                "aula": aula_target(world, line.at_aula.url, secret),
            }
            world.write()
            yield [line.one_pass(0), line.one_pass(1), line.one_pass(1)]


EVERY_PASS = pytest.mark.parametrize("number", [0, 1, 2], ids=["day1", "day2", "day2-again"])


@EVERY_PASS
def test_the_servers_users_are_exactly_those_of_the_day(passes: list[Pass], number: int) -> None:
    it = passes[number]
    assert {key: _attributes(user) for key, user in it.users.items()} == it.reference.users()


@EVERY_PASS
def test_the_servers_groups_and_members_are_exactly_those_of_the_day(passes: list[Pass], number: int) -> None:
    it = passes[number]
    known = {user["id"]: key for key, user in it.users.items()}
    found = {key: _attributes(group) for key, group in it.groups.items()}
    for group in found.values():
        if "members" in group:
            group["members"] = sorted(known[member["value"]] for member in group["members"])
    assert found == it.reference.scim_groups()


@EVERY_PASS
def test_aula_holds_exactly_the_entities_of_the_day(passes: list[Pass], number: int) -> None:
    it = passes[number]
    assert it.objects == it.reference.aula()


@EVERY_PASS
def test_all_is_well_after_the_sync(passes: list[Pass], number: int) -> None:
    told = passes[number].told
    assert told["well"] is True
    assert told["problems"] == []
    assert {(row["due"], row["rejected"]) for row in told["targets"]} == {(0, 0)}


@EVERY_PASS
def test_the_scim_server_is_sent_what_the_plan_said(passes: list[Pass], number: int) -> None:
    it = passes[number]
    steps = it.plan["targets"][PLATFORM]
    planned = Counter((METHODS[step["operation"]], f"/{step['resource']}s") for step in steps)
    writes = [seen for seen in it.scim if seen.method != "GET"]
    # Of a group whose members change only who comes and goes is told.
    sent = Counter((seen.method.replace("PATCH", "PUT"), "/" + seen.path.split("/")[1]) for seen in writes)
    assert sent == planned
    asked = [seen for seen in it.scim if seen.method == "GET"]
    told = [seen.path for seen in asked if seen.path in DISCOVERY]
    assert told == (list(DISCOVERY) if writes else [])
    # A group has no unique name, so each new one is looked for before it is made; nothing else is asked.
    lookups = [parse_qs(urlsplit(seen.path).query)["filter"][0] for seen in asked if seen.path not in DISCOVERY]
    assert sorted(lookups) == sorted(
        f'externalId eq "{canonical_id(MUNICIPALITY, "group", *step["key"])}"'
        for step in steps
        if (step["kind"], step["operation"]) == ("group", "created")
    )
    assert {seen.status for seen in it.scim} <= {200, 201, 204}
    planned_ids = {
        canonical_id(MUNICIPALITY, step["kind"], *step["key"]) for step in steps if step["operation"] != "deleted"
    }
    of_remote = {one["id"]: key for key, one in {**it.users, **it.groups}.items()}
    assert {_subject(seen, of_remote) for seen in writes if seen.body} == planned_ids


def _subject(seen: SeenRequest, of_remote: Mapping[str, str]) -> str:
    """Whom a write is about: a PATCH names only where it lives."""
    if seen.method == "PATCH":
        return of_remote[seen.path.rpartition("/")[2]]
    return str(json.loads(seen.body)["externalId"])


@EVERY_PASS
def test_every_body_at_the_scim_server_is_valid(passes: list[Pass], number: int) -> None:
    models: dict[str, Any] = {"Users": User, "Groups": Group}
    contexts = {"POST": Context.RESOURCE_CREATION_REQUEST}
    for seen in passes[number].scim:
        if seen.body and seen.method != "PATCH":
            context = contexts.get(seen.method, Context.RESOURCE_REPLACEMENT_REQUEST)
            models[seen.path.split("/")[1]].model_validate_json(seen.body, scim_ctx=context)


def test_who_comes_and_goes_is_all_that_is_told_of_members(passes: list[Pass]) -> None:
    patches = [json.loads(seen.body) for seen in passes[1].scim if seen.method == "PATCH"]
    assert patches
    for body in patches:
        PatchOp[Group].model_validate(body, scim_ctx=Context.RESOURCE_PATCH_REQUEST)
        replaced = {operation["path"] for operation in body["Operations"] if operation["op"] == "replace"}
        assert replaced <= {"displayName"}
    longest = max(len(seen.body) for seen in passes[1].scim if seen.method == "PATCH")
    assert longest < max(len(seen.body) for seen in passes[0].scim if seen.path.startswith("/Groups"))


@EVERY_PASS
def test_aula_is_sent_what_the_plan_said(passes: list[Pass], number: int) -> None:
    it = passes[number]
    planned = Counter(
        (
            f"skolebro.{step['kind']}.{step['operation']}.v1",
            f"{step['kind']}/{canonical_id(MUNICIPALITY, step['kind'], *step['key'])}",
            tuple(step["fields"]),
        )
        for step in it.plan["targets"][AULA]
    )
    events = [json.loads(seen.body) for seen in it.aula]
    sent = Counter((event["type"], event["subject"], _changed(event, it.before_objects)) for event in events)
    assert sent == planned
    assert {(seen.method, seen.path, seen.status) for seen in it.aula} <= {("POST", "/events", 200)}


def test_the_name_of_somebody_who_is_protected_from_now_on_is_not_told_again(passes: list[Pass]) -> None:
    real = {
        subject: (it["given_name"], it["family_name"])
        for subject, it in passes[0].objects.items()
        if subject.startswith("person/")
        and passes[1].objects.get(subject, {}).get("protected")
        and not it["protected"]
    }
    assert len(real) == 3  # as truth.json has it
    for seen in (*passes[1].aula, *passes[1].scim):
        body = json.loads(seen.body or b"{}")
        subject = body.get("subject", f"person/{body.get('externalId')}")
        assert not set(real.get(subject, ())) & set(_texts(body))


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for child in value.values():
                yield from _texts(child)
        case list():
            for child in value:
                yield from _texts(child)


def test_the_plan_names_the_snapshots_that_are_then_taken(passes: list[Pass]) -> None:
    results = [[(s["institution"], s["result"]) for s in it.plan["snapshots"]] for it in passes]
    three = ["101001", "101002", "280555"]
    assert results == [[(number, result) for number in three] for result in ("recorded", "recorded", "unchanged")]


def test_a_repeated_day_is_announced_as_nothing_to_send(passes: list[Pass]) -> None:
    assert passes[2].plan["targets"] == {PLATFORM: [], AULA: []}


def test_a_repeated_day_makes_no_request_at_either_target(passes: list[Pass]) -> None:
    assert (passes[2].scim, passes[2].aula) == ([], [])


def test_a_repeated_day_leaves_every_table_as_it_was_but_the_run_record(passes: list[Pass]) -> None:
    before, after = passes[2].before, passes[2].after
    assert after == before
    assert passes[2].runs == 3  # one a file
    assert before["events"].total() == 7633  # 7492 creations and the 141 changes of truth.json


def test_a_plan_keeps_nothing(passes: list[Pass]) -> None:
    """The look before the sync of day 2 left the state as the sync of day 1 did."""
    assert passes[1].before == passes[0].after


def _changed(event: dict[str, Any], before: Objects) -> tuple[str, ...]:
    """The fields that an event names as changed.

    Of a protected person all are named and no old value: it might be the name that is hidden from now on.
    """
    data = event["data"]
    names = tuple(sorted(data.get("changed", ())))
    if not (names and data["object"].get("protected")):
        return names
    assert data["previous"] == {}
    was, now = before[event["subject"]], data["object"]
    return tuple(sorted(name for name in {*was, *now} if was.get(name) != now.get(name)))


def _attributes(resource: dict[str, Any]) -> dict[str, Any]:
    """What we sent: all but what the server adds on its own."""
    return {name: value for name, value in resource.items() if name not in ("id", "meta")}
