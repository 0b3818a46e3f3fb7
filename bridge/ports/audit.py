"""The audit chain as it is stored, link by link."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One link of the chain: `record` is its canonical JSON (RFC 8785 for what we write), without the hash."""

    seq: int
    record: str
    prev: bytes
    hash: bytes
    intent: str | None = None  # set on an intent: the id that its outcome repeats
    closes: str | None = None  # set on an outcome
    subject: str | None = None  # the keyed reference that a disclosure is about; not part of the hash by itself
    trace: str | None = None  # the trace id of the run or decision that it belongs to


class AuditStore(Protocol):
    def audit_head(self) -> tuple[int, bytes]:
        """(number of rows, hash of the last); (0, 32 zero bytes) for an empty chain."""
        ...

    def append_audit(self, rows: Sequence[AuditRow]) -> None:
        """Raises `StoreError` for a row whose number is not the next one; then nothing is stored."""
        ...

    def audit_rows(self, after: int, limit: int) -> list[AuditRow]: ...

    def open_intents(self) -> list[AuditRow]:
        """Intent rows that no row closes."""
        ...

    def audit_of(self, trace: str, after: int, limit: int) -> list[AuditRow]:
        """A page of the rows of one trace, in the chain's order."""
        ...

    def audit_for(self, vendor: str, after: int, limit: int) -> list[AuditRow]:
        """A page of the rows whose record names this vendor, in the chain's order; no other row is read."""
        ...

    def audit_closing(self, intents: Iterable[str]) -> list[AuditRow]:
        """The rows that close these intents."""
        ...

    def audit_about(self, subject: str) -> list[AuditRow]:
        """The rows about a keyed reference, each intent with the outcome that closes it, in the chain's order."""
        ...
