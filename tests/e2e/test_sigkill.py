"""The daemon is killed with SIGKILL again and again; whatever the moment, everybody ends as the model says."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.testing.loopback import LoopbackServer
from bridge.testing.stil_municipality import Municipality
from tests.support.daemon import Daemon
from tests.support.model import (
    assert_log_is_whole,
    assert_nobody_was_created_twice,
    assert_nothing_is_open,
    assert_versions_never_go_back,
    intents_by_subject,
)
from tests.support.process import run
from tests.support.rig import AULA, BUSY, PLATFORM, SMALL, Rig, make_rig

KILLS = 10
MOMENTS = ("launch", "lock", "source", "platform", "platform", "platform", "aula", "aula", "aula")


@pytest.mark.parametrize(
    ("seed", "is_signed"),
    [(1, False), pytest.param(2, False, marks=pytest.mark.slow), pytest.param(3, True, marks=pytest.mark.slow)],
)
def test_a_daemon_that_is_killed_at_random_moments_ends_equal_to_the_model(
    seed: int, is_signed: bool, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    municipality = Municipality(seed, schools=2, pupils=150, makeup=SMALL, churn=BUSY)
    moments: Counter[str] = Counter()
    with make_rig(tmp_path, municipality, is_signed=is_signed) as rig, Daemon(rig.config) as daemon:
        for _ in range(KILLS):
            moment = chance.choice(MOMENTS)
            moments[moment] += 1
            print(f"seed {seed}: killed at {moment}")  # noqa: T201 - shown when the test fails
            daemon.start()
            wait_for(moment, rig, daemon, chance)
            daemon.kill()
            if chance.random() < 0.7:
                rig.advance()
        daemon.start().wait_until_ready()
        rig.let_it_drain(daemon)
        assert told(rig, "status")["well"]
        assert daemon.stop() == 0
        figures = {
            "moments": dict(moments),
            "days": municipality.day,
            "requests": {"platform": len(rig.to_scim.requests), "aula": len(rig.to_aula.requests)},
            **assert_all_is_well(rig),
        }
        print(f"seed {seed}: {json.dumps(figures)}")  # noqa: T201 - shown when the test fails, or with -s


def wait_for(moment: str, rig: Rig, daemon: Daemon, chance: random.Random) -> None:
    """Return at a seeded moment of the daemon's work; it may be anywhere in it."""
    match moment:
        case "launch":
            return
        case "lock":
            daemon.wait_until_it_owns(rig.state)
        case "source":
            until_requests(rig.stil, chance.randint(1, 9), rig)
        case "platform":
            until_requests(rig.to_scim, chance.randint(1, 120), rig)
        case _:
            until_requests(rig.to_aula, chance.randint(1, 400), rig)


def until_requests(server: LoopbackServer, number: int, rig: Rig) -> None:
    """Wait for so many more requests; days pass while there is too little to do for that many."""
    wanted = server.arrivals + number
    for _ in range(60):
        if server.wait_for_requests(wanted, timedelta(seconds=2)):
            return
        rig.advance()
    raise AssertionError(f"{number} requests never came")


def assert_all_is_well(rig: Rig) -> dict[str, Any]:
    """Every promise at once; returns the figures."""
    rig.assert_scim_is_right()
    rig.assert_aula_is_right()
    assert told(rig, "audit", "verify")["open_intents"] == 0
    assert_nothing_is_open(rig.database)
    assert rig.aula.stale == 0
    events = rig.aula.received
    assert_every_disclosure_was_audited(rig, events)
    return {
        "events": assert_log_is_whole(rig.database, rig.living),
        "created": assert_nobody_was_created_twice(rig.to_scim.requests, rig.days),
        "repeats": assert_versions_never_go_back(events),
    }


def assert_every_disclosure_was_audited(rig: Rig, events: list[dict[str, Any]]) -> None:
    """Each request that reached a target has an intent of its own in the chain, committed before it."""
    key = (rig.state / "subject.key").read_bytes().strip()

    def reference(identity: str) -> str:
        return hmac.new(key, identity.encode(), hashlib.sha256).hexdigest()[:32]

    to_aula = Counter(reference(event["subject"].partition("/")[2]) for event in events)
    bodies = [json.loads(r.body) for r in rig.to_scim.requests if r.method == "POST"]
    to_platform = Counter(reference(body["externalId"]) for body in bodies)
    assert not to_aula - intents_by_subject(rig.database, AULA)
    assert not to_platform - intents_by_subject(rig.database, PLATFORM)


def told(rig: Rig, *verb: str) -> Any:
    """What a verb of the command line prints as JSON; it must succeed."""
    return run([*verb, "--config", rig.config, "--json"], rig.folder).ended(0).json
