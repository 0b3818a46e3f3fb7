"""What is to be set right becomes due: nothing is sent from here, and nothing is deleted that we did not make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

import msgspec

from bridge.domain.entities import Kind
from bridge.domain.ids import CanonicalId, Key, TargetId
from bridge.domain.outcomes import CONFIRMING
from bridge.domain.tracing import decision_id
from bridge.engine.audit import AuditBook
from bridge.engine.codec import hash_bytes
from bridge.engine.confirm import forget_referrers
from bridge.engine.desire import deliveries_of
from bridge.engine.lane import Lane
from bridge.engine.reconcile_read import CHANGED, LEFTOVER, MISSING, MOVED, Finding, Known, each
from bridge.ports import HELD, Delivery, Reader, Store, UnitOfWork

_SOMETHING = hash_bytes(b"leftover")
"""Stands for what the target has of an entity that it should not have."""


def mend(
    uow: UnitOfWork,
    lane: Lane,
    findings: Sequence[Finding],
    approved: Collection[CanonicalId],
    now: datetime,
) -> None:
    """Make these due again, and what refers to those that will be known by another id."""
    name = lane.rendering.target
    cause = decision_id("target.restored", name, now.isoformat())
    for page in each(findings):
        rows = [(one, row) for one in page if (row := uow.delivery(name, one.id)) is not None]
        uow.put_deliveries([_mended(row, one, now) for one, row in rows])
        uow.set_cause(name, [row.id for _, row in rows], cause)
    moved: dict[Kind, set[Key]] = {}
    for one in findings:
        if one.what in (MISSING, MOVED):
            moved.setdefault(one.kind, set()).add(one.key)
    forget_referrers(uow, lane.rendering, moved, cause)
    uow.clear(name, approved, HELD, now)
    if findings:
        counts = Counter(one.what for one in findings)
        lane.book.on(cause).write(uow, [{"kind": "target.restored", "target": name, **counts}])


def _mended(row: Delivery, one: Finding, now: datetime) -> Delivery:
    if Known.of(row).is_resting:  # what is protected is hidden again, and the rest goes on
        return replace(row, attempts=0, in_doubt=True, next_attempt_at=now, etag=one.etag)
    again = replace(row, attempts=0, reason=None, next_attempt_at=now, updated_at=now)
    match one.what:
        case "missing":  # in doubt, so that it is looked for before it is made
            return replace(again, confirmed=None, confirmed_body=None, remote_id=None, etag=None, in_doubt=True)
        case "changed":
            return replace(again, confirmed=None, etag=one.etag)
        case "leftover":
            return replace(again, confirmed=_SOMETHING, remote_id=one.remote_id, etag=one.etag)
        case _:
            there = again if Known.of(row).is_settled else row  # else it is due already, in its own time
            confirmed = None if there is again else row.confirmed
            return replace(there, confirmed=confirmed, remote_id=one.remote_id, etag=one.etag, updated_at=now)


def may_mend(reader: Reader, lane: Lane, one: Finding) -> bool:
    """Whether it can be set right at all: a leftover only if the chain says that we brought it there."""
    if not one.is_certain:
        return False
    return one.what in (MISSING, CHANGED, MOVED) or (one.what == LEFTOVER and _is_ours(reader, lane, one.id))


def _is_ours(reader: Reader, lane: Lane, identity: CanonicalId) -> bool:
    sent, reached = set(), set()
    for row in reader.audit_about(lane.book.reference(identity)):
        record = msgspec.json.decode(row.record)
        if record.get("target") == lane.rendering.target and record.get("operation") in ("created", "updated"):
            sent.add(row.intent)
        elif record.get("outcome") in CONFIRMING:
            reached.add(row.closes)
    return not sent.isdisjoint(reached)


# ---------------------------------------------------------------- what a person asks for


def to_resync(reader: Reader, target: TargetId) -> list[CanonicalId]:
    """All that a target should have, whatever has become of it."""
    return [row.id for row in deliveries_of(reader, target) if row.desired is not None]


def resync(store: Store, book: AuditBook, target: TargetId, by: str, now: datetime) -> int:
    """Let all that a target should have be sent again, rejected ones too; return how many these are."""
    cause = decision_id("target.resync", target, by, now.isoformat())
    with store.write() as uow:
        ids = to_resync(uow, target)
        uow.forget_confirmed(target, ids)
        uow.set_cause(target, ids, cause)
        retry(uow, target, None, now, cause)
        book.on(cause).write(uow, [{"kind": "target.resync", "target": target, "by": by, "number": len(ids)}])
    return len(ids)


def retry(
    uow: UnitOfWork, target: TargetId, ids: Collection[CanonicalId] | None, now: datetime, cause: str
) -> int:
    """Let what a target rejected, all of it or these, be tried again for this decision; return how many it is."""
    rejected = [row.id for row in deliveries_of(uow, target, "rejected") if ids is None or row.id in ids]
    uow.set_cause(target, rejected, cause)
    return uow.retry_rejected(target, rejected, now)


def unpark(store: Store, book: AuditBook, targets: Sequence[TargetId], by: str) -> int:
    """Let what a target keeps changing back be set right again; return how many entities these are."""
    with store.write() as uow:
        parked = [row for target in targets for row in uow.drift(target) if row.state == "parked"]
        uow.put_drift([replace(row, state="open", rounds=0) for row in parked])
        numbers = Counter(row.target for row in parked)
        book.write(
            uow,
            [{"kind": "drift.retried", "target": t, "by": by, "number": n} for t, n in sorted(numbers.items())],
        )
    return len(parked)
