"""Roles of OneRoster 1.2 as rows of their own: one that somebody has no more is told as deleted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from bridge.connector import Entry, Shelf
from connectors.oneroster.csv_rows import Row, mark, role_row
from connectors.oneroster.objects import Object, Roster
from connectors.oneroster.roster import RosterSettings

ROLES = "role"
"""The collection of the roles that were told, the gone ones too: no other document on the shelf stands for one."""


def roles(roster: Roster, settings: RosterSettings) -> dict[str, Row]:
    """The roles of everybody who is there, by sourcedId."""
    return {
        settings.id("role", user.id, role.org, role.role): role_row(user.id, role)
        for user in roster.users
        if not user.is_gone
        for role in user.roles
    }


def keep_roles(shelf: Shelf, now: dict[str, Row]) -> int:
    """Keep the roles, mark those that nobody has any more, and return the number of the last change of any."""
    lost = [Entry(ROLES, kept.id, kept.document, is_gone=True) for kept in shelf.all(ROLES) if kept.id not in now]
    shelf.put([*(Entry(ROLES, identifier, columns) for identifier, columns in now.items()), *lost])
    return max((kept.number for kept in shelf.all(ROLES)), default=0)


def changed_roles(shelf: Shelf, roster: Roster, since: datetime, number: int) -> Iterator[Row]:
    """The rows of a delta file: roles that changed after that number, or whose user did since then."""
    users = {user.id: user.changed_at for user in roster.users}
    for kept in shelf.all(ROLES):
        user_at = None if kept.is_gone else users.get(kept.document["userSourcedId"])
        if kept.number > number or (user_at is not None and user_at > since):
            at = max(kept.changed_at, user_at or kept.changed_at)
            yield {
                "sourcedId": kept.id,
                **mark(Object(id=kept.id, changed_at=at, is_gone=kept.is_gone)),
                **kept.document,
            }
