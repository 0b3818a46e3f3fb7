"""A register of institutions is asked on its own time; what it says goes out with each, and stops nobody."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.connector import Institution
from bridge.domain.entities import Code, Kind
from bridge.domain.errors import AgreementMissing, SourceError, SourceUnauthorised, SourceUnavailable
from bridge.engine.facts import Describer, describe_step
from bridge.engine.retry import RetryPolicy
from bridge.engine.schedule import Schedule
from bridge.observe import needs_person
from bridge.ports import REGISTER, WHOLE, Subscription
from tests.support.engine import OTHER_SCHOOL, SCHOOL, TOWN, Bench, header, pupil

DAY = timedelta(days=1)
SPECIAL = Institution(SCHOOL, "Skolen ved Åen", Code("Specialskole", "9"), "0751", "101000", ("101009",))


class Register:
    """Says what it is told to say, and remembers whom it was asked about."""

    facts_interval = DAY

    def __init__(self) -> None:
        self.says: list[Institution] = [SPECIAL]
        self.says_before_trouble: list[Institution] = []
        self.trouble: SourceError | None = None
        self.asked: list[list[str]] = []

    def describe(self, institutions: Collection[str]) -> Iterable[Institution]:
        self.asked.append(sorted(institutions))
        if self.trouble is not None:
            yield from self.says_before_trouble
            raise self.trouble
        yield from self.says


class Desk:
    def __init__(self) -> None:
        self.bench, self.register = Bench(), Register()
        self.at = self.bench.clock.now()
        schedule = Schedule.read(
            TOWN, interval=DAY, cron=None, zone="UTC", jitter=timedelta(0), quiet_hours=("22:00-05:00",)
        )
        intake = replace(self.bench.intake, now=lambda: self.at)
        hour = timedelta(hours=1)
        self.describer = Describer(intake, self.register, schedule, RetryPolicy(hour, hour, hour))

    def step(self, *, after: timedelta = timedelta(0)) -> int:
        self.at += after
        return describe_step(self.describer)

    def row(self, institution: str = REGISTER) -> Subscription:
        with self.bench.store.read() as reader:
            return next(row for row in reader.subscriptions(TOWN) if row.institution == institution)

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
    assert desk.row(SCHOOL).wanted_at == desk.at


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
    assert (desk.row().failures, desk.row().reason) == (1, "http_500")
    desk.register.trouble = None
    assert [desk.step(), desk.step(after=timedelta(hours=1))] == [0, 1]
    assert desk.row().failures == 0
    assert desk.bench.take(pupil("anna"), pupil("bo"))[0] == "recorded"


@pytest.mark.parametrize("refusal", [SourceUnauthorised("signature_refused: x"), AgreementMissing("no")])
def test_a_register_that_refuses_us_is_for_a_person_and_asked_again_in_its_turn(refusal: SourceError) -> None:
    desk = Desk()
    desk.bench.take(pupil("anna"))
    desk.register.trouble = refusal
    for _ in range(24):
        desk.step(after=timedelta(hours=1))
    assert len(desk.register.asked) <= 2
    assert (desk.row().reason, needs_person(desk.row().reason)) == ("register_refused", True)


def test_a_register_is_left_alone_while_its_source_is() -> None:
    desk = Desk()
    desk.bench.take(pupil("anna"))
    with desk.bench.store.write() as uow:
        uow.put_subscriptions([Subscription(TOWN, WHOLE, failures=1, retry_at=desk.at + timedelta(hours=2))])
    assert [desk.step(), desk.step(after=timedelta(hours=2))] == [0, 1]


def test_what_came_before_a_failure_is_kept() -> None:
    desk = Desk()
    desk.bench.take(pupil("anna"))
    desk.register.says_before_trouble, desk.register.trouble = [SPECIAL], SourceUnavailable("timeout: gone")
    assert desk.step() == 1
    desk.bench.take(pupil("anna"))
    assert desk.school() == SPECIAL


def test_a_new_institution_is_asked_about_at_once_and_once_though_the_register_knows_nothing() -> None:
    desk = Desk()
    desk.bench.take(pupil("anna"))
    desk.step()
    desk.bench.take(pupil("bo"), head=header(OTHER_SCHOOL), expected=OTHER_SCHOOL)
    for _ in range(3):
        desk.step(after=timedelta(minutes=1))
    assert desk.register.asked == [[SCHOOL], [OTHER_SCHOOL]]
    assert desk.bench.take(pupil("bo"), head=header(OTHER_SCHOOL), expected=OTHER_SCHOOL)[0] == "unchanged"


def test_what_is_known_of_an_institution_that_the_register_leaves_out_stays() -> None:
    desk = Desk()
    desk.bench.take(pupil("anna"))
    desk.step()
    desk.register.says = []
    assert desk.step(after=DAY) == 0
    desk.bench.take(pupil("anna"), pupil("bo"))
    assert desk.school() == SPECIAL


def test_a_clock_that_was_in_the_future_does_not_silence_the_register() -> None:
    desk = Desk()
    desk.bench.take(pupil("anna"))
    desk.step(after=365 * DAY)
    desk.at -= 365 * DAY
    desk.step()
    assert len(desk.register.asked) == 2


def test_an_institution_that_nobody_fetches_is_not_asked_about() -> None:
    desk = Desk()
    desk.bench.take(pupil("anna"))
    desk.register.says = [SPECIAL, replace(SPECIAL, institution_number=OTHER_SCHOOL)]
    desk.step()
    assert (OTHER_SCHOOL,) not in desk.bench.entities(Kind.INSTITUTION)
