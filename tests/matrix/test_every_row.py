"""No row of the fault matrix from a target that changes its mind to a withdrawn agreement is without its test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
ROWS = range(45, 64)


def named() -> set[int]:
    found = (re.findall(r"def test_row_(\d+)_", file.read_text("utf-8")) for file in TESTS.rglob("test_*.py"))
    return {int(number) for numbers in found for number in numbers}


@pytest.mark.parametrize("row", ROWS)
def test_a_row_has_a_test(row: int) -> None:
    assert row in named()
