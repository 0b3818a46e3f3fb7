"""Logs in which a letter is an event, what a reader knows of them, and a broker that may be short of breath."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from bridge.domain.changes import Operation
from bridge.domain.entities import Kind
from bridge.domain.errors import TargetUnavailable
from bridge.domain.events import Event, event_subject, event_type
from bridge.domain.ids import canonical_id
from bridge.engine.history import Place, State, Told, as_of
from bridge.ports import Sent, Store
from tests.support.anything import STEADY
from tests.support.engine import OTHER_SCHOOL, SCHOOL, TOWN
from tests.support.stores import new_store

START = datetime(2026, 8, 1, tzinfo=UTC)
BRIEF = settings(STEADY, max_examples=25)
NAMES = "abcd"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def logged(words: str, store: Store | None = None) -> Store:
    """A log of a letter an event, a second after the one before; a capital letter deletes."""
    store = store or new_store()
    with store.write() as uow:
        uow.append_events(TOWN, events_of(words))
    return store


def events_of(words: str) -> list[Event]:
    versions: dict[str, int] = {}
    found = []
    for number, word in enumerate(words, start=1):
        name = word.lower()
        versions[name] = versions.get(name, 0) + 1
        found.append(_event(name, number, versions[name], is_gone=word.isupper()))
    return found


def _event(name: str, number: int, version: int, *, is_gone: bool) -> Event:
    identity = canonical_id(TOWN, Kind.PERSON, (name,))
    shown = {"id": identity, "user_id": name} | ({} if is_gone else {"given_name": f"{name}{number}"})
    operation = Operation.DELETED if is_gone else Operation.CREATED if version == 1 else Operation.UPDATED
    return Event(
        sequence=number,
        id=f"event-{number}",
        type=event_type(Kind.PERSON, operation),
        municipality=TOWN,
        institution=(SCHOOL, OTHER_SCHOOL)[number % 2],
        subject=event_subject(Kind.PERSON, identity),
        key=(name,),
        version=version,
        time=at(number),
        cause="run",
        data=json.dumps({"object": shown}).encode(),
    )


@st.composite
def lives(draw: st.DrawFn) -> str:
    """A log in which nobody is deleted who is not there."""
    living: set[str] = set()
    words = ""
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=20)):
        is_gone = name in living and draw(st.booleans())
        living ^= {name} if is_gone or name not in living else set()
        words += name.upper() if is_gone else name
    return words


def state_at(store: Store, moment: int | datetime, institution: str | None = None) -> State:
    with store.read() as reader:
        return as_of(reader, TOWN, moment, institution)


def names(state: State) -> dict[str, str]:
    """Who lives, and what is told of them."""
    return {one.key[0]: (one.object or {})["given_name"] for one in state.entities}


def left(store: Store) -> list[int]:
    with store.read() as reader:
        return [event.sequence for event in reader.events(TOWN, 0, 1_000)]


def floor_of(store: Store) -> int:
    with store.read() as reader:
        return reader.log_floor(TOWN)


def compacted(words: str, floor: int) -> Store:
    store = logged(words)
    with store.write() as uow:
        uow.compact_events(TOWN, floor)
    return store


def living_of(held: dict[Place, Told]) -> dict[Place, Told]:
    return {place: one for place, one in held.items() if one.object is not None}


def audit(store: Store) -> list[dict[str, Any]]:
    with store.read() as reader:
        return [json.loads(row.record) for row in reader.audit_rows(0, 100)]


class Broker:
    """Confirms at most `room` events a call, and after `patience` calls it is away."""

    def __init__(self, room: int = 1_000, patience: int = 1_000) -> None:
        self.room, self.patience = room, patience
        self.got: list[Event] = []

    def publish(self, events: Sequence[Event]) -> Sent:
        if not self.patience:
            raise TargetUnavailable("unreachable")
        self.patience -= 1
        taken = events[: self.room]
        self.got += taken
        return Sent(len(taken))

    def close(self) -> None: ...
