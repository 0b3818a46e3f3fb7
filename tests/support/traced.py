"""A bench whose runs and attempts have UUIDs, as the clock of the process gives them."""

from __future__ import annotations

from random import Random
from typing import Any
from uuid import UUID

from bridge.domain.tracing import SpanId, TraceId, trace_id
from bridge.engine.guard import GuardPolicy
from bridge.engine.trace_by_id import Traced, by_trace
from tests.support.engine import Bench, group, pupil


class TracedBench(Bench):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{"policy": GuardPolicy(max_deleted_percent=100.0), **options})
        self._random = Random(7)

    def new_id(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))

    @property
    def run(self) -> str:
        """The id of the last run."""
        return self.diary.runs[-1].id

    @property
    def trace(self) -> TraceId:
        """The trace of the last run."""
        return trace_id(self.run)

    def asked(self, trace: TraceId | None = None, span: SpanId | None = None, most: int = 50) -> Traced:
        with self.store.read() as reader:
            return by_trace(reader, self.book, trace or self.trace, span, most)


def first_day(**options: Any) -> TracedBench:
    """A class of two pupils that is recorded and not delivered yet."""
    bench = TracedBench(**options)
    assert bench.take(group("1A"), pupil("ane"), pupil("bo")) == ("recorded", None)
    return bench


def second_day(bench: TracedBench) -> None:
    """Ane has another name."""
    bench.clock.forward(hours=1)
    assert bench.take(group("1A"), pupil("ane", given_name="Anne"), pupil("bo")) == ("recorded", None)
