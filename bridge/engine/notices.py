"""Whoever has to decide is told once that something waits, and reminded once; intake never waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from bridge.engine.asking import GoOn, always
from bridge.engine.notice_texts import Writer
from bridge.engine.retry import RetryPolicy
from bridge.ports import Hold, Notice, NoticeFailed, Notifier, Reader, Store
from bridge.ports.notices import OPENED, REMINDER

_OPEN = ("open",)
_PATIENCE = RetryPolicy(base=timedelta(minutes=1), ceiling=timedelta(hours=1))
_LONGEST_PASS = timedelta(minutes=15)


class NoticeWitness(Protocol):
    """Whoever is told how telling people fares."""

    def notice_sent(self, way: str, notice: Notice) -> None: ...

    def notice_failed(self, way: str, notice: Notice, error: NoticeFailed, *, is_first: bool) -> None: ...

    def notice_recovered(self, way: str) -> None: ...


@dataclass(slots=True)
class Way:
    """One way to people ("mail", "webhook") and how it fares.

    `owed` is what people were told in another way while this one failed: kind of notice and number of hold.
    """

    name: str
    notifier: Notifier
    failure: NoticeFailed | None = None
    failures: int = 0
    retry_at: datetime | None = None
    owed: set[tuple[str, int]] = field(default_factory=set)


@dataclass(slots=True)
class Notices:
    """The ways to people, and when they are told.

    A reminder follows `remind_after` the first notice (None: never). `is_busy` says whether a municipality is
    being read: its holds are told together at the end. Two notices of new holds of one municipality are at least
    `pace` apart.
    """

    store: Store
    ways: Sequence[Way]
    writer: Writer
    witness: NoticeWitness
    now: Callable[[], datetime]
    chance: Callable[[], float]
    remind_after: timedelta | None = timedelta(hours=24)
    pace: timedelta = timedelta(0)
    is_busy: Callable[[str], bool] = lambda code: False
    go_on: GoOn = always
    retry: RetryPolicy = _PATIENCE
    told_at: dict[str, datetime] = field(default_factory=dict)


def tell_holds(notices: Notices) -> int:
    """Tell of new holds and remind of those that grow old; return of how many.

    A hold counts as told as soon as one way has taken its notice; a way that failed is tried again later, and
    makes up for what it missed while this process lives. Raises `StoreError`.
    """
    with notices.store.read() as reader:
        waiting = [hold for hold in reader.holds(_OPEN) if hold.municipality in notices.writer.names]
        ageing, settled = _ageing(notices, reader, waiting)
    if settled:
        _mark(notices, REMINDER, settled)
    fresh = [hold for hold in waiting if hold.notified_at is None]
    told = _tell(notices, OPENED, waiting, {hold.id for hold in _ready(notices, fresh)})
    return told + _tell(notices, REMINDER, waiting, ageing)


def _ready(notices: Notices, fresh: Sequence[Hold]) -> list[Hold]:
    """The new holds of municipalities that are not being read, and were not told of others just now."""
    now = notices.now()
    ready = []
    for code in {hold.municipality for hold in fresh}:
        here = [hold for hold in fresh if hold.municipality == code]
        last = notices.told_at.get(code)
        is_soon = last is not None and now < last + notices.pace
        is_being_read = notices.is_busy(code) and now < here[0].opened_at + _LONGEST_PASS
        if not is_soon and not is_being_read:
            ready += here
    return ready


def _ageing(notices: Notices, reader: Reader, waiting: Sequence[Hold]) -> tuple[set[int], set[int]]:
    """The holds that people should be reminded of, and those whose reminder an earlier hold of theirs has had."""
    if notices.remind_after is None:
        return set(), set()
    until = notices.now() - notices.remind_after
    old = [h for h in waiting if h.reminded_at is None and h.notified_at is not None and h.notified_at <= until]
    earlier = [hold for hold in reader.holds(("superseded",)) if hold.reminded_at is not None] if old else []
    reminded = {_trouble(hold) for hold in earlier}
    settled = {hold.id for hold in old if _trouble(hold) in reminded}
    return {hold.id for hold in old} - settled, settled


def _trouble(hold: Hold) -> tuple[object, ...]:
    """What a hold has in common with those whose place it took: also when people were told of it first."""
    place = (hold.municipality, hold.institution, hold.subject, hold.target)
    return (*place, hold.reasons, hold.notified_at)


# ---------------------------------------------------------------- telling


def _tell(notices: Notices, kind: str, waiting: Sequence[Hold], due: set[int]) -> int:
    """Tell of what is due in every way, and make up for what a way has missed."""
    taken = [_tell_by(notices, way, kind, waiting, due) for way in notices.ways]
    told = due & {number for numbers in taken for number in numbers}
    if told:
        _mark(notices, kind, told)
    still = {hold.id for hold in waiting}
    for way, numbers in zip(notices.ways, taken, strict=True):
        missed = {(kind, number) for number in told} - {(kind, number) for number in numbers}
        done = {(kind, number) for number in numbers}
        way.owed = {one for one in (way.owed | missed) - done if one[0] != kind or one[1] in still}
    return len(told)


def _tell_by(notices: Notices, way: Way, kind: str, waiting: Sequence[Hold], due: set[int]) -> set[int]:
    """Tell in one way, a notice for each municipality, until it fails; return of what it has told."""
    wanted = [hold for hold in waiting if hold.id in due or (kind, hold.id) in way.owed]
    taken: set[int] = set()
    for code in dict.fromkeys(hold.municipality for hold in wanted):
        now = notices.now()
        if not notices.go_on() or (way.retry_at is not None and now < way.retry_at):
            break
        here = [hold for hold in wanted if hold.municipality == code]
        if hand_over(notices, way, _written(notices, kind, code, here, now)):
            taken.update(hold.id for hold in here)
            if kind == OPENED:
                notices.told_at[code] = now
    return taken


def _written(notices: Notices, kind: str, code: str, holds: Sequence[Hold], now: datetime) -> Notice:
    if kind == REMINDER and notices.remind_after is not None:
        return notices.writer.reminder(code, holds, now, notices.remind_after)
    return notices.writer.opened(code, holds, now)


def hand_over(notices: Notices, way: Way, notice: Notice) -> bool:
    """Give a notice to one way and note how it fares; whether it was taken."""
    try:
        way.notifier.send(notice)
    except NoticeFailed as error:
        way.failures += 1
        wait = notices.retry.wait(way.failures, error.retry_after, 0.5 + notices.chance() / 2)
        way.failure, way.retry_at = error, notices.now() + wait
        notices.witness.notice_failed(way.name, notice, error, is_first=way.failures == 1)
        return False
    if way.failures:
        notices.witness.notice_recovered(way.name)
    way.failure, way.failures, way.retry_at = None, 0, None
    notices.witness.notice_sent(way.name, notice)
    return True


def _mark(notices: Notices, kind: str, numbers: Iterable[int]) -> None:
    """Write down that people were told; whatever else has become of the holds meanwhile stays."""
    now = notices.now()
    with notices.store.write() as uow:
        for number in sorted(numbers):
            hold = uow.hold(number)
            if hold is not None:
                told = replace(hold, notified_at=now) if kind == OPENED else replace(hold, reminded_at=now)
                uow.put_hold(told)
