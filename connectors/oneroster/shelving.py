"""What a target for OneRoster is told is put on its shelf, a batch in one step; what goes leaves its mark."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from bridge.connector import (
    Command,
    ContractBroken,
    Delivered,
    Entry,
    Outcome,
    Rejected,
    Remote,
    Shelf,
    Shelved,
    TargetUnavailable,
    Unchanged,
    unencodable_field,
)
from bridge.domain.changes import Operation
from bridge.domain.errors import StoreError
from bridge.domain.ids import CanonicalId
from bridge.shelving import Refuse, remnant
from connectors.oneroster.documents import Document, places, reduced, texts
from connectors.oneroster.roster import ARRIVALS, RESOURCES
from connectors.oneroster.shapes import ENROLLMENT_ROLES, ROLES

_AWAY = "shelf_unavailable"
_ROLE_FIELDS = {"user": "roles", "enrollment": "role", "agent": "relation"}


def refusal(resource: str, document: Document) -> Rejected | None:
    """Say why no OneRoster can have a document of a resource; None when it can."""
    if (field := unencodable_field(document)) is not None:
        return Rejected("not_in_utf8", field)
    return Rejected("unknown_role", _ROLE_FIELDS[resource]) if _has_foreign_role(resource, document) else None


def shelve(shelf: Shelf, batch: Sequence[Command], refuse: Refuse = refusal) -> list[Outcome]:
    """Keep what the batch says, all of it or nothing; of what is refused no more than `remnant`.

    Raises `TargetUnavailable` when the store is away.
    """
    try:
        told = [_told(shelf, command, refuse) for command in batch]
        shelf.put(entry for entries, _ in told for entry in entries)
    except StoreError as error:
        raise TargetUnavailable(_AWAY) from error
    return [outcome for _, outcome in told]


def read_shelf(shelf: Shelf, resources: Collection[str]) -> Iterator[Remote]:
    """Yield what is kept and not gone. Raises `ContractBroken`, `TargetUnavailable`."""
    for name in resources:
        if name not in RESOURCES:
            raise ContractBroken(f"the mapping sends {name}; OneRoster has {', '.join(RESOURCES)}")
        try:
            for row in shelf.all(name):
                if not row.is_gone:
                    yield Remote(name, row.id, CanonicalId(row.id), row.document)
        except StoreError as error:
            raise TargetUnavailable(_AWAY) from error


def _told(shelf: Shelf, command: Command, refuse: Refuse) -> tuple[list[Entry], Outcome]:
    name, document = command.resource, command.document
    if name not in RESOURCES:
        return [], Rejected("resource_not_configured", name)
    kept = shelf.get(name, command.id)
    is_there = kept is not None and not kept.is_gone
    if command.operation is Operation.DELETED or document is None:
        if kept is None or kept.is_gone:
            return [], Unchanged(command.id)
        mark = Entry(name, command.id, reduced(name, kept.document, command.identity.values()), is_gone=True)
        return [mark, *_arrival(command, is_gone=True)], Delivered(command.id)
    if not command.may_create and not is_there:
        return [], Unchanged(is_gone=True)
    if refused := refuse(name, document):
        left = _left(kept, command, refuse)
        return left, replace(refused, has_changed=bool(left))
    return [Entry(name, command.id, document), *_arrival(command, is_gone=False)], Delivered(command.id)


def _left(kept: Shelved | None, command: Command, refuse: Refuse) -> list[Entry]:
    """What stays of somebody when what they became is refused; who is taken out leaves the mark of who went."""
    left = remnant(kept, command, refuse) if kept is not None and not kept.is_gone else None
    if left is None or not left.is_gone:
        return [] if left is None else [left]
    return [replace(left, document=reduced(command.resource, left.document, command.identity.values()))]


def _arrival(command: Command, *, is_gone: bool) -> Iterator[Entry]:
    """Of schools, when they came is kept too: what refers to one changes then, and not when its name does."""
    if command.resource == "org":
        yield Entry(ARRIVALS, command.id, {}, is_gone)


def _has_foreign_role(resource: str, document: Document) -> bool:
    """Whether a municipality's own mapping gives a role that OneRoster 1.2 does not have."""
    match resource:
        case "user":
            return not {role for _, role in places(document)} <= {*ROLES["v1p2"]}
        case "enrollment":
            return not {*texts(document.get("role"))} <= {*ENROLLMENT_ROLES}
        case "agent":
            return not {*texts(document.get("relation"))} <= {*ROLES["v1p2"]}
        case _:
            return False
