"""Who leaves is not gone at once: a grace for moves, a time in which the account only sleeps, and who is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bridge.engine.codec import decode_body
from bridge.ports import Delivery, KeptPerson

_LOOK = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Leaving:
    """What one target does with who leaves.

    `inactive`: by resource, the fields that put an account to sleep there; empty where it cannot. `retention` is
    how long it sleeps before it is deleted, `grace` how long it stays as it is before either.
    """

    retention: timedelta = timedelta(days=30)
    inactive: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    grace: timedelta = timedelta(0)

    def sleeping(self, row: Delivery, mask: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """The document that puts an account to sleep; None where it is to be deleted.

        `mask` stands for what the target knows, and one that is asleep already sleeps on under it.
        """
        fields = self.inactive.get(row.resource)
        if not fields or row.confirmed_body is None or self.retention <= timedelta(0):
            return None
        if mask is not None:
            return {**mask, **fields}
        return None if self.is_asleep(row) else {**decode_body(row.confirmed_body), **fields}

    def is_asleep(self, row: Delivery) -> bool:
        """Whether the account was put to sleep and is only to be deleted yet."""
        fields = self.inactive.get(row.resource)
        if not fields or row.desired is not None or row.confirmed_body is None:
            return False
        known = decode_body(row.confirmed_body)
        return all(known.get(name) == value for name, value in fields.items())


def kept_until(kept: KeptPerson, now: datetime) -> datetime | None:
    """When a deletion of a kept person is looked at again; None when they are not kept any more."""
    if kept.until is not None and kept.until <= now:
        return None
    return now + _LOOK if kept.until is None else min(kept.until, now + _LOOK)
