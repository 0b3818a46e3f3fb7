"""What is found at every institution is known at any time, and looked for anew only where something changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from bridge.domain.anomalies import Anomaly, AnomalyCode
from bridge.engine.anomalies.numbers import Numbers, read_numbers, shared_numbers
from bridge.engine.anomalies.rules import local_anomalies
from bridge.engine.anomalies.school import read_school
from bridge.ports import Reader, Store

_BROUGHT_NOTHING = frozenset({"unchanged", "refused", "failed"})
_Mark = tuple[str, str | None, str]
Places = Mapping[str, _Mark]


@dataclass(frozen=True, slots=True)
class Findings:
    """All that was found at one institution, in the order of the codes."""

    municipality: str
    institution: str
    anomalies: tuple[Anomaly, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many of each code; codes without any are absent."""
        counted = Counter(anomaly.code for anomaly in self.anomalies)
        return {code.value: counted[code] for code in AnomalyCode if counted[code]}

    def but(self, off: Collection[AnomalyCode]) -> Findings:
        """The same without the rules that are switched off."""
        kept = tuple(anomaly for anomaly in self.anomalies if anomaly.code not in off)
        return Findings(self.municipality, self.institution, kept)


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at an institution, and what it had recorded by then."""

    mark: _Mark
    local: tuple[Anomaly, ...]
    numbers: Numbers


@dataclass(slots=True)
class AnomalyBook:
    """The last look at each institution; `key` is for hashes that stay in this process.

    Another thread may ask for `found` at any time: it is replaced as a whole.
    """

    key: bytes
    found: dict[str, tuple[Findings, ...]] = field(default_factory=dict)
    _looks: dict[str, dict[str, _Look]] = field(default_factory=dict)

    def look(self, store: Store, municipality: str, today: str, go_on: Callable[[], bool] = lambda: True) -> int:
        """Look at every institution of a municipality that changed; returns how many those were.

        `today` is its local date. Each institution is read in a transaction of its own, so that no writer's work
        piles up behind a long look. What was found until `go_on` says no is kept for the next time.
        Raises `StoreUnavailable`.
        """
        with store.read() as reader:
            places = _places(reader, municipality, today)
        looks = self._looks.setdefault(municipality, {})
        stale = [place for place, mark in places.items() if place not in looks or looks[place].mark != mark]
        gone = looks.keys() - places.keys()
        for institution in stale:
            if not go_on():
                return 0
            with store.read() as reader:
                local = local_anomalies(read_school(reader, municipality, institution, today))
                numbers = read_numbers(reader, municipality, institution, self.key)
            looks[institution] = _Look(places[institution], local, numbers)
        for institution in gone:
            del looks[institution]
        if stale or gone or municipality not in self.found:
            self.found[municipality] = tuple(_findings(municipality, looks))
        return len(stale)


def _places(reader: Reader, municipality: str, today: str) -> dict[str, _Mark]:
    """The institutions of which something is stored, with what tells that it is otherwise than before."""
    states = [state for state in reader.institution_states() if state.municipality == municipality]
    later = {
        run.institution: run.id
        for run in reader.last_runs()
        if run.municipality == municipality and run.result not in _BROUGHT_NOTHING
    }
    marks = {}
    for state in states:
        # What is held is recorded in part, by a run that the state does not name.
        run = later.get(state.institution)
        marks[state.institution] = (state.run, None if run == state.run else run, today)
    return marks


def _findings(municipality: str, looks: Mapping[str, _Look]) -> Iterator[Findings]:
    shared = shared_numbers({institution: look.numbers for institution, look in looks.items()})
    order = {code: rank for rank, code in enumerate(AnomalyCode)}
    for institution, look in sorted(looks.items()):
        anomalies = (*look.local, *shared.get(institution, ()))
        ordered = sorted(anomalies, key=lambda one: (order[one.code], one))
        yield Findings(municipality, institution, tuple(ordered))
