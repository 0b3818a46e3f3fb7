"""How long to wait: enough for the target, bounded for the school, and never in step with the others."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.errors import ContractBroken, TargetError, TargetUnauthorised, TargetUnavailable
from bridge.engine.breaker import Breaker, is_paused, reason_of
from bridge.engine.retry import RetryPolicy
from bridge.ports import TargetState
from tests.support.anything import STEADY
from tests.support.engine import MORNING, TARGET

POLICY = RetryPolicy(
    base=timedelta(seconds=10), ceiling=timedelta(minutes=5), retry_after_cap=timedelta(minutes=30)
)
CHANCES = st.floats(0, 1, exclude_max=True)
SPANS = st.timedeltas(timedelta(days=-9_999), timedelta(days=9_999))
FRESH = TargetState(TARGET)


class TestRetry:
    @pytest.mark.parametrize(("attempts", "seconds"), [(1, 10), (2, 20), (5, 160), (6, 300), (1_000, 300)])
    def test_has_a_ceiling_that_doubles_up_to_a_limit(self, attempts: int, seconds: int) -> None:
        assert POLICY.wait(attempts, None, 1.0) == timedelta(seconds=seconds)

    def test_waits_nothing_at_all_by_the_luckiest_chance(self) -> None:
        assert POLICY.wait(9, None, 0.0) == timedelta(0)

    def test_honours_what_the_target_asks_for(self) -> None:
        assert POLICY.wait(1, timedelta(minutes=20), 0.1) == timedelta(minutes=20)

    def test_honours_it_up_to_a_cap(self) -> None:
        assert POLICY.wait(1, timedelta(days=11_574), 0.9) == timedelta(minutes=30)

    def test_takes_a_negative_wish_for_none(self) -> None:
        assert POLICY.wait(1, timedelta(days=-1), 0.9) == timedelta(0)

    @STEADY
    @given(st.integers(1, 10_000), st.none() | SPANS, CHANCES)
    def test_is_never_negative_and_never_beyond_its_bounds(
        self, attempts: int, asked: timedelta | None, chance: float
    ) -> None:
        bound = POLICY.ceiling if asked is None else POLICY.retry_after_cap
        assert timedelta(0) <= POLICY.wait(attempts, asked, chance) <= bound

    @STEADY
    @given(st.integers(1, 100), CHANCES)
    def test_never_falls_when_it_fails_once_more(self, attempts: int, chance: float) -> None:
        assert POLICY.wait(attempts, None, chance) <= POLICY.wait(attempts + 1, None, chance)


class TestBreaker:
    def pause(self, error: TargetError, failures: int = 0, chance: float = 0.0) -> timedelta:
        state = Breaker().failed(TargetState(TARGET, failures=failures), error, MORNING, chance)
        assert state.paused_until is not None
        return state.paused_until - MORNING

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (TargetUnavailable("status_503"), "status_503"),
            (TargetUnauthorised("401"), "unauthorised"),
            (ContractBroken("no id"), "contract_broken"),
            (TargetError("?"), "unavailable"),
        ],
    )
    def test_names_the_reason_by_a_code(self, error: TargetError, reason: str) -> None:
        assert reason_of(error) == Breaker().failed(FRESH, error, MORNING, 0.0).pause_reason == reason

    def test_counts_failures(self) -> None:
        once = Breaker().failed(FRESH, TargetUnavailable("x"), MORNING, 0.0)
        assert (once.failures, Breaker().failed(once, TargetUnavailable("x"), MORNING, 0.0).failures) == (1, 2)

    def test_waits_longer_for_a_person_than_for_an_outage(self) -> None:
        assert self.pause(TargetUnauthorised("401")) > self.pause(TargetUnavailable("x"), chance=0.99)

    def test_has_half_of_the_wait_for_certain(self) -> None:
        assert self.pause(TargetUnavailable("x"), failures=3) == timedelta(seconds=8)
        assert self.pause(TargetUnavailable("x"), failures=3, chance=0.5) == timedelta(seconds=12)

    def test_honours_what_the_target_asks_for_within_an_hour(self) -> None:
        assert self.pause(TargetUnavailable("x", timedelta(minutes=9))) == timedelta(minutes=9)
        assert self.pause(TargetUnavailable("x", timedelta(days=99))) == timedelta(hours=1)

    @STEADY
    @given(st.integers(0, 1_000), st.none() | SPANS, CHANCES)
    def test_pauses_between_a_second_and_an_hour(
        self, failures: int, asked: timedelta | None, chance: float
    ) -> None:
        pause = self.pause(TargetUnavailable("x", asked), failures, chance)
        assert timedelta(seconds=1) <= pause <= timedelta(hours=1)

    def test_is_over_when_its_time_has_come(self) -> None:
        state = Breaker().failed(FRESH, TargetUnavailable("x"), MORNING, 0.0)
        assert state.paused_until is not None
        assert is_paused(state, MORNING)
        assert not is_paused(state, state.paused_until)

    def test_forgets_everything_but_the_success_when_it_works_again(self) -> None:
        state = Breaker().failed(FRESH, TargetUnavailable("x"), MORNING, 0.0)
        assert Breaker.worked(state, MORNING) == TargetState(TARGET, last_success_at=MORNING)

    def test_keeps_which_mapping_is_applied(self) -> None:
        state = Breaker().failed(TargetState(TARGET, rendering="r"), TargetUnavailable("x"), MORNING, 0.0)
        assert (state.rendering, Breaker.worked(state, MORNING).rendering) == ("r", "r")
