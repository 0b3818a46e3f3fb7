"""Many processes on one PostgreSQL database, killed at random: nothing is lost, doubled, or told backwards."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest

from bridge.testing.stil_municipality import Municipality
from tests.support.daemon import Daemon
from tests.support.model import (
    assert_log_is_whole,
    assert_nobody_was_created_twice,
    assert_nothing_is_open,
    assert_versions_never_go_back,
    rows_of,
)
from tests.support.postgres import database
from tests.support.rig import BUSY, SMALL, Rig, make_rig

LEASE_SECONDS = 15
ROLES = ("deliver", "deliver", "deliver", "deliver", "ingest", "ingest", "publish")
SECONDS = float(os.environ.get("SKOLEBRO_TEST_CREW_SECONDS", "60"))
"""For how long processes are killed; `make crew` takes five minutes."""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    municipality = Municipality(7, schools=3, pupils=150, makeup=SMALL, churn=BUSY)
    with database() as url, make_rig(tmp_path, municipality, database_url=url) as rig:
        yield rig


def members(rig: Rig) -> list[tuple[str]]:
    return rows_of(rig.database, "SELECT name FROM leases WHERE name LIKE 'member/%'")


def drain(rig: Rig, daemon: Daemon) -> None:
    try:
        rig.let_it_drain(daemon)
    except AssertionError as error:
        left = rows_of(
            rig.database,
            "SELECT target, kind, state, reason, in_doubt, claimed_by, min(next_attempt_at), count(*)"
            " FROM deliveries WHERE is_due = 1 GROUP BY 1, 2, 3, 4, 5, 6",
        )
        there = rows_of(rig.database, "SELECT * FROM leases")
        raise AssertionError(f"due: {left}\nleases: {there}") from error


@pytest.mark.slow
@pytest.mark.crew
def test_processes_that_are_killed_at_random_end_equal_to_the_model(rig: Rig) -> None:
    chance = random.Random(7)
    with ExitStack() as stack:
        crew = [
            stack.enter_context(Daemon(rig.config, "--role", role, name=f"{role}-{number}"))
            for number, role in enumerate(ROLES)
        ]
        for one in crew:
            one.start()
        kills, until = 0, monotonic() + SECONDS
        while monotonic() < until:
            victim = chance.choice(crew)
            victim.wait_until_started()
            requests = rig.to_scim.arrivals + rig.to_aula.arrivals + chance.randint(1, 60)
            other = next(one for one in crew if one is not victim)
            moments = chance.randint(5, 60)
            for _ in range(moments):
                if rig.to_scim.arrivals + rig.to_aula.arrivals >= requests:
                    break
                other.wait_until_started()
                rig.stil.wait_for_requests(rig.stil.arrivals + 1)
            victim.kill()
            kills += 1
            if chance.random() < 0.6:
                rig.advance()
            victim.start()
        for one in crew:
            one.wait_until_started()
        drain(rig, crew[0])
        crew[0].wait_until(lambda: len(members(rig)) == len(crew), "those who were killed have been put out")
        assert [one.stop() for one in crew] == [0] * len(crew)
        rig.assert_scim_is_right()
        rig.assert_aula_is_right()
        assert_nothing_is_open(rig.database)
        assert not members(rig)
        assert not rows_of(rig.database, "SELECT id FROM deliveries WHERE claimed_by <> ''")
        assert kills >= SECONDS / 10
        figures = {
            "kills": kills,
            "events": assert_log_is_whole(rig.database, rig.living),
            "created": assert_nobody_was_created_twice(rig.to_scim.requests, rig.days),
            "repeats": assert_versions_never_go_back(rig.aula.received),
        }
        print(figures)  # noqa: T201 - shown when the test fails, or with -s


_WRITING = """SELECT a.pid FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid
              WHERE a.datname = current_database() AND l.locktype = 'advisory' AND l.granted"""


def freeze_between_writes(rig: Rig, daemon: Daemon) -> None:
    """Stop a process that has not the writers' turn.

    With it, and between the rows of one statement, nobody would be let in before it goes on: the server takes such
    a session for one at work.
    """
    daemon.freeze()
    while rows_of(rig.database, _WRITING):
        daemon.thaw()
        daemon.freeze()


@pytest.mark.slow
def test_a_process_that_was_stopped_and_goes_on_is_refused_and_ends(rig: Rig) -> None:
    with (
        Daemon(rig.config, "--role", "deliver", "--role", "ingest", name="old") as old,
        Daemon(rig.config, name="new") as new,
    ):
        old.start().wait_until_started()
        rig.let_it_be_read(old)
        freeze_between_writes(rig, old)
        new.start().wait_until_started()
        rig.let_it_drain(new)
        rig.advance()
        rig.let_it_drain(new)
        old.thaw()
        assert old.wait_until_ended() == 3
        assert "taken over" in old.log_text()
        rig.let_it_drain(new)
        assert new.stop() == 0
    rig.assert_scim_is_right()
    rig.assert_aula_is_right()
    assert_nothing_is_open(rig.database)
    assert_nobody_was_created_twice(rig.to_scim.requests, rig.days)
    assert_versions_never_go_back(rig.aula.received)


def test_a_verb_that_works_alone_leaves_a_crew_alone(rig: Rig) -> None:
    with Daemon(rig.config, "--role", "ingest") as daemon:
        daemon.start().wait_until_started()
        from tests.support.process import run

        told = run(["sync", "--config", rig.config], rig.folder).ended(4)
        assert "other skolebro processes" in told.stderr
        assert daemon.stop() == 0
