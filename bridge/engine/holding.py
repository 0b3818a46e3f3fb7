"""What waits for a person: a snapshot as a whole, or only its deletions, until a later good one ends the wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bridge.domain.changes import Operation
from bridge.domain.entities import Group, Kind
from bridge.domain.records import Snapshot
from bridge.engine.audit import AuditBook
from bridge.engine.codec import decode_entity
from bridge.engine.decide import Rule, agreed_part, is_agreed, live_approvals
from bridge.engine.detect import Detection, concerned, label_of, withheld_with
from bridge.engine.guard import OF_THE_TIME, SHRUNKEN, WRONG_INSTITUTION, GuardPolicy
from bridge.engine.normalise import Normalised
from bridge.engine.roll import main_groups, roll_summary
from bridge.ports import Hold, Reader, Subject, UnitOfWork

SNAPSHOT, DELETIONS, TARGET, DRIFT = "snapshot", "deletions", "target", "drift"
_DECIDED = ("approved", "rejected")
_HOLD = "hold "
REST = "rest_of_a_part"
"""A hold whose other part was approved: what is left waits for a person, however little it is."""
PART = "part_of_a_hold"
"""A part of another hold that was approved and carried out by itself; `origin` names that hold."""
NEWER_APPROVED, NEWER_RECORDED = "newer_approved", "newer_recorded"
BODY_GONE, UNREADABLE = "body_gone", "unreadable"
"""Why an approved snapshot is not recorded."""
OF_THE_DOCUMENT = OF_THE_TIME | {WRONG_INSTITUTION}
"""Reasons that say nothing of what came before: such a document does not take an earlier one's place."""


@dataclass(frozen=True, slots=True)
class Place:
    """Whose holds are meant, and who writes down what becomes of them."""

    municipality: str
    institution: str
    book: AuditBook
    now: datetime


@dataclass(frozen=True, slots=True)
class Leavers:
    """Who and what would go: user ids, and group ids within the institution."""

    people: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()

    @classmethod
    def of(cls, deletions: Iterable[Subject]) -> Leavers:
        people, groups = set(), set()
        for kind, key in deletions:
            user_id = concerned((kind, key))
            if user_id is not None:
                people.add(user_id)
            elif kind is Kind.GROUP:
                groups.add(key[1])
        return cls(frozenset(people), frozenset(groups))

    @classmethod
    def named(cls, names: Iterable[str]) -> Leavers:
        """Who is meant by user ids and by "<institution>/<group id>"."""
        told = set(names)
        groups = {name for name in told if "/" in name}
        return cls(frozenset(told - groups), frozenset(name.partition("/")[2] for name in groups))

    def with_others(self, others: Leavers) -> Leavers:
        return Leavers(self.people | others.people, self.groups | others.groups)

    def without(self, others: Leavers) -> Leavers:
        return Leavers(self.people - others.people, self.groups - others.groups)

    @classmethod
    def left_out(cls, hold: Hold, others: Leavers | None = None) -> Leavers:
        """Whom an approved hold is about, and `others`, but its approval is not."""
        only = agreed_part(hold)
        everyone = cls.named((*hold.people, *hold.groups)).with_others(others or cls())
        return cls() if only is None else everyone.without(cls.named(only))


def hold_counts(detection: Detection) -> dict[str, int]:
    """How many of each kind would be created, updated and deleted, and how many are stored."""
    counts = dict(Counter(f"{change.kind}.{change.operation}" for change in detection.changes))
    counts.update(
        {f"{label}.stored": number for label, number in detection.stored.items() if label != Kind.CONTRIBUTION}
    )
    return counts


def holds_of(reader: Reader, place: Place, subject: str, states: Sequence[str]) -> list[Hold]:
    here = (place.municipality, place.institution, subject)
    return [h for h in reader.holds(states) if (h.municipality, h.institution, h.subject) == here and not h.target]


# ---------------------------------------------------------------- a snapshot as a whole


