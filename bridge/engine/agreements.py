"""A list of agreements becomes what is asked for: an agreement that ends deletes nobody, and starts a clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from bridge.engine.intake import Intake
from bridge.ports import PARTS, WHOLE, Subscription, UnitOfWork


def note_agreements(intake: Intake, agreed: frozenset[str], *, is_turn: bool) -> list[Subscription]:
    """Write what is agreed and want it, in one transaction, so that a crash leaves the rest of a pass wanted.

    In its turn (`is_turn`) everything agreed is wanted, else what is newly agreed.
    Returns the rows whose agreement is newly missing or withdrawn.
    """
    now, configured = intake.now(), intake.institutions
    with intake.store.write() as uow:
        before = {row.institution: row for row in uow.subscriptions(intake.municipality)}
        numbers = (before.keys() - PARTS) | agreed | (configured or frozenset())
        known = {number: before.get(number, Subscription(intake.municipality, number)) for number in numbers}
        after = [_noted(uow, intake, known[number], agreed, now, is_turn=is_turn) for number in sorted(numbers)]
        whole = before.get(WHOLE, Subscription(intake.municipality, WHOLE))
        uow.put_subscriptions([replace(whole, asked_at=now) if is_turn else whole, *after])
    return [
        row
        for row in after
        if row.agreement in ("missing", "withdrawn") and known[row.institution].agreement != row.agreement
    ]


def _noted(
    uow: UnitOfWork, intake: Intake, row: Subscription, agreed: frozenset[str], now: datetime, *, is_turn: bool
) -> Subscription:
    state = _state(uow, intake, row, agreed)
    is_wanted = state == "agreed" and (is_turn or row.agreement != state)
    if state != row.agreement:
        row = replace(row, agreement=state, agreement_at=now, failures=0, reason=None, retry_at=None)
    return replace(row, wanted_at=now if is_wanted else row.wanted_at if state == "agreed" else None)


def _state(uow: UnitOfWork, intake: Intake, row: Subscription, agreed: frozenset[str]) -> str | None:
    is_configured = intake.institutions is None or row.institution in intake.institutions
    if row.institution in agreed:
        return "agreed" if is_configured else "unused"
    if row.agreement is not None and row.agreement != "missing":
        # Also where nobody asks for it any more: what is stored of it is held without an agreement from now on.
        if is_configured or uow.institution_state(intake.municipality, row.institution) is not None:
            return "withdrawn"
        return None
    return "missing" if is_configured and intake.institutions is not None else None
