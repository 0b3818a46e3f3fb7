"""What a register says of institutions is asked on its own time, and reaches targets with the next snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from bridge.connector import Describes
from bridge.domain.errors import AgreementMissing, SourceError, SourceUnauthorised
from bridge.engine.asking import GoOn, Stopped, always, answered
from bridge.engine.codec import encode_entity
from bridge.engine.intake import Intake, failure_code
from bridge.engine.retry import RetryPolicy
from bridge.engine.schedule import Schedule
from bridge.engine.subscribe import LONGEST, waits
from bridge.observe import LogEvent, log
from bridge.ports import REGISTER, WHOLE, Subscription, UnitOfWork

REFUSED = "register_refused"
_UNKNOWN = b""


@dataclass(frozen=True, slots=True)
class Describer:
    """A municipality's intake from a source that knows more of institutions than their snapshots say.

    `patience` is how failures are retried; one that somebody must mend waits for its turn.
    """

    intake: Intake
    source: Describes
    schedule: Schedule
    patience: RetryPolicy
    go_on: GoOn = always


def describe_step(describer: Describer) -> int:
    """Ask the register when it is due, and of new institutions at once; return how many have changed there.

    That it cannot be asked stops no pupil: it is told once, and tried again.
    """
    intake, now = describer.intake, describer.intake.now()
    rows, numbers, known = _known(intake)
    row = rows.get(REGISTER, Subscription(intake.municipality, REGISTER))
    interval = describer.source.facts_interval
    is_left_alone = waits(row, now, max(interval, LONGEST)) or (WHOLE in rows and waits(rows[WHOLE], now))
    is_turn = row.asked_at is None or not row.asked_at <= now < row.asked_at + interval
    asked = numbers if is_turn else numbers - known
    if is_left_alone or not asked or describer.schedule.is_quiet(now):
        return 0
    found: dict[str, bytes] = {}
    try:
        answered(lambda: _gather(describer.source, asked, found), describer.go_on)
    except Stopped:
        return 0
    except SourceError as error:
        return _failed(describer, row, error, found)
    if row.failures:
        log.emit(LogEvent.SOURCE_RECOVERED, municipality=intake.municipality, source=REGISTER)
    with intake.store.write() as uow:
        uow.put_subscriptions(
            [Subscription(intake.municipality, REGISTER, asked_at=now if is_turn else row.asked_at)]
        )
        # What was known of one that is not told of this time stays.
        return _keep(uow, intake, {**dict.fromkeys(asked - known, _UNKNOWN), **found}, now)


def _known(intake: Intake) -> tuple[Mapping[str, Subscription], frozenset[str], frozenset[str]]:
    """How the source fares, the institutions that there is something of, and those that were asked about."""
    with intake.store.read() as reader:
        states = reader.institution_states()
        rows = {row.institution: row for row in reader.subscriptions(intake.municipality)}
        facts = reader.institution_facts(intake.municipality)
    return (
        rows,
        frozenset(s.institution for s in states if s.municipality == intake.municipality),
        frozenset(facts),
    )


def _gather(source: Describes, numbers: Iterable[str], into: dict[str, bytes]) -> None:
    for one in source.describe(frozenset(numbers)):
        into[one.institution_number] = encode_entity(one)


def _failed(describer: Describer, row: Subscription, error: SourceError, found: Mapping[str, bytes]) -> int:
    """Keep what came all the same, and leave the register alone for a while."""
    intake, now = describer.intake, describer.intake.now()
    needs_person = isinstance(error, SourceUnauthorised | AgreementMissing)
    reason = REFUSED if needs_person else failure_code(error)
    wait = (
        describer.source.facts_interval if needs_person else describer.patience.wait(row.failures + 1, None, 1.0)
    )
    if row.reason != reason:
        log.emit(LogEvent.SOURCE_FAILED, municipality=intake.municipality, source=REGISTER, reason=reason)
    with intake.store.write() as uow:
        uow.put_subscriptions([replace(row, failures=row.failures + 1, reason=reason, retry_at=now + wait)])
        return _keep(uow, intake, found, now)


def _keep(uow: UnitOfWork, intake: Intake, found: Mapping[str, bytes], now: datetime) -> int:
    """Store what is new, and want the snapshots that it goes with, which shall not be passed over as unchanged."""
    stored = uow.institution_facts(intake.municipality)
    changed = {number: body for number, body in found.items() if stored.get(number) != body}
    uow.put_institution_facts(intake.municipality, changed)
    rows = {row.institution: row for row in uow.subscriptions(intake.municipality)}
    news = [number for number in sorted(changed) if changed[number] != stored.get(number, _UNKNOWN)]
    for number in news:
        state = uow.institution_state(intake.municipality, number)
        if state is not None:
            uow.put_institution_state(replace(state, digest=""))
            row = rows.get(number, Subscription(intake.municipality, number))
            uow.put_subscriptions([replace(row, wanted_at=now)])
    return len(news)
