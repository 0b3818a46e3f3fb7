"""When to try again: a pure function of how often it failed, what the target asked for, and chance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Full jitter between nothing and a growing ceiling; a target's own Retry-After counts up to a cap."""

    base: timedelta = timedelta(seconds=5)
    ceiling: timedelta = timedelta(hours=6)
    retry_after_cap: timedelta = timedelta(hours=1)

    def wait(self, attempts: int, asked: timedelta | None, chance: float) -> timedelta:
        """Return how long to wait after the `attempts`-th failure (1 the first); `chance` is in [0, 1)."""
        if asked is not None:
            return min(max(asked, timedelta(0)), self.retry_after_cap)
        ceiling = min(self.base * (1 << min(attempts - 1, 20)), self.ceiling)
        return ceiling * chance
