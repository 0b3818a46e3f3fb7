"""What a sync would do, found by doing it in a transaction that is undone; nothing is sent or kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from bridge.connector import Capabilities, Command, SnapshotSource, SourceFailure
from bridge.domain.changes import Operation
from bridge.domain.entities import Contribution, Kind, Role
from bridge.domain.errors import SourceUnauthorised, SourceUnavailable, StoreError
from bridge.domain.ids import TargetId
from bridge.domain.outcomes import Delivered, Outcome
from bridge.domain.records import Record, Snapshot
from bridge.engine.apply import apply_approved, expire
from bridge.engine.brake import operation_of, release
from bridge.engine.breaker import is_paused, unpause
from bridge.engine.codec import decode_body, decode_entity, encode_body
from bridge.engine.decide import NotOpen, Rule
from bridge.engine.deliver import deliver
from bridge.engine.desire import Rendering, deliveries_of
from bridge.engine.fetch import fetch
from bridge.engine.intake import Intake, Listener
from bridge.engine.lane import Lane
from bridge.engine.refresh import announce, refresh
from bridge.observe import explained
from bridge.ports import SHADOW, Approval, Delivery, Reader, Run, Store, TargetState, UnitOfWork


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a target would be told. `fields` names what an update changes in the body."""

    operation: str
    resource: str
    kind: str
    key: tuple[str, ...]
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Later:
    """One thing that a target will be told, but not now: `reason` says why, `at` when it is looked at again."""

    operation: str
    kind: str
    key: tuple[str, ...]
    reason: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """The snapshots that a sync would take and the steps of each target, in delivery order.

    `later` is what waits for its time or for a person, `paused` why a target gets nothing now. `held` names the
    targets whose changed mapping would be held instead of applied, `unavailable` why the source of a municipality
    gives nothing now. `anyway` counts what each target is told without the approval that a plan is of, too, and
    `contacts` are those of the people who would go who are nothing but somebody's contact. `observed` are targets
    that only look at what is stored: they are never sent anything.
    """

    snapshots: tuple[Run, ...]
    targets: dict[str, list[Step]]
    held: tuple[str, ...]
    unavailable: dict[str, str]
    later: dict[str, list[Later]] = field(default_factory=dict)
    paused: dict[str, str] = field(default_factory=dict)
    anyway: dict[str, int] = field(default_factory=dict)
    contacts: tuple[str, ...] = ()
    observed: tuple[str, ...] = ()


def plan(store: Store, intakes: Sequence[Intake], lanes: Sequence[Lane]) -> Plan:
    """Take everything that the sources have now, list what each target would be told, and undo it all."""
    unavailable: dict[str, str] = {}
    fetched = [(intake, _fetched(intake, unavailable)) for intake in intakes]
    listener = Listener()
    with store.write() as uow:
        rehearsal = _Rehearsal(uow)
        unpause(uow)
        held: list[TargetId] = []
        for intake, full in fetched:
            held += _settle(rehearsal, intake, full or intake, listener)
            if full is not None:
                fetch(replace(full, store=rehearsal), listener)
        found = _deliver(uow, rehearsal, lanes, held, unavailable, listener)
        uow.rollback()
    return found


def foresee(store: Store, intakes: Sequence[Intake], lanes: Sequence[Lane], number: int) -> Plan:
    """What each target would be told beside what is due anyway if a person approved all of a hold now.

    It is rehearsed with the approval and without; nothing is sent or kept.
    Raises `NotOpen` for a hold that is decided or that no target follows from.
    """
    approved = _rehearsed(store, intakes, lanes, number)
    found = _beside(approved, _rehearsed(store, intakes, lanes, None))
    with store.read() as reader:
        contacts = _contacts(reader, intakes[0].municipality, _going(found))
    return replace(found, contacts=contacts)


def _rehearsed(store: Store, intakes: Sequence[Intake], lanes: Sequence[Lane], number: int | None) -> Plan:
    listener = Listener()
    with store.write() as uow:
        rehearsal = _Rehearsal(uow)
        if number is not None:
            _approve(uow, number, intakes[0])
        held = [target for intake in intakes for target in _settle(rehearsal, intake, intake, listener)]
        found = _deliver(uow, rehearsal, lanes, held, {}, listener)
        uow.rollback()
    return found


