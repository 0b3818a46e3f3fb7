"""Desired and confirmed state of every target in SQL; what is due is computed by the database itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import LargeBinary, Select, bindparam, case, cast, delete, func, literal_column, select, update

from bridge.adapters.sql_schema import deliveries, drift, from_stored, ledgers, to_stored
from bridge.adapters.sql_transaction import CHUNK, SqlPart, StoredRow, chunks
from bridge.domain.entities import Kind
from bridge.domain.errors import StoreError
from bridge.domain.ids import CanonicalId, TargetId, join_key, split_key
from bridge.ports import REPLAYED, RESTING, STUCK_AFTER, URGENT, Delivery, DeliveryCounts, Desired, Ledger

_C = deliveries.c
# Spelt out, not bound: SQLite uses a partial index only for a condition that it can read.
_IS_DUE = _C.is_due == literal_column("1")
_IS_REJECTED = _C.state == literal_column("'rejected'")
_IS_THERE = _C.confirmed.is_not(None) | _C.confirmed_body.is_not(None)
_IS_KNOWN = _IS_THERE | (_C.in_doubt == literal_column("1"))
_IS_IN_CHUNK = _C.id.in_(bindparam(CHUNK, expanding=True))
_THIS = (_C.target == bindparam("b_target"), _C.id == bindparam("b_id"))

_DESIRED = select(_C.id, _C.desired).where(_C.target == bindparam("target"), _IS_IN_CHUNK)
_STEP = select(
    _C.id,
    _C.desired,
    _C.confirmed,
    _C.rank,
    _C.resource,
    _C.in_doubt,
    _C.is_due,
    _C.carried,
    _C.cleared,
    _C.version,
    _C.state,
    _C.confirmed_body.is_not(None).label("is_known"),
).where(_C.target == bindparam("target"), _IS_IN_CHUNK)
_REMOTE = select(_C.id, _C.remote_id).where(
    _C.target == bindparam("target"), _IS_IN_CHUNK, _C.remote_id.is_not(None)
)
_LANE_HEAD = (
    select(_C.lane, _C.next_attempt_at)
    .where(_C.target == bindparam("target"), _IS_DUE, _C.lane > bindparam("lane"))
    .order_by(_C.lane, _C.next_attempt_at)
    .limit(1)
)
_LANE = (
    select(deliveries)
    .where(
        _C.target == bindparam("target"),
        _IS_DUE,
        _C.lane == bindparam("lane"),
        _C.next_attempt_at <= bindparam("now"),
        _C.claimed_by.in_(["", bindparam("by")]),
    )
    .order_by(_C.next_attempt_at, _C.id)
)
_AGAIN = _C.reason == literal_column(f"'{REPLAYED}'")
_FIRST = _C.reason.is_(None) | (_C.reason != REPLAYED)
_IN_TURN = (
    (_LANE_HEAD.where(_FIRST), _LANE.where(_FIRST)),
    (_LANE_HEAD.where(_AGAIN), _LANE.where(_AGAIN)),
)
"""What is only told once more comes behind all else."""

_IS_GONE = cast(bindparam("b_hash"), LargeBinary).is_(None)  # PostgreSQL asks of what type a null is
_IS_LOST = _IS_GONE & _C.confirmed.is_(None) & _C.confirmed_body.is_not(None)
_CHANGED = (
    "b_target",
    "b_id",
    "b_hash",
    "b_rank",
    "b_resource",
    "b_institution",
    "b_now",
    "b_reason",
    "b_due_at",
    "b_carried",
    "b_cleared",
    "b_cause",
)
_CHANGE = (
    update(deliveries)
    .where(*_THIS)
    .values(
        desired=bindparam("b_hash"),
        rank=bindparam("b_rank"),
        resource=bindparam("b_resource"),
        institution=func.coalesce(func.nullif(bindparam("b_institution"), literal_column("''")), _C.institution),
        version=_C.version + 1,
        attempts=0,
        # What is to be sent again has no confirmed hash, and is there all the same: when it goes it is deleted.
        in_doubt=case((_IS_LOST, 1), else_=_C.in_doubt),
        state="pending",
        reason=bindparam("b_reason"),
        next_attempt_at=bindparam("b_due_at"),
        updated_at=bindparam("b_now"),
        carried=bindparam("b_carried"),
        cleared=bindparam("b_cleared"),
        cause=func.coalesce(func.nullif(bindparam("b_cause"), literal_column("''")), _C.cause),
    )
)
_MOVED = ("b_target", "b_id", "b_rank", "b_resource")
_MOVE = update(deliveries).where(*_THIS).values(rank=bindparam("b_rank"), resource=bindparam("b_resource"))
_CARRY = update(deliveries).where(*_THIS).values(carried=_C.carried + bindparam("b_carried"))
_BEGIN = update(deliveries).where(*_THIS).values(in_doubt=1)

_IS_SAME_VERSION = _C.version == bindparam("b_version")
_WRITTEN_BACK = (
    "b_target",
    "b_id",
    "b_version",
    "b_confirmed",
    "b_confirmed_body",
    "b_remote_id",
    "b_etag",
    "b_in_doubt",
    "b_reason",
    "b_updated_at",
    "b_attempts",
    "b_next_attempt_at",
    "b_state",
    "b_carried",
    "b_cleared",
)
_WRITE_BACK = (
    update(deliveries)
    .where(*_THIS)
    .values(
        confirmed=bindparam("b_confirmed"),
        confirmed_body=bindparam("b_confirmed_body"),
        remote_id=bindparam("b_remote_id"),
        etag=bindparam("b_etag"),
        in_doubt=bindparam("b_in_doubt"),
        reason=case((_IS_SAME_VERSION, bindparam("b_reason")), else_=_C.reason),
        updated_at=bindparam("b_updated_at"),
        attempts=case((_IS_SAME_VERSION, bindparam("b_attempts")), else_=_C.attempts),
        next_attempt_at=case((_IS_SAME_VERSION, bindparam("b_next_attempt_at")), else_=_C.next_attempt_at),
        state=case((_IS_SAME_VERSION, bindparam("b_state")), else_=_C.state),
        carried=case((_IS_SAME_VERSION, bindparam("b_carried")), else_=_C.carried),
        cleared=case((_IS_SAME_VERSION, bindparam("b_cleared")), else_=_C.cleared),
    )
)


class SqlDeliveries(SqlPart):
    """`DeliveryStore` without the targets' own states."""

    def put_desired(self, rows: Iterable[Desired], now: datetime) -> set[CanonicalId]:
        wanted = {(row.target, row.id): row for row in rows}
        stored = self._steps(wanted)
        moment = to_stored(now)
        new, changed, moved = [], [], []
        superseded: Counter[TargetId] = Counter()
        for key, row in wanted.items():
            before = stored.get(key)
            if before is None:
                if row.hash is not None:
                    new.append(_new(row, moment))
                continue
            rank = _rank(before, row)
            if before.desired != row.hash:
                carried, overtaken = _carried(before, row)
                superseded[row.target] += overtaken
                due_at = to_stored(row.not_before) if row.not_before is not None else moment
                told = (row.institution, moment, row.reason, due_at, carried, int(row.is_cleared), row.cause)
                changed.append((*key, row.hash, rank, row.resource, *told))
            elif (before.rank, before.resource) != (rank, row.resource):
                moved.append((*key, rank, row.resource))
        self._tx.add(deliveries, new)
        self._tx.change(_CHANGE, _CHANGED, changed)
        self._tx.change(_MOVE, _MOVED, moved)
        for target, number in superseded.items():
            self._count(target, superseded=number)
        return {CanonicalId(str(row[1])) for row in (*new, *changed)}

    def desired_hashes(self, target: TargetId, ids: Iterable[CanonicalId]) -> dict[CanonicalId, bytes | None]:
        return {CanonicalId(row.id): row.desired for row in self._tx.rows_in(_DESIRED, ids, target=target)}

    def due(self, target: TargetId, now: datetime, limit: int, by: str = "") -> list[Delivery]:
        moment = to_stored(now)
        for head, within in _IN_TURN:
            for lane, earliest in self._lane_heads(target, head):
                if earliest <= moment:
                    rows = self._tx.rows(within.limit(limit), target=target, lane=lane, now=moment, by=by)
                    return [stored_delivery(row) for row in rows]
        return []

    def begin_attempts(self, target: TargetId, ids: Sequence[CanonicalId]) -> None:
        self._tx.change(_BEGIN, ("b_target", "b_id"), [(target, identity) for identity in ids])

    def put_deliveries(self, rows: Sequence[Delivery]) -> None:
        stored = self._steps((row.target, row.id) for row in rows)
        delivered: Counter[TargetId] = Counter()
        for row in rows:
            before = stored.get((row.target, row.id))
            if before is not None and _is_settled(before, row):
                delivered[row.target] += before.carried
        self._tx.change(_WRITE_BACK, _WRITTEN_BACK, [_written_back(row, stored) for row in rows])
        for target, number in delivered.items():
            self._count(target, delivered=number)

    def due_for(self, cause: str) -> dict[TargetId, int]:
        counted = select(_C.target, func.count()).where(_IS_DUE, _C.cause == cause).group_by(_C.target)
        return {TargetId(target): number for target, number in self._tx.rows(counted)}

    def remote_ids(self, target: TargetId, ids: Iterable[CanonicalId]) -> dict[CanonicalId, str]:
        return {CanonicalId(row.id): row.remote_id for row in self._tx.rows_in(_REMOTE, ids, target=target)}

    def deliveries(
        self, target: TargetId | None, state: str | None, after: CanonicalId | None, limit: int
    ) -> list[Delivery]:
        page = select(deliveries).order_by(_C.target, _C.id).limit(limit)
        if target is not None:
            page = page.where(_C.target == target)
        if after is not None:
            page = page.where(_C.id > after)
        match state:
            case None:
                pass
            case "due":
                page = page.where(_IS_DUE)
            case "rejected":
                page = page.where(_IS_REJECTED)
            case "confirmed":
                page = page.where(_IS_THERE)
            case _:
                raise StoreError(f"no delivery is ever {state}: ask for due, rejected or confirmed")
        return [stored_delivery(row) for row in self._tx.rows(page)]

    def delivery(self, target: TargetId, identity: CanonicalId) -> Delivery | None:
        wanted = select(deliveries).where(_C.target == target, _C.id == identity)
        return next(map(stored_delivery, self._tx.rows(wanted)), None)

    def wake(self, target: TargetId, reason: str | None, now: datetime) -> int:
        moment = to_stored(now)
        waiting = update(deliveries).where(_C.target == target, _IS_DUE, _C.next_attempt_at > moment)
        is_meant = (
            _C.reason.not_in(sorted(RESTING)) | _C.reason.is_(None) if reason is None else _C.reason == reason
        )
        waiting = waiting.where(is_meant)
        return self._tx.run(waiting.values(next_attempt_at=moment, updated_at=moment)).rowcount

    def retry_rejected(self, target: TargetId | None, ids: Sequence[CanonicalId] | None, now: datetime) -> int:
        moment = to_stored(now)
        again = update(deliveries).where(_IS_REJECTED)
        if target is not None:
            again = again.where(_C.target == target)
        again = again.values(state="pending", attempts=0, reason=None, next_attempt_at=moment, updated_at=moment)
        if ids is None:
            return self._tx.run(again).rowcount
        some = again.where(_IS_IN_CHUNK)
        return sum(self._tx.run(some, **{CHUNK: chunk}).rowcount for chunk in chunks(ids))

    def forget_confirmed(self, target: TargetId, ids: Iterable[CanonicalId]) -> None:
        living = update(deliveries).where(_C.target == target, _C.desired.is_not(None), _IS_IN_CHUNK)
        for chunk in chunks(ids):
            self._tx.run(living.values(confirmed=None, version=_C.version + 1, cleared=0), **{CHUNK: chunk})

    def forget_deliveries(self, target: TargetId) -> int:
        for table in (ledgers, drift):
            self._tx.run(delete(table).where(table.c.target == target))
        return self._tx.run(delete(deliveries).where(_C.target == target)).rowcount

    def delivery_counts(self, target: TargetId, now: datetime) -> DeliveryCounts:
        is_waiting = _C.next_attempt_at > to_stored(now)
        counted = select(
            func.count(case((_IS_THERE, 1))),
            func.count(case((_IS_DUE, 1))),
            func.count(case((_IS_DUE & is_waiting, 1))),
            func.count(case((_IS_REJECTED, 1))),
            func.min(case((_IS_DUE, _C.next_attempt_at))),
            func.count(case((_IS_DUE & (_C.attempts >= STUCK_AFTER), 1))),
            func.count(case((_IS_DUE & is_waiting & _C.reason.in_(sorted(RESTING)), 1))),
            func.count(case((_IS_REJECTED & (_C.rank == URGENT) & _IS_KNOWN, 1))),
        ).where(_C.target == target)
        confirmed, due, waiting, rejected, oldest, stuck, resting, exposed = self._tx.rows(counted)[0]
        return DeliveryCounts(confirmed, due, waiting, rejected, from_stored(oldest), stuck, resting, exposed)

    def next_due_at(self, target: TargetId) -> datetime | None:
        heads = (one for head, _ in _IN_TURN for one in self._lane_heads(target, head))
        return from_stored(min((earliest for _, earliest in heads), default=None))

    def _lane_heads(self, target: TargetId, head: Select[Any]) -> Iterator[tuple[int, int]]:
        """Each lane with something due and its earliest time: one index look-up a lane, however long it is."""
        lane = URGENT - 1
        while rows := self._tx.rows(head, target=target, lane=lane):
            lane, earliest = rows[0]
            yield lane, earliest

    def _steps(
        self, keys: Iterable[tuple[TargetId, CanonicalId]]
    ) -> dict[tuple[TargetId, CanonicalId], StoredRow]:
        """The present step of each of these that has a row."""
        by_target: dict[TargetId, list[CanonicalId]] = {}
        for target, identity in keys:
            by_target.setdefault(target, []).append(identity)
        return {
            (target, CanonicalId(row.id)): row
            for target, ids in by_target.items()
            for row in self._tx.rows_in(_STEP, ids, target=target)
        }

    # ------------------------------------------------------------ what a person may have to allow

    def clear(self, target: TargetId, ids: Iterable[CanonicalId], reason: str, now: datetime) -> None:
        moment = to_stored(now)
        is_waiting = _C.reason == reason
        freed = update(deliveries).where(_C.target == target, _IS_IN_CHUNK)
        freed = freed.values(
            cleared=1,
            next_attempt_at=case((is_waiting, moment), else_=_C.next_attempt_at),
            reason=case((is_waiting, None), else_=_C.reason),
        )
        for chunk in chunks(ids):
            self._tx.run(freed, **{CHUNK: chunk})

    def due_steps(self, target: TargetId) -> list[Delivery]:
        wanted = select(deliveries).where(_C.target == target, _IS_DUE, _C.cleared == literal_column("0"))
        return [stored_delivery(row) for row in self._tx.rows(wanted.order_by(_C.id))]

    def living(self, target: TargetId) -> dict[tuple[str, Kind], int]:
        counted = select(_C.institution, _C.kind, func.count()).where(_C.target == target, _IS_THERE)
        rows = self._tx.rows(counted.group_by(_C.institution, _C.kind))
        return {(institution, Kind(kind)): number for institution, kind, number in rows}

    def set_cause(self, target: TargetId, ids: Iterable[CanonicalId], cause: str) -> None:
        these = update(deliveries).where(_C.target == target, _IS_IN_CHUNK).values(cause=cause)
        for chunk in chunks(ids):
            self._tx.run(these, **{CHUNK: chunk})

    # ------------------------------------------------------------ the ledger

    def carry(self, target: TargetId, numbers: Mapping[CanonicalId, int]) -> None:
        steps = self._steps((target, identity) for identity in numbers)
        is_open = {key[1]: bool(row.is_due) or row.state == "rejected" for key, row in steps.items()}
        grown = [(target, identity, number) for identity, number in numbers.items() if is_open.get(identity)]
        self._tx.change(_CARRY, ("b_target", "b_id", "b_carried"), grown)
        self._count(target, superseded=sum(numbers.values()) - sum(number for _, _, number in grown))

    def ledger(self, target: TargetId) -> Ledger:
        rows = self._tx.rows(select(ledgers).where(ledgers.c.target == target))
        ended = rows[0] if rows else None
        carried = select(_C.state, func.sum(_C.carried)).where(
            _C.target == target, _C.carried > literal_column("0")
        )
        waiting = {state: int(number) for state, number in self._tx.rows(carried.group_by(_C.state))}
        return Ledger(
            target=target,
            accepted=ended.accepted if ended else 0,
            filtered=ended.filtered if ended else 0,
            delivered=ended.delivered if ended else 0,
            superseded=ended.superseded if ended else 0,
            unapplied=ended.unapplied if ended else 0,
            rejected=waiting.get("rejected", 0),
            pending=waiting.get("pending", 0),
        )

    def count_changes(self, target: TargetId, *, accepted: int = 0, filtered: int = 0, unapplied: int = 0) -> None:
        self._count(target, accepted=accepted, filtered=filtered, unapplied=unapplied)

    def supersede_unapplied(self, target: TargetId) -> None:
        values = {"superseded": ledgers.c.superseded + ledgers.c.unapplied, "unapplied": 0}
        self._tx.run(update(ledgers).where(ledgers.c.target == target).values(values))

    def _count(self, target: TargetId, **numbers: int) -> None:
        grown = {name: ledgers.c[name] + number for name, number in numbers.items() if number}
        if grown and not self._tx.run(update(ledgers).where(ledgers.c.target == target).values(grown)).rowcount:
            names = (column.name for column in ledgers.columns if column.name != "target")
            self._tx.add(ledgers, [(target, *(numbers.get(name, 0) for name in names))])


