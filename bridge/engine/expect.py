"""A school-year roll that enough people expect needs no decision; each of their words is written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bridge.engine.audit import AuditBook
from bridge.engine.decide import NotAllowed
from bridge.engine.guard import GuardPolicy
from bridge.ports import ExpectedRoll, Reader, Store

LONGEST = timedelta(days=60)


def expect_roll(store: Store, book: AuditBook, roll: ExpectedRoll, policy: GuardPolicy | None = None) -> bool:
    """Write down that somebody expects a roll; return False where its window waits for another person.

    Raises `NotAllowed` for a window of more than `LONGEST`, and for a second person who is the first one.
    """
    policy = policy or GuardPolicy()
    length = roll.closes_at - roll.opens_at
    if length >= LONGEST + timedelta(days=1):  # the last day counts to its end
        raise NotAllowed(
            f"a roll can be expected for {LONGEST.days} days at most, and from {roll.opens_at:%Y-%m-%d} until "
            f"{roll.closes_at:%Y-%m-%d} it would be {length.days}; nothing was changed"
        )
    with store.write() as uow:
        people = _people(uow.expected_rolls(roll.municipality), roll, policy)
        if policy.people_needed > 1 and roll.opened_by in people:
            raise NotAllowed(
                f"{policy.people_needed} different people must expect a roll, and {roll.opened_by} has said so "
                "already; nothing was changed"
            )
        is_open = len(people | {roll.opened_by}) >= policy.people_needed
        uow.add_expected_roll(roll)
        told = {"municipality": roll.municipality, "institution": roll.institution}
        span = {"from": roll.opens_at.isoformat(), "until": roll.closes_at.isoformat()}
        kind = "roll.expected" if is_open else "roll.proposed"
        book.write(uow, [{"kind": kind, **told, **span}])
    return is_open


def unexpect_roll(
    store: Store, book: AuditBook, municipality: str, institution: str, closes_at: datetime | None, now: datetime
) -> int:
    """Withdraw the windows of an institution ("": those of all) that are not over, and return how many those were.

    `closes_at`: only what ends then. One person is enough: what is withdrawn waits for people again.
    """
    with store.write() as uow:
        found = dict.fromkeys(
            _window(roll)
            for roll in uow.expected_rolls(municipality)
            if roll.institution == institution and roll.closes_at >= now and closes_at in (None, roll.closes_at)
        )
        for _, opens, closes in found:
            uow.drop_expected_rolls(municipality, institution, opens, closes)
            span = {"from": opens.isoformat(), "until": closes.isoformat()}
            told = {"municipality": municipality, "institution": institution, **span}
            book.write(uow, [{"kind": "roll.withdrawn", **told}])
    return len(found)


@dataclass(frozen=True, slots=True)
class Window:
    """When a roll is expected, and who said so; `is_open`: enough people did, else another one is waited for."""

    institution: str
    opens_at: datetime
    closes_at: datetime
    people: tuple[str, ...]
    is_open: bool


def windows(rolls: Sequence[ExpectedRoll], policy: GuardPolicy, now: datetime) -> list[Window]:
    """Return the windows that are not over, those too that another person may still open."""
    agreed = {_window(roll) for roll in open_windows(rolls, policy)}
    found = []
    for window in dict.fromkeys(map(_window, rolls)):
        said = [roll for roll in rolls if _window(roll) == window]
        is_open, can_be = window in agreed, said[-1].opened_at + policy.approval_lifetime >= now
        if window[2] >= now and (is_open or can_be):
            people = tuple(dict.fromkeys(roll.opened_by for roll in said))
            found.append(Window(*window, people, is_open))
    return found


def as_proposed(reader: Reader, roll: ExpectedRoll, policy: GuardPolicy) -> ExpectedRoll:
    """The roll from when somebody proposed it who named the same end; as it is where nobody did."""
    for one in reversed(reader.expected_rolls(roll.municipality)):
        is_alike = (one.institution, one.closes_at) == (roll.institution, roll.closes_at)
        if is_alike and roll.opened_at <= one.opened_at + policy.approval_lifetime:
            return replace(roll, opens_at=one.opens_at)
    return roll


def open_windows(rolls: Sequence[ExpectedRoll], policy: GuardPolicy) -> list[ExpectedRoll]:
    """Those of the rolls with which as many people expected the same as are needed."""
    return [roll for roll in rolls if len(_people(rolls, roll, policy)) >= policy.people_needed]


def _people(rolls: Sequence[ExpectedRoll], roll: ExpectedRoll, policy: GuardPolicy) -> set[str]:
    """Who expected the same, in time before that one was or with it."""
    since = roll.opened_at - policy.approval_lifetime
    alike = [one for one in rolls if _window(one) == _window(roll)]
    return {one.opened_by for one in alike if since <= one.opened_at <= roll.opened_at}


def _window(roll: ExpectedRoll) -> tuple[str, datetime, datetime]:
    return roll.institution, roll.opens_at, roll.closes_at
