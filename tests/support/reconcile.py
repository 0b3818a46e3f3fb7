"""A platform that can be read back and changed by hand, and the schools that it was told of."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from bridge.connector import Capabilities, Command, Remote
from bridge.domain.errors import TargetUnavailable
from bridge.domain.ids import CanonicalId
from bridge.domain.outcomes import Delivered, Outcome
from bridge.engine.reconcile import Repair, Report, reconcile
from bridge.ports import Drift, TargetState
from tests.support.engine import TARGET, Bench, FakeTarget, group, person_id, pupil, teacher

ANE, BO = person_id("ane"), person_id("bo")


@dataclass
class Held:
    """One thing that the platform has."""

    resource: str
    id: str | None
    document: dict[str, Any] = field(default_factory=dict)


class Platform(FakeTarget):
    """Keeps what it is sent under ids of its own, finds what is in doubt by our id, and can be read back.

    `habit` is done to every document that is stored. `looks_first`: before each creation, too. `fails_after` so
    many things the reading breaks.
    """

    def __init__(self) -> None:
        super().__init__(Capabilities(references="remote", idempotent_create=False))
        self.holds: dict[str, Held] = {}
        self.habit: Callable[[dict[str, Any]], dict[str, Any]] = dict
        self.looks_first = False
        self.fails_after: int | None = None
        self.readings = 0
        self.while_read: Callable[[], None] = lambda: None

    def _answer(self, command: Command) -> Outcome:
        answer = super()._answer(command)
        if not isinstance(answer, Delivered):
            return answer
        place = self._place(command)
        if command.document is None:
            self.holds.pop(place or "", None)
            return Delivered()
        place = place or f"remote-{next(self._numbers)}"
        self.holds[place] = Held(command.resource, command.id, self.habit(dict(command.document)))
        return Delivered(place)

    def _place(self, command: Command) -> str | None:
        if command.remote_id in self.holds:
            return command.remote_id
        looks = self.looks_first or command.in_doubt or command.remote_id is not None
        return next((p for p, held in self.holds.items() if held.id == command.id and looks), None)

    def read_back(self, resources: Collection[str]) -> Iterator[Remote]:
        self.readings += 1
        left = self.fails_after
        for place, held in list(self.holds.items()):
            if held.resource not in resources:
                continue
            if left == 0:
                raise TargetUnavailable("read_back_incomplete")
            left = None if left is None else left - 1
            yield Remote(
                held.resource, place, CanonicalId(held.id) if held.id else None, copy.deepcopy(held.document)
            )
        self.while_read()

    # ------------------------------------------------------------ by hand

    def place_of(self, identity: str) -> str:
        return next(place for place, held in self.holds.items() if held.id == identity)

    def document(self, identity: str) -> dict[str, Any]:
        return self.holds[self.place_of(identity)].document

    def lose(self, identity: str) -> None:
        del self.holds[self.place_of(identity)]

    def move(self, identity: str) -> str:
        """Give something another id of its own, as an import does."""
        held = self.holds.pop(self.place_of(identity))
        place = f"remote-{next(self._numbers)}"
        self.holds[place] = held
        return place


class Notes:
    """A witness of readings."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.unread_for: list[str] = []

    def reconciled(self, before: TargetState, report: Report) -> None:
        self.reports.append(report)

    def unread(self, target: str, reason: str) -> None:
        self.unread_for.append(reason)


class Town(Bench):
    """A bench whose target can be read back."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.platform = Platform()
        self.target = self.platform
        self.notes = Notes()

    def read(self, policy: Repair = "report") -> Report:
        """Reconcile an hour later, and deliver what is due then."""
        self.clock.forward(hours=1)
        report = reconcile(self.lane, policy, self.notes)
        assert report is not None
        self.clock.forward(minutes=1)
        self.drain()
        return report

    def drift(self) -> dict[str, Drift]:
        with self.store.read() as reader:
            return {row.id: row for row in reader.drift(TARGET)}


def small_school() -> Town:
    """A class with two pupils and a teacher, all delivered."""
    town = Town()
    town.take(group("1A"), pupil("ane", email="ane@skole.example"), pupil("bo"), teacher("tea"))
    town.drain()
    return town


def large_school() -> Town:
    """A school of a hundred pupils, all delivered."""
    town = Town()
    town.take(group("1A"), *(pupil(f"user{n:03}") for n in range(100)))
    town.drain()
    return town


def users(numbers: range) -> list[str]:
    return [person_id(f"user{n:03}") for n in numbers]
