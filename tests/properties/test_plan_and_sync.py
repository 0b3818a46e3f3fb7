"""In any state a plan says exactly what a sync then does, to the entity and the field, and what waits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.connector import Capabilities
from bridge.domain.changes import Operation
from bridge.domain.entities import Kind
from bridge.domain.errors import ConfigError
from bridge.domain.ids import CanonicalId
from bridge.domain.outcomes import Deferred, Outcome, Rejected
from bridge.domain.records import Header, ImportSource, Record
from bridge.engine.breaker import is_paused
from bridge.engine.desire import deliveries_of
from bridge.engine.guard import GuardPolicy
from bridge.engine.keep import keep
from bridge.engine.leavers import Leaving
from bridge.engine.plan import Step, differing, plan
from bridge.engine.refresh import announce
from bridge.engine.words import protected_users
from bridge.mapping import TargetMapping, load_mapping
from bridge.ports import KeptPerson
from tests.support.anything import schools
from tests.support.deliveries import AWAY
from tests.support.engine import OTHER_SCHOOL, PLATFORM, SCHOOL, TARGET, TOWN, Bench, mapping_of

STATES = 500
ACTIVE = PLATFORM.replace("email: {from: email}", "email: {from: email}\n      active: {const: true}")
MAPPINGS = tuple(
    mapping_of(text)
    for text in (
        ACTIVE,
        ACTIVE.replace("[student, employee]", "[student, employee, contact]"),
        ACTIVE.replace("      familyName: {from: family_name}\n", ""),
        ACTIVE.replace("[student, employee]", "[employee]"),
    )
)


@dataclass(frozen=True)
class Day:
    """What happens in one day: a snapshot, answers of the target, and what people do."""

    school: str
    records: Sequence[Record]
    hours: int
    year: int
    fates: Sequence[Outcome | Exception | None]
    mapping: TargetMapping
    decision: bool | None
    kept: str | None
    is_delivered: bool


DAYS = st.builds(
    Day,
    school=st.sampled_from([SCHOOL, SCHOOL, OTHER_SCHOOL]),
    records=schools(),
    hours=st.integers(1, 40),
    year=st.sampled_from([2026, 2026, 2026, 2027]),
    fates=st.lists(st.sampled_from([None, Rejected("invalid"), Deferred("busy"), AWAY]), max_size=5),
    mapping=st.sampled_from([*MAPPINGS[:1] * 4, *MAPPINGS]),
    decision=st.sampled_from([None, True, False]),
    kept=st.sampled_from([None, None, "user1"]),
    is_delivered=st.booleans(),
)
CAPABILITIES = st.sampled_from([Capabilities(references="remote"), Capabilities(references="canonical")])
POLICIES = st.builds(
    lambda percent, hours: GuardPolicy(max_deleted_percent=percent, deletion_grace=timedelta(hours=hours)),
    st.sampled_from([25.0, 100.0]),
    st.sampled_from([0, 24]),
)
LEAVING = st.sampled_from([Leaving(), Leaving(timedelta(days=2), {"User": {"active": False}})])


REAL = {"Ane", "Bo", "Carl", "Dorte", "Holm", "x@skole.example", "y@skole.example"}
"""What `schools` may say of anybody that tells who they are."""


def offer(bench: Bench, day: Day) -> None:
    bench.clock.forward(hours=day.hours)
    at = bench.clock.at
    head = Header(day.school, "Skolen", at, (ImportSource("KMD", at, f"{day.year}-{day.year + 1}"),))
    bench.source.offered.clear()
    bench.source.offer(*day.records, head=head, expected=day.school)


def live(bench: Bench, day: Day) -> None:
    """Whatever led to the state: answers that went wrong, decisions, people who are kept."""
    if day.kept is not None:
        until = bench.clock.at + timedelta(days=3)
        with suppress(ConfigError):  # nobody is known by that yet
            keep(bench.store, bench.book, KeptPerson(TOWN, day.kept, until, "anna", bench.clock.at))
    for hold in bench.holds("open") if day.decision is not None else []:
        bench.decide(hold.id, approve=day.decision is True)
    bench.rendering = replace(bench.rendering, mapping=day.mapping)


def sync(bench: Bench) -> list[Step]:
    """What a sync does, told as a plan tells it."""
    before = dict(bench.target.documents)
    bench.refresh()
    announce(bench.store, bench.rendering, bench.clock.now)
    bench.release()
    bench.apply_approved()
    bench.fetch()
    done = []
    for command in bench.drain():
        fields: tuple[str, ...] = ()
        if command.operation is Operation.UPDATED:
            fields = differing(before[command.id], command.document or {})
        if command.document is not None:
            before[command.id] = command.document
        done.append(Step(command.operation.value, command.resource, command.kind, command.key, fields))
    return done


def rows(bench: Bench) -> list[Any]:
    with bench.store.read() as reader:
        return deliveries_of(reader, TARGET)


def waiting(bench: Bench) -> set[tuple[Any, ...]]:
    return {(row.kind.value, row.key, row.reason) for row in rows(bench) if row.is_due}


def shown(bench: Bench) -> set[CanonicalId]:
    """The accounts that show what is protected, though the target could have been told."""
    if is_paused(bench.target_state(), bench.clock.at):
        return set()
    tried = [
        row for row in rows(bench) if row.kind is Kind.PERSON and row.attempts == 0 and row.state == "pending"
    ]
    with bench.store.read() as reader:
        hidden = protected_users(reader, TOWN, {row.key[0] for row in tried})
    known = {row.id: set(texts(bench.target.documents.get(row.id, {}))) for row in tried if row.key[0] in hidden}
    return {identity for identity, values in known.items() if values & REAL}


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from texts(one)
    elif isinstance(value, str):
        yield value


def agree(days: Sequence[Day], capabilities: Capabilities, policy: GuardPolicy, leaving: Leaving) -> int:
    """Live through the days; before each sync it is planned. Returns how many steps were compared."""
    bench = Bench(capabilities=capabilities, policy=policy, mapping=days[0].mapping)
    bench.leaving = leaving
    compared = 0
    for day in days:
        live(bench, day)
        offer(bench, day)
        told = plan(bench.store, [bench.intake], [bench.lane])
        steps, later = told.targets[TARGET], {(one.kind, one.key, one.reason) for one in told.later[TARGET]}
        bench.target.script = []
        if day.is_delivered:
            assert sync(bench) == steps
            assert shown(bench) == set()
            if not told.held:
                assert waiting(bench) == later
            compared += len(steps)
        else:
            bench.target.script = list(day.fates)  # type: ignore[arg-type]  # None: a healthy answer
            sync_badly(bench)
    return compared


def sync_badly(bench: Bench) -> None:
    """A sync at a target that misbehaves: what it leaves behind is the next state to plan from."""
    bench.refresh()
    bench.apply_approved()
    bench.fetch()
    bench.drain()


@pytest.mark.slow
@settings(deadline=None, max_examples=STATES, suppress_health_check=list(HealthCheck))
@given(st.lists(DAYS, min_size=1, max_size=6), CAPABILITIES, POLICIES, LEAVING)
def test_on_five_hundred_courses_of_days(
    days: list[Day], capabilities: Capabilities, policy: GuardPolicy, leaving: Leaving
) -> None:
    agree(days, capabilities, policy, leaving)


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.lists(DAYS, min_size=1, max_size=4), CAPABILITIES, POLICIES, LEAVING)
def test_on_some_courses_of_days(
    days: list[Day], capabilities: Capabilities, policy: GuardPolicy, leaving: Leaving
) -> None:
    agree(days, capabilities, policy, leaving)


SCHOOL_PROFILE = load_mapping("egil/ss12000")
"""One that sends kinds that are derived from others, and bodies that cannot do without what they refer to."""


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.lists(DAYS, min_size=1, max_size=4), CAPABILITIES, POLICIES, LEAVING)
def test_where_one_entity_is_sent_in_more_than_one_way(
    days: list[Day], capabilities: Capabilities, policy: GuardPolicy, leaving: Leaving
) -> None:
    agree([replace(day, mapping=SCHOOL_PROFILE) for day in days], capabilities, policy, leaving)
