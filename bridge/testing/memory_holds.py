"""Holds on plain dicts, with the bytes of a snapshot for as long as someone may still apply them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bridge.domain.errors import StoreError
from bridge.ports import ExpectedRoll, Hold, KeptPerson
from bridge.testing.memory_tables import MemoryPart

_FINAL_HOLDS = ("applied", "rejected", "superseded")


class MemoryHolds(MemoryPart):
    """The holds of `IntakeStore`, who is kept, and which rolls are expected."""

    def add_hold(self, hold: Hold, body: bytes | None) -> int:
        tables = self._writing()
        number = len(tables.holds) + 1
        tables.holds[number] = replace(hold, id=number)
        if body is not None:
            tables.hold_bodies[number] = body
        return number

    def holds(self, states: Sequence[str] | None = None) -> list[Hold]:
        return [hold for hold in self._tables.holds.values() if states is None or hold.state in states]

    def hold(self, number: int) -> Hold | None:
        return self._tables.holds.get(number)

    def hold_body(self, number: int) -> bytes | None:
        return self._tables.hold_bodies.get(number)

    def put_hold(self, hold: Hold) -> None:
        tables = self._writing()
        if hold.id not in tables.holds:
            raise StoreError(f"there is no hold {hold.id}")
        tables.holds[hold.id] = hold

    def set_hold_state(self, number: int, state: str, by: str | None, at: datetime) -> None:
        tables = self._writing()
        if number not in tables.holds:
            raise StoreError(f"there is no hold {number}")
        tables.holds[number] = replace(tables.holds[number], state=state, decided_by=by, decided_at=at)
        if state in _FINAL_HOLDS:
            tables.hold_bodies.pop(number, None)

    def kept_people(self, municipality: str) -> list[KeptPerson]:
        return [row for place, row in sorted(self._tables.kept.items()) if place[0] == municipality]

    def put_kept_person(self, kept: KeptPerson) -> None:
        self._writing().kept[kept.municipality, kept.user_id] = kept

    def drop_kept_person(self, municipality: str, user_id: str) -> bool:
        return self._writing().kept.pop((municipality, user_id), None) is not None

    def expected_rolls(self, municipality: str) -> list[ExpectedRoll]:
        return [roll for roll in self._tables.rolls.values() if roll.municipality == municipality]

    def add_expected_roll(self, roll: ExpectedRoll) -> None:
        rolls = self._writing().rolls
        rolls[max(rolls, default=0) + 1] = roll

    def drop_expected_rolls(
        self, municipality: str, institution: str, opens_at: datetime, closes_at: datetime
    ) -> None:
        rolls, window = self._writing().rolls, (municipality, institution, opens_at, closes_at)
        for number, one in list(rolls.items()):
            if (one.municipality, one.institution, one.opens_at, one.closes_at) == window:
                del rolls[number]