def hold_snapshot(
    uow: UnitOfWork,
    place: Place,
    snapshot: Snapshot,
    found: Normalised,
    reasons: tuple[str, ...],
    detection: Detection,
    leavers: Leavers,
) -> int:
    """Open a hold for all of a snapshot and return its number; it takes the place of earlier open ones.

    `leavers` are those of whom too much goes, beside who leaves.
    """
    earlier = [] if OF_THE_DOCUMENT.issuperset(reasons) else holds_of(uow, place, SNAPSHOT, ("open",))
    earlier = [hold for hold in earlier if not OF_THE_DOCUMENT.issuperset(hold.reasons)]
    for hold in earlier:
        uow.set_hold_state(hold.id, "superseded", None, place.now)
    groups = Leavers.of(detection.deletions).groups
    opened = Hold(
        id=0,
        municipality=place.municipality,
        institution=place.institution,
        subject=SNAPSHOT,
        target=None,
        digest=snapshot.digest,
        reasons=reasons,
        counts=hold_counts(detection),
        people=tuple(sorted({*detection.gone_people, *leavers.people})),
        state="open",
        opened_at=place.now,
        origin=snapshot.origin,
        groups=_group_names(found.header.institution_number, groups),
        summary=_summary(uow, place, found, detection),
        export_time=found.header.export_time,
    )
    return _open(uow, place, in_place_of(earlier, opened), snapshot.body)


def _summary(
    reader: Reader, place: Place, found: Normalised, detection: Detection
) -> Mapping[str, tuple[str, ...]]:
    number, ids = found.header.institution_number, main_groups(detection.changes)
    rows = reader.entities(place.municipality, Kind.GROUP, [(number, one) for one in ids])
    stored_ones = [decode_entity(row.kind, row.body) for row in rows.values() if row.body is not None]
    before, after = (
        {one.group_id: one.name for one in groups if isinstance(one, Group)}
        for groups in (stored_ones, found.entities[Kind.GROUP].values())
    )
    return roll_summary(detection.changes, before, after)


def in_place_of(earlier: Iterable[Hold], hold: Hold) -> Hold:
    """Return the hold with when people were told of the same trouble: they are not told of it every day."""
    told = next((one for one in earlier if one.notified_at and one.reasons == hold.reasons), None)
    return hold if told is None else replace(hold, notified_at=told.notified_at, reminded_at=told.reminded_at)


