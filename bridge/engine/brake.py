"""At a target too, what would do much harm at once waits for a person, while the rest goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256

from bridge.domain.changes import Operation
from bridge.domain.entities import Kind
from bridge.domain.ids import CanonicalId, TargetId
from bridge.domain.tracing import decision_id
from bridge.engine.audit import AuditBook
from bridge.engine.decide import agreed_part
from bridge.engine.desire import Rendering
from bridge.engine.detect import concerned
from bridge.engine.guard import TARGET_GROWS, TARGET_REWRITTEN, TARGET_SHRINKS, GuardPolicy
from bridge.engine.holding import DELETIONS, REST, in_place_of, keep_the_rest, still_agreed
from bridge.engine.leavers import Leaving
from bridge.engine.masking import protected_people
from bridge.ports import HELD, KEPT, URGENT, Delivery, Hold, Reader, Store, Subject, UnitOfWork

_REASONS = {
    Operation.CREATED: TARGET_GROWS,
    Operation.UPDATED: TARGET_REWRITTEN,
    Operation.DELETED: TARGET_SHRINKS,
}
_LOOK = timedelta(hours=1)
_LEAST_OF_A_SCHOOL = 10


def operation_of(row: Delivery, wanted: bool) -> Operation:
    """Name the step that leads from what the target confirmed to what it should have."""
    if not wanted:
        return Operation.DELETED
    return Operation.UPDATED if row.is_there or row.remote_id else Operation.CREATED


AT_TARGETS = GuardPolicy(min_deleted=25, max_created_percent=None, max_updated_percent=None)
"""What goes for a target by itself: one mapping may well create or change everything, but delete little."""


def _has_limit(policy: GuardPolicy, row: Delivery) -> bool:
    return policy.limits(row.kind.value).is_limited(operation_of(row, row.desired is not None))


def too_much(
    reader: Reader,
    target: TargetId,
    policy: GuardPolicy,
    leaving: Leaving,
    decided: Collection[Subject],
    now: datetime,
) -> dict[Operation, list[Delivery]]:
    """What is due at a target, now or later, of operations that its limits stop.

    What is decided does not count, nor who sleeps: they were counted when they were put to sleep. Nor does a
    protection, or who is kept.
    """
    living = reader.living(target)
    stored, of_school = by_kind(living), Counter[tuple[str, Kind]]()
    steps: dict[tuple[Operation, Kind], list[Delivery]] = {}
    due = reader.due_steps(target)
    kept = {row.id for row in due if row.reason == KEPT and row.next_attempt_at > now}
    free = kept | protections(reader, target, due)
    for row in due:
        if row.id not in free and not (_is_nothing(row) or leaving.is_asleep(row) or _subject(row) in decided):
            steps.setdefault((operation_of(row, row.desired is not None), row.kind), []).append(row)
            of_school[row.institution, row.kind] += row.desired is None
    emptied = {place for place, gone in of_school.items() if _empties(policy, place, gone, living.get(place, 0))}
    held: dict[Operation, list[Delivery]] = {}
    for (operation, kind), rows in steps.items():
        if not policy.limits(kind.value).exceeded_by(len(rows), stored[kind], operation):
            is_deleted = operation is Operation.DELETED
            rows = [row for row in rows if is_deleted and (row.institution, kind) in emptied]
        if rows:
            held.setdefault(operation, []).extend(rows)
    return held


def _empties(policy: GuardPolicy, place: tuple[str, Kind], gone: int, stored: int) -> bool:
    """Whether too large a share of one institution goes, which is little of the whole target."""
    limits = policy.limits(place[1].value)
    least = min(limits.min_deleted, _LEAST_OF_A_SCHOOL)
    return replace(limits, min_deleted=least, max_deleted=None).exceeded_by(gone, stored)


def by_kind(living: Mapping[tuple[str, Kind], int]) -> Counter[Kind]:
    """Sum up what a target has over its institutions."""
    total: Counter[Kind] = Counter()
    for (_, kind), number in living.items():
        total[kind] += number
    return total


def _is_nothing(row: Delivery) -> bool:
    """A deletion of what the target never had."""
    return row.desired is None and row.confirmed is None and not row.in_doubt and row.remote_id is None


def protections(reader: Reader, target: TargetId, rows: Iterable[Delivery]) -> set[CanonicalId]:
    """Those of these that hide what is protected now of people whom the target knows, or may know."""
    told = [row for row in rows if row.kind is Kind.PERSON and row.desired is not None]
    known = [row for row in told if operation_of(row, wanted=True) is Operation.UPDATED]
    urgent = [row for row in known if row.rank == URGENT] + [row for row in told if row.in_doubt]
    hidden = protected_people(reader, target.partition("/")[0], urgent)
    return {row.id for row in urgent if row.key in hidden}


def brake(
    uow: UnitOfWork,
    target: TargetId,
    policy: GuardPolicy,
    leaving: Leaving,
    book: AuditBook,
    due: Sequence[Delivery],
    now: datetime,
) -> list[Delivery]:
    """Return what of the due deliveries may go; the rest is put off, and a person is asked about all like it."""
    if all(row.is_cleared or not _has_limit(policy, row) for row in due):
        return list(due)  # what is stored is not even counted
    refused, free = _refused(uow, target), protections(uow, target, due)
    held = too_much(uow, target, policy, leaving, refused, now)
    ids = {row.id for rows in held.values() for row in rows} | {row.id for row in due if _subject(row) in refused}
    ids -= free
    stopped = [row for row in due if row.id in ids]
    put_off = [replace(row, reason=HELD, next_attempt_at=now + _LOOK, updated_at=now) for row in stopped]
    uow.put_deliveries(put_off)
    if held:
        _ask(uow, target, held, book, now)
    else:
        _settle(uow, target, now)
    return [row for row in due if row.id not in ids]


def _subject(row: Delivery) -> Subject:
    return row.kind, row.key


def _rests(reader: Reader, target: TargetId) -> list[Hold]:
    """What was left out when a part was approved: it waits for a person, however little it is."""
    return [hold for hold in holds_at(reader, target, ("open",)) if REST in hold.reasons]


def _decided(reader: Reader, target: TargetId) -> list[Hold]:
    return [*holds_at(reader, target, ("rejected",)), *_rests(reader, target)]


def _refused(reader: Reader, target: TargetId) -> frozenset[Subject]:
    """What a person has said no to, as long as it is still due."""
    decided = _decided(reader, target)
    due = _due(reader, target) if decided else {}
    return frozenset(_subject(row) for hold in decided for row in _still(hold, due))


def _due(reader: Reader, target: TargetId) -> dict[Subject, Delivery]:
    return {_subject(row): row for row in reader.due_steps(target)}


def _still(hold: Hold, due: Mapping[Subject, Delivery]) -> list[Delivery]:
    """The steps of a hold that are still due: to delete somebody is another step than to change them."""
    rows = [due[subject] for subject in hold.withheld if subject in due]
    return [row for row in rows if _REASONS[operation_of(row, row.desired is not None)] in hold.reasons]


def _ask(
    uow: UnitOfWork, target: TargetId, held: Mapping[Operation, list[Delivery]], book: AuditBook, now: datetime
) -> None:
    rows = sorted((row for stopped in held.values() for row in stopped), key=lambda row: row.id)
    digest = sha256("".join(f"{row.id}{row.version}" for row in rows).encode()).hexdigest()
    reasons = tuple(_REASONS[operation] for operation in Operation if operation in held)
    earlier = [hold for hold in holds_at(uow, target, ("open",)) if REST not in hold.reasons]
    if any(hold.digest == digest for hold in earlier):
        return
    for hold in earlier:
        uow.set_hold_state(hold.id, "superseded", None, now)
    stored = {f"{kind}.stored": number for kind, number in by_kind(uow.living(target)).items()}
    opened = Hold(
        id=0,
        municipality=target.partition("/")[0],
        institution="",
        subject=DELETIONS,
        target=target,
        digest=digest,
        reasons=reasons,
        counts=stored,
        people=(),
        state="open",
        opened_at=now,
        origin=target,
    )
    number = uow.add_hold(in_place_of(earlier, _about(opened, rows)), None)
    book.write(uow, [{"kind": "hold.opened", "hold": number, "target": target, "reasons": list(reasons)}])


def _about(hold: Hold, rows: Sequence[Delivery]) -> Hold:
    """The hold, speaking of these steps and no others."""
    stored = {label: number for label, number in hold.counts.items() if label.endswith(".stored")}
    counts = Counter(f"{row.kind}.{operation_of(row, row.desired is not None)}" for row in rows)
    people = {concerned(_subject(row)) for row in rows}
    return replace(
        hold,
        counts={**counts, **stored},
        people=tuple(sorted(one for one in people if one is not None)),
        groups=tuple(sorted("/".join(row.key) for row in rows if row.kind is Kind.GROUP)),
        withheld=tuple(_subject(row) for row in rows),
    )


def holds_at(reader: Reader, target: TargetId, states: Sequence[str]) -> list[Hold]:
    return [hold for hold in reader.holds(states) if hold.target == target and hold.subject == DELETIONS]


def _settle(uow: UnitOfWork, target: TargetId, now: datetime) -> None:
    """Nothing is too much any more: whoever was asked need not answer."""
    for hold in holds_at(uow, target, ("open",)):
        if REST not in hold.reasons:
            uow.set_hold_state(hold.id, "superseded", None, now)


def release(store: Store, rendering: Rendering, policy: GuardPolicy, book: AuditBook, now: datetime) -> int:
    """Let go what was approved at this target and still is; return how many deliveries that are.

    A no is forgotten where it is about nothing any more: who came back and leaves again is another matter.
    `policy` is the municipality's: it says how many people decide.
    """
    name = rendering.target
    with store.read() as reader:
        if not holds_at(reader, name, ("approved",)) and not _decided(reader, name):
            return 0
    freed = 0
    with store.write() as uow:
        for hold in still_agreed(uow, holds_at(uow, name, ("approved",)), policy, book, now):
            agreed = {subject for subject in hold.withheld if _is_agreed(hold, subject)}
            asked = _still(hold, _due(uow, name))  # what is another operation by now was not asked about
            ids = [row.id for row in asked if _subject(row) in agreed]
            uow.clear(name, ids, HELD, now)
            if ids:
                cause = decision_id("hold.released", name, str(hold.id), now.isoformat())
                uow.set_cause(name, ids, cause)
                told = {"hold": hold.id, "target": name, "number": len(ids)}
                book.on(cause).write(uow, [{"kind": "hold.released", **told}])
            left = tuple(subject for subject in hold.withheld if not _is_agreed(hold, subject))
            keep_the_rest(uow, hold, left, now)
            freed += len(ids)
        due = _due(uow, name)
        for hold in _decided(uow, name):
            _narrow(uow, hold, _still(hold, due), now)
    return freed


def _narrow(uow: UnitOfWork, hold: Hold, rows: Sequence[Delivery], now: datetime) -> None:
    narrowed = _about(hold, rows)
    if not rows:
        uow.set_hold_state(hold.id, "superseded", hold.decided_by, now)
    elif narrowed != hold:
        uow.put_hold(narrowed)


def _is_agreed(hold: Hold, subject: Subject) -> bool:
    """Whether the approval speaks of this one: by its person, or by its group."""
    only = agreed_part(hold)
    person = concerned(subject)
    return only is None or (person if person is not None else "/".join(subject[1])) in only
