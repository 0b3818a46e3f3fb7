"""What of a person a platform may not see, and what of its own words we do not show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bridge.domain.entities import VALUE_FIELDS, Contribution, Kind, Person
from bridge.domain.privacy import PHONES, united, visible
from bridge.engine.codec import decode_entity
from bridge.engine.merge import merge
from bridge.engine.trace_merge import source_times
from bridge.engine.views import Scope
from bridge.engine.words import protection
from bridge.ports import Delivery, Reader

_UUID = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")
_PLAIN_ID = re.compile(r"[A-Za-z0-9._:\-]{1,80}")
_HIDDEN = "(not shown: it may hold personal values)"
_TELLING = (
    "given_name",
    "family_name",
    "alias_given_name",
    "alias_family_name",
    "civil_registration_number",
    "birth_date",
    "email",
)


def withheld_fields(reader: Reader, scope: Scope, user_id: str, heard: Sequence[Contribution]) -> frozenset[str]:
    """Name the fields of a person that protection hides from a target of this scope, or shows otherwise."""
    person = _unmasked(reader, scope, user_id, heard)
    if person is None:
        return frozenset()
    seen = visible(person)
    return frozenset(name for name in VALUE_FIELDS[Kind.PERSON] if getattr(person, name) != getattr(seen, name))


def _unmasked(reader: Reader, scope: Scope, user_id: str, heard: Sequence[Contribution]) -> Person | None:
    """The person as the target's institutions tell it, before protection; see `bridge.engine.views`."""
    row = reader.entities(scope.municipality, Kind.PERSON, [(user_id,)]).get((user_id,))
    whole = decode_entity(row.kind, row.body) if row is not None and row.body is not None else None
    if not isinstance(whole, Person) or scope.institutions is None:
        return whole if isinstance(whole, Person) else None
    states = [s for s in reader.institution_states() if s.municipality == scope.municipality]
    inside = [one for one in heard if scope.has(one.institution_number)]
    return united(merge(inside, source_times(states)) or whole, protection(heard))


def shown_remote_id(kind: Kind, row: Delivery | None, user_id: str, heard: Sequence[Contribution]) -> str | None:
    """Return the target's own id of a person or a tie, unless it may be made of a name or a number.

    Of somebody who is gone nothing is left to compare with, so only an id that can be of nobody's is shown.
    """
    if row is None or row.remote_id is None or kind in (Kind.GROUP, Kind.TEACHING):
        return None
    if row.remote_id in (user_id, row.id) or _UUID.fullmatch(row.remote_id):
        return row.remote_id
    if kind is not Kind.PERSON or not heard or not _PLAIN_ID.fullmatch(row.remote_id):
        return _HIDDEN
    spelt = (row.remote_id.casefold(), re.sub(r"\D", "", row.remote_id))
    is_telling = any(word in text for word in _words(one.person for one in heard) for text in spelt)
    return _HIDDEN if is_telling else row.remote_id


def _words(people: Iterable[Person]) -> set[str]:
    """Every piece of the persons' values that an id might be made of."""
    texts = [text for person in people for text in _texts(person)]
    letters = {word for text in texts for word in re.split(r"[\W\d_]+", text.casefold()) if len(word) > 1}
    digits = {number for text in texts if len(number := re.sub(r"\D", "", text)) > 3}
    return letters | digits


def _texts(person: Person) -> list[str]:
    phones = [getattr(person, name) for name in PHONES]
    told = [getattr(person, name) for name in _TELLING]
    told += [phone.number for phone in phones if phone is not None]
    told += [person.address.street] if person.address else []
    return [text for text in told if text]
