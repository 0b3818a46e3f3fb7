"""A person's decision on a hold is written down with who took it, and carried out by the next pass."""

from __future__ import annotations

from datetime import datetime

from bridge.engine.audit import AuditBook
from bridge.ports import Hold, Store


class NotOpen(Exception):
    """The hold does not exist or was decided before; nothing was changed."""


def decide_hold(store: Store, book: AuditBook, number: int, *, approve: bool, by: str, now: datetime) -> Hold:
    """Approve or reject an open hold and return it as it was.

    Raises `NotOpen` when there is no such hold or it is no longer open.
    """
    with store.write() as uow:
        hold = uow.hold(number)
        if hold is None:
            raise NotOpen(f"there is no hold {number}; `skolebro holds list` shows the open ones")
        if hold.state != "open":
            raise NotOpen(f"hold {number} is not open any more: it is {hold.state}; nothing was changed")
        uow.set_hold_state(number, "approved" if approve else "rejected", by, now)
        book.write(
            uow,
            [
                {
                    "kind": "hold.approved" if approve else "hold.rejected",
                    "hold": number,
                    "by": by,
                    "digest": hold.digest,
                }
            ],
        )
    return hold
