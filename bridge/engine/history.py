"""The event log as of any moment: what a reader who applied it holds, and from where the log goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from bridge.domain.changes import Operation
from bridge.domain.entities import KIND_RANK, PUBLISHED_KINDS, Kind
from bridge.domain.errors import BridgeError
from bridge.domain.events import NEVER_LOGGED, Event, event_subject
from bridge.domain.ids import CanonicalId, Key, join_key
from bridge.engine.codec import decode_entity, public_fields
from bridge.engine.scan import living_rows
from bridge.ports import EntityRow, Reader

_PAGE = 2_000
_PEOPLE = {Kind.AFFILIATION: slice(1, 2), Kind.MEMBERSHIP: slice(2, 3), Kind.GUARDIANSHIP: slice(1, 3)}
"""Where the keys of an institution's ties name people."""


class Compacted(BridgeError):
    """What was asked for lies where the log is compacted; `floor` is the last number there."""

    def __init__(self, municipality: str, floor: int) -> None:
        super().__init__(
            f"the log of municipality {municipality} before {floor + 1} was compacted, and what it said there can "
            f"not be told whole: take the snapshot (`skolebro snapshot`), or ask from {floor + 1} on; nothing was "
            "changed"
        )
        self.floor = floor


@dataclass(frozen=True, slots=True)
class Told:
    """One entity as a reader of the log holds it: `object` as in events, None for one that is gone."""

    kind: Kind
    id: CanonicalId
    key: Key
    version: int
    object: Mapping[str, Any] | None = field(repr=False)

    @property
    def subject(self) -> str:
        return event_subject(self.kind, self.id)


Place = tuple[Kind, CanonicalId]


@dataclass(frozen=True, slots=True)
class State:
    """The living entities of a municipality, by kind and key; the log goes on after `sequence`."""

    municipality: str
    sequence: int
    entities: tuple[Told, ...]


def fold(events: Iterable[Event], held: Mapping[Place, Told] | None = None) -> dict[Place, Told]:
    """Apply events to what a reader holds, those who are gone included, and return what it holds then.

    An event whose version is not higher than the one held is dropped (events.md, "Order").
    """
    state = dict(held or {})
    newest: dict[str, Event] = {}
    for event in events:
        before = newest.get(event.subject)
        if before is None or event.version > before.version:
            newest[event.subject] = event
    for one in filter(None, map(_told, newest.values())):
        known = state.get((one.kind, one.id))
        if known is None or one.version > known.version:
            state[one.kind, one.id] = one
    return state


def as_of(reader: Reader, municipality: str, at: int | datetime, institution: str | None = None) -> State:
    """The state when the log had come to this number or moment; beyond its end, as it is now.

    Raises `Compacted`.
    """
    until = position(reader, municipality, at)
    living = [one for one in fold(_log(reader, municipality, until)).values() if one.object is not None]
    living.sort(key=lambda one: (KIND_RANK[one.kind], join_key(one.key)))
    people = {user for one in living if _is_at(one, institution) for user in _people(one.kind, one.key)}
    return State(municipality, until, tuple(one for one in living if _is_wanted(one, institution, people)))


def snapshot(reader: Reader, municipality: str, institution: str | None = None) -> State:
    """The state now; with the events after its number it is the state at any later time.

    Of an institution: what is its own, and the people whom that names.
    """
    entities = tuple(living(reader, municipality, institution))
    return State(municipality, reader.last_sequence(municipality), entities)


def living(reader: Reader, municipality: str, institution: str | None = None) -> Iterator[Told]:
    """The entities of `snapshot` one after the other, read while the reader is open."""
    people: set[str] = set()
    if institution is not None:
        for kind in _PEOPLE:
            keys = reader.hashes(municipality, institution, kind)
            people.update(user for key in keys for user in _people(kind, key))
    for kind in PUBLISHED_KINDS:
        for one in map(_stored, living_rows(reader, municipality, kind)):
            if _is_wanted(one, institution, people):
                yield one


def position(reader: Reader, municipality: str, at: int | datetime) -> int:
    """The last number of the log up to this number or moment. Raises `Compacted`."""
    found = at if isinstance(at, int) else reader.sequence_at(municipality, at)
    if found < (floor := reader.log_floor(municipality)):
        raise Compacted(municipality, floor)
    return min(found, reader.last_sequence(municipality))


def beginning(reader: Reader, municipality: str, at: int | datetime) -> int:
    """The number after which comes what was recorded at this number or moment and later. Raises `Compacted`."""
    if isinstance(at, int):
        return max(0, at - 1)
    # The first moment of all has none before it.
    return position(reader, municipality, at - timedelta.resolution if at.year > 1 else at)


def operation_of(event: Event) -> str:
    """What the event's type says was done."""
    return event.type.split(".")[2]


def _told(event: Event) -> Told | None:
    """None for an event that is about no entity."""
    kind, _, identity = event.subject.partition("/")
    if kind not in PUBLISHED_KINDS:
        return None
    is_gone = operation_of(event) == Operation.DELETED
    shown = None if is_gone else msgspec.json.decode(event.data)["object"]
    return Told(Kind(kind), CanonicalId(identity), event.key, event.version, shown)


def _stored(row: EntityRow) -> Told:
    assert row.body is not None  # noqa: S101 - only living entities are scanned
    fields = public_fields(decode_entity(row.kind, row.body))
    shown = {"id": row.id, **{name: value for name, value in fields.items() if name not in NEVER_LOGGED}}
    return Told(row.kind, row.id, row.key, row.version, shown)


def _log(reader: Reader, municipality: str, until: int) -> Iterator[Event]:
    after = 0
    while page := reader.events(municipality, after, min(_PAGE, until - after)):
        yield from (event for event in page if event.sequence <= until)
        after = min(page[-1].sequence, until)


def _people(kind: Kind, key: Key) -> Key:
    return key[_PEOPLE[kind]] if kind in _PEOPLE else ()


def _is_at(one: Told, institution: str | None) -> bool:
    return one.kind is not Kind.PERSON and one.key[0] == institution


def _is_wanted(one: Told, institution: str | None, people: set[str]) -> bool:
    is_named = one.kind is Kind.PERSON and one.key[0] in people
    return institution is None or is_named or _is_at(one, institution)
