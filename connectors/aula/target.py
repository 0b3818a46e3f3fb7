"""Aula as it is observed: nothing is sent there, and what it will see is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bridge.connector import Capabilities, Command, Document, Outcome, Reported, Unchanged
from connectors.aula.report import CODES, findings


class ObserveTarget:
    """Sends nothing: Aula gets its data from STIL. Says what Aula will see."""

    capabilities = Capabilities()
    report_codes = CODES

    def apply(self, batch: Sequence[Command]) -> Iterator[Outcome]:
        """Yield `Unchanged` for each command; nothing is read or sent."""
        for _ in batch:
            yield Unchanged()

    def probe(self) -> None:
        """Nothing is asked, so nothing can refuse."""

    def report(self, documents: Iterable[Document]) -> Iterator[Reported]:
        """Yield what Aula will see, miss or show otherwise."""
        return findings(documents)
