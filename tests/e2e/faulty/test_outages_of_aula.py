"""Aula fails in every way for a while; the platform gets everything meanwhile."""

from __future__ import annotations

import pytest

from tests.support.daemon import Daemon
from tests.support.outages import assert_that_an_outage_is_nobody_elses_and_ends_by_itself
from tests.support.rig import AULA, Rig

SHORT_OF_TIME, PATIENT = 3, 30  # a request's time-out in seconds


@pytest.mark.parametrize(
    ("rig", "names"),
    [
        (SHORT_OF_TIME, ("hanging", "taken, then hanging")),
        pytest.param(SHORT_OF_TIME, ("slow",), marks=pytest.mark.slow),
        pytest.param(
            PATIENT,
            ("taken, then closed", "503", "an answer cut half way", "429 with a date", "401 for all"),
            marks=pytest.mark.slow,
        ),
    ],
    indirect=["rig"],
)
def test_an_outage_is_nobody_elses_and_ends_by_itself(names: tuple[str, ...], rig: Rig, daemon: Daemon) -> None:
    assert_that_an_outage_is_nobody_elses_and_ends_by_itself(AULA, names, rig, daemon)
