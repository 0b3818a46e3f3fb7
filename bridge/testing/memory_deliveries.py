"""Desired and confirmed state of every target on plain dicts; what is due is asked of each row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from bridge.domain.entities import Kind
from bridge.domain.errors import StoreError
from bridge.domain.ids import CanonicalId, TargetId
from bridge.ports import (
    REPLAYED,
    RESTING,
    STUCK_AFTER,
    URGENT,
    Delivery,
    DeliveryCounts,
    Desired,
    Ledger,
    TargetState,
)
from bridge.testing.memory_tables import MemoryPart

_STATES: dict[str | None, Callable[[Delivery], bool]] = {
    None: lambda row: True,
    "due": lambda row: row.is_due,
    "rejected": lambda row: row.state == "rejected",
    "confirmed": lambda row: row.is_there,
}


class MemoryDeliveries(MemoryPart):
    """`DeliveryStore`."""

    def put_desired(self, rows: Iterable[Desired], now: datetime) -> set[CanonicalId]:
        table, stepped = self._writing().deliveries, set()
        for key, row in {(row.target, row.id): row for row in rows}.items():
            before = table.get(key)
            after = _desired(before, row, now)
            if after is None or after == before:
                continue
            table[key] = after
            if before is None or before.desired != after.desired:
                stepped.add(row.id)
                accepted = (before.carried if before else 0) + (row.carried or 0)
                self._count(row.target, superseded=accepted - after.carried)
        return stepped

    def desired_hashes(self, target: TargetId, ids: Iterable[CanonicalId]) -> dict[CanonicalId, bytes | None]:
        return {row.id: row.desired for row in self._some(target, ids)}

    def due(self, target: TargetId, now: datetime, limit: int, by: str = "") -> list[Delivery]:
        rows = [row for row in self._due(target) if row.next_attempt_at <= now]
        first = min(map(_lane, rows), default=None)
        claims = self._tables.claims
        free = [row for row in rows if claims.get((row.target, row.id), by) == by]
        lane = [row for row in free if _lane(row) == first]
        return sorted(lane, key=lambda row: (row.next_attempt_at, row.id))[:limit]

    def begin_attempts(self, target: TargetId, ids: Sequence[CanonicalId]) -> None:
        self._change(replace(row, in_doubt=True) for row in self._some(target, ids))

    def put_deliveries(self, rows: Sequence[Delivery]) -> None:
        table = self._writing().deliveries
        for row in rows:
            if stored := table.get((row.target, row.id)):
                after = _written_back(stored, row)
                table[row.target, row.id] = after
                self._count(row.target, delivered=stored.carried - after.carried)

    def due_for(self, cause: str) -> dict[TargetId, int]:
        rows = self._tables.deliveries.values()
        return dict(Counter(row.target for row in rows if row.is_due and row.cause == cause))

    def remote_ids(self, target: TargetId, ids: Iterable[CanonicalId]) -> dict[CanonicalId, str]:
        return {row.id: row.remote_id for row in self._some(target, ids) if row.remote_id is not None}

    def deliveries(
        self, target: TargetId | None, state: str | None, after: CanonicalId | None, limit: int
    ) -> list[Delivery]:
        if state not in _STATES:
            raise StoreError(f"no delivery is ever {state}: ask for due, rejected or confirmed")
        keys = sorted(self._tables.deliveries)
        rows = (self._tables.deliveries[key] for key in keys if target is None or key[0] == target)
        return [row for row in rows if _STATES[state](row) and (after is None or row.id > after)][:limit]

    def delivery(self, target: TargetId, identity: CanonicalId) -> Delivery | None:
        return self._tables.deliveries.get((target, identity))

    def wake(self, target: TargetId, reason: str | None, now: datetime) -> int:
        waiting = [row for row in self._due(target) if row.next_attempt_at > now]
        return self._change(
            replace(row, next_attempt_at=now, updated_at=now)
            for row in waiting
            if (row.reason not in RESTING if reason is None else row.reason == reason)
        )

    def retry_rejected(self, target: TargetId | None, ids: Sequence[CanonicalId] | None, now: datetime) -> int:
        return self._change(
            replace(row, state="pending", attempts=0, reason=None, next_attempt_at=now, updated_at=now)
            for row in list(self._tables.deliveries.values())
            if row.state == "rejected" and target in (None, row.target) and (ids is None or row.id in ids)
        )

    def forget_confirmed(self, target: TargetId, ids: Iterable[CanonicalId]) -> None:
        living = [row for row in self._some(target, ids) if row.desired is not None]
        self._change(replace(row, confirmed=None, version=row.version + 1, is_cleared=False) for row in living)

    def set_cause(self, target: TargetId, ids: Iterable[CanonicalId], cause: str) -> None:
        self._change(replace(row, cause=cause) for row in self._some(target, ids))

    def settled(self, target: TargetId, ids: Iterable[CanonicalId]) -> list[Delivery]:
        return [row for row in self._some(target, ids) if not row.is_due and row.state == "pending"]

    def tell_again(self, target: TargetId, at: Mapping[CanonicalId, datetime]) -> None:
        self._change(
            replace(
                row,
                confirmed=None,
                in_doubt=row.in_doubt or row.desired is None,
                version=row.version + 1,
                attempts=0,
                is_cleared=True,
                reason=REPLAYED,
                next_attempt_at=at[row.id],
                updated_at=at[row.id],
            )
            for row in self.settled(target, at)
        )

    def forget_deliveries(self, target: TargetId) -> int:
        tables = self._writing()
        before = len(tables.deliveries)
        tables.deliveries = {place: row for place, row in tables.deliveries.items() if place[0] != target}
        tables.drift = {place: row for place, row in tables.drift.items() if place[0] != target}
        tables.claims = {place: who for place, who in tables.claims.items() if place[0] != target}
        tables.ledgers.pop(target, None)
        return before - len(tables.deliveries)

    def delivery_counts(self, target: TargetId, now: datetime) -> DeliveryCounts:
        rows = [row for row in self._tables.deliveries.values() if row.target == target]
        due = self._due(target)
        return DeliveryCounts(
            confirmed=sum(row.is_there for row in rows),
            due=len(due),
            waiting=sum(row.next_attempt_at > now for row in due),
            rejected=sum(row.state == "rejected" for row in rows),
            oldest_due_at=self.next_due_at(target),
            stuck=sum(row.attempts >= STUCK_AFTER for row in due),
            resting=sum(row.next_attempt_at > now and row.reason in RESTING for row in due),
            exposed=sum(
                row.state == "rejected" and row.rank == URGENT and (row.is_there or row.in_doubt) for row in rows
            ),
        )

    def next_due_at(self, target: TargetId) -> datetime | None:
        return min((row.next_attempt_at for row in self._due(target)), default=None)

    def clear(self, target: TargetId, ids: Iterable[CanonicalId], reason: str, now: datetime) -> None:
        for row in self._some(target, ids):
            freed = replace(row, is_cleared=True)
            is_waiting = row.reason == reason
            self._change([replace(freed, next_attempt_at=now, reason=None) if is_waiting else freed])

    def due_steps(self, target: TargetId) -> list[Delivery]:
        return sorted((row for row in self._due(target) if not row.is_cleared), key=lambda row: row.id)

    def living(self, target: TargetId) -> dict[tuple[str, Kind], int]:
        rows = (row for row in self._tables.deliveries.values() if row.target == target)
        return dict(Counter((row.institution, row.kind) for row in rows if row.is_there))

    def carry(self, target: TargetId, numbers: Mapping[CanonicalId, int]) -> None:
        grown = [row for row in self._some(target, numbers) if row.is_due or row.state == "rejected"]
        self._change(replace(row, carried=row.carried + numbers[row.id]) for row in grown)
        self._count(target, superseded=sum(numbers.values()) - sum(numbers[row.id] for row in grown))

    def ledger(self, target: TargetId) -> Ledger:
        carried: Counter[str] = Counter()
        for row in self._tables.deliveries.values():
            if row.target == target:
                carried[row.state] += row.carried
        ended = self._tables.ledgers.get(target, Ledger(target))
        return replace(ended, rejected=carried["rejected"], pending=carried["pending"])

    def count_changes(self, target: TargetId, *, accepted: int = 0, filtered: int = 0, unapplied: int = 0) -> None:
        self._count(target, accepted=accepted, filtered=filtered, unapplied=unapplied)

    def supersede_unapplied(self, target: TargetId) -> None:
        waiting = self._tables.ledgers.get(target, Ledger(target)).unapplied
        self._count(target, superseded=waiting, unapplied=-waiting)

    def _count(self, target: TargetId, **numbers: int) -> None:
        if any(numbers.values()):
            before = self._tables.ledgers.get(target, Ledger(target))
            grown = {name: getattr(before, name) + number for name, number in numbers.items()}
            self._writing().ledgers[target] = replace(before, **grown)

    def target_state(self, target: TargetId) -> TargetState:
        return self._tables.targets.get(target, TargetState(target))

    def target_states(self) -> list[TargetState]:
        return [self._tables.targets[target] for target in sorted(self._tables.targets)]

    def put_target_state(self, state: TargetState) -> None:
        self._writing().targets[state.target] = state

    def _due(self, target: TargetId) -> list[Delivery]:
        return [row for row in self._tables.deliveries.values() if row.target == target and row.is_due]

    def _some(self, target: TargetId, ids: Iterable[CanonicalId]) -> list[Delivery]:
        found = (self._tables.deliveries.get((target, identity)) for identity in dict.fromkeys(ids))
        return [row for row in found if row is not None]

    def _change(self, rows: Iterable[Delivery]) -> int:
        changed = {(row.target, row.id): row for row in rows}
        self._writing().deliveries.update(changed)
        return len(changed)


def _lane(row: Delivery) -> tuple[bool, bool, int]:
    return (row.reason == REPLAYED, row.desired is None, -row.rank if row.desired is None else row.rank)


def _desired(before: Delivery | None, row: Desired, now: datetime) -> Delivery | None:
    if before is None:
        return None if row.hash is None else _first(row, now)
    is_open = before.is_due or before.state == "rejected"
    is_still = before.rank == URGENT and is_open and before.desired is not None
    rank = URGENT if row.hash is not None and (row.is_urgent or is_still) else row.rank
    after = replace(before, rank=rank, resource=row.resource)
    if before.desired == row.hash:
        return after
    is_lost = row.hash is None and before.confirmed is None and before.confirmed_body is not None
    is_done = row.hash == before.confirmed and not before.in_doubt and not is_lost
    return replace(
        after,
        desired=row.hash,
        institution=row.institution or before.institution,
        version=before.version + 1,
        attempts=0,
        in_doubt=before.in_doubt or is_lost,
        state="pending",
        reason=row.reason,
        next_attempt_at=row.not_before or now,
        updated_at=now,
        carried=0 if is_done else before.carried if row.carried is None else row.carried,
        is_cleared=row.is_cleared,
        cause=row.cause or before.cause,
    )


def _first(row: Desired, now: datetime) -> Delivery:
    return Delivery(
        target=row.target,
        id=row.id,
        kind=row.kind,
        key=row.key,
        institution=row.institution,
        resource=row.resource,
        rank=URGENT if row.is_urgent else row.rank,
        desired=row.hash,
        confirmed=None,
        confirmed_body=None,
        remote_id=None,
        etag=None,
        version=1,
        in_doubt=False,
        attempts=0,
        next_attempt_at=row.not_before or now,
        state="pending",
        reason=row.reason,
        updated_at=now,
        carried=row.carried or 0,
        is_cleared=row.is_cleared,
        cause=row.cause,
    )


def _written_back(stored: Delivery, row: Delivery) -> Delivery:
    after = replace(
        stored,
        confirmed=row.confirmed,
        confirmed_body=row.confirmed_body,
        remote_id=row.remote_id,
        etag=row.etag,
        in_doubt=row.in_doubt or (stored.desired is None and row.confirmed is None and row.is_there),
        updated_at=row.updated_at,
    )
    if stored.version != row.version:
        return after
    after = replace(
        after, attempts=row.attempts, next_attempt_at=row.next_attempt_at, state=row.state, reason=row.reason
    )
    is_settled = after.state == "pending" and not after.is_due
    return replace(after, carried=0, is_cleared=False) if is_settled else after
