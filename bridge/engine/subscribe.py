"""Each institution under agreement is asked for in its turn; one that fails is asked again later, alone."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from queue import SimpleQueue
from threading import Thread

from bridge.connector import Subscribes
from bridge.domain.errors import (
    AgreementMissing,
    SnapshotInvalid,
    SourceError,
    SourceUnauthorised,
    SourceUnavailable,
)
from bridge.domain.records import Snapshot
from bridge.engine.fetch import Intake, Witness, failure_code, note_failure, put_away, take
from bridge.engine.retry import RetryPolicy
from bridge.engine.schedule import Schedule
from bridge.ports import Subscription

WHOLE = ""
"""The row of a source as a whole."""

_WITHDRAWN = "agreement_withdrawn"
_IN_A_ROW = 3
_Rows = Mapping[str, Subscription]
_Result = Snapshot | SourceError | Exception


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A municipality's intake from a source that can be asked institution by institution.

    `patience` is how failures are retried that mend themselves, `person` those that somebody must mend.
    """

    intake: Intake
    source: Subscribes
    schedule: Schedule
    patience: RetryPolicy
    person: RetryPolicy
    chance: Callable[[], float]


def subscribe_step(subscriber: Subscriber, witness: Witness) -> int:
    """Ask for what is due by the schedule, a nudge or a retry; return how many institutions were asked for.

    A failure of the source as a whole is written down and told, not raised.
    """
    now, rows = subscriber.intake.now(), _rows(subscriber.intake)
    if subscriber.schedule.is_quiet(now):
        return 0
    whole = rows.get(WHOLE, Subscription(subscriber.intake.municipality, WHOLE))
    if whole.retry_at is not None and now < whole.retry_at:
        return 0
    try:
        if whole.failures or now >= subscriber.schedule.due_after(whole.asked_at, now):
            return _pass(subscriber, witness)
        return _fetch_due(subscriber, _due(rows, now), witness)
    except SourceError:
        return 0


def ask_now(subscriber: Subscriber, witness: Witness) -> int:
    """Ask for every institution under agreement, whatever the schedule says; return how many were asked for.

    Raises `SourceUnavailable` or `SourceUnauthorised` when the source as a whole fails.
    """
    return _pass(subscriber, witness)


def _rows(intake: Intake) -> dict[str, Subscription]:
    with intake.store.read() as reader:
        return {row.institution: row for row in reader.subscriptions(intake.municipality)}


def _due(rows: _Rows, now: datetime) -> list[str]:
    """Whom to ask for now: wanted by the pass or a nudge, or due for another try."""
    return [
        row.institution
        for row in rows.values()
        if row.institution != WHOLE
        and row.agreement in ("agreed", None)
        and (row.wanted_at is not None or (row.retry_at is not None and row.retry_at <= now))
    ]


# ---------------------------------------------------------------- a pass


def _pass(subscriber: Subscriber, witness: Witness) -> int:
    """Learn the agreements, want every institution under one, and fetch what is wanted."""
    intake = subscriber.intake
    try:
        agreed = subscriber.source.agreements()
    except SnapshotInvalid as error:
        failed = SourceUnavailable(f"{error.code}: the list of agreements could not be used")
        _whole_failed(subscriber, failed, witness)
        raise failed from error
    except (SourceUnavailable, SourceUnauthorised) as error:
        _whole_failed(subscriber, error, witness)
        raise
    changed = _note_agreements(intake, agreed)
    for row in changed:
        reason = _WITHDRAWN if row.agreement == "withdrawn" else None
        note_failure(intake, row.institution, AgreementMissing("no data agreement"), None, witness, reason)
    if not agreed and intake.institutions is None:
        note_failure(intake, None, AgreementMissing("the source lists no institution"), None, witness)
    asked = _fetch_due(subscriber, _due(_rows(intake), intake.now()), witness)
    _whole_recovered(intake)
    return asked


def _note_agreements(intake: Intake, agreed: frozenset[str]) -> list[Subscription]:
    """Write what is agreed and want it, in one transaction, so that a crash leaves the rest of the pass wanted.

    Returns the rows whose agreement is newly missing or withdrawn.
    """
    now, configured = intake.now(), intake.institutions
    with intake.store.write() as uow:
        before = {row.institution: row for row in uow.subscriptions(intake.municipality)}
        numbers = (before.keys() - {WHOLE}) | agreed | (configured or frozenset())
        after = [_agreement(intake, before.get(number), number, agreed, now) for number in sorted(numbers)]
        whole = before.get(WHOLE, Subscription(intake.municipality, WHOLE))
        uow.put_subscriptions([replace(whole, asked_at=now), *after])
    known = {number: row.agreement for number, row in before.items()}
    return [
        row
        for row in after
        if row.agreement in ("missing", "withdrawn") and known.get(row.institution) != row.agreement
    ]


