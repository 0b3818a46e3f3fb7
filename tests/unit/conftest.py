"""What several tests of the engine begin from: benches, and logging to a text."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from bridge.engine.guard import GuardPolicy
from bridge.observe import configure_logging
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


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What is logged."""
    out = io.StringIO()
    configure_logging(stream=out, json=True)
    yield out
    configure_logging(stream=io.StringIO())
