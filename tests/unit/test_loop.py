"""A loop outlives whatever its step meets, says so once, rests without turning deaf, and ends when it is asked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from threading import Event

import pytest

from bridge.domain.errors import StoreUnavailable
from bridge.engine.loop import Loop, Stage
from bridge.testing.memory_bus import MemoryBus
from tests.support.engine import Hands

HOUR = timedelta(hours=1)
ENDS_WITHIN = 10.0


class Leaps(Hands):
    """A clock that is hours further at every look, so that no rest takes any time."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def monotonic(self) -> float:
        self.seconds += 10_000.0
        return self.seconds


class Still(Leaps):
    """A clock that stands still, so that a rest ends by a nudge only."""

    def monotonic(self) -> float:
        return self.seconds


class Ear:
    """A witness that hears everything in order."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.ticks = 0

    def ticked(self, loop: str) -> None:
        self.ticks += 1

    def failed(self, loop: str, error: Exception) -> None:
        self.heard.append(f"{loop} failed: {type(error).__name__}")

    def recovered(self, loop: str) -> None:
        self.heard.append(f"{loop} recovered")


class Rig:
    """One loop whose step does as its script says; when the script is at its end, the loop is stopped."""

    def __init__(
        self,
        *script: int | Exception,
        clock: Leaps | None = None,
        wakes: tuple[str, ...] = (),
        is_steady: bool = False,
        at_end: Callable[[], None] | None = None,
    ) -> None:
        self.bus, self.ear, self.clock = MemoryBus(), Ear(), clock or Leaps()
        self.done: list[int | Exception] = []
        self.script, self.at_end = list(script), at_end
        stage = Stage("work", self._step, HOUR, wakes, is_steady)
        self.loop = Loop(stage, self.bus, self.clock, self.ear)

    def _step(self) -> int:
        answer = self.script.pop(0)
        self.done.append(answer)
        if not self.script:
            (self.at_end or self.loop.stop)()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def run(self) -> list[str]:
        """Run the script to its end; returns what the witness heard."""
        self.loop.start()
        assert self.loop.join(ENDS_WITHIN), "the loop does not end"
        return self.ear.heard


class TestAFailingStep:
    def test_is_told_once_and_its_recovery_once(self) -> None:
        away = StoreUnavailable("away")
        assert Rig(away, away, away, 1, 0).run() == ["work failed: StoreUnavailable", "work recovered"]

    def test_is_told_again_when_it_fails_after_a_recovery(self) -> None:
        assert len(Rig(ValueError(), 0, ValueError(), 0).run()) == 4

    def test_does_not_end_the_loop_whatever_it_raises(self) -> None:
        rig = Rig(ValueError(), KeyError(), StoreUnavailable("away"), 0)
        rig.run()
        assert len(rig.done) == 4

    def test_that_never_failed_has_nothing_to_tell(self) -> None:
        assert Rig(1, 0, 1, 0).run() == []

    def test_is_not_hurried_by_nudges(self) -> None:
        """A broken step must not spin because somebody keeps telling it that there is work."""
        failed = Event()
        rig = Rig(ValueError(), clock=Still(), at_end=failed.set)
        rig.loop.start()
        assert failed.wait(ENDS_WITHIN)
        for _ in range(100):
            rig.bus.nudge("work")
        rig.loop.stop()
        assert rig.loop.join(ENDS_WITHIN)
        assert len(rig.done) == 1


class TestAWaitingLoop:
    @pytest.fixture
    def waiting(self) -> Rig:
        """A loop with nothing to do for an hour that does not pass."""
        asleep = Event()
        rig = Rig(0, clock=Still(), at_end=asleep.set)
        rig.loop.start()
        assert asleep.wait(ENDS_WITHIN)
        return rig

    def test_ends_when_it_is_stopped(self, waiting: Rig) -> None:
        waiting.loop.stop()
        assert waiting.loop.join(ENDS_WITHIN)

    def test_steps_at_once_when_it_is_nudged(self, waiting: Rig) -> None:
        stepped = Event()
        waiting.script, waiting.at_end = [0], stepped.set
        waiting.bus.nudge("work")
        assert stepped.wait(ENDS_WITHIN)
        waiting.loop.stop()
        assert waiting.loop.join(ENDS_WITHIN)

    def test_ends_when_it_is_stopped_before_it_began(self) -> None:
        rig = Rig(0)
        rig.loop.stop()
        rig.loop.start()
        assert rig.loop.join(ENDS_WITHIN)
        assert rig.done == []


class TestAStepThatDidSomething:
    def test_is_followed_by_the_next_at_once(self) -> None:
        """On a clock that stands still only a loop that does not rest gets to the end."""
        rig = Rig(3, 2, 1, 0, clock=Still())
        rig.run()
        assert rig.done == [3, 2, 1, 0]

    def test_wakes_those_who_wait_for_it(self) -> None:
        rig = Rig(1, 0, wakes=("deliver", "publish"))
        rig.run()
        assert rig.bus.wait("deliver", 0) and rig.bus.wait("publish", 0)

    def test_that_did_nothing_wakes_nobody(self) -> None:
        rig = Rig(0, 0, wakes=("deliver",))
        rig.run()
        assert not rig.bus.wait("deliver", 0)

    def test_rests_all_the_same_where_the_stage_is_a_poll(self) -> None:
        begun = Event()
        rig = Rig(1, clock=Still(), is_steady=True, at_end=begun.set)
        rig.loop.start()
        assert begun.wait(ENDS_WITHIN)
        rig.loop.stop()
        assert rig.loop.join(ENDS_WITHIN)
        assert rig.done == [1]


def test_a_loop_ticks_at_every_turn() -> None:
    rig = Rig(1, 1, 0)
    rig.run()
    assert rig.ear.ticks >= 3
