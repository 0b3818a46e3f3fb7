"""A changed mapping or scope is rendered for everything at once, and held if it would empty a target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from bridge.domain.entities import Kind
from bridge.domain.ids import CanonicalId, Key, TargetId
from bridge.domain.privacy import Protection, Told
from bridge.domain.tracing import decision_id
from bridge.engine.audit import AuditBook
from bridge.engine.breaker import is_new, resume, switch_off
from bridge.engine.desire import (
    Occasion,
    Rendering,
    deliveries_of,
    desire,
    everything,
    pages,
    render,
    system_of,
)
from bridge.engine.guard import MAPPING_REMOVES, OTHER_SYSTEM, GuardPolicy
from bridge.engine.holding import TARGET, in_place_of, still_agreed
from bridge.engine.masking import TELLING, protect, user_of
from bridge.engine.scan import living_rows
from bridge.engine.shelf import SERVED
from bridge.engine.words import protected_users
from bridge.ports import GONE, HELD, SHADOW, Delivery, Desired, Hold, Reader, Store, TargetState, UnitOfWork

RENDERED = "target.rendered"
_UNSETTLED = ("open", "approved")
_PAGE = 500


def refresh(
    store: Store, rendering: Rendering, policy: GuardPolicy, book: AuditBook, now: Callable[[], datetime]
) -> bool:
    """Bring a target's desired state in line with its mapping and scope; return False when that is held.

    Does nothing while mapping, scope and system are the ones that were applied last. Where a held one was taken
    back, what was recorded meanwhile is rendered after all.
    """
    with store.read() as reader:
        state = reader.target_state(rendering.target)
        last = state.rendering
        is_applied = last == rendering.digest
        is_behind = reader.ledger(rendering.target).unapplied > 0
        is_held = any(hold.state in _UNSETTLED for hold in _holds_of(reader, rendering))
        if is_applied and not is_behind and not is_held and state.told is not None:
            return True
    with store.write() as uow:
        if is_applied and not is_behind:
            _settle(uow, rendering, now())
            return True
        rows = deliveries_of(uow, rendering.target)
        known = [row for row in rows if row.desired is not None]
        gone = _gone(uow, rendering, known)
        is_elsewhere = last is not None and system_of(last) != rendering.system
        is_moved = is_elsewhere and any(row.is_there for row in rows)
        reasons = ((OTHER_SYSTEM,) if is_moved else ()) + (
            (MAPPING_REMOVES,) if not is_applied and _is_too_much(policy, gone, known) else ()
        )
        if reasons and not _is_approved(uow, rendering, policy, book, now()):
            _hold(uow, rendering, gone, len(known), reasons, book, now())
            if is_behind:
                _protect(uow, rendering, rows, now())
            return False
        if is_elsewhere:
            _forget_shelf(uow, rendering.target)
        cause = decision_id(RENDERED, rendering.target, rendering.digest, now().isoformat())
        if is_moved:
            _forget(uow, rows, now())
            uow.set_cause(rendering.target, [row.id for row in rows], cause)
        if last is None or is_moved:
            uow.clear(rendering.target, [row.id for row in rows], HELD, now())
        is_allowed = Occasion(is_cleared=last is None or bool(reasons), cause=cause)
        stepped = desire(uow, rendering, everything(uow, rendering), now(), is_allowed)
        stepped |= _drop_unmapped(uow, rendering, known, now(), cause, is_cleared=bool(reasons))
        if stepped or is_moved:
            told = {"target": rendering.target, "mapping": rendering.mapping.digest, "number": len(stepped)}
            book.on(cause).write(uow, [{"kind": RENDERED, **told}])
        uow.supersede_unapplied(rendering.target)
        _settle(uow, rendering, now())
    return True


def forget_target(uow: UnitOfWork, target: TargetId) -> int:
    """Drop all that is known of what a target has; return of how many entities. All of it is rendered anew before
    it is sent, handed over or fetched again; whether it is switched on stays."""
    number = uow.forget_deliveries(target)
    uow.forget_shelf(target)
    uow.put_target_state(replace(uow.target_state(target), rendering=None, told=None))
    return number


def announce(store: Store, rendering: Rendering, now: Callable[[], datetime]) -> int:
    """Let groups go to a target that begin soon enough from today on; return how many these are."""
    if rendering.early is None:
        return 0
    at = now()
    with store.read() as reader:
        state = reader.target_state(rendering.target)
        is_done = state.announced_at is not None and state.announced_at.date() == at.date()
        if is_done or state.rendering != rendering.digest:
            return 0
    with store.write() as uow:
        uow.put_target_state(replace(uow.target_state(rendering.target), announced_at=at))
        groups = _begun(uow, rendering)
        cause = decision_id("groups.announced", rendering.target, at.isoformat())
        desire(uow, rendering, {Kind.GROUP: groups}, now(), Occasion(cause=cause))
    return len(groups)


def _begun(reader: Reader, rendering: Rendering) -> set[Key]:
    """The groups that the target is to have and should not have until now."""
    rows = living_rows(reader, rendering.scope.municipality, Kind.GROUP)
    keys = {row.id: row.key for row in rows}
    there = reader.desired_hashes(rendering.target, keys)
    missing = [key for identity, key in keys.items() if there.get(identity) is None]
    return {key for page in pages(missing) for key in render(reader, rendering, Kind.GROUP, page)}


def _protect(uow: UnitOfWork, rendering: Rendering, rows: list[Delivery], now: datetime) -> None:
    """Who became protected while the target was not configured does not wait with the mapping either."""
    known = {user_of(row) for row in rows if row.kind in TELLING and (row.confirmed_body or row.in_doubt)}
    hidden = protected_users(uow, rendering.scope.municipality, known)
    protect(uow, rendering, {(user,) for user in hidden}, now)


def _forget(uow: UnitOfWork, rows: list[Delivery], now: datetime) -> None:
    """What the old system confirmed, and its ids, say nothing of the new one."""
    uow.put_deliveries(
        [
            replace(
                row,
                confirmed=None,
                confirmed_body=None,
                remote_id=None,
                etag=None,
                in_doubt=False,
                attempts=0,
                state="pending",
                reason=None,
                next_attempt_at=now,
                updated_at=now,
            )
            for row in rows
        ]
    )


def _forget_shelf(uow: UnitOfWork, target: TargetId) -> None:
    """What was made for the old system, and noted of it, says nothing of the new one; where it is served stays."""
    served = uow.shelf_note(target, SERVED)
    uow.forget_shelf(target)
    if served is not None:
        uow.set_shelf_note(target, SERVED, served)


def _is_too_much(policy: GuardPolicy, gone: list[Delivery], known: list[Delivery]) -> bool:
    """Whether too large a share of any kind, or all of any institution, would go from the target."""
    kinds, schools = Counter(row.kind for row in known), Counter(row.institution for row in known)
    lost = Counter(row.institution for row in gone)
    return any(
        policy.exceeded_by(number, kinds[kind]) for kind, number in Counter(row.kind for row in gone).items()
    ) or any(number == schools[school] and number >= policy.min_deleted for school, number in lost.items())


def _gone(reader: Reader, rendering: Rendering, known: list[Delivery]) -> list[Delivery]:
    """What the target should have until now and would no longer be sent."""
    gone: list[Delivery] = []
    for kind in Kind:
        rows = [row for row in known if row.kind is kind]
        for start in range(0, len(rows), _PAGE):
            page = rows[start : start + _PAGE]
            there = render(reader, rendering, kind, [row.key for row in page])
            gone += [row for row in page if row.key not in there]
    return gone


def _drop_unmapped(
    uow: UnitOfWork, rendering: Rendering, known: list[Delivery], now: datetime, cause: str, *, is_cleared: bool
) -> set[CanonicalId]:
    """What the mapping no longer names at all goes from the target too; return the ids of which that is new."""
    kinds = rendering.mapping.kinds()
    return uow.put_desired(
        [
            Desired(
                row.target,
                row.id,
                row.kind,
                row.key,
                row.institution,
                row.resource,
                row.rank,
                None,
                is_cleared=is_cleared,
                cause=cause,
            )
            for row in known
            if row.kind not in kinds
        ],
        now,
    )


def _holds_of(reader: Reader, rendering: Rendering) -> list[Hold]:
    return [h for h in reader.holds() if h.subject == TARGET and h.target == rendering.target]


def _is_approved(
    uow: UnitOfWork, rendering: Rendering, policy: GuardPolicy, book: AuditBook, now: datetime
) -> bool:
    approved = [hold for hold in _holds_of(uow, rendering) if hold.state == "approved"]
    return any(h.digest == rendering.digest for h in still_agreed(uow, approved, policy, book, now))


def _settle(uow: UnitOfWork, rendering: Rendering, now: datetime) -> None:
    state = uow.target_state(rendering.target)
    is_elsewhere = state.rendering is not None and system_of(state.rendering) != rendering.system
    told = _told(state, rendering)
    if is_elsewhere and state.pause_reason == GONE:  # it was the old system that is gone
        resume(uow, rendering.target)
    uow.put_target_state(replace(uow.target_state(rendering.target), rendering=rendering.digest, told=told))
    if rendering.in_shadow and is_new(state):
        switch_off(uow, rendering.target, SHADOW)
    for hold in _holds_of(uow, rendering):
        if hold.state not in _UNSETTLED:
            continue
        is_this = hold.state == "approved" and hold.digest == rendering.digest
        uow.set_hold_state(hold.id, "applied" if is_this else "superseded", hold.decided_by, now)


def _told(state: TargetState, rendering: Rendering) -> Told:
    """What a target's bodies may show from now on: what was made by earlier mappings may still be there.

    Where nobody wrote down what these told, as before there was a place for it, any field may show a name.
    """
    earlier, now = state.told or {}, rendering.mapping.tells()
    if state.told is None and state.rendering is not None:
        earlier = dict.fromkeys(now, Protection(whole=True).fields)
    return {place: earlier.get(place, frozenset()) | now.get(place, frozenset()) for place in {*earlier, *now}}


def _hold(
    uow: UnitOfWork,
    rendering: Rendering,
    gone: list[Delivery],
    stored: int,
    reasons: tuple[str, ...],
    book: AuditBook,
    now: datetime,
) -> None:
    known = _holds_of(uow, rendering)
    if any(hold.digest == rendering.digest and hold.state in ("open", "rejected") for hold in known):
        return
    earlier = [hold for hold in known if hold.state == "open"]
    for hold in earlier:
        uow.set_hold_state(hold.id, "superseded", None, now)
    counts: dict[str, int] = {"stored": stored}
    for row in gone:
        counts[f"{row.kind}.deleted"] = counts.get(f"{row.kind}.deleted", 0) + 1
    people = sorted(row.key[0] for row in gone if row.kind is Kind.PERSON)
    opened = Hold(
        id=0,
        municipality=rendering.scope.municipality,
        institution="",
        subject=TARGET,
        target=rendering.target,
        digest=rendering.digest,
        reasons=reasons,
        counts=counts,
        people=tuple(people),
        state="open",
        opened_at=now,
        origin=rendering.mapping.name,
    )
    number = uow.add_hold(in_place_of(earlier, opened), None)
    book.write(
        uow,
        [{"kind": "hold.opened", "hold": number, "target": rendering.target, "reasons": list(reasons)}],
    )
