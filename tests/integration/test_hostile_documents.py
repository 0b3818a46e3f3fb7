"""Whatever is sent in place of an export is refused by name, in little memory, and opens nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """What became of the corpus and the bombs, read in a process of their own."""
    command = [sys.executable, "-m", "tests.support.hostile_main"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_none_of_the_documents_that_are_not_well_formed_is_accepted(told: dict[str, Any]) -> None:
    assert told["documents"] == 1498
    assert told["accepted"] == []


def test_each_is_refused_by_a_code(told: dict[str, Any]) -> None:
    assert told["untyped"] == [], told["codes"]
    assert sum(told["codes"].values()) > 5 * told["documents"]


def test_reading_them_opens_no_file_and_no_connection(told: dict[str, Any]) -> None:
    assert told["forbidden"] == []


def test_reading_them_takes_less_than_256_mebibytes(told: dict[str, Any]) -> None:
    assert told["peak"] < 256 * 2**20
