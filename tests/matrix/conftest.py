"""Desks that the rows of the fault matrix begin from."""

from __future__ import annotations

import pytest

from tests.matrix.desk import Calm, Desk, settled


@pytest.fixture
def desk() -> Desk:
    """A small school that was recorded and delivered."""
    return settled()


@pytest.fixture
def calm(desk: Desk) -> Calm:
    """How things stood before."""
    return Calm(desk)