def _rank(before: StoredRow, row: Desired) -> int:
    """Urgent while it is asked for, or was and is still on its way."""
    if row.hash is None:
        return row.rank
    is_open = bool(before.is_due) or before.state == "rejected"
    is_still = before.rank == URGENT and is_open and before.desired is not None
    return URGENT if row.is_urgent or is_still else row.rank


def _carried(before: StoredRow, row: Desired) -> tuple[int, int]:
    """How many changes the next step carries, and how many end superseded with it."""
    is_lost = row.hash is None and before.confirmed is None and bool(before.is_known)
    is_done = row.hash == before.confirmed and not before.in_doubt and not is_lost
    carried = before.carried if row.carried is None else row.carried
    overtaken = 0 if row.carried is None else before.carried
    return (0, overtaken + carried) if is_done else (carried, overtaken)


def _is_settled(before: StoredRow, row: Delivery) -> bool:
    """Whether nothing is due any more once a delivery is written back."""
    return bool(before.version == row.version and row.state == "pending") and not (
        _in_doubt(before, row) or before.desired != row.confirmed
    )


def _in_doubt(before: StoredRow, row: Delivery) -> bool:
    """Who is to be gone by now and was about to be sent again is there still, whatever became of that."""
    return row.in_doubt or (before.desired is None and row.confirmed is None and row.confirmed_body is not None)