def _beside(found: Plan, anyway: Plan) -> Plan:
    """What a plan has beside another one, and how much of it the other one has too."""
    targets = {name: _less(steps, anyway.targets.get(name, ()), _same) for name, steps in found.targets.items()}
    return replace(
        found,
        snapshots=tuple(_less(found.snapshots, anyway.snapshots, _of_run)),
        targets=targets,
        held=tuple(target for target in found.held if target not in anyway.held),
        later={name: _less(rows, anyway.later.get(name, ()), _of_later) for name, rows in found.later.items()},
        anyway={name: len(found.targets[name]) - len(steps) for name, steps in targets.items()},
    )


_T = TypeVar("_T")


def _less(found: Iterable[_T], others: Iterable[_T], what: Callable[[_T], Hashable]) -> list[_T]:
    """Those that are not among the others, each as often as it is there more."""
    left = Counter(map(what, others))
    kept = []
    for one in found:
        if left[what(one)]:
            left[what(one)] -= 1
        else:
            kept.append(one)
    return kept


def _same(step: Step) -> Hashable:
    return step


def _of_run(run: Run) -> Hashable:
    return run.institution, run.origin, run.digest, run.result


def _of_later(row: Later) -> Hashable:
    """The rehearsals are not of the same moment, so when it is looked at again is none of it."""
    return row.operation, row.kind, row.key, row.reason


def _going(found: Plan) -> list[str]:
    rows: list[Step | Later] = [step for steps in found.targets.values() for step in steps]
    rows += [row for later in found.later.values() for row in later]
    is_gone = Operation.DELETED.value
    return sorted({row.key[0] for row in rows if (row.kind, row.operation) == (Kind.PERSON, is_gone)})


def _contacts(reader: Reader, municipality: str, people: Sequence[str]) -> tuple[str, ...]:
    """Those of the people of whom every institution says that they are a contact."""
    roles: dict[str, set[Role]] = {}
    for row in reader.entities_by_person(municipality, Kind.CONTRIBUTION, people):
        said = decode_entity(row.kind, row.body) if row.body is not None else None
        if isinstance(said, Contribution) and not said.is_protection_only:
            roles.setdefault(said.user_id, set()).add(said.role)
    return tuple(one for one in people if roles.get(one) == {Role.CONTACT})


def _approve(uow: UnitOfWork, number: int, intake: Intake) -> None:
    """Let as many people as are needed say yes."""
    hold = uow.hold(number)
    if hold is None or hold.state not in ("open", "rejected"):
        raise NotOpen(f"hold {number} is not open any more; `skolebro plan` shows what comes of decided ones")
    now, needed = intake.now(), Rule.of(intake.policy, hold).people_needed
    everyone = tuple(Approval(f"preview {person}", now) for person in range(needed))
    uow.put_hold(replace(hold, state="approved", approvals=everyone, decided_at=now, decided_by="preview"))


def _settle(rehearsal: _Rehearsal, intake: Intake, full: Intake, listener: Listener) -> list[TargetId]:
    """Carry out what was changed or decided; return the targets whose mapping waits for a person."""
    held = []
    expire(rehearsal, intake)
    for rendering in intake.renderings:
        if not refresh(rehearsal, rendering, intake.policy, intake.book, intake.now):
            held.append(rendering.target)
        announce(rehearsal, rendering, intake.now)
        release(rehearsal, rendering, intake.policy, intake.book, intake.now())
    apply_approved(replace(full, store=rehearsal), listener)
    return held


