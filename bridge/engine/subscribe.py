"""Each institution under agreement is asked for in its turn; one that fails is asked again later, alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from bridge.connector import Subscribes
from bridge.domain.errors import (
    AgreementMissing,
    SnapshotInvalid,
    SourceError,
    SourceUnauthorised,
    SourceUnavailable,
)
from bridge.domain.records import Snapshot
from bridge.engine.agreements import note_agreements
from bridge.engine.asking import GoOn, Stopped, always, answered, in_turn
from bridge.engine.fetch import bring
from bridge.engine.intake import READER_ERROR, Intake, Witness, failure_code, note_failure
from bridge.engine.retry import RetryPolicy
from bridge.engine.schedule import Schedule
from bridge.observe import LogEvent, log, needs_person
from bridge.ports import FEED, PARTS, WHOLE, Store, Subscription

_WITHDRAWN = "agreement_withdrawn"
_IN_A_ROW = 3
_WHILE = timedelta(minutes=1)
LONGEST = timedelta(hours=6)
"""The longest that a source is left alone, whatever it asks for."""
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_Rows = Mapping[str, Subscription]
_Asked = tuple[datetime, Snapshot | Exception]


class SourceWitness(Witness, Protocol):
    """Whoever is told how a source fares."""

    def source_recovered(self, municipality: str) -> None:
        """The source as a whole, which had failed, answers again."""
        ...


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A municipality's intake from a source that can be asked institution by institution.

    `patience` is how failures are retried that mend themselves, `person` those that somebody must mend.
    `go_on` is called while the source is waited for.
    """

    intake: Intake
    source: Subscribes
    schedule: Schedule
    patience: RetryPolicy
    person: RetryPolicy
    chance: Callable[[], float]
    go_on: GoOn = always


def subscribe_step(subscriber: Subscriber, witness: SourceWitness) -> int:
    """Ask for what is due by the schedule, a nudge or a retry; return how many institutions were asked for.

    A failure of the source as a whole is written down and told, not raised.
    """
    intake, now = subscriber.intake, subscriber.intake.now()
    rows = _rows(intake)
    whole = rows.get(WHOLE, Subscription(intake.municipality, WHOLE))
    if subscriber.schedule.is_quiet(now) or waits(whole, now):
        return 0
    try:
        # After a failure of the whole everybody is asked again, or it would seem well because all are waiting.
        is_patient = not whole.failures
        if now >= subscriber.schedule.due_after(whole.asked_at, now):
            return _pass(subscriber, witness, is_turn=True, is_patient=is_patient)
        if whole.failures or _has_news(intake, rows):
            return _pass(subscriber, witness, is_turn=False, is_patient=is_patient)
        return _fetch_due(subscriber, _due(intake, rows, now), witness, is_retry=True)
    except (SourceError, Stopped):
        return 0


def ask_now(subscriber: Subscriber, witness: SourceWitness, *, is_turn: bool = True) -> int:
    """Ask for every institution under agreement, whatever the schedule says; return how many were asked for.

    Without `is_turn` only for those that are wanted already.
    Raises `SourceUnavailable` or `SourceUnauthorised` when the source as a whole fails.
    """
    return _pass(subscriber, witness, is_turn=is_turn, is_patient=False)


def try_mended(store: Store) -> None:
    """Let sources be asked at once that waited for a person: whoever starts us may have mended what it was."""
    with store.write() as uow:
        waiting = [row for row in uow.subscriptions() if row.institution in PARTS and needs_person(row.reason)]
        uow.put_subscriptions([replace(row, retry_at=None) for row in waiting])


def forget_institutions(intake: Intake) -> None:
    """Forget what another source, which subscribed, has left behind; the feed stays as it is."""
    with intake.store.write() as uow:
        rows = uow.subscriptions(intake.municipality)
        if any(row.institution != FEED for row in rows):
            uow.forget_subscriptions(intake.municipality)
            uow.put_subscriptions([row for row in rows if row.institution == FEED])


def _rows(intake: Intake) -> dict[str, Subscription]:
    with intake.store.read() as reader:
        return {row.institution: row for row in reader.subscriptions(intake.municipality)}


def _has_news(intake: Intake, rows: _Rows) -> bool:
    """Whether an institution is configured of which the last pass did not have to know."""
    unknown = Subscription(intake.municipality, "")
    return any(rows.get(n, unknown).agreement in (None, "unused") for n in intake.institutions or ())


