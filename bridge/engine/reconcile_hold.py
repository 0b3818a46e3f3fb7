"""Where very much of what a target has is otherwise, a person decides before anything is set right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from bridge.domain.entities import Kind
from bridge.domain.ids import CanonicalId, Key
from bridge.engine.brake import by_kind
from bridge.engine.guard import TARGET_DRIFTED, GuardPolicy
from bridge.engine.holding import DRIFT, still_agreed
from bridge.engine.lane import Lane
from bridge.engine.reconcile_read import MISSING, Finding
from bridge.ports import Hold, Reader, UnitOfWork

_FEW = 3
"""Where so many or more are all of their kind, and all are missing, the answer itself is in doubt."""
_UNSETTLED = ("open", "approved", "rejected")


@dataclass(frozen=True, slots=True)
class Permit:
    """What may be set right, what of it a person has approved, and the hold that asks for the rest."""

    ids: frozenset[CanonicalId]
    approved: frozenset[CanonicalId] = frozenset()
    hold: int | None = None


def permit(uow: UnitOfWork, lane: Lane, wanted: Sequence[Finding], now: datetime, *, restores: bool) -> Permit:
    """Say what of these may be set right: what is approved, and the rest if it `restores` and is not too much.

    An approval counts once. What a person has rejected stays as it is while it is found in the same way.
    """
    still_agreed(uow, drift_holds(uow, lane, ("approved",)), lane.policy, lane.book, now)
    holds = drift_holds(uow, lane, _UNSETTLED)
    approved = _covered(wanted, [hold for hold in holds if hold.state == "approved"])
    refused = _covered(wanted, [hold for hold in holds if hold.state == "rejected"])
    rest = [one for one in wanted if one.id not in approved] if restores else []
    asked = [one for one in rest if one.id not in refused]
    is_held = _is_too_much(uow, lane, rest)
    number = _ask(uow, lane, asked, now) if is_held and asked else None
    for hold in holds:
        if hold.state == "approved":
            uow.set_hold_state(hold.id, "applied", hold.decided_by, now)
        elif hold.id != number and (_is_over(hold, restores) or not _covered(wanted, [hold])):
            uow.set_hold_state(hold.id, "superseded", hold.decided_by, now)
    free = frozenset() if is_held else frozenset(one.id for one in asked)
    return Permit(approved | free, approved, number)


def _is_over(hold: Hold, restores: bool) -> bool:
    """A reading that only reports takes no question back that another one asked."""
    return hold.state == "open" and restores


def drift_holds(reader: Reader, lane: Lane, states: Sequence[str]) -> list[Hold]:
    return [h for h in reader.holds(states) if h.subject == DRIFT and h.target == lane.rendering.target]


def _covered(findings: Iterable[Finding], holds: Sequence[Hold]) -> frozenset[CanonicalId]:
    """Those of the findings that a hold speaks of: the same entity, in the same way."""
    told = {(name, label) for hold in holds for label, names in _asked(hold).items() for name in names}
    return frozenset(one.id for one in findings if (_name(one.kind, one.key), one.label) in told)


def _asked(hold: Hold) -> Mapping[str, Sequence[str]]:
    """Which entities were asked about in which way; of a hold of before that was written down, any in any way."""
    names = tuple(_name(*subject) for subject in hold.withheld)
    return hold.summary or dict.fromkeys(hold.counts, names)


def _name(kind: Kind, key: Key) -> str:
    return "/".join((kind.value, *key))


def _is_too_much(reader: Reader, lane: Lane, findings: Sequence[Finding]) -> bool:
    living = by_kind(reader.living(lane.rendering.target))
    numbers = Counter(one.kind for one in findings)
    missing = Counter(one.kind for one in findings if one.what == MISSING)
    return any(
        _exceeds(lane.policy, kind, number, living.get(kind, 0)) or missing[kind] >= max(living.get(kind, 0), _FEW)
        for kind, number in numbers.items()
    )


def _exceeds(policy: GuardPolicy, kind: Kind, drifted: int, stored: int) -> bool:
    """The same measure as for deletions: so much of a kind never goes astray by hand."""
    return policy.limits(kind.value).exceeded_by(drifted, stored)


def _ask(uow: UnitOfWork, lane: Lane, findings: Sequence[Finding], now: datetime) -> int:
    """Open a hold for these, or leave the one that asks for the same; return its number."""
    told = sorted(f"{one.id}{one.what}" for one in findings)
    digest = sha256("".join(told).encode()).hexdigest()
    earlier = drift_holds(uow, lane, ("open",))
    same = next((hold for hold in earlier if hold.digest == digest), None)
    if same is not None:
        return same.id
    notified_at = next((hold.notified_at for hold in earlier if hold.notified_at), None)
    counts, asked = Counter(one.label for one in findings), dict[str, list[str]]()
    for one in findings:
        asked.setdefault(one.label, []).append(_name(one.kind, one.key))
    living = by_kind(uow.living(lane.rendering.target))
    subjects = tuple(sorted({(one.kind, one.key) for one in findings}))
    number = uow.add_hold(
        Hold(
            id=0,
            municipality=lane.rendering.scope.municipality,
            institution="",
            subject=DRIFT,
            target=lane.rendering.target,
            digest=digest,
            reasons=(TARGET_DRIFTED,),
            counts={**counts, **{f"{kind}.stored": stored for kind, stored in living.items()}},
            people=tuple(key[0] for kind, key in subjects if kind is Kind.PERSON),
            state="open",
            opened_at=now,
            origin=lane.rendering.target,
            groups=tuple("/".join(key) for kind, key in subjects if kind is Kind.GROUP),
            withheld=subjects,
            summary={label: tuple(names) for label, names in sorted(asked.items())},
            notified_at=notified_at,
        ),
        None,
    )
    told_of = {"target": lane.rendering.target, "reasons": [TARGET_DRIFTED]}
    lane.book.write(uow, [{"kind": "hold.opened", "hold": number, **told_of}])
    return number
