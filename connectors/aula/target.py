"""Aula as long as no agreement says otherwise: nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bridge.connector import Capabilities, Command, Outcome, Unchanged


class ObserveTarget:
    """Sends nothing and says so: Aula gets its data from STIL."""

    capabilities = Capabilities()

    def apply(self, batch: Sequence[Command]) -> Iterator[Outcome]:
        """Yield `Unchanged` for each command; nothing is read or sent."""
        for _ in batch:
            yield Unchanged()

    def probe(self) -> None:
        """Nothing is asked, so nothing can refuse."""
