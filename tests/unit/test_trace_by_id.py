"""A trace id that somebody reads out leads to the run, its changes and events, and every attempt; no value."""

from __future__ import annotations

import json

import msgspec

from bridge.domain.outcomes import Rejected
from bridge.domain.tracing import SpanId, TraceId, span_id
from bridge.engine.publish import cursor_name
from bridge.engine.reconcile_mend import resync
from bridge.engine.trace_by_id import LOOKED, Numbers, note_look_up
from tests.support.deliveries import ANE, AWAY, BO
from tests.support.engine import SCHOOL, TARGET, TOWN
from tests.support.traced import TracedBench, first_day, second_day


def test_a_run_is_told_with_what_it_changed_and_which_events_tell_it() -> None:
    bench = first_day()
    first = bench.trace
    second_day(bench)
    found = bench.asked(first)
    assert found.run == bench.diary.runs[0]
    (recorded,) = found.told
    assert (recorded.kind, recorded.facts["institution"]) == ("snapshot.recorded", SCHOOL)
    counted = recorded.facts["counted"]
    assert isinstance(counted, list) and {"person.created 2", "group.created 1"} <= set(counted)
    assert found.events == Numbers(TOWN, 1, bench.diary.runs[0].changes, None)
    assert bench.asked().events == Numbers(TOWN, bench.diary.runs[0].changes + 1, _last(bench), None)


def _last(bench: TracedBench) -> int:
    with bench.store.read() as reader:
        return reader.last_sequence(TOWN)


def test_whether_its_events_are_published_is_told_where_anything_is() -> None:
    bench = first_day()
    for place, is_published in ((0, False), (_last(bench), True)):
        with bench.store.write() as uow:
            uow.set_cursor(cursor_name(TOWN), place)
        events = bench.asked().events
        assert events is not None and events.is_published is is_published


def test_every_attempt_is_told_with_its_outcome_and_whom_it_was_about() -> None:
    bench = first_day()
    bench.target.script = [AWAY]
    bench.deliver()
    bench.clock.forward(hours=1)
    bench.target.about[ANE] = Rejected("refused_400", "userName", 400)
    bench.drain()
    found = bench.asked()
    assert found.outcomes == {TARGET: {"delivered": 2, "rejected": 1, "unknown": 1, "not_sent": 1}}
    told = [one for one in found.tried if one.id == ANE]
    assert (told[-1].outcome, told[-1].reason, told[-1].status) == ("rejected", "refused_400", 400)
    assert {one.id for one in found.tried} >= {ANE, BO}
    assert found.is_known and not found.is_cut


def test_the_attempt_that_a_span_stands_for_is_told_even_among_many() -> None:
    bench = first_day()
    sent = bench.drain()
    bo = next(command for command in sent if command.id == BO)
    span = SpanId(bo.traceparent.split("-")[2])
    found = bench.asked(span=span, most=0)
    assert [(one.span, one.id, one.operation, one.resource) for one in found.tried] == [
        (span, BO, "created", "User")
    ]
    assert found.is_cut
    assert bench.asked(most=0).tried == ()


def test_of_many_attempts_those_that_did_not_arrive_are_told() -> None:
    bench = first_day()
    bench.target.about[ANE] = Rejected("invalid")
    bench.drain()
    found = bench.asked(most=2)
    assert [one.id for one in found.tried] == [ANE]
    assert found.is_cut


def test_a_span_may_stand_for_an_event_of_the_log() -> None:
    bench = first_day()
    with bench.store.read() as reader:
        event = reader.events(TOWN, 1, 1)[0]
    found = bench.asked(span=span_id(event.id))
    assert (found.event, found.tried) == (2, ())
    assert bench.asked(span=span_id("something else")).event is None


def test_a_decision_is_told_with_its_attempts_and_whom_the_one_that_is_asked_for_was_about() -> None:
    bench = first_day()
    bench.drain()
    resync(bench.store, bench.book, TARGET, "eva", bench.clock.now())
    sent = bench.drain()
    bo = next(command for command in sent if command.id == BO)
    _, trace, span, _ = bo.traceparent.split("-")
    found = bench.asked(TraceId(trace), SpanId(span))
    assert (found.run, found.events, found.is_known) == (None, None, True)
    assert [one.kind for one in found.told] == ["target.resync"]
    assert [one.id for one in found.tried if one.span == span] == [BO]
    assert sum(found.outcomes[TARGET].values()) == len(sent)


def test_an_attempt_whose_end_is_not_written_is_open() -> None:
    bench = first_day()
    seen: list[dict[str, dict[str, int]]] = []
    bench.target.before = lambda _: seen.append(msgspec.to_builtins(bench.asked().outcomes))
    bench.deliver()
    assert seen == [{TARGET: {"open": 2}}]


def test_what_is_still_due_is_told_before_anything_was_tried() -> None:
    bench = first_day()
    before = bench.asked()
    assert before.due == {TARGET: 3} and not before.outcomes
    bench.drain()
    assert bench.asked().due == {}


def test_nothing_is_known_of_a_trace_of_somebody_else_also_after_it_was_looked_up() -> None:
    bench = first_day()
    trace = TraceId("4bf92f3577b34da6a3ce929d0e0e4736")
    note_look_up(bench.store, bench.book, trace)
    found = bench.asked(trace)
    assert (found.is_known, [one.kind for one in found.told]) == (False, [LOOKED])


def test_no_value_of_anybody_is_in_the_answer() -> None:
    bench = first_day()
    bench.target.about[ANE] = Rejected("invalid", "givenName")
    bench.drain()
    first = bench.trace
    second_day(bench)
    bench.drain()
    for trace in (first, bench.trace):
        told = json.dumps(msgspec.to_builtins(bench.asked(trace)), default=str)
        for value in ("Anne", "Ane", "Holm", '"ane"', '"bo"', "Klasse"):
            assert value not in told
