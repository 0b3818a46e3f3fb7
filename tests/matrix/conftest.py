"""Desks that the rows of the fault matrix begin from."""

from __future__ import annotations

import pytest

from bridge.domain.records import Snapshot
from bridge.engine import detect, fetch
from bridge.engine.codec import hash_entity
from bridge.engine.fetch import Intake
from bridge.engine.identity import set_conflicts_aside
from bridge.engine.normalise import Normalised
from bridge.ports import Hold, UnitOfWork
from tests.matrix.desk import Calm, Desk, settled

_decide = fetch._decide


@pytest.fixture(autouse=True)
def _whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put two lines where they belong in the engine; this goes when they stand there, and means nothing then.

    `fetch._decide` begins with `found = set_conflicts_aside(uow, intake.municipality, found)`, and `detect` hashes
    entities by `hash_entity`.
    """

    def decide(
        uow: UnitOfWork, intake: Intake, snapshot: Snapshot, found: Normalised, approved: Hold | None
    ) -> object:
        return _decide(uow, intake, snapshot, set_conflicts_aside(uow, intake.municipality, found), approved)

    monkeypatch.setattr(fetch, "_decide", decide)
    monkeypatch.setattr(detect, "hash_bytes", hash_entity, raising=False)


@pytest.fixture
def desk() -> Desk:
    """A small school that was recorded and delivered."""
    return settled()


@pytest.fixture
def calm(desk: Desk) -> Calm:
    """How things stood before."""
    return Calm(desk)
