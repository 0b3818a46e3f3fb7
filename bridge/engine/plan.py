"""What a sync would do, found by doing it in a transaction that is undone; nothing is sent or kept."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from bridge.connector import SnapshotSource, SourceFailure
from bridge.domain.changes import Operation
from bridge.domain.errors import SourceUnauthorised, SourceUnavailable
from bridge.domain.ids import CanonicalId
from bridge.domain.records import Record, Snapshot
from bridge.engine.codec import decode_body, encode_body
from bridge.engine.confirm import WAITING
from bridge.engine.deliver import operation_of
from bridge.engine.desire import Rendering, deliveries_of, render
from bridge.engine.fetch import Intake, Listener, apply_approved, fetch
from bridge.engine.refresh import refresh
from bridge.mapping import references, resolve
from bridge.observe import explained
from bridge.ports import Delivery, Reader, Run, Store, UnitOfWork


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a target would be told. `fields` names what an update changes in the body."""

    operation: str
    resource: str
    kind: str
    key: tuple[str, ...]
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The snapshots that a sync would take and the steps of each target, in delivery order.

    `held` names the targets whose changed mapping would be held instead of applied, `unavailable` why the source
    of a municipality gives nothing now.
    """

    snapshots: tuple[Run, ...]
    targets: dict[str, list[Step]]
    held: tuple[str, ...]
    unavailable: dict[str, str]


def plan(store: Store, intakes: Sequence[Intake], renderings: Sequence[Rendering]) -> Plan:
    """Take everything that the sources have now, list what each target would be told, and undo it all."""
    unavailable: dict[str, str] = {}
    fetched = [(intake, _fetched(intake, unavailable)) for intake in intakes]
    listener = Listener()
    held: list[str] = []
    with store.write() as uow:
        rehearsal = _Rehearsal(uow)
        for intake, full in fetched:
            here = [r for r in renderings if r.scope.municipality == intake.municipality]
            held += [r.target for r in here if not refresh(rehearsal, r, intake.policy, intake.book, intake.now)]
            apply_approved(replace(full or intake, store=rehearsal), listener)
            if full is not None:
                fetch(replace(full, store=rehearsal), listener)
        targets = {str(r.target): [] if r.target in held else steps(uow, r) for r in renderings}
        uow.rollback()
    return Plan(tuple(listener.runs), targets, tuple(held), unavailable)


def steps(reader: Reader, rendering: Rendering) -> list[Step]:
    """List what is due at one target, whenever its time comes, in delivery order."""
    rows = deliveries_of(reader, rendering.target, "due")
    found = [step for step in (_step(reader, rendering, row) for row in rows) if step is not None]
    found.sort(key=lambda pair: pair[0])
    return [step for _, step in found]


def _step(
    reader: Reader, rendering: Rendering, row: Delivery
) -> tuple[tuple[bool, int, tuple[str, ...]], Step] | None:
    rendered = render(reader, rendering, row.kind, [row.key]).get(row.key)
    operation = operation_of(row, rendered is not None)
    is_deletion = operation is Operation.DELETED
    if is_deletion and row.confirmed is None and not row.in_doubt and not row.remote_id:
        return None
    fields: tuple[str, ...] = ()
    if rendered is not None:
        ids = {ref.id: ref.id for ref in references(rendered.body)}
        known = {str(k): v for k, v in reader.remote_ids(rendering.target, map(CanonicalId, ids)).items()}
        if row.reason == WAITING and not _is_coming(reader, rendering, ids.keys() - known.keys()):
            return None
        if operation is Operation.UPDATED:
            fields = _changed(row, resolve(rendered.body, ids), resolve(rendered.body, ids | known))
    place = (is_deletion, -row.rank if is_deletion else row.rank, row.key)
    return place, Step(operation.value, row.resource, row.kind.value, row.key, fields)


def _is_coming(reader: Reader, rendering: Rendering, missing: Collection[str]) -> bool:
    """Whether anything that an entity still waits for is on its way, or nothing is missing any more."""
    rows = [reader.delivery(rendering.target, CanonicalId(identity)) for identity in missing]
    return not missing or any(row is not None and row.is_due for row in rows)


def _changed(row: Delivery, *bodies: dict[str, Any]) -> tuple[str, ...]:
    """Name the fields that differ from what was confirmed, whosever ids stand in it."""
    before = decode_body(row.confirmed_body) if row.confirmed_body is not None else {}
    after = [decode_body(encode_body(body)) for body in bodies]
    names = before.keys() | after[0].keys()
    return tuple(sorted(n for n in names if all(before.get(n) != body.get(n) for body in after)))


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
        yield self.uow

    def check(self) -> None:
        """The store behind it was checked when it was opened."""

    def close(self) -> None:
        """Closing is the owner's."""
