"""What we take against the bare work on the same data in the same run, a row each, and which bound is missed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

ROUNDS = 5


def timed(work: Callable[[], object]) -> float:
    """The seconds that a piece of work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@dataclass(slots=True)
class Bench:
    """Prints a row a comparison. `missed` are the names of those that were beyond their bound."""

    missed: list[str] = field(default_factory=list)

    def compare(
        self,
        name: str,
        ours: Callable[[], object],
        bare: Callable[[], object],
        bare_name: str,
        most: float | None = None,
    ) -> None:
        """Run both in turn and print the medians of their times and of their ratio, which may be `most`."""
        self.row(name, [(timed(ours), timed(bare)) for _ in range(ROUNDS)], bare_name, most)

    def row(
        self, name: str, pairs: Sequence[tuple[float, float]], bare_name: str, most: float | None = None
    ) -> None:
        """Print what was taken in each round, by us and by the bare work, in seconds."""
        mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        told = "" if most is None else self.bound(name, ratio <= most, f"at most {most:.2f}")
        times = f"{mine * 1000:>9.1f} ms   {bare_name:<34}{theirs * 1000:>9.1f} ms"
        print(f"{name:<54}{times}   ratio {ratio:>6.2f}{told}", flush=True)

    def bound(self, name: str, is_held: bool, bound: str) -> str:
        """Return what a row says of its bound."""
        if not is_held:
            self.missed.append(name)
        return f"   bound {bound}: {'held' if is_held else 'MISSED'}"

    def left_out(self, name: str, why: str) -> None:
        """Say that something was not measured."""
        print(f"{name}: left out, for {why}", flush=True)
