"""What holds for every municipality and every sequence of snapshots, whatever the target answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.domain.entities import PUBLISHED_KINDS, Entity, Kind
from bridge.domain.errors import TargetUnavailable
from bridge.domain.events import Event
from bridge.domain.ids import Key
from bridge.domain.outcomes import Deferred, Outcome, Rejected
from bridge.domain.records import Record
from bridge.engine.guard import GuardPolicy
from bridge.engine.history import fold, snapshot
from bridge.engine.normalise import normalise
from bridge.ports import Ledger
from tests.support.anything import schools
from tests.support.engine import OTHER_SCHOOL, SCHOOL, TARGET, TOWN, Bench, header

MUNICIPALITIES = 2_000
THIRD_SCHOOL = "101003"
OWN = (Kind.INSTITUTION, Kind.GROUP, Kind.AFFILIATION, Kind.GUARDIANSHIP, Kind.MEMBERSHIP, Kind.CONTRIBUTION)
FREE = GuardPolicy(
    max_deleted_percent=None, max_created_percent=None, max_updated_percent=None, max_unprotected=None
)
AWAY = TargetUnavailable("status_503")


@dataclass(frozen=True)
class Day:
    """One institution's snapshot, and how the target takes what follows from it."""

    school: str
    records: Sequence[Record]
    fates: Sequence[Outcome | Exception | None]
    is_delivered: bool
    hours: int


DAYS = st.lists(
    st.builds(
        Day,
        school=st.sampled_from([SCHOOL, OTHER_SCHOOL, THIRD_SCHOOL]),
        records=schools(),
        fates=st.lists(st.sampled_from([None, Rejected("invalid"), Deferred("busy"), AWAY]), max_size=5),
        is_delivered=st.booleans(),
        hours=st.integers(1, 30),
    ),
    min_size=1,
    max_size=8,
)
MANY = settings(deadline=None, max_examples=MUNICIPALITIES, suppress_health_check=list(HealthCheck))
FEW = settings(MANY, max_examples=30)


@dataclass
class Course:
    """A municipality that lives through days; after each of them everything is checked that must hold."""

    bench: Bench = field(default_factory=lambda: Bench(policy=FREE))
    shown: dict[str, Mapping[Kind, Mapping[Key, Entity]]] = field(default_factory=dict)

    def live(self, day: Day) -> None:
        self.bench.clock.forward(hours=day.hours)
        head = header(day.school, at=self.bench.clock.at)
        result, reason = self.bench.take(*day.records, head=head, expected=day.school)
        if (result, reason) == ("held", "empty"):  # the only thing that even this policy holds
            self.bench.decide(self.bench.holds("open")[0].id, approve=True)
            self.bench.apply_approved()
        else:
            assert result in ("recorded", "unchanged")
        self.shown[day.school] = normalise([head, *day.records]).entities
        self.bench.target.script = list(day.fates)  # type: ignore[arg-type]  # None: a healthy answer
        if day.is_delivered:
            self.bench.drain()

    def again(self, day: Day) -> int:
        """The same snapshot an hour later; returns how many events that brings."""
        before = len(self.log())
        self.bench.clock.forward(hours=1)
        self.bench.take(*day.records, head=header(day.school, at=self.bench.clock.at), expected=day.school)
        return len(self.log()) - before

    def log(self) -> list[Event]:
        with self.bench.store.read() as reader:
            return reader.events(TOWN, 0, 1_000_000)

    def ledger(self) -> Ledger:
        with self.bench.store.read() as reader:
            return reader.ledger(TARGET)


def check_days(days: Sequence[Day]) -> Course:
    course = Course()
    for day in days:
        course.live(day)
        check_state(course)
        assert course.ledger().imbalance == 0
    check_log(course)
    assert course.again(days[-1]) == 0, "a snapshot that was detected already changes nothing"
    return course


def check_state(course: Course) -> None:
    """Applying the changes that were detected leaves exactly what the snapshots show."""
    for kind in OWN:
        wanted = {key: entity for shown in course.shown.values() for key, entity in shown[kind].items()}
        assert course.bench.entities(kind) == wanted
    told = {key[1] for shown in course.shown.values() for key in shown[Kind.CONTRIBUTION]}
    assert {key[0] for key in course.bench.entities(Kind.PERSON)} == told


def check_log(course: Course) -> None:
    """Versions rise by one, and whoever reads the log, or any part of it twice, holds what is stored."""
    log = course.log()
    versions: dict[str, list[int]] = defaultdict(list)
    for event in log:
        versions[event.subject].append(event.version)
    assert all(told == list(range(1, len(told) + 1)) for told in versions.values())
    with course.bench.store.read() as reader:
        now = {(one.kind, one.id): one for one in snapshot(reader, TOWN).entities}
    whole = fold(log)
    assert {place: one for place, one in whole.items() if one.object is not None} == now
    for cut in {len(log) // 3, len(log) // 2}:
        once = fold(log[:cut])
        assert fold(log[:cut], once) == once, "a part that is read twice changes nothing"
        assert fold(log, once) == whole
    assert {kind for kind, _ in whole} <= set(PUBLISHED_KINDS)


def check_end(course: Course) -> None:
    """When the target is well again, every change has ended, and the sum is exact."""
    bench = course.bench
    bench.target.script = []
    with bench.store.write() as uow:
        uow.retry_rejected(TARGET, None, bench.clock.at)
    bench.clock.forward(days=3)
    bench.drain()
    found = course.ledger()
    assert (found.imbalance, found.pending, found.rejected, found.unapplied) == (0, 0, 0, 0)
    assert found.accepted == len(course.log()) == found.delivered + found.filtered + found.superseded


@pytest.mark.slow
@MANY
@given(DAYS)
def test_two_thousand_municipalities(days: list[Day]) -> None:
    check_end(check_days(days))


@FEW
@given(DAYS)
def test_some_municipalities(days: list[Day]) -> None:
    check_end(check_days(days))