def _deliver(
    uow: UnitOfWork,
    rehearsal: _Rehearsal,
    lanes: Sequence[Lane],
    held: Sequence[TargetId],
    unavailable: dict[str, str],
    listener: Listener,
) -> Plan:
    targets: dict[str, list[Step]] = {}
    later: dict[str, list[Later]] = {}
    paused: dict[str, str] = {}
    for lane in lanes:
        name = lane.rendering.target
        state = uow.target_state(name)
        if is_paused(state, lane.now()):
            paused[name] = state.pause_reason or "unavailable"
        if state.pause_reason == SHADOW:  # told as what switching it on would send
            uow.put_target_state(replace(state, paused_until=None, pause_reason=None))
        recorder = _Recorder(lane.target.capabilities, uow, name)
        rehearsed = replace(lane, store=rehearsal, target=recorder)
        while deliver(rehearsed, _SILENT):
            pass
        targets[name] = recorder.steps
        later[name] = [] if name in held else _later(uow, lane.rendering)
    return Plan(tuple(listener.runs), targets, tuple(held), unavailable, later, paused)


def _later(reader: Reader, rendering: Rendering) -> list[Later]:
    rows = deliveries_of(reader, rendering.target, "due")
    rows.sort(key=lambda row: (row.next_attempt_at, row.kind, row.key))
    return [
        Later(
            operation_of(row, row.desired is not None).value,
            row.kind.value,
            row.key,
            row.reason,
            row.next_attempt_at,
        )
        for row in rows
    ]


# ---------------------------------------------------------------- a target that only notes


class _Recorder:
    """A target that takes everything, and remembers what it was told."""

    def __init__(self, capabilities: Capabilities, reader: Reader, target: TargetId) -> None:
        self.capabilities = capabilities
        self.steps: list[Step] = []
        self._reader, self._target = reader, target

    def apply(self, batch: Sequence[Command]) -> Iterator[Outcome]:
        for command in batch:
            self.steps.append(self._step(command))
            yield Delivered(command.remote_id or f"new/{command.id}")

    def probe(self) -> None:
        """It is always there."""

    def _step(self, command: Command) -> Step:
        fields: tuple[str, ...] = ()
        if command.operation is Operation.UPDATED:
            row = self._reader.delivery(self._target, command.id)
            before = decode_body(row.confirmed_body) if row and row.confirmed_body is not None else {}
            fields = differing(before, command.document or {})
        return Step(command.operation.value, command.resource, command.kind, command.key, fields)


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the fields of a body in which two states differ, whatever sequences they are made of."""
    plain = decode_body(encode_body(after))
    return tuple(sorted(n for n in before.keys() | plain.keys() if before.get(n) != plain.get(n)))


class _Silent:
    """Nobody is told how a rehearsal went."""

    def delivered(self, target: str, delivery: Delivery, outcome: Outcome, at: datetime) -> None: ...

    def paused(self, before: TargetState, after: TargetState) -> None: ...

    def resumed(self, before: TargetState) -> None: ...

    def crashed(self, target: str, error: Exception) -> None: ...


_SILENT = _Silent()


# ---------------------------------------------------------------- rehearsing


def _fetched(intake: Intake, unavailable: dict[str, str]) -> Intake | None:
    """The intake over what its source has, fetched before the transaction opens; None when it gives nothing."""
    try:
        return replace(intake, source=Untaken(intake.source, list(intake.source.snapshots())))
    except (SourceUnavailable, SourceUnauthorised) as error:
        unavailable[intake.municipality] = explained(error)
        return None


@dataclass(frozen=True, slots=True)
class Untaken:
    """A source that is read without taking anything from it; `found`, when given, is what it has."""

    source: SnapshotSource
    found: Sequence[Snapshot | SourceFailure] | None = None

    def snapshots(self) -> Iterator[Snapshot | SourceFailure]:
        return self.source.snapshots() if self.found is None else iter(self.found)

    def parse(self, snapshot: Snapshot) -> Iterator[Record]:
        return self.source.parse(snapshot)

    def taken(self, snapshot: Snapshot) -> None:
        """Nothing is taken."""


@dataclass(frozen=True, slots=True)
class _Rehearsal:
    """A store whose every transaction is part of one that will be undone."""

    uow: UnitOfWork

    @contextmanager
    def read(self) -> Iterator[Reader]:
        yield self.uow

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        try:
            yield self.uow
        except NotOpen:
            raise
        except Exception as error:
            text = "a bug ended the rehearsal, which cannot undo half of it; nothing was changed"
            raise StoreError(text) from error

    def check(self) -> None:
        """The store behind it was checked when it was opened."""

    def close(self) -> None:
        """Closing is the owner's."""