def _group_names(institution: str, groups: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{institution}/{group}" for group in sorted(groups))


def _open(uow: UnitOfWork, place: Place, hold: Hold, body: bytes | None) -> int:
    number = uow.add_hold(hold, body)
    told = {"municipality": hold.municipality, "institution": hold.institution, "reasons": list(hold.reasons)}
    place.book.write(uow, [{"kind": "hold.opened", "hold": number, **told}])
    return number


# ---------------------------------------------------------------- deletions only


def kept_back(reader: Reader, place: Place, found: Normalised) -> frozenset[Subject]:
    """What decided holds keep, as far as this snapshot does not show it again.

    A deletion that was rejected is not asked for anew every day; one that is approved is carried out on its own.
    Of who had left and is named again nothing is kept.
    """
    decided = _keeping(reader, place)
    return frozenset(kept for hold in decided for kept in _still_missing(reader, place, hold, found))


def let_go_of(uow: UnitOfWork, place: Place, found: Normalised) -> None:
    """This snapshot is recorded: what it shows again no decided hold keeps any longer."""
    for hold in _keeping(uow, place):
        still = _still_missing(uow, place, hold, found)
        if not still:
            uow.set_hold_state(hold.id, "superseded", hold.decided_by, place.now)
        elif still != hold.withheld:
            uow.put_hold(_shrunk(hold, still))


def _keeping(reader: Reader, place: Place) -> list[Hold]:
    return [*holds_of(reader, place, DELETIONS, _DECIDED), *_rests(reader, place)]


def _still_missing(reader: Reader, place: Place, hold: Hold, found: Normalised) -> tuple[Subject, ...]:
    missing = [(kind, key) for kind, key in hold.withheld if key not in found.entities[kind]]
    living = stored(reader, place.municipality, missing)
    there = found.entities[Kind.CONTRIBUTION]
    back = {key[1] for kind, key in hold.withheld if kind is Kind.CONTRIBUTION and key in there}
    left = Leavers.named((*hold.people, *hold.groups)).without(Leavers(frozenset(back)))
    return withheld_with(reader, place.municipality, place.institution, living, left.people, left.groups)


def _rests(reader: Reader, place: Place) -> list[Hold]:
    return [hold for hold in holds_of(reader, place, DELETIONS, ("open",)) if REST in hold.reasons]


def stored(reader: Reader, municipality: str, subjects: Collection[Subject]) -> set[Subject]:
    """Those of these entities that live."""
    living: set[Subject] = set()
    for kind in {kind for kind, _ in subjects}:
        rows = reader.entities(municipality, kind, [key for what, key in subjects if what is kind])
        living.update((kind, key) for key, row in rows.items() if row.body is not None)
    return living


def _shrunk(hold: Hold, withheld: tuple[Subject, ...]) -> Hold:
    left = Leavers.of(withheld)
    return replace(
        hold,
        withheld=withheld,
        people=tuple(p for p in hold.people if p in left.people),
        groups=tuple(g for g in hold.groups if g.partition("/")[2] in left.groups),
        counts={**_stored_counts(hold.counts), **_deleted_counts(withheld)},
    )


def _persons(whole: Detection, rest: Detection) -> dict[str, int]:
    """How many people would be gone from the whole municipality."""
    deleted = f"{Kind.PERSON}.{Operation.DELETED}"
    number = hold_counts(whole).get(deleted, 0) - hold_counts(rest).get(deleted, 0)
    return {deleted: number} if number else {}


def _stored_counts(counts: Mapping[str, int]) -> dict[str, int]:
    return {label: number for label, number in counts.items() if label.endswith(".stored")}


def _deleted_counts(withheld: Iterable[Subject]) -> dict[str, int]:
    kinds = Counter(kind for kind, _ in withheld if kind is not Kind.CONTRIBUTION)
    return {f"{kind}.deleted": number for kind, number in kinds.items()}


def leavers_of(reader: Reader, place: Place, detection: Detection, labels: Collection[str]) -> Leavers:
    """Who would go by the deletions of these labels; contacts who go with a pupil are not told of beside them."""
    counted = [subject for subject in detection.deletions if label_of(*subject) in labels]
    first = Leavers.of(subject for subject in counted if subject[0] is not Kind.CONTRIBUTION)
    along = set(withhold(reader, place, detection, first))
    return first.with_others(Leavers.of(subject for subject in counted if subject not in along))


def withhold(reader: Reader, place: Place, detection: Detection, leavers: Leavers) -> tuple[Subject, ...]:
    """The deletions that must wait so that these stay as they are stored."""
    people, groups = leavers.people, leavers.groups
    return withheld_with(reader, place.municipality, place.institution, detection.deletions, people, groups)


def hold_deletions(
    uow: UnitOfWork,
    place: Place,
    snapshot: Snapshot,
    leavers: Leavers,
    withheld: tuple[Subject, ...],
    whole: Detection,
    rest: Detection,
    *,
    is_rest: bool = False,
) -> None:
    """Ask a person about these deletions; one who was asked about the same people and groups is not asked anew.

    `whole` is what the snapshot would do, `rest` what it does without them; `is_rest`: the other part of the
    snapshot was approved.
    """
    counts = {**_stored_counts(hold_counts(whole)), **_deleted_counts(withheld), **_persons(whole, rest)}
    people = tuple(sorted(leavers.people))
    groups = _group_names(place.institution, leavers.groups)
    earlier = [hold for hold in holds_of(uow, place, DELETIONS, ("open",)) if REST not in hold.reasons]
    reasons = (REST,) if is_rest else (SHRUNKEN,)
    for hold in earlier:
        if not is_rest and (hold.people, hold.groups) == (people, groups):
            is_the_same = set(withheld) <= set(hold.withheld)
            kept = replace(hold, withheld=withheld, digest=snapshot.digest, counts=counts)
            uow.put_hold(kept if is_the_same else replace(kept, approvals=()))
            return
        uow.set_hold_state(hold.id, "superseded", None, place.now)
    opened = Hold(
        id=0,
        municipality=place.municipality,
        institution=place.institution,
        subject=DELETIONS,
        target=None,
        digest=snapshot.digest,
        reasons=reasons,
        counts=counts,
        people=people,
        state="open",
        opened_at=place.now,
        origin=snapshot.origin,
        groups=groups,
        withheld=withheld,
    )
    _open(uow, place, in_place_of(earlier, opened), None)


def keep_the_rest(uow: UnitOfWork, hold: Hold, withheld: tuple[Subject, ...], now: datetime) -> None:
    """An approved hold has been carried out: all of it, or a part, and then the rest waits on under its number.

    The part stays on record as a hold of its own, with whom it was about and who said yes to them.
    """
    if not withheld:
        uow.set_hold_state(hold.id, "applied", hold.decided_by, now)
        return
    _note_part(uow, hold, tuple(subject for subject in hold.withheld if subject not in set(withheld)), now)
    reasons = tuple(dict.fromkeys((*hold.reasons, REST)))
    left = replace(_shrunk(hold, withheld), state="open", approvals=(), decided_by=None, decided_at=None)
    uow.put_hold(replace(left, reasons=reasons))


def _note_part(uow: UnitOfWork, hold: Hold, gone: tuple[Subject, ...], now: datetime) -> None:
    if not gone:
        return
    agreed = agreed_part(hold)
    part = replace(
        _shrunk(hold, gone),
        state="applied",
        decided_at=now,
        reasons=(*told_reasons(hold), PART),
        origin=f"{_HOLD}{hold.id}",
        approvals=tuple(replace(one, only=None) for one in hold.approvals if one.only == agreed),
    )
    uow.add_hold(part, None)


def told_reasons(hold: Hold) -> tuple[str, ...]:
    """Why a hold was opened, without what became of it since."""
    return tuple(reason for reason in hold.reasons if reason not in (REST, PART)) or hold.reasons


def part_of(hold: Hold) -> int | None:
    """The number of the hold that this one was a part of; None for a hold of its own."""
    return int((hold.origin or "").removeprefix(_HOLD)) if PART in hold.reasons else None


def parts_of(reader: Reader, number: int) -> list[Hold]:
    """The parts of a hold that were approved and carried out before the rest, the oldest first."""
    return [one for one in reader.holds(("applied",)) if part_of(one) == number]


# ---------------------------------------------------------------- the end of waiting


def settle(uow: UnitOfWork, place: Place, approved: Hold | None, made_at: datetime | None) -> None:
    """A snapshot is what is recorded: the approved hold is applied, other holds of snapshots are over.

    But for an approved one that is newer than `made_at`: it is still to come. A rejected content is judged anew if
    it comes again after another; a document that was rejected as such is not. None: the source said nothing new.
    """
    for hold in holds_of(uow, place, SNAPSHOT, ("open",)):
        uow.set_hold_state(hold.id, "superseded", None, place.now)
    if approved is not None:
        uow.set_hold_state(approved.id, "applied", approved.decided_by, place.now)
    if made_at is None:
        return
    for hold in holds_of(uow, place, SNAPSHOT, ("rejected",)):
        if not OF_THE_DOCUMENT.issuperset(hold.reasons):
            uow.set_hold_state(hold.id, "superseded", hold.decided_by, place.now)
    for hold in holds_of(uow, place, SNAPSHOT, ("approved",)):
        if hold.export_time is None or hold.export_time < made_at:
            supersede(uow, place, hold, NEWER_RECORDED)


def newest_approved(uow: UnitOfWork, place: Place) -> Hold | None:
    """The approved snapshot that may be recorded: of several the one that was made last, the others are over."""
    approved = holds_of(uow, place, SNAPSHOT, ("approved",))
    newest = max(approved, key=lambda hold: (hold.export_time or hold.opened_at, hold.id), default=None)
    for hold in approved:
        if hold is not newest:
            supersede(uow, place, hold, NEWER_APPROVED)
    return newest


def supersede(uow: UnitOfWork, place: Place, hold: Hold, reason: str) -> None:
    """What a person approved is not carried out any more, and why is written down."""
    uow.set_hold_state(hold.id, "superseded", hold.decided_by, place.now)
    told = {"hold": hold.id, "digest": hold.digest, "reason": reason}
    place.book.write(uow, [{"kind": "hold.superseded", **told}])


def reopen(uow: UnitOfWork, place: Place, hold: Hold, reason: str) -> None:
    """What a person approved could not be carried out: it is asked for anew."""
    uow.put_hold(replace(hold, state="open", approvals=(), decided_by=None, decided_at=None))
    told = {"hold": hold.id, "digest": hold.digest, "reason": reason}
    place.book.write(uow, [{"kind": "hold.reopened", **told}])


def nothing_is_withheld(uow: UnitOfWork, place: Place) -> None:
    """A snapshot without too many deletions was recorded: whoever was asked need not answer any more."""
    for hold in holds_of(uow, place, DELETIONS, ("open",)):
        if REST not in hold.reasons:
            uow.set_hold_state(hold.id, "superseded", None, place.now)


def still_agreed(
    uow: UnitOfWork, approved: Iterable[Hold], policy: GuardPolicy, book: AuditBook, now: datetime
) -> list[Hold]:
    """Those of the approved holds that may be carried out now.

    The others are open again, with the approvals that still count: too few people are left who said yes in time,
    or more are needed by now.
    """
    agreed = []
    for hold in approved:
        rule = Rule.of(policy, hold)
        if is_agreed(hold, rule, now):
            agreed.append(hold)
            continue
        left = live_approvals(hold, rule, now)
        uow.put_hold(replace(hold, state="open", approvals=left, decided_by=None, decided_at=None))
        book.write(uow, [{"kind": "hold.approval_expired", "hold": hold.id, "digest": hold.digest}])
    return agreed
