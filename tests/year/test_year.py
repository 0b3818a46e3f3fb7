"""Over a year nobody is lost, doubled or shown: each target ends with what the municipality itself tells."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.year.real_scim import RealScim
from tests.year.year import Year


@pytest.mark.slow
@pytest.mark.year
def test_a_year_of_ten_schools_ends_with_each_target_equal_to_the_truth(tmp_path: Path) -> None:
    report = Year(tmp_path, pupils=600, days=400).live()
    sys.stdout.write(f"\n{report}\n")
    assert report.moves > 200
    assert report.absences[1] > 30, "hardly anybody was at no school for a day"
    assert max(report.absences) > 30, "nobody came back after their account was deleted"
    assert report.steps["scim delete Users"] > 50
    assert report.protected > 100


@pytest.mark.slow
@pytest.mark.year
def test_a_year_ends_with_scim2_server_equal_to_the_truth(tmp_path: Path) -> None:
    """A server that nobody here wrote, with every daily check: two rolls, moves, an empty night."""
    report = Year(tmp_path, pupils=100, days=400, platform=RealScim).live()
    sys.stdout.write(f"\n{report}\n")
    assert report.steps["scim delete Users"] > 10
    assert report.steps["scim sleep Users"] > 10


@pytest.mark.slow
def test_some_weeks_around_a_school_year_roll_end_with_each_target_equal_to_the_truth(tmp_path: Path) -> None:
    report = Year(tmp_path, pupils=80, days=35).live()
    assert sum(number for reasons, number in report.holds.items() if "school_year" in reasons) >= 10
