"""What is set aside stays known as long as it lasts: a record keeps the run that found it unusable first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bridge.ports import QuarantineRow, UnitOfWork


def put_aside(uow: UnitOfWork, municipality: str, institution: str, rows: Sequence[QuarantineRow]) -> None:
    """Let these rows be all that is set aside of an institution; who was there already is so since then."""
    before = uow.quarantine_of(municipality, institution)
    uow.replace_quarantine(municipality, institution, since_first(before, rows))


def since_first(before: Sequence[QuarantineRow], rows: Sequence[QuarantineRow]) -> list[QuarantineRow]:
    """Return rows with the run of those before that say the same of the same record.

    A record is the same by user id or LocalPersonId, as its place moves; one without either is by its place.
    """
    first = {_record(row): row.run for row in reversed(before)}
    return [replace(row, run=first.get(_record(row), row.run)) for row in rows]


def _record(row: QuarantineRow) -> tuple[str, ...]:
    identity = (row.user_id or "", row.local_person_id or "")
    return (row.severity, row.reason, *(identity if any(identity) else (row.path,)))
