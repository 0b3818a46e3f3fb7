"""What a source does is logged when it goes bad and when it recovers, and an agreement by its own event."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
import structlog

from bridge.engine.tell import Teller
from bridge.observe import Metrics, configure_logging
from bridge.ports import Run

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Logging to a text, put back afterwards."""
    root, hooks = logging.getLogger(), (sys.excepthook, sys.unraisablehook)
    before = root.handlers, root.level
    out = io.StringIO()
    configure_logging("info", json=True, stream=out)
    yield out
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers, root.level = before
    sys.excepthook, sys.unraisablehook = hooks


def told(stream: io.StringIO, *ends: tuple[str, str | None]) -> list[str]:
    """Let runs of one institution end so, and return the events of the lines."""
    teller = Teller(Metrics("0"), lambda: NOW)
    for result, reason in ends:
        teller.run_ended(Run("run", "101", "101001", NOW, result, reason, None, None), None)
    return [json.loads(line)["event"] for line in stream.getvalue().splitlines()]


def test_a_failure_is_told_once_and_its_end_too(stream: io.StringIO) -> None:
    ends = [("failed", "timeout")] * 3 + [("recorded", None)]
    assert told(stream, *ends) == ["source.failed", "source.recovered", "snapshot.recorded"]


def test_a_source_that_fails_as_a_whole_again_after_it_recovered_is_told_again(stream: io.StringIO) -> None:
    teller = Teller(Metrics("0"), lambda: NOW)
    down = Run("run", "101", None, NOW, "failed", "signature_refused", None, None)
    teller.run_ended(down, None)
    teller.source_recovered("101")
    teller.run_ended(down, None)
    events = [json.loads(line)["event"] for line in stream.getvalue().splitlines()]
    assert events == ["source.failed", "source.recovered", "source.failed"]


def test_a_message_of_the_feed_that_is_refused_says_nothing_of_the_source(stream: io.StringIO) -> None:
    teller = Teller(Metrics("0"), lambda: NOW)
    teller.run_ended(Run("1", "101", None, NOW, "failed", "signature_refused", None, None), None)
    teller.run_ended(Run("2", "101", None, NOW, "refused", "unknown_message", "amqp:q", None), None)
    teller.run_ended(Run("3", "101", None, NOW, "refused", "unknown_message", "amqp:q", None), None)
    events = [json.loads(line)["event"] for line in stream.getvalue().splitlines()]
    assert events == ["source.failed", "snapshot.refused"]


def test_every_line_of_a_run_names_its_trace(stream: io.StringIO) -> None:
    teller = Teller(Metrics("0"), lambda: NOW)
    for run, result in (("4bf92f35-77b3-4da6-a3ce-929d0e0e4736", "failed"), (str(UUID(int=1)), "recorded")):
        teller.run_ended(Run(run, "101", "101001", NOW, result, None, None, None), None)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["trace_id"]) for line in lines] == [
        ("source.failed", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("source.recovered", f"{1:032x}"),
        ("snapshot.recorded", f"{1:032x}"),
    ]


@pytest.mark.parametrize(
    ("reason", "event"),
    [("agreement_missing", "agreement.missing"), ("agreement_withdrawn", "agreement.withdrawn")],
)
def test_an_agreement_is_told_by_its_own_event_and_once(stream: io.StringIO, reason: str, event: str) -> None:
    assert told(stream, ("failed", reason), ("failed", reason)) == [event]


def test_a_withdrawal_after_a_failure_is_no_recovery(stream: io.StringIO) -> None:
    assert told(stream, ("failed", "timeout"), ("failed", "agreement_withdrawn")) == [
        "source.failed",
        "agreement.withdrawn",
    ]
