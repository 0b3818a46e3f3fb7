"""A municipality whose people are told of holds, and somebody who keeps what is sent to them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from bridge.engine.guard import GuardPolicy
from bridge.engine.notice_texts import Writer
from bridge.engine.notices import Notices, Way, tell_holds
from bridge.engine.tell import Teller
from bridge.observe import Metrics
from bridge.ports import Hold, Notice, NoticeFailed
from tests.support.engine import MORNING, SCHOOL, TOWN, Bench

DAY = timedelta(hours=24)
PEOPLE = ("kanarina", "fuglekvid", "sangfugl")


@dataclass
class FakeNotifier:
    """Keeps what it is given, unless it is told to fail."""

    failure: NoticeFailed | None = None
    sent: list[Notice] = field(default_factory=list)
    attempts: int = 0

    def send(self, notice: Notice) -> None:
        self.attempts += 1
        if self.failure is not None:
            raise self.failure
        self.sent.append(notice)

    @property
    def told(self) -> list[tuple[str, str, list[int]]]:
        """Kind, municipality and holds of each notice."""
        return [(one.kind, one.municipality, [facts.hold for facts in one.holds]) for one in self.sent]


DOWN = NoticeFailed("connect_failed", "nobody answers there")


class Town:
    """A bench with people to tell."""

    def __init__(self) -> None:
        self.bench = Bench(policy=GuardPolicy(max_deleted_percent=100.0))
        self.clock = self.bench.clock
        self.metrics = Metrics("0")
        self.mail, self.webhook = FakeNotifier(), FakeNotifier()
        self.notices = self.restarted()

    def restarted(self, *, both: bool = False) -> Notices:
        """The same over the same state, as a new process makes it."""
        ways = [Way("mail", self.mail), *([Way("webhook", self.webhook)] if both else [])]
        names = {TOWN: "Prøveby", "102": "Naboby"}
        witness = Teller(self.metrics, self.clock.now)
        self.notices = Notices(
            self.bench.store, ways, Writer(names), witness, self.clock.now, lambda: 0.5, remind_after=DAY
        )
        return self.notices

    def open(self, **fields: Any) -> int:
        with self.bench.store.write() as uow:
            return uow.add_hold(replace(a_hold(), opened_at=self.clock.now(), **fields), None)

    def hold(self, number: int) -> Hold:
        with self.bench.store.read() as reader:
            found = reader.hold(number)
        assert found is not None
        return found

    def tell(self) -> int:
        return tell_holds(self.notices)

    def count(self, kind: str, result: str) -> float:
        value = self.metrics.registry.get_sample_value("bridge_notices_total", {"kind": kind, "result": result})
        return value or 0.0


def a_hold() -> Hold:
    return Hold(
        id=0,
        municipality=TOWN,
        institution=SCHOOL,
        subject="snapshot",
        target=None,
        digest="digest-1",
        reasons=("shrunken",),
        counts={"person.deleted": 120, "person.stored": 800, "group.created": 1, "contribution.deleted": 120},
        people=PEOPLE,
        state="open",
        opened_at=MORNING,
        origin="drop/kanarina.xml",
        groups=(f"{SCHOOL}/kanarina-gruppen",),
        summary={"leaving": PEOPLE},
    )
