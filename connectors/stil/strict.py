"""Where the municipality wants it so, a record that says an unknown word is set aside instead of noted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from bridge.domain.entities import Person
from bridge.domain.privacy import Protection
from bridge.domain.records import GroupRecord, Noted, PersonRecord, Quarantined, Record

UnknownCodes = Literal["note", "quarantine"]
"""What becomes of a record with a code that the contract does not have.

"note": it is used, and its unknown word grants nothing (stil.md §3.13 tolerates new words). "quarantine": it is
set aside, and what is stored of the same person or group stays.
"""

CODES = frozenset(
    f"unknown_{what}"
    for what in ("role", "level", "gender", "relation", "group_type", "civil_registration_number_type")
)


def without_unknown_codes(records: Iterable[Record]) -> Iterator[Record]:
    """Yield records in their order, those with an unknown code as quarantined.

    Notes come after the record that they belong to, so one record is looked ahead.
    """
    waiting: PersonRecord | GroupRecord | Quarantined | None = None
    notes: list[Record] = []
    for record in records:
        if isinstance(record, Noted | Quarantined) and waiting and record.path.startswith(waiting.path):
            if isinstance(record, Noted) and record.reason in CODES and not isinstance(waiting, Quarantined):
                waiting = _set_aside(waiting, record.reason)
            else:
                notes.append(record)
            continue
        if waiting:
            yield waiting
        yield from notes
        waiting, notes = None, []
        if isinstance(record, PersonRecord | GroupRecord):
            waiting = record
        else:
            yield record
    if waiting:
        yield waiting
    yield from notes


def _set_aside(record: PersonRecord | GroupRecord, reason: str) -> Quarantined:
    if isinstance(record, GroupRecord):
        return Quarantined(record.path, reason, group_id=record.group_id)
    return Quarantined(
        record.path,
        reason,
        record.source or None,
        record.local_person_id,
        record.person.user_id,
        protected=record.person.protected,
        stating=tuple(
            (one.user_id, stated) for one in _people(record) if (stated := Protection.of([one])) != Protection()
        ),
    )


def _people(record: PersonRecord) -> Iterator[Person]:
    yield record.person
    for contact in record.affiliation.contacts if record.affiliation else ():
        yield contact.person
