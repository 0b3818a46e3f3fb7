"""A person's decision on a hold is written down with who took it, and carried out by the next pass."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from bridge.engine.audit import AuditBook
from bridge.engine.guard import GuardPolicy
from bridge.ports import Approval, Hold, Store, UnitOfWork

_IN_PARTS = ("snapshot", "deletions")


class NotOpen(Exception):
    """The hold does not exist or was decided before; nothing was changed."""


class NotAllowed(Exception):
    """The decision cannot be taken like this, by this person or in this part; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How many different people must approve the same part, and how long each yes counts."""

    people_needed: int = 1
    lifetime: timedelta = timedelta(hours=24)

    @classmethod
    def of(cls, policy: GuardPolicy, hold: Hold) -> Self:
        own = policy.of_institution(hold.institution)
        return cls(own.people_needed, own.approval_lifetime)


def decide_hold(
    store: Store,
    book: AuditBook,
    number: int,
    *,
    approve: bool,
    by: str,
    now: datetime,
    only: Collection[str] | None = None,
    rule: Rule | None = None,
) -> Hold:
    """Approve or reject an open hold and return it as it was.

    `only`: approve no more than these (user ids, and "<institution>/<group id>"); the rest waits on. Deletions
    that were rejected may be approved after all.
    Raises `NotOpen` when there is no such hold or it is no longer open, `NotAllowed` when somebody or something
    else is needed.
    """
    with store.write() as uow:
        hold = uow.hold(number)
        if hold is None:
            raise NotOpen(f"there is no hold {number}; `skolebro holds list` shows the open ones")
        if hold.state != "open" and not (approve and hold.state == "rejected" and hold.subject == "deletions"):
            raise NotOpen(f"hold {number} is not open any more: it is {hold.state}; {_what_now(hold)}")
        if approve:
            _approve(uow, book, hold, Approval(by, now, _part(hold, only)), rule or Rule())
        else:
            uow.put_hold(replace(hold, approvals=()))  # what others said yes to before does not outlive a no
            uow.set_hold_state(number, "rejected", by, now)
            _write(uow, book, hold, "hold.rejected", by)
    return hold


def _what_now(hold: Hold) -> str:
    if hold.state != "approved" or agreed_part(hold) is None:
        return "nothing was changed"
    where = "a new number" if hold.subject == "snapshot" else f"number {hold.id}"
    return (
        "nothing was changed. Only a part of it is approved, and that is not carried out yet: `skolebro sync` or "
        f"the running daemon does it; then the rest waits under {where} and can be approved or rejected"
    )


def agreed_part(hold: Hold) -> tuple[str, ...] | None:
    """The part of an approved hold that was agreed to, None for all of it."""
    return hold.approvals[-1].only if hold.approvals else None


def live_approvals(hold: Hold, rule: Rule, now: datetime) -> tuple[Approval, ...]:
    """What still counts of what people said yes to, each to a part of their own."""
    return tuple(one for one in hold.approvals if now <= one.at + rule.lifetime)


def is_agreed(hold: Hold, rule: Rule, now: datetime) -> bool:
    """Whether enough different people say yes, now, to the part that was approved last."""
    part = agreed_part(hold)
    people = {one.by for one in live_approvals(hold, rule, now) if one.only == part}
    return len(people) >= rule.people_needed


def _part(hold: Hold, only: Collection[str] | None) -> tuple[str, ...] | None:
    if only is None:
        return None
    if hold.subject not in _IN_PARTS or not hold.people + hold.groups:
        raise NotAllowed(f"hold {hold.id} can only be approved as a whole; nothing was changed")
    strangers = sorted(set(only) - {*hold.people, *hold.groups})
    if strangers or not only:
        told = f"{strangers[0]} is not" if strangers else "nobody is"
        raise NotAllowed(f"{told} among those of hold {hold.id}; `skolebro holds show {hold.id}` lists them")
    part = tuple(sorted(set(only)))
    return None if len(part) == len(hold.people + hold.groups) else part


def _approve(uow: UnitOfWork, book: AuditBook, hold: Hold, approval: Approval, rule: Rule) -> None:
    live = live_approvals(hold, rule, approval.at)
    if any((one.by, one.only) == (approval.by, approval.only) for one in live):
        raise NotAllowed(
            f"hold {hold.id} needs {rule.people_needed} different people, and {approval.by} has approved it "
            "already; nothing was changed"
        )
    hold = replace(hold, approvals=(*live, approval), state="open")
    is_enough = is_agreed(hold, rule, approval.at)
    if is_enough:
        hold = replace(hold, state="approved", decided_by=approval.by, decided_at=approval.at)
    uow.put_hold(hold)
    _write(uow, book, hold, "hold.approved" if is_enough else "hold.approval", approval.by, approval.only)


def _write(
    uow: UnitOfWork, book: AuditBook, hold: Hold, kind: str, by: str, only: tuple[str, ...] | None = None
) -> None:
    part = {} if only is None else {"of": len(hold.people) + len(hold.groups), "approved": len(only)}
    book.write(uow, [{"kind": kind, "hold": hold.id, "by": by, "digest": hold.digest, **part}])
