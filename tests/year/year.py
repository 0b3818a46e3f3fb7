"""A year of a municipality, one day after the other, with a person who decides on what is held.

Everything is the real thing but the systems around it: configuration, intake from XML, engine, store, connectors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from shutil import copy
from typing import Any

import yaml

from bridge.adapters.store_sql import open_throwaway
from bridge.app.bridge import Bridge
from bridge.config import load_settings
from bridge.connector import Connector, ConnectorConfig, Services
from bridge.engine.decide import decide_hold
from bridge.engine.deliver import deliver
from bridge.engine.detect import Detection
from bridge.engine.expect import expect_roll
from bridge.engine.guard import EMPTY, SCHOOL_YEAR
from bridge.engine.holding import DELETIONS
from bridge.engine.roll import LEAVERS, STARTERS
from bridge.ports import Delivery, ExpectedRoll, Hold, Run, TargetState
from bridge.registry import Registry
from bridge.testing.stil_export import Knobs
from bridge.testing.stil_municipality import Calendar, Churn, Makeup, Municipality
from bridge.testing.stil_records import Institution, keys_of
from tests.year.expected import Truth, Watch, pupils_of, roles_of, years_of
from tests.year.inspector import RETENTION, Inspector
from tests.year.systems import (
    AULA_URL,
    SCIM_URL,
    SECRET,
    AulaInProcess,
    HandClock,
    Platform,
    ScimInProcess,
    TownSource,
    Wire,
    real_now,
)

CODE = "999"
START = datetime(2026, 6, 20, 3, tzinfo=UTC)
HOLIDAYS = (
    (date(2026, 7, 21), date(2026, 8, 9)),
    (date(2026, 10, 10), date(2026, 10, 18)),
    (date(2026, 12, 19), date(2027, 1, 3)),
    (date(2027, 2, 13), date(2027, 2, 22)),
    (date(2027, 3, 20), date(2027, 3, 29)),
)
# Who left a day before would be deleted at Aula on that night, and who left 31 days before at the platform: all of
# these are holidays, so whatever is deleted then is the empty night's doing.
EMPTY_NIGHT = date(2027, 3, 24)
WITHDRAWN, RESTORED = date(2026, 11, 2), date(2026, 11, 23)
SECOND_SUMMER = (datetime(2027, 6, 15, tzinfo=UTC), datetime(2027, 8, 13, tzinfo=UTC))
_OUT = RETENTION + 4  # days after which nobody is on the way out any more
_BOOKS = 50  # days between two looks at all of the books


def town_of(pupils: int, seed: int) -> Municipality:
    """Ten schools with two rolls ahead of them."""
    return Municipality(
        seed,
        schools=10,
        pupils=pupils,
        code=CODE,
        makeup=Makeup(tracks="AB", teaching_groups=2, sibling_percent=15, is_marked=True),
        churn=Churn(0.1, 0.15, 0.15, 0.1, 0.05, 0.3, moves=0.25, returners=60),
        calendar=Calendar(
            (6, 22),
            (7, 20),
            early_days=45,
            holidays=HOLIDAYS,
            weekends_are_quiet=True,
            delivers_news_only=True,
        ),
        start=START,
    )


class YearBridge(Bridge):
    """The bridge as it is configured, but for the wires: these end in this process."""

    wires: dict[str, Any]

    def _services(self, *told: Any) -> Services:
        return replace(super()._services(*told), http=lambda url, **_: self.wires[url], now=real_now)


@dataclass(slots=True)
class Ear:
    """Hears how every snapshot ended, and what went wrong with a target as a whole."""

    runs: list[Run] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def run_ended(self, run: Run, detection: Detection | None) -> None:
        self.runs.append(run)

    def source_recovered(self, municipality: str) -> None: ...

    def delivered(self, target: str, delivery: Delivery, outcome: object, at: datetime) -> None: ...

    def paused(self, before: TargetState, after: TargetState) -> None:
        self.troubles.append(f"{after.target} pauses: {after.pause_reason}")

    def resumed(self, before: TargetState) -> None: ...

    def crashed(self, target: str, error: Exception) -> None:
        self.troubles.append(f"{target}: {error!r}")


@dataclass(slots=True)
class Report:
    """What happened in all."""

    days: int = 0
    runs: Counter[str] = field(default_factory=Counter)
    changes: int = 0
    holds: Counter[str] = field(default_factory=Counter)
    moves: int = 0
    steps: Counter[str] = field(default_factory=Counter)
    absences: Counter[int] = field(default_factory=Counter)
    texts: int = 0
    protected: int = 0

    def __str__(self) -> str:
        return "\n".join(
            (
                f"{self.days} days, {sum(self.runs.values())} snapshots ({_listed(self.runs)})",
                f"{self.changes} changes, {self.moves} arrivals of pupils who were known already",
                f"absences: {self.absences[1]} of one day, {sum(self.absences.values())} in all",
                f"holds: {_listed(self.holds)}",
                f"steps: {_listed(self.steps)}",
                f"{self.texts} requests looked through, {self.protected} people protected at some time",
            )
        )


def _listed(numbers: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(numbers.items())) or "none"


class Year:
    """One municipality, its bridge and its targets; `live` lets all days pass and has each of them looked at.

    With `decides_late` deliveries go out before anybody has decided on what was held that morning.
    """

    def __init__(
        self,
        folder: Path,
        *,
        pupils: int,
        days: int,
        seed: int = 5,
        decides_late: bool = False,
        platform: Callable[[Wire], Platform] = ScimInProcess,
    ) -> None:
        self._days, self._extra, self._decides_late = days, 0, decides_late
        self.town = town_of(pupils, seed)
        self.clock = HandClock(self.town.export_time)
        self.source = TownSource(self.town, self.clock)
        self.watch, self.ear, self.report = Watch(), Ear(), Report()
        self.platform = platform(Wire(self._day, self.watch.look))
        self.aula = AulaInProcess(Wire(self._day, self.watch.look))
        self.accepted: dict[str, Institution] = {}
        self._known: list[Institution] = []
        self._truth = Truth.of(CODE, [])
        self._partly: dict[str, Institution] = {}
        self._met: set[int] = set()
        self._left: set[int] = set()
        self.bridge = _configured(folder, self.source, self.clock)
        self.bridge.wires = {SCIM_URL: self.platform, AULA_URL: self.aula}
        self.lanes = self.bridge.lanes()
        self.municipality = self.bridge.settings.municipalities[0]
        self.intake = self.bridge.intake(self.municipality)
        slack = 1 if decides_late else 0
        self.inspector = Inspector(self.bridge.store, CODE, self.platform, self.aula, slack)

    def _day(self) -> int:
        return self.town.day + self._extra

    @property
    def today(self) -> date:
        return self.town.export_time.date() + timedelta(days=self._extra)

    # ------------------------------------------------------------ the days

    def live(self) -> Report:
        """Let every day pass, then as many more as it takes until nobody is on the way out."""
        try:
            self._live_day()
            known = _pupils(self.town)
            while self.town.day + 1 < self._days:
                before = _pupils(self.town)
                self.town.advance()
                after = _pupils(self.town)
                self.report.moves += len({user_id for _, user_id in after - before} & {u for _, u in known})
                known |= after
                self._live_day()
            for _ in range(_OUT):
                self._extra += 1
                self._live_day()
            self._check_the_end()
            return self._reported()
        finally:
            self.bridge.store.close()

    def _live_day(self) -> None:
        self.clock.at = self.town.export_time + timedelta(days=self._extra, hours=1)
        self._prepare()
        self.bridge.take_in(self.municipality, self.ear)  # type: ignore[arg-type]
        self._hear()
        if not self._decides_late:
            self._operate()
        self._drain()
        self._operate()
        self._look()
        self.clock.at += timedelta(hours=12)
        self.bridge.settle(self.intake, self.ear)  # type: ignore[arg-type]
        self._drain()
        if self._day() % _BOOKS == 0:
            self.inspector.check_books()

    def _prepare(self) -> None:
        """What somebody does, or what goes wrong, on this day."""
        numbers = self.town.institutions()
        self.source.knobs = dict.fromkeys(numbers, Knobs(empty=True)) if self.today == EMPTY_NIGHT else {}
        if self.today == WITHDRAWN:
            self.source.agreed.discard(numbers[4])
        if self.today == RESTORED:
            self.source.agreed.add(numbers[4])
        if self.today == SECOND_SUMMER[0].date():
            for number in numbers[::2]:
                window = ExpectedRoll(CODE, number, *SECOND_SUMMER, "anna", self.clock.now())
                expect_roll(self.bridge.store, self.bridge.book("anna"), window)

    def _drain(self) -> None:
        for lane in self.lanes:
            while deliver(lane, self.ear):
                pass

    def _hear(self) -> None:
        """Take note of which documents are recorded now, whole or all but deletions."""
        partly = {hold.digest for hold in self._open() if hold.subject == DELETIONS}
        for run in self.ear.runs:
            told = self.source.told.get(run.digest or "")
            if told is not None and run.result == "recorded":
                self.accepted[told.number] = told
            elif told is not None and run.digest in partly:
                self._partly[told.number] = told
            elif run.result == "recorded" and run.institution in self._partly:  # deletions, allowed later
                self.accepted[run.institution] = self._partly.pop(run.institution)
            self.report.runs[run.result] += 1
            self.report.changes += run.changes
        self.ear.runs.clear()
        self.watch.learn(self.source.shown.values(), self.accepted.values())
        while len(self.source.told) > 40:
            del self.source.told[next(iter(self.source.told))]

    def _look(self) -> None:
        assert not self.ear.troubles, f"{self.today}: {self.ear.troubles}"
        assert not self.watch.leaks, f"{self.today}: {self.watch.leaks[:5]}"
        accepted = list(self.accepted.values())
        if accepted != self._known:
            self._known, self._truth = accepted, Truth.of(CODE, accepted)
        removed = self.inspector.check(self._day(), self._truth)
        if self.today in (EMPTY_NIGHT, EMPTY_NIGHT + timedelta(days=1)):
            assert not removed, f"the empty night removes {removed[:5]}"
        self._check_taken_in()

    def _check_taken_in(self) -> None:
        """What is under agreement is taken in on the same day; what is not stays as it was on the last day."""
        for number, known in self.accepted.items():
            if number in self.source.agreed:
                assert known.content == self.town.institution(number).content, f"{self.today}: {number} lags"
            else:
                assert known.export_time.date() < WITHDRAWN, f"{self.today}: {number} has no agreement"

    def _check_the_end(self) -> None:
        """All targets hold what the municipality itself tells, of whatever kind."""
        assert keys_of(self.accepted.values()) == self.town.truth()
        today = [self.town.institution(number) for number in self.town.institutions()]
        self.inspector.check_the_end(Truth.of(CODE, today))
        told = self.aula.receiver.objects.values()
        assert {one["user_id"] for one in told if one.get("protected") is True} == self.town.protected()

    def _reported(self) -> Report:
        self.report.days = self._day() + 1
        self.report.texts, self.report.protected = self.watch.looked_at, len(self.watch.ever)
        self.report.absences = self.inspector.people.gaps
        for name, wire in (("scim", self.platform.wire), ("aula", self.aula.wire)):
            self.report.steps += Counter(f"{name} {step.operation} {step.kind}" for step in wire.steps)
        return self.report

    # ------------------------------------------------------------ the person who decides

    def _operate(self) -> None:
        """Decide on what waits, carry it out, and deliver, until nothing waits that can be decided today."""
        for _ in range(10):
            if not sum(self._decide(hold) for hold in self._open()):
                return
            self.bridge.settle(self.intake, self.ear)  # type: ignore[arg-type]
            self._hear()
            self._drain()
        raise AssertionError("holds never come to an end")

    def _open(self) -> list[Hold]:
        with self.bridge.store.read() as reader:
            return [hold for hold in reader.holds(("open",)) if hold.id not in self._left]

    def _decide(self, hold: Hold) -> bool:
        """Look whether a hold is what it should be and decide; False for one that is left open."""
        if hold.id not in self._met:
            self._met.add(hold.id)
            self.report.holds[f"{hold.target or 'institution'} {hold.subject} {'+'.join(hold.reasons)}"] += 1
        if EMPTY in hold.reasons:
            assert self.today == EMPTY_NIGHT, f"{hold.institution} is said to be empty on {self.today}"
            is_left = int(hold.institution) % 2 == 1  # for the next good export to end
            if is_left:
                self._left.add(hold.id)
                return False
        elif SCHOOL_YEAR in hold.reasons:
            self._check_roll(hold)
        decide_hold(
            self.bridge.store,
            self.bridge.book("anna"),
            hold.id,
            approve=EMPTY not in hold.reasons,
            by="anna",
            now=self.clock.now(),
        )
        return True

    def _check_roll(self, hold: Hold) -> None:
        """The hold tells who leaves, who starts, and that it is a new school year."""
        before, after = self.accepted[hold.institution], self.source.shown[hold.institution]
        assert hold.subject == "snapshot"
        assert years_of(before) != years_of(after), f"{hold.institution} does not roll on {self.today}"
        assert set(hold.summary[LEAVERS]) == pupils_of(before) - pupils_of(after)
        assert set(hold.summary[STARTERS]) == pupils_of(after) - pupils_of(before)
        assert set(hold.people) == {user_id for user_id, _ in roles_of(before) - roles_of(after)}


def _pupils(town: Municipality) -> set[tuple[str, str]]:
    return {(n, user_id) for n in town.institutions() for user_id in pupils_of(town.institution(n))}


def _configured(folder: Path, source: TownSource, clock: HandClock) -> YearBridge:
    copy(Path(__file__).with_name("platform.yaml"), folder)
    secret = folder / "secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    platform = {"connector": "scim", "base_url": SCIM_URL, "mapping": "platform.yaml"}
    agreement = {"mode": "agreement", "agreement": "none, a stand-in"}
    aula = {"connector": "aula", **agreement, "base_url": AULA_URL, "secret_file": "secret"}
    municipality = {
        "name": "Eksempel Kommune",
        "institutions": "all",
        "source": {"connector": "town"},
        "targets": {"platform": platform, "aula": aula},
    }
    settings = {"state_folder": "state", "web": {"listen": None}, "municipalities": {CODE: municipality}}
    file = folder / "skolebro.yaml"
    file.write_text(yaml.safe_dump(settings))
    town = Connector("town", ConnectorConfig, source=lambda config, services: source)
    return YearBridge(load_settings(file, {**Registry(), "town": town}), open_throwaway(), b"key", clock)
