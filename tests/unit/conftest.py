"""Benches that several tests of the engine begin from."""

from __future__ import annotations

import pytest

from bridge.engine.guard import GuardPolicy
from tests.support.engine import Bench, group, pupil


@pytest.fixture
def bench() -> Bench:
    """A class of two pupils that is recorded and not delivered yet; deletions are nobody's concern here."""
    bench = Bench(policy=GuardPolicy(max_deleted_percent=100.0))
    bench.take(group("1A"), pupil("ane"), pupil("bo"))
    return bench


@pytest.fixture
def settled(bench: Bench) -> Bench:
    """The same, delivered."""
    bench.drain()
    return bench
