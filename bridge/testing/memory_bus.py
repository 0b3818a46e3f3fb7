"""The smallest bus that keeps the promises of `BusConformance`: counters behind one lock."""

from __future__ import annotations

from collections import Counter
from threading import Condition, local
from time import monotonic


class MemoryBus:
    """`Bus` within one process, without any library; every waiting thread sees every nudge."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._sent: Counter[str] = Counter()
        self._mine = local()
        self._is_closed = False

    def nudge(self, topic: str) -> None:
        with self._changed:
            self._sent[topic] += 1
            self._changed.notify_all()

    def wait(self, topic: str, seconds: float) -> bool:
        """Whether a nudge came since this thread last waited; at once False when the bus is closed."""
        seen = self._seen()
        end = monotonic() + seconds
        with self._changed:
            while not self._is_closed and self._sent[topic] == seen[topic]:
                if (left := end - monotonic()) <= 0:
                    return False
                self._changed.wait(left)
            seen[topic] = self._sent[topic]
            return not self._is_closed

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _seen(self) -> Counter[str]:
        if not hasattr(self._mine, "seen"):
            self._mine.seen = Counter()
        seen: Counter[str] = self._mine.seen
        return seen
