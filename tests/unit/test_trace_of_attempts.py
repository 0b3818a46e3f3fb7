"""Each attempt carries the trace of the run or the decision for which it is sent, and a span of its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from bridge.connector import Command
from bridge.domain.ids import CanonicalId
from bridge.domain.outcomes import Rejected
from bridge.domain.records import Record
from bridge.domain.tracing import SpanId, TraceId, read_trace, span_id
from bridge.engine.audit import verify
from bridge.engine.guard import GuardPolicy
from bridge.engine.reconcile_mend import resync, retry
from bridge.engine.views import Scope
from tests.support.deliveries import ANE, AWAY
from tests.support.engine import (
    OTHER_SCHOOL,
    PLATFORM,
    SCHOOL,
    TARGET,
    TOWN,
    group,
    header,
    mapping_of,
    pupil,
)
from tests.support.reconcile import BO, small_school
from tests.support.traced import TracedBench, first_day, second_day


def named(command: Command) -> tuple[TraceId, SpanId]:
    read = read_trace(command.traceparent)
    assert read is not None and read[1] is not None
    return read[0], read[1]


def traces(commands: list[Command]) -> set[TraceId]:
    return {named(command)[0] for command in commands}


def intents(bench: TracedBench, **like: Any) -> list[dict[str, Any]]:
    wanted = {"kind": "disclosure.intent", **like}
    return [one for one in bench.audit() if wanted.items() <= one.items()]


def record(bench: TracedBench, kind: str) -> dict[str, Any]:
    return [one for one in bench.audit() if one["kind"] == kind][-1]


def delivered() -> TracedBench:
    bench = first_day()
    bench.drain()
    return bench


# ---------------------------------------------------------------- a run


def test_all_that_a_run_causes_is_of_its_trace_and_each_attempt_has_a_span() -> None:
    bench = first_day()
    sent = bench.drain()
    assert traces(sent) == {bench.trace}
    spans = [named(command)[1] for command in sent]
    assert len(set(spans)) == len(sent) == 3
    assert spans == [span_id(one["intent"]) for one in intents(bench, trace=bench.trace)]


def test_the_outcome_is_of_the_trace_too_and_the_chain_holds() -> None:
    bench = delivered()
    outcomes = [one for one in bench.audit() if one["kind"] == "disclosure.outcome"]
    assert {one["trace"] for one in outcomes} == {bench.trace} == {record(bench, "snapshot.recorded")["trace"]}
    with bench.store.read() as reader:
        assert verify(reader).ok


def test_an_attempt_that_failed_is_tried_again_in_the_same_trace_under_a_new_span() -> None:
    bench = first_day()
    bench.target.script = [AWAY]
    bench.deliver()
    bench.clock.forward(hours=1)
    bench.deliver()
    (first, *_), (again, *_) = bench.target.batches
    assert first.id == again.id
    assert named(first)[0] == named(again)[0] == bench.trace
    assert named(first)[1] != named(again)[1]


def test_what_is_still_due_keeps_its_trace_when_a_later_run_changes_others() -> None:
    bench = first_day()
    first = bench.trace
    second_day(bench)
    sent = {command.key[-1]: named(command)[0] for command in bench.drain()}
    assert sent == {"ane": bench.trace, "bo": first, "1A": first}


def test_of_several_runs_that_come_as_one_step_the_last_counts() -> None:
    bench = delivered()
    second_day(bench)
    bench.clock.forward(hours=1)
    bench.take(group("1A"), pupil("ane", given_name="Annie"), pupil("bo"))
    (update,) = bench.drain()
    assert update.document is not None and update.document["givenName"] == "Annie"
    assert (named(update)[0], update.cause) == (bench.trace, bench.run)


def test_what_a_crash_left_open_is_closed_in_its_trace() -> None:
    bench = first_day()
    bench.target.before = lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
    try:
        bench.deliver()
    except KeyboardInterrupt:
        with bench.store.write() as uow:
            assert bench.book.close_open(uow) > 0
    ended = record(bench, "disclosure.outcome")
    assert (ended["reason"], ended["trace"]) == ("interrupted", bench.trace)


def test_an_engine_that_is_started_anew_goes_on_in_the_same_trace() -> None:
    bench = first_day()
    again = TracedBench()
    again.store, again._random = bench.store, bench._random
    assert traces(again.drain()) == {bench.trace}


def test_a_row_of_before_traces_were_written_down_has_the_trace_of_its_institution() -> None:
    bench = first_day()
    with bench.store.write() as uow:
        uow.set_cause(TARGET, [ANE], "")
    assert traces([one for one in bench.drain() if one.id == ANE]) == {bench.trace}


# ---------------------------------------------------------------- a decision


def test_a_resync_is_a_trace_of_its_own() -> None:
    bench = delivered()
    resync(bench.store, bench.book, TARGET, "eva", bench.clock.now())
    sent = bench.drain()
    assert len(sent) == 3
    assert traces(sent) == {record(bench, "target.resync")["trace"]} != {bench.trace}


def test_a_changed_mapping_is_a_trace_of_its_own() -> None:
    bench = delivered()
    bench.clock.forward(hours=1)
    bench.refresh(mapping_of(PLATFORM.replace("      email: {from: email}\n", "      nick: {const: x}\n")))
    sent = bench.drain()
    assert {command.resource for command in sent} == {"User"}
    assert traces(sent) == {record(bench, "target.rendered")["trace"]} != {bench.trace}


def test_a_release_at_a_target_is_a_trace_of_its_own() -> None:
    bench = delivered()
    bench.target_policy = replace(GuardPolicy(), min_deleted=1, max_deleted_percent=1.0)
    bench.clock.forward(hours=1)
    bench.take(group("1A"), pupil("bo"))
    bench.drain()
    (hold,) = bench.holds("open")
    bench.decide(hold.id, approve=True)
    bench.release()
    bench.clock.forward(hours=2)
    gone = [command for command in bench.drain() if command.document is None]
    assert traces(gone) == {record(bench, "hold.released")["trace"]} != {bench.trace}


def test_what_a_person_lets_be_tried_again_is_of_the_trace_of_that() -> None:
    bench = first_day()
    bench.target.script = [Rejected("invalid")]
    bench.drain()
    (refused,) = intents(bench, subject=bench.book.reference(_refused(bench)))
    with bench.store.write() as uow:
        assert retry(uow, TARGET, None, bench.clock.now(), "4bf92f35-77b3-4da6-a3ce-929d0e0e4736") == 1
    assert refused["trace"] == bench.trace
    sent = [command for command in bench.drain() if command.resource == "User"]
    assert traces(sent) == {"4bf92f3577b34da6a3ce929d0e0e4736"}


def _refused(bench: TracedBench) -> CanonicalId:
    (row,) = [row for row, outcome in bench.diary.outcomes if isinstance(outcome, Rejected)]
    return row.id


def test_a_snapshot_that_was_held_and_approved_is_a_run_of_its_own() -> None:
    bench = TracedBench(policy=GuardPolicy())
    bench.take(group("1A"), *map(pupil, [f"p{number}" for number in range(30)]))
    bench.drain()
    bench.clock.forward(hours=1)
    bench.take(group("1A"), pupil("p0"))
    (hold,) = bench.holds("open")
    opened = record(bench, "hold.opened")
    assert (opened["hold"], opened["trace"]) == (hold.id, bench.trace)
    bench.decide(hold.id, approve=True)
    bench.apply_approved()
    bench.release()
    bench.clock.forward(days=30)
    assert traces([one for one in bench.drain() if one.resource == "User"]) == {bench.trace}
    assert bench.trace != opened["trace"]


def test_what_is_set_right_at_a_platform_is_a_trace_of_its_own_with_what_refers_to_it() -> None:
    town = small_school()
    before = len(town.target.commands)
    town.platform.lose(BO)
    town.read("restore")
    sent = town.target.commands[before:]
    assert {command.resource for command in sent} == {"User", "Group"}
    (restored,) = [one for one in town.audit() if one["kind"] == "target.restored"]
    assert traces(sent) == {restored["trace"]}


def test_a_protection_that_is_raised_goes_out_in_the_trace_of_the_run_that_raised_it() -> None:
    bench = delivered()
    bench.clock.forward(hours=1)
    bench.take(group("1A"), pupil("ane", protected=True, alias_given_name="Alva"), pupil("bo"))
    assert traces(bench.drain()) == {bench.trace}


def test_so_does_the_mask_of_an_account_that_only_waits_for_its_deletion() -> None:
    bench = TracedBench(policy=GuardPolicy(max_deleted_percent=100.0, deletion_grace=timedelta(days=7)))
    bench.rendering = replace(bench.rendering, scope=Scope(TOWN, frozenset({SCHOOL})))
    bench.take(group("1A"), pupil("ane"), pupil("bo"))
    elsewhere(bench, pupil("ane"))
    bench.drain()
    bench.clock.forward(hours=1)
    bench.take(group("1A"), pupil("bo"))
    bench.drain()
    elsewhere(bench, pupil("ane", protected=True, alias_given_name="Alva"))
    (mask,) = bench.drain()
    assert (mask.id, named(mask)[0]) == (ANE, bench.trace)


def elsewhere(bench: TracedBench, *records: Record) -> None:
    """Another school, which the target does not see, says something."""
    bench.clock.forward(hours=1)
    head = header(OTHER_SCHOOL, at=bench.clock.at)
    assert bench.take(*records, head=head, expected=OTHER_SCHOOL) == ("recorded", None)
