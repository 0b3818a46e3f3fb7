"""A polite caller: never more calls in a minute than agreed, however many threads ask."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock


class Pace:
    """Spreads calls evenly: each waits until its turn, `60 / per_minute` seconds after the one before."""

    def __init__(
        self,
        per_minute: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._step = 60 / per_minute
        self._clock, self._sleep = clock, sleep
        self._lock = Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Return when it is this call's turn."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next)
            self._next = turn + self._step
        if turn > now:
            self._sleep(turn - now)