def waits(row: Subscription, now: datetime, longest: timedelta = LONGEST) -> bool:
    """Whether it is to be left alone; a time beyond the longest wait was written by a clock that went wrong."""
    return row.retry_at is not None and now < row.retry_at <= now + longest


def _was_just_asked(row: Subscription, whole: Subscription | None, now: datetime) -> bool:
    """Whether a nudge has to wait: a flood of them costs a call in a while. What a pass wants does not wait."""
    is_nudge = row.wanted_at is not None and whole is not None and whole.asked_at not in (None, row.wanted_at)
    return is_nudge and row.asked_at is not None and row.asked_at <= now < row.asked_at + _WHILE


def _due(intake: Intake, rows: _Rows, now: datetime, *, is_patient: bool = True) -> list[Subscription]:
    """Whom to ask for now: wanted by the pass or a nudge, or due for another try.

    Who failed comes last, so that some that always fail keep nobody from being served.
    """
    due = [
        row
        for row in rows.values()
        if row.institution not in PARTS
        and (intake.institutions is None or row.institution in intake.institutions)
        and row.agreement in ("agreed", None)
        and (row.wanted_at is not None or row.retry_at is not None)
        and not (is_patient and (waits(row, now) or _was_just_asked(row, rows.get(WHOLE), now)))
    ]
    return sorted(due, key=lambda row: (row.failures, row.asked_at or _EARLIEST, row.institution))


# ---------------------------------------------------------------- a pass


def _pass(subscriber: Subscriber, witness: SourceWitness, *, is_turn: bool, is_patient: bool = True) -> int:
    """Learn the agreements, want what is under one, and fetch what is wanted."""
    intake = subscriber.intake
    try:
        agreed = answered(subscriber.source.agreements, subscriber.go_on)
    except SnapshotInvalid as error:
        failed = SourceUnavailable(f"{error.code}: the list of agreements could not be used")
        _whole_failed(subscriber, failed, witness)
        raise failed from error
    except SourceError as error:
        _whole_failed(subscriber, error, witness)
        raise
    for row in note_agreements(intake, agreed, is_turn=is_turn):
        reason = _WITHDRAWN if row.agreement == "withdrawn" else None
        note_failure(intake, row.institution, AgreementMissing("no data agreement"), None, witness, reason)
    if not agreed and intake.institutions is None:
        note_failure(intake, None, AgreementMissing("the source lists no institution"), None, witness)
    due = _due(intake, _rows(intake), intake.now(), is_patient=is_patient)
    asked = _fetch_due(subscriber, due, witness, is_retry=False)
    if subscriber.go_on():
        _whole_recovered(intake, witness)
    return asked


# ---------------------------------------------------------------- fetching


class _Doubt:
    """Whether it is the source as a whole that fails, by what became of its institutions in turn.

    It is when it refuses us or asks to be left alone, and when several fail in a row of which nothing bad was
    known, or before anything has come at all. Who failed before and fails again says nothing of the others.
    """

    def __init__(self, *, is_retry: bool) -> None:
        self._has_served, self._in_a_row = is_retry, 0
        self.verdict: SourceUnavailable | SourceUnauthorised | None = None

    def hear(self, row: Subscription, error: SourceError | None) -> None:
        if isinstance(error, SourceUnavailable):
            self._in_a_row += not (row.failures and self._has_served)
            if self._in_a_row == _IN_A_ROW or error.retry_after is not None:
                self.verdict = self.verdict or error
        elif isinstance(error, SourceUnauthorised):
            self.verdict = self.verdict or error
        else:
            self._in_a_row, self._has_served = 0, self._has_served or error is None


def _fetch_due(
    subscriber: Subscriber, due: Sequence[Subscription], witness: SourceWitness, *, is_retry: bool
) -> int:
    """Fetch these and bring each to its end; raise when the source as a whole has to be left alone."""
    asked, doubt = 0, _Doubt(is_retry=is_retry)

    def ask(row: Subscription) -> _Asked:
        asked_at = subscriber.intake.now()
        try:
            return asked_at, subscriber.source.fetch(row.institution)
        except Exception as error:  # told by the thread that uses it
            return asked_at, error

    wanted = (row for row in due if doubt.verdict is None)  # what is out already is used, more is not asked for
    for row, result in in_turn(ask, wanted, subscriber.source.concurrency, subscriber.go_on):
        asked += 1
        assert not isinstance(result, Exception)  # noqa: S101 - `ask` returns what is raised
        doubt.hear(row, _bring_to_end(subscriber, row, *result, witness))
    if doubt.verdict is not None:
        _whole_failed(subscriber, doubt.verdict, witness)
        raise doubt.verdict
    return asked


