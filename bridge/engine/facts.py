"""What a register says of institutions is asked on its own time, and reaches targets with the next snapshot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from bridge.connector import Describes
from bridge.domain.entities import Institution
from bridge.domain.errors import SourceError
from bridge.engine.codec import encode_entity
from bridge.engine.fetch import Intake, Witness, note_failure
from bridge.engine.schedule import Schedule
from bridge.ports import Subscription, UnitOfWork

UNANSWERED = "institution_data"
_AGAIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Describer:
    """A municipality's intake from a source that knows more of institutions than their snapshots say."""

    intake: Intake
    source: Describes
    schedule: Schedule


def describe_step(describer: Describer, witness: Witness) -> int:
    """Ask the register when it is due; return how many institutions have changed there.

    That it cannot be asked stops no pupil: it is told, and tried again within the hour.
    """
    intake, now = describer.intake, describer.intake.now()
    numbers, last = _known(intake)
    is_due = last is None or now >= last + describer.source.facts_interval
    if not (numbers and is_due) or describer.schedule.is_quiet(now):
        return 0
    try:
        found = list(describer.source.describe(numbers))
    except SourceError as error:
        note_failure(intake, None, error, None, witness, UNANSWERED)
        with intake.store.write() as uow:
            _remember(uow, intake, now - describer.source.facts_interval + _AGAIN)
        return 0
    with intake.store.write() as uow:
        _remember(uow, intake, now)
        return _keep(uow, intake, found, now)


def _known(intake: Intake) -> tuple[frozenset[str], datetime | None]:
    """The institutions that there is something of, and when the register was last asked."""
    with intake.store.read() as reader:
        states = reader.institution_states()
        at = reader.cursor(_cursor(intake))
    numbers = frozenset(state.institution for state in states if state.municipality == intake.municipality)
    return numbers, datetime.fromtimestamp(at, UTC) if at else None


def _cursor(intake: Intake) -> str:
    return f"facts/{intake.municipality}"


def _remember(uow: UnitOfWork, intake: Intake, at: datetime) -> None:
    uow.set_cursor(_cursor(intake), int(at.timestamp()))


def _keep(uow: UnitOfWork, intake: Intake, found: list[Institution], now: datetime) -> int:
    """Store what is new, and want the snapshots that it goes with, which shall not be passed over as unchanged."""
    stored = uow.institution_facts(intake.municipality)
    bodies = {one.institution_number: encode_entity(one) for one in found}
    changed = {number: body for number, body in bodies.items() if stored.get(number) != body}
    uow.put_institution_facts(intake.municipality, changed)
    rows = {row.institution: row for row in uow.subscriptions(intake.municipality)}
    for number in sorted(changed):
        state = uow.institution_state(intake.municipality, number)
        if state is not None:
            uow.put_institution_state(replace(state, digest=""))
            row = rows.get(number, Subscription(intake.municipality, number))
            uow.put_subscriptions([replace(row, wanted_at=now)])
    return len(changed)
