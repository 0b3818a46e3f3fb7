"""A target fails for a while: how it fails, and what must hold meanwhile and afterwards."""

from __future__ import annotations

from collections import Counter
from typing import Any

from bridge.testing.faulty_proxy import Fault, FaultyProxy
from tests.support.daemon import Daemon
from tests.support.model import (
    assert_log_is_whole,
    assert_nobody_was_created_twice,
    assert_nothing_is_open,
    assert_versions_never_go_back,
    rows_of,
    scim_state,
)
from tests.support.process import run
from tests.support.rig import AULA, PLATFORM, Rig

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


def assert_that_an_outage_is_nobody_elses_and_ends_by_itself(
    target: str, names: tuple[str, ...], rig: Rig, daemon: Daemon
) -> None:
    """Let a target fail in each of these ways in turn while days with changes pass."""
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


def alerts(daemon: Daemon) -> Counter[tuple[str, str, str | None]]:
    lines = daemon.logged("target.paused") + daemon.logged("target.resumed")
    return Counter((line["event"], line["target"], line.get("reason")) for line in lines)
