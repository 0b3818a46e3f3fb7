"""The platform fails in every way for a while; Aula gets everything meanwhile."""

from __future__ import annotations

import pytest

from tests.support.daemon import Daemon
from tests.support.outages import assert_that_an_outage_is_nobody_elses_and_ends_by_itself
from tests.support.rig import PLATFORM, Rig

SHORT_OF_TIME, PATIENT = 3, 30  # a request's time-out in seconds


@pytest.mark.parametrize(
    ("rig", "names"),
    [
        pytest.param(SHORT_OF_TIME, ("taken, then hanging", "slow"), marks=pytest.mark.slow),
        pytest.param(SHORT_OF_TIME, ("hanging",), marks=pytest.mark.slow),
        (PATIENT, ("503", "401 for all", "429 in seconds", "429 with a date")),
        pytest.param(
            PATIENT,
            ("429 with an absurd number", "429 with a negative number", "closed at once"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            PATIENT,
            ("an answer cut half way", "taken, then closed", "403 for all", "503 with Retry-After"),
            marks=pytest.mark.slow,
        ),
    ],
    indirect=["rig"],
)
def test_an_outage_is_nobody_elses_and_ends_by_itself(names: tuple[str, ...], rig: Rig, daemon: Daemon) -> None:
    assert_that_an_outage_is_nobody_elses_and_ends_by_itself(PLATFORM, names, rig, daemon)
