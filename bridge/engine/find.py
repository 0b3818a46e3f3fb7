"""Which key an id stands for, and which id a key: what a table names by the one can be asked for by the other."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bridge.domain.entities import PUBLISHED_KINDS, Kind
from bridge.domain.ids import CanonicalId, Key, canonical_id
from bridge.ports import Reader

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def as_id(text: str) -> CanonicalId | None:
    """Return the canonical id that this is written like, None for anything else."""
    plain = text.strip().lower()
    return CanonicalId(plain) if _ID.fullmatch(plain) else None


def user_id_of(reader: Reader, municipality: str, identity: CanonicalId) -> str | None:
    """Return whose canonical id this is, as far as the event log or any target tells."""
    for event in reader.events(municipality, 0, 1, subject=f"{Kind.PERSON}/{identity}"):
        return event.key[0]
    for state in reader.target_states():
        row = reader.delivery(state.target, identity)
        if row is not None and row.kind is Kind.PERSON and state.target.partition("/")[0] == municipality:
            return row.key[0]
    return None


def subject_of(reader: Reader, municipality: str, text: str) -> str | None:
    """Return the subject of events that is meant: <entity>/<id> itself, an id, a user id, <institution>/<group id>
    or an institution number. None where nothing is known by that."""
    kind, _, identity = text.partition("/")
    if kind in set(PUBLISHED_KINDS) and as_id(identity) is not None:
        return f"{kind}/{as_id(identity)}"
    if (bare := as_id(text)) is not None:
        subjects = (f"{kind}/{bare}" for kind in PUBLISHED_KINDS)
        return next((one for one in subjects if reader.events(municipality, 0, 1, subject=one)), None)
    known = ((kind, key) for kind, key in _keys(text) if reader.entities(municipality, kind, [key]))
    return next((f"{kind}/{canonical_id(municipality, kind, key)}" for kind, key in known), None)


def _keys(text: str) -> Iterator[tuple[Kind, Key]]:
    institution, slash, group = text.partition("/")
    yield Kind.PERSON, (text,)
    yield (Kind.GROUP, (institution, group)) if slash else (Kind.INSTITUTION, (text,))
