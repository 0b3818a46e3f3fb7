"""A sync is killed at each exact place of its work in turn; the next one puts everything right."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from bridge.testing.stil_municipality import Municipality
from tests.support.forks import Forks
from tests.support.model import (
    assert_log_is_whole,
    assert_nobody_was_created_twice,
    assert_nothing_is_open,
    assert_versions_never_go_back,
)
from tests.support.process import run
from tests.support.rig import BUSY, SMALL, Rig, make_rig


class Harness:
    """tests/support/failpoint_main.py as a process for as long as the block lasts."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    def __enter__(self) -> Self:
        self._forks = Forks("tests.support.failpoint_main")
        return self

    def __exit__(self, *_: object) -> None:
        self._forks.close()

    def sync(self, place: str | None = None, number: int = 0) -> int:
        """One sync, killed when it passes the place for that time; returns how it ended."""
        return self._forks.carry_out({"config": str(self._rig.config), "place": place, "number": number})


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    municipality = Municipality(11, schools=1, pupils=8, makeup=SMALL, churn=BUSY)
    with make_rig(tmp_path, municipality) as rig:
        yield rig


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "step"),
    [
        ("before commit", 1),
        ("after commit", 1),  # an intent is written and nothing sent yet, or events and nobody told
        ("amid transaction", 5),
        ("before request to 999/platform", 3),
        ("before request to 999/aula", 6),
        ("after answer of 999/platform", 2),  # the target has it, and we do not know
        ("after answer of 999/aula", 3),
    ],
)
def test_a_sync_that_dies_at_any_place_is_put_right_by_the_next(place: str, step: int, rig: Rig) -> None:
    with Harness(rig) as harness:
        deaths = first_load(harness, place, rig)
        number, died = 1, True
        while died:  # every time on a new day, until a sync lives through the place
            rig.advance()
            code = harness.sync(place, number)
            died = code == -signal.SIGKILL
            assert died or code == 0, f"{place} {number}: ended with {code}"
            assert harness.sync() == 0, f"after {place} {number}: the next sync did not bring it to an end"
            assert_all_is_well(rig, f"{place} {number}")
            deaths += died
            number += step
    assert deaths >= 10, "there were more places than that"
    run(["audit", "verify", "--config", rig.config], rig.folder).ended(0)
    print(f"{place}: {deaths} deaths, {len(rig.to_scim.requests)} + {len(rig.to_aula.requests)} requests")  # noqa: T201


def first_load(harness: Harness, place: str, rig: Rig) -> int:
    """The first sync of all dies again and again, each time a little later; returns how often."""
    deaths = 0
    while (code := harness.sync(place, 2 + 3 * deaths)) == -signal.SIGKILL:
        deaths += 1
    assert code == 0
    assert_all_is_well(rig, f"{deaths} deaths in the first load at {place}")
    return deaths


def assert_all_is_well(rig: Rig, after: str) -> None:
    try:
        rig.assert_scim_is_right()
        rig.assert_aula_is_right()
        assert_nothing_is_open(rig.database)
        assert_log_is_whole(rig.database, rig.living)
        assert_nobody_was_created_twice(rig.to_scim.requests, rig.days)
        assert_versions_never_go_back(rig.aula.received)
        assert rig.aula.stale == 0
    except AssertionError as error:
        error.add_note(f"after the death at: {after}")
        raise