def _new(row: Desired, moment: int) -> tuple[object, ...]:
    return (
        row.target,
        row.id,
        row.kind.value,
        join_key(row.key),
        row.institution,
        row.resource,
        URGENT if row.is_urgent else row.rank,
        row.hash,
        None,  # confirmed
        None,  # remote_id
        None,  # etag
        1,  # version
        0,  # in_doubt
        0,  # attempts
        to_stored(row.not_before) if row.not_before is not None else moment,
        "pending",
        row.reason,
        moment,
        None,  # confirmed_body
        row.carried or 0,
        int(row.is_cleared),
        "",  # claimed_by
        row.cause,
    )


def _written_back(row: Delivery, stored: Mapping[tuple[TargetId, CanonicalId], StoredRow]) -> tuple[object, ...]:
    before = stored.get((row.target, row.id))
    is_open = before is not None and not _is_settled(before, row)
    return (
        row.target,
        row.id,
        row.version,
        row.confirmed,
        row.confirmed_body,
        row.remote_id,
        row.etag,
        int(before is not None and _in_doubt(before, row)),
        row.reason,
        to_stored(row.updated_at),
        row.attempts,
        to_stored(row.next_attempt_at),
        row.state,
        before.carried if before is not None and is_open else 0,
        before.cleared if before is not None and is_open else 0,
    )


def stored_delivery(row: StoredRow) -> Delivery:
    return Delivery(
        target=TargetId(row.target),
        id=CanonicalId(row.id),
        kind=Kind(row.kind),
        key=split_key(row.key),
        institution=row.institution,
        resource=row.resource,
        rank=row.rank,
        desired=row.desired,
        confirmed=row.confirmed,
        confirmed_body=row.confirmed_body,
        remote_id=row.remote_id,
        etag=row.etag,
        version=row.version,
        in_doubt=bool(row.in_doubt),
        attempts=row.attempts,
        next_attempt_at=from_stored(row.next_attempt_at),
        state=row.state,
        reason=row.reason,
        updated_at=from_stored(row.updated_at),
        carried=row.carried,
        is_cleared=bool(row.cleared),
        cause=row.cause,
    )
