"""What is remembered of institutions on plain dicts: snapshots, runs, quarantine, subscriptions and facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from bridge.ports import InstitutionState, QuarantineRow, Run, Subscription
from bridge.testing.memory_tables import MemoryPart


class MemoryIntake(MemoryPart):
    """`IntakeStore` without its holds."""

    def institution_state(self, municipality: str, institution: str) -> InstitutionState | None:
        return self._tables.institutions.get((municipality, institution))

    def institution_states(self) -> list[InstitutionState]:
        return [state for _, state in sorted(self._tables.institutions.items(), key=lambda pair: pair[0])]

    def put_institution_state(self, state: InstitutionState) -> None:
        self._writing().institutions[state.municipality, state.institution] = state

    def subscriptions(self, municipality: str | None = None) -> list[Subscription]:
        found = self._tables.subscriptions
        return [found[key] for key in sorted(found) if municipality in (None, key[0])]

    def put_subscriptions(self, rows: Iterable[Subscription]) -> None:
        self._writing().subscriptions.update({(row.municipality, row.institution): row for row in rows})

    def forget_subscriptions(self, municipality: str) -> None:
        known = self._writing().subscriptions
        for place in [place for place in known if place[0] == municipality]:
            del known[place]

    def institution_facts(self, municipality: str) -> dict[str, bytes]:
        return {number: body for (code, number), body in self._tables.facts.items() if code == municipality}

    def put_institution_facts(self, municipality: str, facts: Mapping[str, bytes]) -> None:
        self._writing().facts.update({(municipality, number): body for number, body in facts.items()})

    def add_run(self, run: Run) -> None:
        runs = self._writing().runs
        runs[len(runs) + 1] = run

    def runs(self, limit: int) -> list[Run]:
        return list(reversed(self._tables.runs.values()))[:limit]

    def runs_by_id(self, ids: Iterable[str]) -> dict[str, Run]:
        wanted = set(ids)
        return {run.id: run for run in self._tables.runs.values() if run.id in wanted}

    def last_runs(self) -> list[Run]:
        last = {(run.municipality, run.institution or ""): run for run in self._tables.runs.values()}
        return [last[place] for place in sorted(last)]

    def runs_of(self, municipality: str, institution: str, since: datetime) -> list[Run]:
        here = (municipality, institution)
        runs = self._tables.runs.values()
        return [run for run in runs if (run.municipality, run.institution) == here and run.at >= since]

    def replace_quarantine(self, municipality: str, institution: str, rows: Sequence[QuarantineRow]) -> None:
        self._writing().quarantine[municipality, institution] = tuple(rows)

    def quarantine(self, limit: int, severity: str | None = None) -> list[QuarantineRow]:
        places = sorted(self._tables.quarantine)
        rows = [row for place in places for row in self._tables.quarantine[place]]
        return [row for row in rows if severity in (None, row.severity)][:limit]

    def quarantine_of(self, municipality: str, institution: str) -> list[QuarantineRow]:
        return list(self._tables.quarantine.get((municipality, institution), ()))
