"""A register of institutions is asked on its own time; what it says goes out with each, and stops nobody."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import timedelta

from bridge.connector import Institution
from bridge.domain.entities import Code, Kind
from bridge.domain.errors import SourceError, SourceUnavailable
from bridge.engine.facts import Describer, describe_step
from bridge.engine.fetch import Listener
from bridge.engine.schedule import Schedule
from tests.support.engine import OTHER_SCHOOL, SCHOOL, TOWN, Bench, pupil

DAY = timedelta(days=1)
SPECIAL = Institution(SCHOOL, "Skolen ved Åen", Code("Specialskole", "9"), "0751", "101000", ("101009",))


class Register:
    """Says what it is told to say, and remembers whom it was asked about."""

    facts_interval = DAY

    def __init__(self) -> None:
        self.says: list[Institution] = [SPECIAL]
        self.trouble: SourceError | None = None
        self.asked: list[list[str]] = []

    def describe(self, institutions: Collection[str]) -> Iterable[Institution]:
        self.asked.append(sorted(institutions))
        if self.trouble is not None:
            raise self.trouble
        return self.says


class Desk:
    def __init__(self) -> None:
        self.bench, self.register, self.listener = Bench(), Register(), Listener()
        self.at = self.bench.clock.now()
        schedule = Schedule.read(
            TOWN, interval=DAY, cron=None, zone="UTC", jitter=timedelta(0), quiet_hours=("22:00-05:00",)
        )
        intake = replace(self.bench.intake, now=lambda: self.at)
        self.describer = Describer(intake, self.register, schedule)

    def step(self, *, after: timedelta = timedelta(0)) -> int:
        self.at += after
        return describe_step(self.describer, self.listener)

    def school(self) -> object:
        return self.bench.entities(Kind.INSTITUTION)[SCHOOL,]


def test_what_the_register_says_goes_out_with_the_next_snapshot_even_an_unchanged_one() -> None:
    desk = Desk()
    desk.bench.take(pupil("anna"))
    assert desk.step() == 1
    assert desk.bench.take(pupil("anna"))[0] == "recorded"
    assert desk.school() == SPECIAL
    assert desk.bench.take(pupil("anna"))[0] == "unchanged"


def test_an_institution_that_changed_in_the_register_is_wanted() -> None:
    desk = Desk()
    desk.bench.take(pupil("anna"))
    desk.step()
    with desk.bench.store.read() as reader:
        (row,) = reader.subscriptions(TOWN)
    assert (row.institution, row.wanted_at) == (SCHOOL, desk.at)


def test_the_exports_name_stands_where_the_register_gives_none() -> None:
    desk = Desk()
    desk.register.says = [replace(SPECIAL, name=None)]
    desk.bench.take(pupil("anna"))
    desk.step()
    desk.bench.take(pupil("anna"))
    assert desk.school() == replace(SPECIAL, name="Skolen")


def test_the_register_is_asked_in_its_own_interval_and_about_what_is_known() -> None:
    desk = Desk()
    assert desk.step() == 0
    desk.bench.take(pupil("anna"))
    for _ in range(3):
        desk.step(after=DAY / 2)
    assert desk.register.asked == [[SCHOOL], [SCHOOL]]


def test_nothing_new_in_the_register_changes_nothing() -> None:
    desk = Desk()
    desk.bench.take(pupil("anna"))
    assert [desk.step(), desk.step(after=DAY)] == [1, 0]


def test_a_register_that_fails_is_told_and_asked_again_within_the_hour() -> None:
    desk = Desk()
    desk.bench.take(pupil("anna"))
    desk.register.trouble = SourceUnavailable("http_500: away")
    assert desk.step() == 0
    assert [(run.institution, run.result, run.reason) for run in desk.listener.runs] == [
        (None, "failed", "institution_data")
    ]
    desk.register.trouble = None
    assert [desk.step(), desk.step(after=timedelta(hours=1))] == [0, 1]
    assert desk.bench.take(pupil("anna"), pupil("bo"))[0] == "recorded"


def test_an_institution_that_nobody_fetches_is_not_asked_about() -> None:
    desk = Desk()
    desk.bench.take(pupil("anna"))
    desk.register.says = [SPECIAL, replace(SPECIAL, institution_number=OTHER_SCHOOL)]
    desk.step()
    assert (OTHER_SCHOOL,) not in desk.bench.entities(Kind.INSTITUTION)
