"""Institutions are asked for in their turn, by their agreements; what fails is asked again, alone and later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Barrier, Event, Lock

import pytest

from bridge.domain.entities import Kind
from bridge.domain.errors import (
    AgreementMissing,
    SnapshotInvalid,
    SourceError,
    SourceUnauthorised,
    SourceUnavailable,
)
from bridge.domain.ids import Key
from bridge.domain.records import Snapshot
from bridge.engine.intake import Listener
from bridge.engine.retry import RetryPolicy
from bridge.engine.schedule import Schedule
from bridge.engine.subscribe import Subscriber, ask_now, forget_institutions, subscribe_step, try_mended
from bridge.ports import FEED, WHOLE, Subscription
from tests.support.engine import MORNING, OTHER_SCHOOL, SCHOOL, TOWN, Bench, FakeSource, header, pupil

HOUR = timedelta(hours=1)


class Register(FakeSource):
    """A source by script: who is agreed, and how each institution answers."""

    def __init__(
        self,
        agreed: Iterable[str],
        *,
        concurrency: int = 2,
        trouble: Mapping[str, Exception] | None = None,
        list_trouble: SourceError | None = None,
    ) -> None:
        super().__init__()
        self.agreed, self.concurrency = set(agreed), concurrency
        self.trouble, self.list_trouble = dict(trouble or {}), list_trouble
        self.asked: list[str] = []
        self.gate: Callable[[], object] = lambda: None
        self._lock = Lock()

    def agreements(self) -> frozenset[str]:
        if self.list_trouble is not None:
            raise self.list_trouble
        return frozenset(self.agreed)

    def fetch(self, institution: str) -> Snapshot:
        with self._lock:
            self.asked.append(institution)
        self.gate()
        if institution in self.trouble:
            raise self.trouble[institution]
        with self._lock:
            return self.offer(pupil(f"p{institution}"), head=header(institution), expected=institution)


class Desk:
    """A subscriber over a register, and a clock that is set by hand."""

    def __init__(
        self, register: Register, institutions: frozenset[str] | None = None, quiet: tuple[str, ...] = ()
    ) -> None:
        self.bench = Bench()
        self.at: datetime = MORNING
        intake = replace(self.bench.intake, source=register, institutions=institutions, now=lambda: self.at)
        schedule = Schedule.read(
            TOWN, interval=6 * HOUR, cron=None, zone="UTC", jitter=timedelta(0), quiet_hours=quiet
        )
        policy = RetryPolicy(timedelta(minutes=2), 6 * HOUR, HOUR)
        self.subscriber = Subscriber(intake, register, schedule, policy, policy, lambda: 0.5)
        self.listener = Listener()

    def step(self, *, after: timedelta = timedelta(0)) -> int:
        self.at += after
        return subscribe_step(self.subscriber, self.listener)

    def row(self, institution: str) -> Subscription:
        with self.subscriber.intake.store.read() as reader:
            return next(row for row in reader.subscriptions(TOWN) if row.institution == institution)

    def change(self, institution: str, **fields: object) -> None:
        with self.subscriber.intake.store.write() as uow:
            uow.put_subscriptions([replace(self.row(institution), **fields)])  # type: ignore[arg-type]

    def configure(self, institutions: frozenset[str]) -> None:
        """Go on with other institutions, as after a restart."""
        self.subscriber = replace(
            self.subscriber, intake=replace(self.subscriber.intake, institutions=institutions)
        )

    @property
    def failures(self) -> int:
        """Of the source as a whole, in a row."""
        return self.row(WHOLE).failures if self.told else 0

    @property
    def people(self) -> set[Key]:
        return set(self.bench.entities(Kind.PERSON))

    @property
    def told(self) -> list[tuple[str | None, str, str | None]]:
        return [(run.institution, run.result, run.reason) for run in self.listener.runs]


def test_a_pass_asks_for_every_institution_under_agreement() -> None:
    register = Register({SCHOOL, OTHER_SCHOOL})
    desk = Desk(register)
    assert desk.step() == 2
    assert sorted(register.asked) == [SCHOOL, OTHER_SCHOOL]
    assert {run.result for run in desk.listener.runs} == {"recorded"}


def test_nothing_is_asked_before_its_turn() -> None:
    register = Register({SCHOOL})
    desk = Desk(register)
    assert [desk.step(), desk.step(after=5 * HOUR), desk.step(after=HOUR)] == [1, 0, 1]


def test_nothing_is_asked_in_quiet_hours_but_by_a_person() -> None:
    register = Register({SCHOOL})
    desk = Desk(register, quiet=("00:00-23:59",))
    assert desk.step() == 0
    assert ask_now(desk.subscriber, desk.listener) == 1


def test_no_more_are_asked_at_a_time_than_the_source_allows() -> None:
    numbers = {f"10{n:04}" for n in range(9)}
    register = Register(numbers, concurrency=3)
    together = Barrier(3)  # breaks, and fails the test, when a fourth or only a second thread asks
    register.gate = lambda: together.wait(timeout=30)
    assert Desk(register).step() == 9


def test_what_is_configured_without_agreement_is_told_once_and_not_asked_for() -> None:
    register = Register({SCHOOL})
    desk = Desk(register, frozenset({SCHOOL, OTHER_SCHOOL}))
    desk.step()
    desk.step(after=6 * HOUR)
    assert register.asked == [SCHOOL, SCHOOL]
    assert desk.told.count((OTHER_SCHOOL, "failed", "agreement_missing")) == 1
    assert desk.row(OTHER_SCHOOL).agreement == "missing"


def test_what_is_agreed_but_not_configured_is_known_and_not_asked_for() -> None:
    register = Register({SCHOOL, OTHER_SCHOOL})
    desk = Desk(register, frozenset({SCHOOL}))
    desk.step()
    assert (register.asked, desk.row(OTHER_SCHOOL).agreement) == ([SCHOOL], "unused")


@pytest.mark.parametrize("configured", [None, frozenset({SCHOOL, OTHER_SCHOOL})])
def test_an_agreement_that_ends_deletes_nobody_and_starts_a_clock(configured: frozenset[str] | None) -> None:
    register = Register({SCHOOL, OTHER_SCHOOL})
    desk = Desk(register, configured)
    desk.step()
    before = desk.people
    register.agreed = {SCHOOL}
    for _ in range(3):
        desk.step(after=6 * HOUR)
    assert desk.people == before
    assert desk.told.count((OTHER_SCHOOL, "failed", "agreement_withdrawn")) == 1
    row = desk.row(OTHER_SCHOOL)
    assert (row.agreement, row.agreement_at) == ("withdrawn", MORNING + 6 * HOUR)


def test_an_empty_list_of_agreements_deletes_nobody() -> None:
    register = Register({SCHOOL})
    desk = Desk(register)
    desk.step()
    before = desk.people
    register.agreed = set()
    desk.step(after=6 * HOUR)
    assert desk.people == before
    assert (None, "failed", "agreement_missing") in desk.told


def test_an_agreement_that_comes_back_is_used_again() -> None:
    register = Register({SCHOOL})
    desk = Desk(register, frozenset({SCHOOL}))
    for agreed in ({SCHOOL}, set[str](), {SCHOOL}):
        register.agreed = agreed
        desk.step(after=6 * HOUR)
    assert (register.asked, desk.row(SCHOOL).agreement) == ([SCHOOL, SCHOOL], "agreed")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SourceUnavailable("http_503: away"), "http_503"),
        (SnapshotInvalid("digest_wrong"), "digest_wrong"),
    ],
)
def test_an_institution_that_fails_is_asked_again_alone_and_later(error: SourceError, reason: str) -> None:
    register = Register({SCHOOL, OTHER_SCHOOL}, trouble={SCHOOL: error})
    desk = Desk(register)
    desk.step()
    row = desk.row(SCHOOL)
    assert (row.failures, row.reason, row.retry_at) == (1, reason, MORNING + timedelta(minutes=1))
    register.trouble.clear()
    register.asked.clear()
    assert [desk.step(), desk.step(after=timedelta(minutes=1))] == [0, 1]
    assert register.asked == [SCHOOL]
    assert (desk.row(SCHOOL).failures, desk.row(SCHOOL).retry_at) == (0, None)


def test_a_source_that_asks_for_patience_is_left_alone_as_a_whole_and_keeps_nobody_from_the_next_turn() -> None:
    numbers = {f"10{n:04}" for n in range(9)}
    busy = SourceUnavailable("http_429: too many", timedelta(minutes=30))
    register = Register(numbers, concurrency=1, trouble={"100000": busy})
    desk = Desk(register)
    assert desk.step() == 0
    assert len(register.asked) <= 2
    assert (desk.row(WHOLE).reason, desk.row(WHOLE).retry_at) == ("http_429", MORNING + timedelta(minutes=30))
    assert desk.step(after=timedelta(minutes=29)) == 0
    desk.step(after=timedelta(minutes=1))
    assert numbers - {"100000"} <= set(register.asked)


@pytest.mark.parametrize("asked", [timedelta(0), timedelta(seconds=1)])
def test_a_source_that_asks_for_no_patience_gets_some_all_the_same(asked: timedelta) -> None:
    desk = Desk(Register({SCHOOL}, list_trouble=SourceUnavailable("http_503: away", asked)))
    tries = 0
    for _ in range(100):
        before = desk.failures
        desk.step(after=timedelta(seconds=5))
        tries += desk.failures > before
    assert tries <= 5


def test_institutions_that_always_fail_keep_nobody_from_being_served() -> None:
    numbers = {f"10{n:04}" for n in range(9)}
    broken = dict.fromkeys(sorted(numbers)[:3], SourceUnavailable("service_fault: broken"))
    for concurrency in (1, 4):
        register = Register(numbers, concurrency=concurrency, trouble=broken)
        desk = Desk(register)
        for _ in range(4):
            desk.step(after=HOUR)
        assert desk.people == {(f"p{number}",) for number in numbers - broken.keys()}
        assert {desk.row(number).reason for number in broken} == {"service_fault"}
        assert desk.row(WHOLE).failures == 0


def test_a_source_whose_exports_all_fail_is_not_well_again_because_all_of_them_wait() -> None:
    numbers = {f"10{n:04}" for n in range(5)}
    away = SourceUnavailable("service_fault: down")
    register = Register(numbers, concurrency=1, trouble=dict.fromkeys(numbers, away))
    desk = Desk(register)
    for _ in range(12 * 60):
        desk.step(after=timedelta(minutes=1))
    assert desk.listener.recovered == []
    assert desk.told.count((None, "failed", "service_fault")) == 1
    assert len(register.asked) < 100
    register.trouble.clear()
    for _ in range(7):
        desk.step(after=HOUR)
    assert desk.listener.recovered == [TOWN]
    assert desk.people == {(f"p{number}",) for number in numbers}


def test_a_bug_of_the_connector_stops_its_institution_only() -> None:
    register = Register({SCHOOL, OTHER_SCHOOL}, concurrency=1, trouble={SCHOOL: ZeroDivisionError()})
    desk = Desk(register)
    assert desk.step() == 2
    assert (desk.row(SCHOOL).reason, desk.row(OTHER_SCHOOL).reason) == ("reader_error", None)
    assert (SCHOOL, "refused", "reader_error") in desk.told


def test_a_refusal_of_ourselves_is_told_again_after_it_was_mended() -> None:
    register = Register({SCHOOL})
    desk = Desk(register)
    refused = SourceUnauthorised("signature_refused: register it")
    for trouble in (refused, refused, None, None, refused, refused):
        register.list_trouble = trouble
        desk.step(after=6 * HOUR)
    assert desk.told.count((None, "failed", "signature_refused")) == 2
    assert desk.listener.recovered == [TOWN]


def test_a_restart_does_not_tell_the_same_refusal_again_and_asks_at_once() -> None:
    register = Register({SCHOOL}, list_trouble=SourceUnauthorised("signature_refused: register it"))
    desk = Desk(register)
    desk.step()
    assert desk.step(after=timedelta(seconds=1)) == 0
    try_mended(desk.subscriber.intake.store)  # as every start does
    desk.step()
    assert desk.told == [(None, "failed", "signature_refused")]
    register.list_trouble = None
    try_mended(desk.subscriber.intake.store)
    assert desk.step() == 1


def test_a_refused_list_of_agreements_ends_no_agreement() -> None:
    register = Register({SCHOOL})
    desk = Desk(register)
    desk.step()
    register.list_trouble = SourceUnauthorised("connection_agreement_missing: none")
    desk.step(after=6 * HOUR)
    assert desk.row(SCHOOL).agreement == "agreed"


def test_an_institution_that_is_newly_configured_is_asked_for_at_once_and_alone() -> None:
    register = Register({SCHOOL, OTHER_SCHOOL})
    desk = Desk(register, frozenset({SCHOOL}))
    desk.step()
    desk.configure(frozenset({SCHOOL, OTHER_SCHOOL}))
    assert [desk.step(after=HOUR), desk.step()] == [1, 0]
    assert register.asked == [SCHOOL, OTHER_SCHOOL]


def test_an_institution_that_is_not_configured_any_more_is_not_tried_again() -> None:
    register = Register({SCHOOL, OTHER_SCHOOL}, trouble={OTHER_SCHOOL: SnapshotInvalid("digest_wrong")})
    desk = Desk(register, frozenset({SCHOOL, OTHER_SCHOOL}))
    desk.step()
    desk.configure(frozenset({SCHOOL}))
    register.asked.clear()
    assert desk.step(after=HOUR) == 0
    assert register.asked == []


def test_a_withdrawal_is_remembered_though_nobody_configures_the_institution_any_more() -> None:
    register = Register({SCHOOL, OTHER_SCHOOL})
    desk = Desk(register, frozenset({SCHOOL, OTHER_SCHOOL}))
    desk.step()
    register.agreed = {SCHOOL}
    desk.step(after=6 * HOUR)
    desk.configure(frozenset({SCHOOL}))
    desk.step(after=6 * HOUR)
    row = desk.row(OTHER_SCHOOL)
    assert (row.agreement, row.agreement_at) == ("withdrawn", MORNING + 6 * HOUR)


def test_a_nudge_does_not_disturb_who_asked_for_patience_or_was_just_asked() -> None:
    register = Register({SCHOOL}, trouble={SCHOOL: SnapshotInvalid("digest_wrong")})
    desk = Desk(register)
    desk.step()
    desk.change(SCHOOL, retry_at=desk.at + HOUR)
    desk.change(SCHOOL, wanted_at=desk.at)
    assert desk.step(after=timedelta(minutes=30)) == 0
    register.trouble.clear()
    assert desk.step(after=timedelta(minutes=30)) == 1
    asked = 0
    for _ in range(60):
        desk.change(SCHOOL, wanted_at=desk.at)
        asked += desk.step(after=timedelta(seconds=1))
    assert asked <= 1


def test_a_nudge_that_comes_while_its_institution_is_fetched_is_kept() -> None:
    register = Register({SCHOOL})
    desk = Desk(register)
    desk.step()
    register.gate = lambda: desk.change(SCHOOL, wanted_at=desk.at + timedelta(seconds=1))
    desk.change(SCHOOL, wanted_at=desk.at + timedelta(minutes=2))
    desk.step(after=timedelta(minutes=2))
    assert desk.row(SCHOOL).wanted_at == desk.at + timedelta(seconds=1)


@pytest.mark.parametrize("jump", [timedelta(days=365), timedelta(hours=-1)])
def test_a_clock_that_went_wrong_and_was_set_right_neither_stops_nor_floods_the_source(jump: timedelta) -> None:
    register = Register({SCHOOL})
    desk = Desk(register)
    desk.step(after=HOUR)
    desk.at += jump
    desk.step(after=timedelta(seconds=1))
    desk.change(SCHOOL, wanted_at=desk.at)
    desk.at -= jump
    register.asked.clear()
    for _ in range(48):
        desk.step(after=timedelta(minutes=15))
    assert 1 <= len(register.asked) <= 4


def test_a_process_that_is_to_stop_waits_for_no_answer_and_goes_on_later() -> None:
    register = Register({SCHOOL, OTHER_SCHOOL}, concurrency=1)
    desk = Desk(register)
    silence = Event()
    register.gate = lambda: silence.wait(30)
    looks = iter([True] * 3)
    desk.subscriber = replace(desk.subscriber, go_on=lambda: next(looks, False))
    assert desk.step() == 0
    silence.set()
    desk.subscriber = replace(desk.subscriber, go_on=lambda: True)
    assert desk.step() == 2
    assert {run.result for run in desk.listener.runs} == {"recorded"}


def test_what_another_source_left_behind_is_forgotten() -> None:
    desk = Desk(Register({SCHOOL}, list_trouble=SourceUnauthorised("signature_refused: register it")))
    desk.step()
    with desk.subscriber.intake.store.write() as uow:
        uow.put_subscriptions([Subscription(TOWN, FEED, failures=1, reason="broker_lost")])
    forget_institutions(desk.subscriber.intake)
    with desk.subscriber.intake.store.read() as reader:
        assert [row.institution for row in reader.subscriptions()] == [FEED]


def test_a_refusal_of_ourselves_ends_the_pass_and_is_told_once() -> None:
    refused = SourceUnauthorised("signature_refused: register it")
    numbers = {f"10{n:04}" for n in range(9)}
    register = Register(numbers, concurrency=1, trouble=dict.fromkeys(numbers, refused))
    desk = Desk(register)
    for _ in range(4):
        desk.step(after=HOUR)
    assert len(register.asked) <= 8
    assert desk.told == [(None, "failed", "signature_refused")]


def test_a_source_that_is_away_is_left_alone_after_three_failures_in_a_row() -> None:
    numbers = {f"10{n:04}" for n in range(9)}
    away = SourceUnavailable("no_answer: away")
    register = Register(numbers, concurrency=1, trouble=dict.fromkeys(numbers, away))
    desk = Desk(register)
    assert desk.step() == 0
    assert len(register.asked) <= 4
    assert (desk.row("").failures, desk.row("").reason) == (1, "no_answer")
    assert desk.step() == 0
    register.trouble.clear()
    assert desk.step(after=HOUR) == 9


def test_a_list_of_agreements_that_fails_is_told_and_tried_again() -> None:
    register = Register({SCHOOL}, list_trouble=SnapshotInvalid("signature_missing"))
    desk = Desk(register)
    assert desk.step() == 0
    assert desk.told == [(None, "failed", "signature_missing")]
    register.list_trouble = None
    assert [desk.step(), desk.step(after=HOUR)] == [0, 1]
    assert desk.row("").reason is None


def test_a_person_who_asks_is_told_that_the_source_is_away() -> None:
    desk = Desk(Register({SCHOOL}, list_trouble=SourceUnavailable("no_answer: away")))
    with pytest.raises(SourceUnavailable, match="no_answer"):
        ask_now(desk.subscriber, desk.listener)


def test_an_export_that_is_refused_for_want_of_agreement_waits_for_the_next_pass() -> None:
    desk = Desk(Register({SCHOOL}, trouble={SCHOOL: AgreementMissing("Rettigheder")}))
    desk.step()
    assert (desk.row(SCHOOL).reason, desk.row(SCHOOL).retry_at) == ("agreement_missing", None)


def test_a_nudge_has_its_institution_asked_for_before_its_turn() -> None:
    register = Register({SCHOOL, OTHER_SCHOOL})
    desk = Desk(register)
    desk.step()
    register.asked.clear()
    desk.change(OTHER_SCHOOL, wanted_at=desk.at)
    assert [desk.step(after=timedelta(minutes=1)), desk.step()] == [1, 0]
    assert register.asked == [OTHER_SCHOOL]


def test_a_pass_that_a_crash_cut_short_goes_on_where_it_was() -> None:
    class Crash(BaseException): ...

    register = Register({SCHOOL, OTHER_SCHOOL}, concurrency=1)
    desk = Desk(register)

    class Dying(Listener):
        def run_ended(self, run: object, detection: object) -> None:
            raise Crash

    with pytest.raises(Crash):
        subscribe_step(desk.subscriber, Dying())
    register.asked.clear()
    assert desk.step() == 2
    assert desk.step() == 0
    assert sorted(register.asked) == [SCHOOL, OTHER_SCHOOL]
