"""Each stage runs as a thread around a plain step; a step that fails is told once and tried again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from threading import Event, Thread
from typing import Protocol

from bridge.domain.errors import StaleLease
from bridge.ports import Bus, Clock

_LONGEST_BACKOFF = timedelta(minutes=1)


class LoopWitness(Protocol):
    """Whoever is told how loops fare."""

    def ticked(self, loop: str) -> None: ...

    def failed(self, loop: str, error: Exception) -> None: ...

    def recovered(self, loop: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Stage:
    """`step` does a piece of work and returns how much; at 0 the loop waits for a nudge or `interval`.

    `wakes` are the topics nudged after a step that did something.
    """

    name: str
    step: Callable[[], int]
    interval: timedelta
    wakes: tuple[str, ...] = ()
    is_steady: bool = False  # waits the whole interval after work too: a poll, not a drain


class Loop:
    """A stage in its own thread. `start`, then `stop` (asks) and `join` (waits for the step under way)."""

    def __init__(self, stage: Stage, bus: Bus, clock: Clock, witness: LoopWitness) -> None:
        self._stage = stage
        self._bus = bus
        self._clock = clock
        self._witness = witness
        self._stopping = Event()
        self._failures = 0
        self._thread = Thread(target=self._run, name=stage.name, daemon=True)

    @property
    def name(self) -> str:
        return self._stage.name

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._bus.nudge(self._stage.name)

    def join(self, seconds: float) -> bool:
        """Wait for the end; say whether it came in time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._witness.ticked(self._stage.name)
            try:
                wait = self._turn()
            except StaleLease as error:  # whoever keeps the lease ends the process
                self._witness.failed(self._stage.name, error)
                return
            if wait > timedelta(0) and not self._stopping.is_set():
                self._rest(wait)

    def _turn(self) -> timedelta:
        """One step; returns how long to rest before the next."""
        try:
            done = self._stage.step()
        except StaleLease:
            raise
        except Exception as error:  # a loop outlives whatever its step meets; the witness tells it
            self._failures += 1
            if self._failures == 1:
                self._witness.failed(self._stage.name, error)
            return min(timedelta(seconds=1) * (1 << min(self._failures - 1, 10)), _LONGEST_BACKOFF)
        if self._failures:
            self._failures = 0
            self._witness.recovered(self._stage.name)
        if done:
            for topic in self._stage.wakes:
                self._bus.nudge(topic)
        return timedelta(0) if done and not self._stage.is_steady else self._stage.interval

    def _rest(self, wait: timedelta) -> None:
        """Wait in slices, so that a long rest still ticks; a nudge ends it (except after a failure)."""
        until = self._clock.monotonic() + wait.total_seconds()
        while not self._stopping.is_set() and (left := until - self._clock.monotonic()) > 0:
            if self._bus.wait(self._stage.name, min(left, 5.0)) and not self._failures:
                return
            self._witness.ticked(self._stage.name)
