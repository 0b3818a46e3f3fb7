"""A target answers strangely, or for one entity only; the other gets everything meanwhile, and both end right."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable

import pytest

from bridge.cli.common import who
from bridge.testing.faulty_proxy import Fault
from tests.support.daemon import Daemon
from tests.support.model import rows_of, scim_model, scim_state
from tests.support.outages import (
    PROBES,
    alerts,
    assert_a_good_end,
    attempts_spent,
    busy,
    fail_through_a_day,
    state_of,
    wire_to,
)
from tests.support.process import run
from tests.support.rig import AULA, PLATFORM, Rig, assert_same

STRANGE_ANSWERS = {
    "garbage": Fault("garbage"),
    "500 for all": Fault("status", code=500),
}


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
    (told,) = rows_of(rig.database, "SELECT record FROM audit WHERE record LIKE '%deliveries.retried%'")
    assert (json.loads(told[0])["count"], json.loads(told[0])["actor"]) == (1, who())
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


def others_are_done(rig: Rig, victim: str) -> bool:
    left = rows_of(rig.database, "SELECT id FROM deliveries WHERE is_due = 1")
    return all(one == victim for (one,) in left)
