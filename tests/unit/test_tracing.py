"""A trace id and a span id are what W3C says, whatever they are made of, and lead back to it."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.adapters.clock import SystemClock
from bridge.domain.tracing import (
    cause_of,
    common_trace,
    decision_id,
    read_trace,
    span_id,
    trace_id,
    traceparent,
)

RUN = "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"
TRACE, SPAN = trace_id(RUN), span_id(RUN)
NIL = str(UUID(int=0))


@given(st.text())
@example("")
@example(NIL)
@example("0" * 32)
@example("5bf92f35-77b3-4da6-0000-000000000000")
def test_whatever_the_cause_the_ids_are_valid_and_not_all_zero(cause: str) -> None:
    assert re.fullmatch("[0-9a-f]{32}", trace_id(cause)) and set(trace_id(cause)) != {"0"}
    assert re.fullmatch("[0-9a-f]{16}", span_id(cause)) and set(span_id(cause)) != {"0"}
    assert trace_id(cause) == trace_id(cause) and span_id(cause) == span_id(cause)


@given(st.uuids(version=4))
def test_a_run_is_found_by_its_trace_and_an_attempt_by_its_span(identity: UUID) -> None:
    assert trace_id(str(identity)) == identity.hex
    assert cause_of(trace_id(str(identity))) == str(identity)
    assert str(identity).replace("-", "").endswith(span_id(str(identity)))


@given(st.uuids(version=4), st.uuids(version=4))
def test_a_traceparent_is_read_as_it_was_written(run: UUID, attempt: UUID) -> None:
    trace, span = trace_id(str(run)), span_id(str(attempt))
    assert read_trace(traceparent(trace, span)) == (trace, span)


def test_ids_of_the_process_are_uuids_of_which_nothing_is_derived() -> None:
    identity = SystemClock().new_id()
    assert UUID(identity).version == 4
    assert trace_id(identity) == UUID(identity).hex


def test_a_decision_has_an_id_of_its_own_that_is_the_same_each_time() -> None:
    assert decision_id("hold", "1") == decision_id("hold", "1") != decision_id("hold1")
    assert UUID(decision_id("hold", "1")).version == 5


@pytest.mark.parametrize(
    "text", [TRACE, RUN, TRACE.upper(), f"  {TRACE}\n", f"00-{TRACE}-{SPAN}-00", f"cc-{TRACE}-{SPAN}-01-what.the"]
)
def test_an_operator_may_give_what_was_read_out_to_them(text: str) -> None:
    read = read_trace(text)
    assert read is not None and read[0] == TRACE
    assert read[1] in (None, SPAN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abcd1234",
        TRACE[:-1],
        "0" * 32,
        NIL,
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01\n00-{TRACE}-{SPAN}-01",
    ],
)
def test_what_is_no_trace_is_refused(text: str) -> None:
    assert read_trace(text) is None


def test_a_request_of_one_trace_is_named_by_its_first_attempt_and_one_of_several_by_none() -> None:
    one, two = traceparent(TRACE, span_id("a")), traceparent(TRACE, span_id("b"))
    other = traceparent(trace_id("other"), span_id("c"))
    assert common_trace([one, two]) == {"traceparent": one}
    assert common_trace([one, other]) == common_trace([one, ""]) == common_trace([""]) == common_trace([]) == {}
