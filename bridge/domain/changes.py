"""The pure difference between two states of the same entities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, is_dataclass
from enum import StrEnum
from unicodedata import normalize

from bridge.domain.entities import VALUE_FIELDS, Entity, Kind
from bridge.domain.ids import Key


class Operation(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Change:
    """One entity's step from `before` to `after`; `fields` names what differs, on an update only."""

    operation: Operation
    kind: Kind
    key: Key
    before: Entity | None
    after: Entity | None
    fields: tuple[str, ...] = ()


def changed_fields(before: Entity, after: Entity) -> tuple[str, ...]:
    """Name the value fields in which two states of one entity differ, in declaration order.

    The same letters composed otherwise (é in one sign or in two) are no difference.
    """
    return tuple(name for name in VALUE_FIELDS[after.kind] if _differ(getattr(before, name), getattr(after, name)))


def _differ(one: object, other: object) -> bool:
    return one != other and _composed(one) != _composed(other)


def _composed(value: object) -> object:
    if isinstance(value, str):
        return normalize("NFC", value)
    if isinstance(value, tuple):
        return tuple(map(_composed, value))
    return _composed(astuple(value)) if is_dataclass(value) and not isinstance(value, type) else value


def change(before: Entity | None, after: Entity | None) -> Change | None:
    """Return the step from one state to the other, or None where nothing that is reported differs."""
    if after is None:
        return None if before is None else Change(Operation.DELETED, before.kind, before.key, before, None)
    if before is None:
        return Change(Operation.CREATED, after.kind, after.key, None, after)
    names = changed_fields(before, after)
    return Change(Operation.UPDATED, after.kind, after.key, before, after, names) if names else None


def diff(before: Mapping[Key, Entity], after: Mapping[Key, Entity]) -> Iterator[Change]:
    """Yield every change from one state of a kind to another, in key order."""
    for key in sorted(before.keys() | after.keys()):
        step = change(before.get(key), after.get(key))
        if step is not None:
            yield step
