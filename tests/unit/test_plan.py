"""A plan says what a sync then does, to the entity and the field, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cli import foresee as show
from bridge.connector import Capabilities, Command
from bridge.domain.changes import Operation
from bridge.domain.entities import Kind
from bridge.domain.errors import SourceUnauthorised, SourceUnavailable, StoreError, TargetUnavailable
from bridge.domain.outcomes import Deferred, Rejected
from bridge.domain.records import Record
from bridge.engine.guard import GuardPolicy
from bridge.engine.plan import Plan, Step, foresee, plan
from bridge.observe import explained
from tests.support.anything import WHOLE_LINE, schools
from tests.support.engine import (
    OTHER_SCHOOL,
    PLATFORM,
    SCHOOL,
    TARGET,
    TOWN,
    Bench,
    group,
    header,
    mapping_of,
    parent,
    person_id,
    pupil,
    teacher,
)
from tests.support.trace import EVERYTHING

ANE, BO = person_id("ane"), person_id("bo")
STAFF_ONLY = PLATFORM.replace("[student, employee]", "[employee]")


def planned(bench: Bench) -> Plan:
    return plan(bench.store, [bench.intake], [bench.lane])


def steps(bench: Bench) -> list[Step]:
    return planned(bench).targets[TARGET]


def offer(bench: Bench, *records: Record) -> None:
    """Let the source have a newer snapshot."""
    bench.clock.forward(hours=1)
    bench.source.offered.clear()
    bench.source.offer(*records, head=header(at=bench.clock.at))


def everything(bench: Bench) -> list[Any]:
    """All that the store has to tell."""
    with bench.store.read() as reader:
        return [
            [reader.scan(TOWN, kind, None, 10_000) for kind in Kind],
            reader.institution_states(),
            reader.runs(10_000),
            reader.quarantine(10_000),
            [(hold, reader.hold_body(hold.id)) for hold in reader.holds()],
            reader.events(TOWN, 0, 10_000),
            reader.deliveries(None, None, None, 10_000),
            reader.target_states(),
            reader.audit_rows(0, 10_000),
        ]


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n)))


def done(commands: Iterable[Command], before: Mapping[str, Mapping[str, Any]]) -> list[Step]:
    """The commands as a plan would have named them, given what the target held before."""
    return [
        Step(
            c.operation.value,
            c.resource,
            c.kind,
            c.key,
            differing(before[c.id], c.document or {}) if c.operation is Operation.UPDATED else (),
        )
        for c in commands
    ]


def lanes(told: Iterable[Step]) -> list[tuple[bool, str]]:
    """The order of what depends on each other; within a lane no order is promised."""
    return list(dict.fromkeys((step.operation == "deleted", step.resource) for step in told))


CAPABILITIES = st.sampled_from([Capabilities(references="remote"), Capabilities(references="canonical")])


@WHOLE_LINE
@given(st.lists(schools(), min_size=1, max_size=4), CAPABILITIES)
def test_what_is_planned_is_what_is_done(days: list[list[Record]], capabilities: Capabilities) -> None:
    bench = Bench(policy=GuardPolicy(100.0), capabilities=capabilities)
    for day in days:
        offer(bench, *day)
        told, held = steps(bench), dict(bench.target.documents)
        bench.fetch()
        sent = done(bench.drain(), held)
        assert sorted(told, key=str) == sorted(sent, key=str)
        assert lanes(told) == lanes(sent)


@WHOLE_LINE
@given(st.lists(schools(), min_size=1, max_size=3), st.sets(st.integers(0, 5)), CAPABILITIES)
def test_what_is_planned_is_what_is_done_though_some_were_rejected(
    days: list[list[Record]], refused: set[int], capabilities: Capabilities
) -> None:
    bench = Bench(policy=GuardPolicy(100.0), capabilities=capabilities)
    bench.target.about = {person_id(f"user{number}"): Rejected("invalid") for number in refused}
    for day in days:
        offer(bench, *day)
        bench.fetch()
        bench.drain()
        assert steps(bench) == [], "what only waits is no step"


@WHOLE_LINE
@given(st.lists(schools(), min_size=1, max_size=3), st.booleans())
def test_a_plan_leaves_the_store_as_it_was(days: list[list[Record]], is_held: bool) -> None:
    bench = Bench(policy=GuardPolicy(0.0, 1) if is_held else None)
    for day in days:
        offer(bench, *day)
        before = everything(bench)
        planned(bench)
        assert everything(bench) == before
        bench.fetch()
        bench.drain()


@pytest.fixture
def bench() -> Bench:
    """A class of two pupils, recorded and delivered."""
    bench = Bench(policy=GuardPolicy(100.0))
    bench.take(group("1A"), pupil("ane"), pupil("bo"))
    bench.drain()
    return bench


class TestAPlan:
    def test_is_empty_when_nothing_is_new(self, bench: Bench) -> None:
        assert steps(bench) == []
        assert [run.result for run in planned(bench).snapshots] == ["unchanged"]

    def test_names_the_field_that_an_update_changes(self, bench: Bench) -> None:
        offer(bench, group("1A"), pupil("ane", given_name="Anne"), pupil("bo"))
        assert steps(bench) == [Step("updated", "User", "person", ("ane",), ("givenName",))]

    def test_names_what_goes_in_the_order_in_which_it_goes(self, bench: Bench) -> None:
        offer(bench, group("1A"), pupil("bo"), pupil("carl"))
        assert steps(bench) == [
            Step("created", "User", "person", ("carl",)),
            Step("updated", "Group", "group", (SCHOOL, "1A"), ("members",)),
            Step("deleted", "User", "person", ("ane",)),
        ]

    def test_takes_nothing_from_the_source_and_sends_nothing(self, bench: Bench) -> None:
        offer(bench, group("1A"), pupil("ane", given_name="Anne"), pupil("bo"))
        taken, sent = list(bench.source.taken_digests), len(bench.target.batches)
        planned(bench)
        assert (bench.source.taken_digests, len(bench.target.batches)) == (taken, sent)

    def test_says_what_would_be_held_and_plans_nothing_of_it(self, bench: Bench) -> None:
        bench.policy = GuardPolicy(0.0, 1)
        offer(bench, group("1A"), pupil("bo"))
        told = planned(bench)
        assert [(run.result, run.reason) for run in told.snapshots] == [("held", "shrunken")]
        assert told.targets[TARGET] == []

    def test_has_what_an_approved_hold_will_bring(self, bench: Bench) -> None:
        bench.policy = GuardPolicy(0.0, 1)
        offer(bench, group("1A"), pupil("bo"))
        bench.fetch()
        bench.decide(bench.holds("open")[0].id, approve=True)
        assert Step("deleted", "User", "person", ("ane",)) in steps(bench)
        assert [hold.state for hold in bench.holds()] == ["approved"]

    def test_has_what_a_changed_mapping_will_bring(self, bench: Bench) -> None:
        mapping = mapping_of(PLATFORM.replace("      familyName: {from: family_name}\n", ""))
        bench.rendering = replace(bench.rendering, mapping=mapping)
        assert {step.fields for step in steps(bench)} == {("familyName",)}

    def test_names_a_target_whose_mapping_would_be_held(self, bench: Bench) -> None:
        bench.policy = GuardPolicy(0.0, 1)
        bench.rendering = replace(bench.rendering, mapping=mapping_of(STAFF_ONLY))
        told = planned(bench)
        assert (told.held, told.targets[TARGET]) == ((TARGET,), [])

    @pytest.mark.parametrize(
        "failure", [SourceUnavailable("timeout: no answer"), SourceUnauthorised("signature_refused: register it")]
    )
    def test_says_why_a_source_gives_nothing_and_plans_the_rest(
        self, bench: Bench, failure: SourceUnavailable | SourceUnauthorised
    ) -> None:
        bench.target.about[ANE] = Deferred("busy")
        offer(bench, group("1A"), pupil("ane", given_name="Anne"), pupil("bo"))
        bench.fetch()
        bench.source.failure = failure
        told = planned(bench)
        assert told.unavailable == {TOWN: explained(failure)}
        assert [step.key for step in told.targets[TARGET]] == [("ane",)]

    def test_has_what_waits_for_its_time(self, bench: Bench) -> None:
        bench.target.about[ANE] = Deferred("busy", timedelta(hours=1))
        offer(bench, group("1A"), pupil("ane", given_name="Anne"), pupil("bo"))
        bench.fetch()
        bench.drain()
        told = planned(bench)
        assert told.targets[TARGET] == []
        assert [(one.operation, one.key, one.reason) for one in told.later[TARGET]] == [
            ("updated", ("ane",), "busy")
        ]

    def test_has_a_group_that_will_be_completed_with_the_member_it_waits_for(self) -> None:
        bench = Bench()
        bench.target.about[ANE] = Deferred("busy", timedelta(hours=1))
        bench.take(group("1A"), pupil("ane"), pupil("bo"))
        bench.drain()
        bench.target.about.clear()
        bench.clock.forward(hours=2)
        assert steps(bench) == [
            Step("created", "User", "person", ("ane",)),
            Step("updated", "Group", "group", (SCHOOL, "1A"), ("members",)),
        ]

    def test_of_a_target_that_pauses_sends_nothing_and_says_why(self, bench: Bench) -> None:
        bench.target.script = [TargetUnavailable("status_503")]
        offer(bench, group("1A"), pupil("ane", given_name="Anne"), pupil("bo"))
        bench.fetch()
        bench.drain()
        told = planned(bench)
        assert (told.targets[TARGET], told.paused) == ([], {TARGET: "status_503"})
        assert [one.key for one in told.later[TARGET]] == [("ane",)]

    def test_of_a_hold_shows_what_an_approval_would_do_and_decides_nothing(self, bench: Bench) -> None:
        bench.policy = GuardPolicy(0.0, 1)
        offer(bench, group("1A"), pupil("bo"))
        bench.fetch()
        bench.drain()
        (hold,) = bench.holds("open")
        before = everything(bench)
        told = foresee(bench.store, [bench.intake], [bench.lane], hold.id)
        assert Step("deleted", "User", "person", ("ane",)) in told.targets[TARGET]
        assert everything(bench) == before

    def test_of_a_hold_leaves_out_what_is_due_anyway(
        self, bench: Bench, capsys: pytest.CaptureFixture[str]
    ) -> None:
        bench.policy = GuardPolicy(0.0, 1)
        offer(bench, group("1A"), pupil("bo"), pupil("carl"))
        bench.fetch()
        (hold,) = bench.holds("open")
        told = foresee(bench.store, [bench.intake], [bench.lane], hold.id)
        assert ("person", ("carl",)) not in {(step.kind, step.key) for step in told.targets[TARGET]}
        assert Step("deleted", "User", "person", ("ane",)) in told.targets[TARGET]
        assert told.anyway[TARGET] >= 1
        show.planned(told, json=False)
        assert "due anyway, also without the approval" in capsys.readouterr().out

    def test_of_a_hold_says_which_of_those_who_go_are_contacts(self, capsys: pytest.CaptureFixture[str]) -> None:
        bench = Bench(mapping=EVERYTHING)
        offer(bench, group("1A"), pupil("ane", contacts=[parent("mor")]), pupil("bo"))
        bench.fetch()
        bench.drain()
        bench.policy = GuardPolicy(0.0, 1)
        offer(bench, group("1A"), pupil("bo"))
        bench.fetch()
        told = foresee(bench.store, [bench.intake], [bench.lane], bench.holds("open")[0].id)
        went = [step for step in told.targets[TARGET] if (step.kind, step.operation) == ("person", "deleted")]
        assert {step.key[0] for step in went} == {"ane", "mor"}
        assert told.contacts == ("mor",)
        show.planned(told, json=False)
        assert "contacts only (1): mor" in capsys.readouterr().out

    def test_of_a_hold_that_two_people_decide_shows_the_same(self, bench: Bench) -> None:
        bench.policy = GuardPolicy(0.0, 1, people_needed=2)
        offer(bench, group("1A"), pupil("bo"))
        bench.fetch()
        bench.drain()
        told = foresee(bench.store, [bench.intake], [bench.lane], bench.holds("open")[0].id)
        assert Step("deleted", "User", "person", ("ane",)) in told.targets[TARGET]

    def test_that_trips_over_a_bug_of_ours_shows_nothing_half_done_and_keeps_nothing(self, bench: Bench) -> None:
        offer(bench, pupil("ane", given_name="\udcff"))
        before = everything(bench)
        with pytest.raises(StoreError, match="nothing was changed"):
            planned(bench)
        assert everything(bench) == before

    def test_has_no_group_that_waits_for_a_member_who_was_rejected(self) -> None:
        bench = Bench()
        bench.target.about[ANE] = Rejected("invalid")
        bench.take(group("1A"), pupil("ane"), pupil("bo"))
        bench.drain()
        assert steps(bench) == []

    def test_of_two_institutions_has_one_step_for_a_person_in_both(self) -> None:
        bench = Bench()
        bench.source.offer(pupil("ane"))
        bench.source.offer(teacher("ane"), head=header(OTHER_SCHOOL), expected=OTHER_SCHOOL)
        assert [step.key for step in steps(bench) if step.kind == "person"] == [("ane",)]