def _bring_to_end(
    subscriber: Subscriber, seen: Subscription, asked_at: datetime, result: Snapshot | Exception, witness: Witness
) -> SourceError | None:
    """Use what came, and write how the institution fares; return the error that it was, if so."""
    intake, number = subscriber.intake, seen.institution
    error: SourceError | None = None
    reason: str | None = None
    match result:
        case Snapshot():
            run = bring(intake, result, witness)
            reason = run.reason or run.result if run.result in ("refused", "failed") else None
        case SourceUnauthorised() | SourceUnavailable(retry_after=timedelta()):
            _left_wanted(subscriber, number, asked_at)
            return result  # it speaks of the whole
        case SourceUnavailable() | SnapshotInvalid() | AgreementMissing():
            error = result
        case _:  # a bug of the connector, which stops this institution only
            log.emit(LogEvent.LOOP_FAILED, loop=f"intake/{intake.municipality}", error=result)
            error = SnapshotInvalid(READER_ERROR)
    if error is not None:
        reason = note_failure(intake, number, error, f"institution {number}", witness).reason
    _write_end(subscriber, seen, asked_at, reason, is_retried=not isinstance(error, AgreementMissing))
    return error


def _left_wanted(subscriber: Subscriber, number: str, asked_at: datetime) -> None:
    """It stays wanted, after those that were not asked for yet."""
    with subscriber.intake.store.write() as uow:
        rows = {row.institution: row for row in uow.subscriptions(subscriber.intake.municipality)}
        uow.put_subscriptions([replace(rows[number], asked_at=asked_at)] if number in rows else [])


def _write_end(
    subscriber: Subscriber, seen: Subscription, asked_at: datetime, reason: str | None, *, is_retried: bool
) -> None:
    intake = subscriber.intake
    with intake.store.write() as uow:
        rows = {row.institution: row for row in uow.subscriptions(intake.municipality)}
        row = rows.get(seen.institution, seen)
        is_served = row.wanted_at == seen.wanted_at  # else a nudge has come since
        row = replace(row, asked_at=asked_at, wanted_at=None if is_served else row.wanted_at)
        uow.put_subscriptions([_fared(subscriber, row, reason, is_retried=is_retried)])


def _fared(subscriber: Subscriber, row: Subscription, reason: str | None, *, is_retried: bool) -> Subscription:
    if reason is None:
        return replace(row, failures=0, reason=None, retry_at=None)
    failures = row.failures + 1
    # Without an agreement nothing helps but one, and the next pass sees it.
    later = _retry_at(subscriber, subscriber.patience, failures, None) if is_retried else None
    return replace(row, failures=failures, reason=reason, retry_at=later)


def _retry_at(subscriber: Subscriber, policy: RetryPolicy, failures: int, asked: timedelta | None) -> datetime:
    """When to try again: never sooner than the source asked for, else at the latest when it is its turn anyway."""
    now = subscriber.intake.now()
    own = min(now + policy.wait(failures, None, subscriber.chance()), subscriber.schedule.due_after(now, now))
    return max(own, now + policy.wait(failures, asked, 0.0)) if asked is not None else own


def _whole_failed(subscriber: Subscriber, error: SourceError, witness: Witness) -> None:
    """Leave the source alone for a while, and tell it once for as long as the reason is the same."""
    intake, reason = subscriber.intake, failure_code(error)
    policy = subscriber.person if isinstance(error, SourceUnauthorised) else subscriber.patience
    asked = error.retry_after if isinstance(error, SourceUnavailable) else None
    with intake.store.write() as uow:
        rows = {row.institution: row for row in uow.subscriptions(intake.municipality)}
        row = rows.get(WHOLE, Subscription(intake.municipality, WHOLE))
        failures = row.failures + 1
        later = _retry_at(subscriber, policy, failures, asked)
        uow.put_subscriptions([replace(row, failures=failures, reason=reason, retry_at=later)])
    if row.reason != reason:
        note_failure(intake, None, error, None, witness)


def _whole_recovered(intake: Intake, witness: SourceWitness) -> None:
    """A pass has come to its end: the source as a whole is well."""
    with intake.store.write() as uow:
        whole = next(row for row in uow.subscriptions(intake.municipality) if row.institution == WHOLE)
        uow.put_subscriptions([replace(whole, failures=0, reason=None, retry_at=None)])
    if whole.failures:
        witness.source_recovered(intake.municipality)
