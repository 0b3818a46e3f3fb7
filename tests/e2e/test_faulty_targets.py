"""One of two targets fails in every way; the other gets everything meanwhile, and afterwards both are right."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.testing.faulty_proxy import Fault, FaultyProxy
from bridge.testing.stil_municipality import Municipality
from tests.support.daemon import Daemon
from tests.support.model import (
    assert_log_is_whole,
    assert_nobody_was_created_twice,
    assert_nothing_is_open,
    assert_versions_never_go_back,
    rows_of,
    scim_model,
    scim_state,
)
from tests.support.process import run
from tests.support.rig import AULA, BUSY, PLATFORM, SMALL, Rig, assert_same, make_rig
from tests.support.scim import ScimServer

PATIENT, SHORT_OF_TIME = 30, 3  # time-outs of a request in seconds; only where silence is the fault is it short
# The same rules as in production, with waits that a test can wait for. A mended credential is tried soon.
SHORT = """\
retry: {base: 0.2s, ceiling: 1s, retry_after_cap: 1s}
breaker: {patience_base: 0.2s, patience_ceiling: 0.5s, person_base: 0.2s, person_ceiling: 0.5s}
"""
DATE = "Fri, 20 Nov 2026 03:00:00 GMT"
ONE_SECOND_LATER = "Fri, 20 Nov 2026 03:00:01 GMT"
FORWARDED = ("cut_response", "slow")  # here the target did what it was asked, deletions included
PROBES = 2  # how often a paused target is tried before the fault is lifted


def busy(**headers: str) -> Fault:
    return Fault("status", code=429, headers={"Retry-After": headers.pop("after"), **headers})


OUTAGES = {
    "503": (Fault("status"), "status_503"),
    "503 with Retry-After": (Fault("status", headers={"Retry-After": "1"}), "status_503"),
    "429 in seconds": (busy(after="1"), "status_429"),
    "429 with a date": (busy(after=ONE_SECOND_LATER, Date=DATE), "status_429"),
    "429 with an absurd number": (busy(after="1000000000"), "status_429"),
    "429 with a negative number": (busy(after="-5"), "status_429"),
    "an answer cut half way": (Fault("cut_response"), "answer_cut"),
    "taken, then closed": (Fault("cut_request", is_forwarded=True), "connection_lost"),
    "closed at once": (Fault("cut_request"), "connection_lost"),
    "hanging": (Fault("hang"), "timeout"),
    "taken, then hanging": (Fault("hang", is_forwarded=True), "timeout"),
    "slow": (Fault("slow"), "timeout"),
    "401 for all": (Fault("status", code=401), "unauthorised"),
    "403 for all": (Fault("status", code=403), "unauthorised"),
}
STRANGE_ANSWERS = {
    "garbage": Fault("garbage"),
    "500 for all": Fault("status", code=500),
}


@pytest.fixture(scope="module")
def running() -> Iterator[ScimServer]:
    with ScimServer() as server:
        yield server


@pytest.fixture
def rig(running: ScimServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Rig]:
    for endpoint, resources in running.dump().items():
        for resource in resources:
            running.call("DELETE", f"{endpoint}/{resource['id']}")
    municipality = Municipality(7, schools=1, pupils=25, makeup=SMALL, churn=BUSY)
    timeout = getattr(request, "param", PATIENT)
    with make_rig(tmp_path, municipality, interval="0.2s", timeout=timeout, retry=SHORT, scim=running) as rig:
        yield rig


@pytest.fixture
def daemon(rig: Rig) -> Iterator[Daemon]:
    with Daemon(rig.config) as daemon:
        yield daemon


# ---------------------------------------------------------------- the target as a whole


@pytest.mark.parametrize(
    ("target", "rig", "names"),
    [
        (PLATFORM, SHORT_OF_TIME, ("taken, then hanging", "slow")),
        (PLATFORM, SHORT_OF_TIME, ("hanging",)),
        (PLATFORM, PATIENT, ("503", "401 for all", "429 in seconds", "429 with a date")),
        (PLATFORM, PATIENT, ("429 with an absurd number", "429 with a negative number", "closed at once")),
        (
            PLATFORM,
            PATIENT,
            ("an answer cut half way", "taken, then closed", "403 for all", "503 with Retry-After"),
        ),
        (AULA, SHORT_OF_TIME, ("hanging", "taken, then hanging")),
        (AULA, SHORT_OF_TIME, ("slow",)),
        (AULA, PATIENT, ("taken, then closed", "503", "an answer cut half way", "429 with a date", "401 for all")),
    ],
    indirect=["rig"],
)
def test_an_outage_of_one_target_is_nobody_elses_and_ends_by_itself(
    target: str, names: tuple[str, ...], rig: Rig, daemon: Daemon
) -> None:
    expected: Counter[tuple[str, str, str | None]] = Counter()
    daemon.start().wait_until_ready()
    assert wire_to(rig, target).wait_for_requests(20)
    for name in names:  # the first one in the middle of the first load
        fault, reason = OUTAGES[name]
        fail_through_a_day(rig, daemon, target, fault)
        assert state_of(rig, target)[1] == reason
        assert attempts_spent(rig, target) == 0
        wire_to(rig, target).fault = None
        rig.let_it_drain(daemon)
        assert_right(rig, target)
        expected += Counter([("target.paused", target, reason), ("target.resumed", target, None)])
    assert_a_good_end(rig, daemon)
    assert alerts(daemon) == expected


@pytest.mark.parametrize("name", STRANGE_ANSWERS)
@pytest.mark.parametrize("target", [PLATFORM, AULA])
def test_answers_that_make_no_sense_pause_a_target_and_cost_an_entity_little(
    target: str, name: str, rig: Rig, daemon: Daemon
) -> None:
    daemon.start().wait_until_ready()
    assert wire_to(rig, target).wait_for_requests(20)
    fail_through_a_day(rig, daemon, target, STRANGE_ANSWERS[name])
    assert attempts_spent(rig, target) <= 4 + state_of(rig, target)[0]  # five, then one a probe
    wire_to(rig, target).fault = None
    rig.let_it_drain(daemon)
    assert_a_good_end(rig, daemon)
    assert alerts(daemon) == {("target.paused", target, "many_deferred"): 1, ("target.resumed", target, None): 1}


def fail_through_a_day(rig: Rig, daemon: Daemon, target: str, fault: Fault) -> None:
    """Let one target fail while a day with changes passes; the other gets all of it meanwhile."""
    other = AULA if target == PLATFORM else PLATFORM
    wire_to(rig, target).fault = fault
    before = held_by(rig, target)
    rig.advance()
    daemon.wait_until(lambda: state_of(rig, target)[0] >= PROBES, f"{target} failed {PROBES} times")
    rig.let_it_be_read(daemon)
    daemon.wait_until(lambda: due_at(rig, other) == 0, f"{other} has everything")
    assert_right(rig, other)
    assert before.keys() <= held_by(rig, target).keys() or fault.is_forwarded or fault.kind in FORWARDED
    assert due_at(rig, target) > 0


def assert_a_good_end(rig: Rig, daemon: Daemon) -> None:
    """Everything arrived, and every promise was kept on the way."""
    assert daemon.stop() == 0
    assert_right(rig, PLATFORM)
    assert_right(rig, AULA)
    assert_nothing_is_open(rig.database)
    assert_log_is_whole(rig.database, rig.living)
    assert_nobody_was_created_twice(rig.to_scim.requests, rig.days)
    assert_versions_never_go_back(rig.aula.received)
    assert rig.aula.stale == 0
    assert (
        run(["audit", "verify", "--config", rig.config, "--json"], rig.folder).ended(0).json["open_intents"] == 0
    )


@pytest.mark.parametrize("after", ["-5", "0"])
def test_a_target_that_says_come_back_at_once_is_not_hammered(after: str, rig: Rig) -> None:
    rig.to_scim.fault = busy(after=after)
    run(["sync", "--config", rig.config], rig.folder).ended(1)
    assert len(rig.to_scim.requests) == 1
    rig.assert_aula_is_right()


# ---------------------------------------------------------------- one entity only


def test_one_entity_that_makes_a_target_stumble_is_tried_again_and_delays_nobody(rig: Rig, daemon: Daemon) -> None:
    victim = fail_for_one(rig, daemon, Fault("status", code=500))
    daemon.wait_until(lambda: attempts_spent(rig, PLATFORM) >= PROBES, "it is tried again")
    assert attempts_spent(rig, PLATFORM, victim) == attempts_spent(rig, PLATFORM)
    rig.to_scim.fault = None
    rig.let_it_drain(daemon)
    assert_a_good_end(rig, daemon)
    assert alerts(daemon) == {}


def test_one_entity_that_a_target_refuses_is_shown_with_its_reason_until_somebody_retries(
    rig: Rig, daemon: Daemon
) -> None:
    refusal = json.dumps({"scimType": "invalidValue", "detail": "not for your eyes"}).encode()
    victim = fail_for_one(rig, daemon, Fault("status", code=400, body=refusal))
    daemon.wait_until(lambda: len(daemon.logged("delivery.rejected")) == 1, "it is rejected")
    listed = run(["deliveries", "list", "--state", "rejected", "--config", rig.config, "--json"], rig.folder)
    assert [(one["target"], one["id"], one["reason"]) for one in listed.ended(0).json["deliveries"]] == [
        (PLATFORM, victim, "refused_400:invalidValue")
    ]
    asked = len(rig.to_scim.requests)
    rig.let_it_be_read(daemon)
    assert len(rig.to_scim.requests) == asked, "what is rejected is not tried again by itself"
    rig.to_scim.fault = None
    retried = run(["deliveries", "retry", victim, "--config", rig.config, "--json"], rig.folder)
    assert retried.ended(0).json == {"retried": 1}
    rig.let_it_drain(daemon)
    assert_a_good_end(rig, daemon)
    assert alerts(daemon) == {}
    assert [line["reason"] for line in daemon.logged("delivery.rejected")] == ["refused_400"]


def fail_for_one(rig: Rig, daemon: Daemon, fault: Fault) -> str:
    """After a good first day one user fails on the second; all others arrive. Returns the user's id."""
    daemon.start().wait_until_ready()
    rig.let_it_drain(daemon)
    victim = one_that_changes_tomorrow(rig)
    remote_id = next(user["id"] for user in rig.scim.resources("/Users") if user["externalId"] == victim)
    rig.to_scim.fault = only_at(fault, f"/Users/{remote_id}")
    before = scim_state(rig.scim)["Users"][victim]
    rig.advance()
    rig.let_it_be_read(daemon)
    daemon.wait_until(lambda: others_are_done(rig, victim), "the others are done")
    rig.assert_aula_is_right()
    wanted, found = scim_model(rig.municipality.code, rig.institutions), scim_state(rig.scim)
    assert wanted["Users"][victim] != before
    assert_same(found["Users"], wanted["Users"] | {victim: before})
    assert_same(found["Groups"], wanted["Groups"])
    return victim


