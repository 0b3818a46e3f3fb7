"""An operator opens a window in which a school-year roll needs no decision: written down, and by whom."""

from __future__ import annotations

from bridge.engine.audit import AuditBook
from bridge.ports import ExpectedRoll, Store


def expect_roll(store: Store, book: AuditBook, roll: ExpectedRoll) -> None:
    """Open the window."""
    with store.write() as uow:
        uow.add_expected_roll(roll)
        told = {"municipality": roll.municipality, "institution": roll.institution}
        span = {"from": roll.opens_at.isoformat(), "until": roll.closes_at.isoformat()}
        book.write(uow, [{"kind": "roll.expected", **told, **span}])