def _agreement(
    intake: Intake, row: Subscription | None, number: str, agreed: frozenset[str], now: datetime
) -> Subscription:
    row = row or Subscription(intake.municipality, number)
    is_wanted = intake.institutions is None or number in intake.institutions
    state: str | None
    if number in agreed:
        state = "agreed" if is_wanted else "unused"
    elif row.agreement in ("agreed", "withdrawn") and is_wanted:
        state = "withdrawn"
    else:
        state = "missing" if is_wanted and intake.institutions is not None else None
    if state != row.agreement:
        row = replace(row, agreement=state, agreement_at=now, failures=0, reason=None, retry_at=None)
    return replace(row, wanted_at=now if state == "agreed" else None)


# ---------------------------------------------------------------- fetching


def _fetch_due(subscriber: Subscriber, numbers: Sequence[str], witness: Witness) -> int:
    """Fetch these and bring each to its end; raise when the source as a whole has to be left alone."""
    asked = in_a_row = 0
    results = _fetched(subscriber.source, numbers, subscriber.intake.now)
    for number, asked_at, result in results:
        asked += 1
        error = _bring_to_end(subscriber, number, asked_at, result, witness)
        in_a_row = in_a_row + 1 if isinstance(error, SourceUnavailable) else 0
        if isinstance(error, SourceUnauthorised) or in_a_row == _IN_A_ROW:
            results.close()
            assert error is not None  # noqa: S101 - counted or matched just above
            _whole_failed(subscriber, error, witness)
            raise error
    return asked


def _fetched(
    source: Subscribes, numbers: Sequence[str], now: Callable[[], datetime]
) -> Generator[tuple[str, datetime, _Result], None, None]:
    """Yield each institution with when it was asked for and what came, as it comes.

    At most `concurrency` are asked for at a time, and no more than that wait to be used.
    """
    waiting = iter(numbers)
    tasks: SimpleQueue[str | None] = SimpleQueue()
    results: SimpleQueue[tuple[str, datetime, _Result]] = SimpleQueue()

    def work() -> None:
        while (number := tasks.get()) is not None:
            asked_at = now()
            results.put((number, asked_at, _attempt(source, number)))

    workers = min(source.concurrency, len(numbers))
    # Daemons: a process that is asked to stop does not wait for a slow source.
    for _ in range(workers):
        Thread(target=work, daemon=True).start()
    try:
        under_way = 0
        for number in islice(waiting, workers):
            tasks.put(number)
            under_way += 1
        while under_way:
            yield results.get()
            under_way -= 1
            for number in islice(waiting, 1):
                tasks.put(number)
                under_way += 1
    finally:
        for _ in range(workers):
            tasks.put(None)


def _attempt(source: Subscribes, number: str) -> _Result:
    try:
        return source.fetch(number)
    except Exception as error:  # told by the thread that uses it
        return error


def _bring_to_end(
    subscriber: Subscriber, number: str, asked_at: datetime, result: _Result, witness: Witness
) -> SourceError | None:
    """Use what came, and write how the institution fares; return the error that it was, if so."""
    intake, error, reason = subscriber.intake, None, None
    match result:
        case Snapshot():
            run = take(intake, result, witness)
            put_away(intake, result, witness)
            reason = run.reason or run.result if run.result in ("refused", "failed") else None
        case SourceUnauthorised():
            return result  # it speaks of the whole, and the institution stays wanted
        case SourceUnavailable() | SnapshotInvalid() | AgreementMissing():
            error = result
            reason = note_failure(intake, number, error, f"institution {number}", witness).reason
        case _:
            raise result
    wait = error.retry_after if isinstance(error, SourceUnavailable) else None
    # Without an agreement nothing helps but one, and the next pass sees it.
    is_retried = not isinstance(error, AgreementMissing)
    with intake.store.write() as uow:
        rows = {row.institution: row for row in uow.subscriptions(intake.municipality)}
        row = rows.get(number, Subscription(intake.municipality, number))
        is_served = row.wanted_at is not None and row.wanted_at <= asked_at
        row = replace(row, asked_at=asked_at, wanted_at=None if is_served else row.wanted_at)
        uow.put_subscriptions([_fared(subscriber, row, reason, wait, is_retried=is_retried)])
    return error


def _fared(
    subscriber: Subscriber, row: Subscription, reason: str | None, wait: timedelta | None, *, is_retried: bool
) -> Subscription:
    if reason is None:
        return replace(row, failures=0, reason=None, retry_at=None)
    failures = row.failures + 1
    later = _retry_at(subscriber, subscriber.patience, failures, wait)
    return replace(row, failures=failures, reason=reason, retry_at=later if is_retried else None)


def _retry_at(subscriber: Subscriber, policy: RetryPolicy, failures: int, asked: timedelta | None) -> datetime:
    """When to try again: by what the source asked for, else at the latest when it is its turn anyway."""
    now = subscriber.intake.now()
    later = now + policy.wait(failures, asked, subscriber.chance())
    return later if asked is not None else min(later, subscriber.schedule.due_after(now, now))


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


def _whole_recovered(intake: Intake) -> None:
    """A pass has come to its end: the source as a whole is well."""
    with intake.store.write() as uow:
        whole = next(row for row in uow.subscriptions(intake.municipality) if row.institution == WHOLE)
        uow.put_subscriptions([replace(whole, failures=0, reason=None, retry_at=None)])