def one_that_changes_tomorrow(rig: Rig) -> str:
    tomorrow = copy.deepcopy(rig.municipality)
    tomorrow.advance()
    institutions = [tomorrow.institution(number) for number in tomorrow.institutions()]
    now = scim_model(rig.municipality.code, rig.institutions)["Users"]
    then = scim_model(rig.municipality.code, institutions)["Users"]
    return min(name for name in now.keys() & then.keys() if now[name] != then[name])


def only_at(fault: Fault, path: str) -> Fault:
    matches: Callable[[str, str], bool] = lambda _, where: where.partition("?")[0] == path  # noqa: E731
    return Fault(fault.kind, code=fault.code, body=fault.body, match=matches)


# ---------------------------------------------------------------- looking


def state_of(rig: Rig, target: str) -> tuple[int, str | None]:
    """How often it failed without a success since, and why it pauses."""
    rows = rows_of(rig.database, "SELECT target, failures, pause_reason FROM target_states")
    return next(((failures, reason) for name, failures, reason in rows if name == target), (0, None))


def due_at(rig: Rig, target: str) -> int:
    return sum(
        name == target for (name,) in rows_of(rig.database, "SELECT target FROM deliveries WHERE is_due = 1")
    )


def wire_to(rig: Rig, target: str) -> FaultyProxy:
    return rig.to_scim if target == PLATFORM else rig.to_aula


def held_by(rig: Rig, target: str) -> dict[str, Any]:
    if target == AULA:
        return rig.aula.objects
    found = scim_state(rig.scim)
    return {**found["Users"], **found["Groups"]}


def assert_right(rig: Rig, target: str) -> None:
    (rig.assert_scim_is_right if target == PLATFORM else rig.assert_aula_is_right)()


def attempts_spent(rig: Rig, target: str, identity: str | None = None) -> int:
    rows = rows_of(rig.database, "SELECT target, id, attempts FROM deliveries")
    return sum(attempts for name, one, attempts in rows if name == target and identity in (None, one))


def others_are_done(rig: Rig, victim: str) -> bool:
    left = rows_of(rig.database, "SELECT id FROM deliveries WHERE is_due = 1")
    return all(one == victim for (one,) in left)


def alerts(daemon: Daemon) -> Counter[tuple[str, str, str | None]]:
    lines = daemon.logged("target.paused") + daemon.logged("target.resumed")
    return Counter((line["event"], line["target"], line.get("reason")) for line in lines)
