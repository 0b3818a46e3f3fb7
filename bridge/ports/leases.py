"""What must be single among several processes, and who is there at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Lease:
    """Something that one process has until a time, unless it says before that it is still there.

    `number` is the fencing number: it grows whenever the lease changes hands, so that who had it before can be
    told from who has it now. An empty `holder`: nobody has it, and the number is remembered.
    """

    name: str
    holder: str
    number: int
    until: datetime


class LeaseStore(Protocol):
    def store_time(self) -> datetime:
        """The time by which all processes of this store agree."""
        ...

    def lease(self, name: str) -> Lease | None: ...

    def leases(self, prefix: str = "") -> list[Lease]:
        """Those whose name begins with this, by name."""
        ...

    def put_leases(self, leases: Sequence[Lease]) -> None:
        """Write leases down, each in place of the one of its name."""
        ...

    def drop_lease(self, name: str) -> None: ...

    def claim(self, target: str, ids: Sequence[str], holder: str) -> None:
        """Let deliveries be somebody's: `due` gives them to nobody else. An empty holder gives them back."""
        ...

    def release_claims(self, holder: str) -> int:
        """Give back all that somebody has claimed; return how much."""
        ...

    def property(self, name: str) -> str | None:
        """What was written down of the store itself, once for all processes."""
        ...

    def set_property(self, name: str, value: str) -> None: ...
