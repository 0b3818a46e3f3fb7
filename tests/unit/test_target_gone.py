"""A target that wants nothing more gets nothing more, until a person resumes it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.connector import TargetGone
from bridge.engine.breaker import resume, switch_off, unpause
from bridge.ports import RETIRED, SHADOW
from tests.support.engine import TARGET, Bench, pupil


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.take(pupil("anna"))
    bench.target.script.append(TargetGone("410"))
    bench.drain()
    return bench


def test_nothing_is_sent_any_more_whatever_time_passes(bench: Bench) -> None:
    state = bench.target_state()
    assert (state.pause_reason, state.failures) == ("gone", 1)
    bench.clock.forward(days=400)
    assert bench.drain() == []
    with bench.store.write() as uow:
        unpause(uow)  # a sync tries again what a person may have mended; this is not for us to try
    assert bench.drain() == []


def test_another_address_is_another_system_that_is_not_gone(bench: Bench) -> None:
    bench.rendering = replace(bench.rendering, system="https://elsewhere.example")
    assert bench.refresh()
    assert [command.kind for command in bench.drain()] == ["person", "group"]
    assert bench.target_state().pause_reason is None


@pytest.mark.parametrize("reason", [SHADOW, RETIRED])
def test_what_is_off_on_purpose_stays_off_at_another_address(bench: Bench, reason: str) -> None:
    with bench.store.write() as uow:
        switch_off(uow, TARGET, reason)
    bench.rendering = replace(bench.rendering, system="https://elsewhere.example")
    assert bench.refresh()
    assert bench.drain() == []
    assert bench.target_state().pause_reason == reason


def test_no_attempt_is_spent_and_everything_goes_once_it_is_resumed(bench: Bench) -> None:
    with bench.store.write() as uow:
        assert resume(uow, TARGET) == "gone"
        assert resume(uow, TARGET) is None
    assert [command.identity["user_id"] for command in bench.drain() if command.kind == "person"] == ["anna"]
    assert bench.target_state().failures == 0
