"""A target is read back and compared; what differs is told, and set right as far as policy and guard allow."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, Protocol

from bridge.connector import ReadsBack
from bridge.domain.entities import Kind
from bridge.domain.errors import ConfigError, TargetError, TargetUnavailable
from bridge.domain.ids import CanonicalId, TargetId
from bridge.engine.asking import GoOn, Stopped, always
from bridge.engine.breaker import is_paused, reason_of
from bridge.engine.lane import Lane
from bridge.engine.reconcile_hold import drift_holds, permit
from bridge.engine.reconcile_mend import may_mend, mend
from bridge.engine.reconcile_read import Finding, Known, Reading, known_of, read
from bridge.engine.retry import RetryPolicy
from bridge.engine.words import protected_users
from bridge.ports import Drift, Reader, TargetState, UnitOfWork

Repair = Literal["report", "restore"]
"""What is done about what differs: nothing, or it is set right."""

ROUNDS = 3
"""So often something is set right that the target keeps changing back."""
PARKED = "parked"
_PATIENCE = RetryPolicy(base=timedelta(minutes=5), ceiling=timedelta(hours=6))


@dataclass(frozen=True, slots=True)
class Report:
    """What a reading found. `drift` is all that differs, `mended` how much of it is being set right, `parked` how
    much was given up just now; `hold` is the number of the hold that asks for the rest."""

    target: TargetId
    at: datetime
    read: int
    foreign: int
    drift: tuple[Drift, ...] = ()
    mended: frozenset[CanonicalId] = frozenset()
    parked: int = 0
    hold: int | None = None

    @property
    def left(self) -> int:
        """How much stays as it is."""
        return len(self.drift) - len(self.mended)


class ReconcileWitness(Protocol):
    """Whoever is told how readings went."""

    def reconciled(self, before: TargetState, report: Report) -> None: ...

    def unread(self, target: str, reason: str) -> None: ...


def reconcile(lane: Lane, policy: Repair, witness: ReconcileWitness, go_on: GoOn = always) -> Report | None:
    """Compare everything that is settled at a target with what it has now.

    None while its mapping is not applied: what it has was made by another one, perhaps at another system.
    What changed here while the target was read is left for the next time. Raises `TargetError`, `Stopped`, and
    `ConfigError` for a target that cannot be read back.
    """
    target, name = lane.target, lane.rendering.target
    if not isinstance(target, ReadsBack):
        raise ConfigError(f"{name} cannot be read back; what it confirms is all that is known of it")
    with lane.store.read() as reader:
        if reader.target_state(name).rendering != lane.rendering.digest:
            return None
        known = known_of(reader, lane.rendering)
    reading = read(lane.store, lane.rendering, target, known, go_on)
    with lane.store.write() as uow:
        before = uow.target_state(name)
        if before.rendering != lane.rendering.digest:
            return None
        report = _conclude(uow, lane, policy, reading, lane.now())
        state = replace(before, reconciled_at=report.at, drifted=report.left, foreign=report.foreign)
        uow.put_target_state(state)
    witness.reconciled(before, report)
    return report


def _conclude(uow: UnitOfWork, lane: Lane, policy: Repair, reading: Reading, now: datetime) -> Report:
    name = lane.rendering.target
    earlier = {row.id: row for row in uow.drift(name)}
    found = _one_each(one for one in reading.findings if _is_still(uow, name, one, reading.known[one.id]))
    users = {one.key[0] for one in found if one.kind is Kind.PERSON}
    hidden = protected_users(uow, lane.rendering.scope.municipality, users)
    found = [one for one in found if one.key[0] in hidden or not reading.known[one.id].is_resting]
    rows = {one.id: _drift(name, one, reading.known[one.id], earlier.get(one.id), now) for one in found}
    # What is protected is hidden again as often as it takes.
    shown = [one.id for one in found if one.kind is Kind.PERSON and one.key[0] in hidden]
    rows |= {identity: replace(rows[identity], state="open") for identity in shown}
    open_ones = [one for one in found if rows[one.id].state != PARKED and may_mend(uow, lane, one)]
    allowed = permit(uow, lane, open_ones, now, restores=policy == "restore")
    mend(uow, lane, [one for one in open_ones if one.id in allowed.ids], allowed.approved, now)
    uow.drop_drift(name, [i for i in earlier if i not in rows and not _is_pending(reading.known.get(i))])
    uow.put_drift(rows.values())
    parked = [r for r in rows.values() if r.state == PARKED and not _was_parked(earlier.get(r.id))]
    return Report(
        target=name,
        at=now,
        read=reading.read,
        foreign=reading.foreign,
        drift=tuple(sorted(rows.values(), key=lambda row: row.id)),
        mended=allowed.ids,
        parked=len(parked),
        hold=allowed.hold,
    )


def _one_each(findings: Iterable[Finding]) -> list[Finding]:
    """Of what is said of one entity, the first: what is wrong with it counts more than that it is doubled."""
    found: dict[CanonicalId, Finding] = {}
    for one in findings:
        found.setdefault(one.id, one)
    return list(found.values())


def _is_still(reader: Reader, target: TargetId, one: Finding, known: Known) -> bool:
    row = reader.delivery(target, one.id)
    return row is not None and Known.of(row) == known


def _is_pending(known: Known | None) -> bool:
    """Whether nothing could be said of an entity this time: something of it is on its way."""
    return known is not None and not known.is_settled and not known.is_gone


def _was_parked(row: Drift | None) -> bool:
    return row is not None and row.state == PARKED


def _drift(target: TargetId, one: Finding, known: Known, earlier: Drift | None, now: datetime) -> Drift:
    """The row that is remembered: how often this was set right already, and whether to go on."""
    row = Drift(target, one.id, one.kind, one.what, one.fields, 0, "open", now)
    if earlier is None or not _is_like(one, earlier):
        return row
    was_set_right = known.updated_at > earlier.seen_at
    if earlier.state == PARKED and was_set_right:
        return row  # it is another state by now that the target should have
    rounds = earlier.rounds + was_set_right
    is_parked = rounds >= ROUNDS and set(one.fields) <= set(earlier.fields)
    return replace(row, rounds=rounds, state=PARKED if is_parked else "open")


def _is_like(one: Finding, earlier: Drift) -> bool:
    return one.what == earlier.what and (not one.fields or not set(one.fields).isdisjoint(earlier.fields))


# ---------------------------------------------------------------- in the daemon


@dataclass(slots=True)
class Reconciler:
    """Reads one target back `every` so often, and sooner when a person has approved to set it right.

    It waits while the target pauses, and while anything is due there. `every` None: only when it is asked for.
    """

    lane: Lane
    policy: Repair
    every: timedelta | None
    go_on: GoOn = always
    failures: int = 0
    not_before: datetime | None = field(default=None)

    def step(self, witness: ReconcileWitness) -> int:
        """Read if it is time; return 1 when it was read. A failure is told once, and tried again later."""
        now = self.lane.now()
        if not self._is_time(now):
            return 0
        self._wait(now, None)
        try:
            report = reconcile(self.lane, self.policy, witness, self.go_on)
        except Stopped:
            return 0
        except TargetError as error:
            self._failed(error, witness)
            return 0
        if report is None:
            return 0
        self.failures, self.not_before = 0, None
        return 1

    def _failed(self, error: TargetError, witness: ReconcileWitness) -> None:
        self.failures += 1
        if self.failures == 1:
            witness.unread(self.lane.rendering.target, reason_of(error))
        self._wait(self.lane.now(), error.retry_after if isinstance(error, TargetUnavailable) else None)

    def _wait(self, now: datetime, asked: timedelta | None) -> None:
        self.not_before = now + _PATIENCE.wait(self.failures + 1, asked, 0.5 + self.lane.chance() / 2)

    def _is_time(self, now: datetime) -> bool:
        name = self.lane.rendering.target
        if self.not_before is not None and now < self.not_before:
            return False
        with self.lane.store.read() as reader:
            state = reader.target_state(name)
            is_able = state.rendering == self.lane.rendering.digest and not is_paused(state, now)
            return is_able and self._is_asked(reader, state, now) and not reader.due(name, now, 1)

    def _is_asked(self, reader: Reader, state: TargetState, now: datetime) -> bool:
        if drift_holds(reader, self.lane, ("approved",)):
            return True
        last = state.reconciled_at
        if self.every is None or (last is not None and last <= now < last + self.every):
            return False
        return bool(reader.living(self.lane.rendering.target))


def shown(drift: Collection[Drift]) -> dict[str, int]:
    """How many differ in which way."""
    counts: dict[str, int] = {}
    for row in drift:
        counts[row.what] = counts.get(row.what, 0) + 1
    return counts
