"""A year of a municipality, one day after the other, with a person who decides on holds and one who looks closely.

Everything is the real thing but the systems around it: configuration, intake from XML, engine, store and connectors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from shutil import copy
from typing import Any

import yaml

from bridge.adapters.store_sql import open_throwaway
from bridge.app.bridge import Bridge
from bridge.config.load import load_settings
from bridge.connector import Connector, ConnectorConfig, Services
from bridge.domain.entities import Kind
from bridge.engine.audit import verify
from bridge.engine.decide import decide_hold
from bridge.engine.deliver import Lane, deliver
from bridge.engine.detect import Detection
from bridge.engine.expect import expect_roll
from bridge.engine.guard import EMPTY, SCHOOL_YEAR, SHRUNKEN
from bridge.engine.roll import LEAVERS, STARTERS
from bridge.ports import Delivery, ExpectedRoll, Hold, Run, TargetState
from bridge.registry import Registry
from bridge.testing.stil_export import Knobs
from bridge.testing.stil_municipality import Calendar, Churn, Makeup, Municipality
from bridge.testing.stil_records import Institution, keys_of
from tests.support.model import identity
from tests.support.rig import assert_same
from tests.year.expected import Truth, Watch, pupils_of
from tests.year.systems import AULA_URL, SCIM_URL, SECRET, AulaInProcess, HandClock, ScimInProcess, TownSource, Wire, real_now

CODE = "999"
START = datetime(2026, 6, 20, 3, tzinfo=UTC)
HOLIDAYS = (
    (date(2026, 10, 10), date(2026, 10, 18)),
    (date(2026, 12, 19), date(2027, 1, 3)),
    (date(2027, 2, 13), date(2027, 2, 22)),
    (date(2027, 3, 20), date(2027, 3, 29)),
)
# Who left 32 days before would be deleted at the platform on that night, and who left the day before at Aula:
# both are holidays, so whatever is deleted then is the empty night's doing.
EMPTY_NIGHT = date(2027, 3, 24)
WITHDRAWN, RESTORED = date(2026, 11, 2), date(2026, 11, 23)
SECOND_SUMMER = (datetime(2027, 6, 1, tzinfo=UTC), datetime(2027, 8, 31, tzinfo=UTC))
RETENTION = 30  # days that an account sleeps at the platform, as by default
_QUIET_DAYS = RETENTION + 4
TARGETS = (f"{CODE}/platform", f"{CODE}/aula")


def town_of(pupils: int, seed: int) -> Municipality:
    """Ten schools with two rolls ahead of them."""
    return Municipality(
        seed,
        schools=10,
        pupils=pupils,
        code=CODE,
        makeup=Makeup(tracks="AB", teaching_groups=2, is_marked=True),
        churn=Churn(joiners=0.15, leavers=0.2, contact_details=0.5, protection=0.05, moves=0.3, returners=50),
        calendar=Calendar(first_roll=(6, 22), last_roll=(7, 20), early_days=45, holidays=HOLIDAYS),
        start=START,
    )


class YearBridge(Bridge):
    """The bridge as it is configured, but for the wires: these end in this process."""

    wires: dict[str, Any]

    def _services(self, *told: Any) -> Services:
        return replace(super()._services(*told), http=lambda url, **_: self.wires[url], now=real_now)


@dataclass(slots=True)
class Ear:
    """Hears how every snapshot ended, and what became of the target as a whole."""

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
class Seen:
    """When somebody, or an account, last had to be there: the number of the day, by canonical id."""

    last: dict[str, int] = field(default_factory=dict)
    gaps: Counter[int] = field(default_factory=Counter)

    def note(self, there: Iterable[str], day: int) -> None:
        for identity_ in there:
            absent = day - self.last.get(identity_, day - 1) - 1
            if absent:
                self.gaps[absent] += 1
            self.last[identity_] = day


class Year:
    """One municipality, its bridge and its targets; `live` lets all days pass and checks each of them."""

    def __init__(self, folder: Path, *, pupils: int, days: int, seed: int = 5) -> None:
        self.days = days
        self.town = town_of(pupils, seed)
        self.clock = HandClock(self.town.export_time)
        self.source = TownSource(self.town, self.clock)
        self.watch, self.ear = Watch(), Ear()
        self.platform = ScimInProcess(Wire(lambda: self.day, self.watch.look))
        self.aula = AulaInProcess(Wire(lambda: self.day, self.watch.look))
        self.accepted: dict[str, Institution] = {}
        self.partly: dict[str, Institution] = {}
        self.users, self.people = Seen(), Seen()
        self.holds: Counter[str] = Counter()
        self.moves, self.quiet = 0, 0
        self.bridge = self._configured(folder)
        self.lanes: list[Lane] = self.bridge.lanes()
        self.intake = self.bridge.intake(self.bridge.settings.municipalities[0])
        self._versions: dict[tuple[Kind, tuple[str, ...]], int] = {}
        self._heads: list[str] = []

    @property
    def day(self) -> int:
        return self.town.day + self.quiet

    @property
    def today(self) -> date:
        return self.town.export_time.date()

    @property
    def store(self) -> Any:
        return self.bridge.store

    def _configured(self, folder: Path) -> YearBridge:
        copy(Path(__file__).with_name("platform.yaml"), folder)
        secret = folder / "secret"
        secret.touch(mode=0o600)
        secret.write_text(SECRET)
        settings = {
            "state_folder": "state",
            "web": {"listen": None},
            "municipalities": {
                CODE: {
                    "name": "Eksempel Kommune",
                    "institutions": "all",
                    "source": {"connector": "town"},
                    "targets": {
                        "platform": {"connector": "scim", "base_url": SCIM_URL, "mapping": "platform.yaml"},
                        "aula": {
                            "connector": "aula",
                            "mode": "agreement",
                            "base_url": AULA_URL,
                            "secret_file": "secret",
                        },
                    },
                }
            },
        }
        file = folder / "skolebro.yaml"
        file.write_text(yaml.safe_dump(settings))
        town = Connector("town", ConnectorConfig, source=lambda config, services: self.source)
        bridge = YearBridge(
            load_settings(file, {**Registry(), "town": town}), open_throwaway(), b"key", self.clock
        )
        bridge.wires = {SCIM_URL: self.platform, AULA_URL: self.aula}
        return bridge

    # ------------------------------------------------------------ the days

    def live(self) -> None:
        """Let every day pass, then as many as it takes until nobody is on the way out any more."""
        try:
            self._live_day()
            while self.town.day + 1 < self.days:
                before = {number: pupils_of(self.town.institution(number)) for number in self.town.institutions()}
                self.town.advance()
                self._count_moves(before)
                self._live_day()
            for _ in range(_QUIET_DAYS):
                self.quiet += 1
                self._live_day()
            self._check_the_end()
        finally:
            self.store.close()

    def _count_moves(self, before: dict[str, frozenset[str]]) -> None:
        known = {user_id for pupils in before.values() for user_id in pupils} | self._known_pupils
        self._known_pupils = known
        for number, pupils in before.items():
            self.moves += len((pupils_of(self.town.institution(number)) - pupils) & known)

    _known_pupils: frozenset[str] | set[str] = frozenset()

    def _live_day(self) -> None:
        self.clock.at = self.town.export_time + timedelta(days=self.quiet, hours=1)
        self._prepare()
        self.bridge.take_in(self.bridge.settings.municipalities[0], self.ear)
        self._hear()
        self._drain()
        self._operate()
        self._check_day()
        self.clock.at += timedelta(hours=12)
        self.bridge.settle(self.intake, self.ear)
        self._drain()

    def _prepare(self) -> None:
        """What somebody does, or goes wrong, on this day."""
        numbers = self.town.institutions()
        self.source.knobs = {n: Knobs(empty=True) for n in numbers} if self.is_empty_night else {}
        if self.today == WITHDRAWN:
            self.source.agreed.discard(numbers[4])
        if self.today == RESTORED:
            self.source.agreed.add(numbers[4])
        if self.today == SECOND_SUMMER[0].date() and not self.quiet:
            for number in numbers[::2]:
                window = ExpectedRoll(CODE, number, *SECOND_SUMMER, "anna", self.clock.now())
                expect_roll(self.store, self.bridge.book(), window)

    @property
    def is_empty_night(self) -> bool:
        return self.today == EMPTY_NIGHT

    @property
    def withdrawn(self) -> frozenset[str]:
        return frozenset(self.town.institutions()) - self.source.agreed

    def _drain(self) -> None:
        for lane in self.lanes:
            while deliver(lane, self.ear):
                pass

    def _hear(self) -> None:
        """Take note of which documents are recorded now, whole or all but deletions."""
        for run in self.ear.runs:
            told = self.source.told.get(run.digest or "")
            if told is not None and run.result == "recorded":
                self.accepted[told.number] = told
            elif told is not None and run.result == "held" and run.reason == SHRUNKEN:
                self.partly[told.number] = told
            elif run.result == "recorded" and run.institution in self.partly:  # the deletions, allowed later
                self.accepted[run.institution] = self.partly.pop(run.institution)
            self.counts[run.result] += 1
            self.changes += run.changes
        self.ear.runs.clear()
        self.watch.learn(self.source.shown.values(), self.accepted.values())

    # ------------------------------------------------------------ the person who decides

    def _operate(self) -> None:
        """Decide on what waits, carry it out, and deliver, until nothing waits that can be decided today."""
        for _ in range(10):
            waiting = [hold for hold in self._open() if self._decide(hold)]
            if not waiting:
                return
            self.bridge.settle(self.intake, self.ear)
            self._hear()
            self._drain()
        raise AssertionError("holds never come to an end")

    def _open(self) -> list[Hold]:
        with self.store.read() as reader:
            return reader.holds(("open",))

    def _decide(self, hold: Hold) -> bool:
        """Look whether a hold is what it should be and decide; False for one that is left open."""
        if hold.id not in self._met:
            self._met.add(hold.id)
            self.holds[f"{hold.target or 'institution'}: {', '.join(hold.reasons)}"] += 1
        if EMPTY in hold.reasons:
            return self._refuse_empty(hold)
        if SCHOOL_YEAR in hold.reasons:
            self._check_roll(hold)
        approve = partial(decide_hold, self.store, self.bridge.book("anna"), hold.id, approve=True)
        approve(by="anna", now=self.clock.now())
        return True

    _met: set[int]

    def _refuse_empty(self, hold: Hold) -> bool:
        """Of the empty exports some are rejected, and some left to the next good one."""
        assert self.is_empty_night, f"{hold.institution} is said to be empty on {self.today}"
        if int(hold.institution) % 2:
            return False
        decide_hold(
            self.store, self.bridge.book("anna"), hold.id, approve=False, by="anna", now=self.clock.now()
        )
        return True

    def _check_roll(self, hold: Hold) -> None:
        before, after = self.accepted[hold.institution], self.source.shown[hold.institution]
        assert _years(before) != _years(after), f"{hold.institution} does not roll on {self.today}"
        assert hold.subject == "snapshot"
        assert set(hold.summary[LEAVERS]) == pupils_of(before) - pupils_of(after)
        assert set(hold.summary[STARTERS]) == pupils_of(after) - pupils_of(before)
        assert set(hold.people) == _affiliates_gone(before, after)

    # ------------------------------------------------------------ the one who looks closely

    def _check_day(self) -> None:
        assert not self.ear.troubles, f"{self.today}: {self.ear.troubles}"
        assert not self.watch.leaks, f"{self.today}: {self.watch.leaks[:5]}"
        truth = Truth.of(CODE, self.accepted.values())
        self._check_steps(truth)
        self.users.note(truth.users, self.day)
        self.people.note(truth.people, self.day)
        self._check_platform(truth)
        self._check_aula(truth)
        self._check_books()
        while len(self.source.told) > 40:
            del self.source.told[next(iter(self.source.told))]

    def _check_steps(self, truth: Truth) -> None:
        """Nothing that is there was deleted, nobody before their time, and nothing at all by an empty night."""
        gone = [step for wire in self._wires for step in wire.steps[self._looked[id(wire)] :]]
        for wire in self._wires:
            self._looked[id(wire)] = len(wire.steps)
        removals = [step for step in gone if step.operation in ("delete", "sleep")]
        if self.today in (EMPTY_NIGHT, EMPTY_NIGHT + timedelta(days=1)):
            assert not removals, f"the empty night removes {removals[:5]}"
        for step in removals:
            about = f"{self.today}: {step}"
            match step.kind, step.operation:
                case "Users", operation:
                    rest = RETENTION if operation == "delete" else 0
                    assert step.id not in truth.users, about
                    assert self.day - self.users.last[step.id] >= 2 + rest, about
                case "person", _:
                    assert step.id not in truth.people, about
                    assert self.day - self.people.last[step.id] >= 2, about
                case "Groups", _:
                    assert step.id not in truth.groups, about
                case kind, _:
                    assert f"{kind}/{step.id}" not in truth.objects, about

    @property
    def _wires(self) -> tuple[Wire, Wire]:
        return self.platform.wire, self.aula.wire

    def _check_platform(self, truth: Truth, *, is_end: bool = False) -> None:
        users, groups = _platform_state(self.platform)
        leaving = {name: users.pop(name) for name in users.keys() - truth.users.keys()}
        assert_same(users, dict(truth.users))
        assert_same(groups, dict(truth.groups))
        for name, user in leaving.items():
            absent = self.day - self.users.last[name]
            assert absent <= RETENTION + 2, f"{self.today}: {name} was left at the platform for {absent} days"
            assert user["active"] is (absent < 2), f"{self.today}: {name} is not asleep after {absent} days"
        assert not (is_end and leaving)
        for name in truth.users:
            made = self.remote_ids.setdefault(name, users[name] and self._remote_id(name))
            assert made

    def _remote_id(self, name: str) -> str:
        return name

    def _check_aula(self, truth: Truth, *, is_end: bool = False) -> None:
        objects = self.aula.receiver.objects
        assert self.aula.receiver.stale == 0
        leaving = {name: objects.pop(name) for name in objects.keys() - truth.objects.keys()}
        assert_same(objects, dict(truth.objects))
        for name in leaving:
            kind, identity_ = name.split("/")
            absent = self.day - self.people.last[identity_] if kind == "person" else 99
            assert absent < 2, f"{self.today}: Aula still has {name}"
        assert not (is_end and leaving)
