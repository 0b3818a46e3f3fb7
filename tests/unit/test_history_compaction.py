"""The log is kept short, and passes nobody who still reads it."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.errors import TargetUnavailable
from bridge.engine.compact import Compaction, compact, foresee_compaction
from bridge.engine.history import fold
from bridge.engine.publish import cursor_name, publish_step
from bridge.engine.replay import Span, replay
from bridge.ports import Store
from tests.support.engine import TOWN
from tests.support.history import (
    BRIEF,
    Broker,
    at,
    events_of,
    floor_of,
    left,
    lives,
    living_of,
    logged,
    names,
    state_at,
)

MONTH = timedelta(days=30)


def compact_at(store: Store, seconds: float, **options: Any) -> Compaction:
    """Compact as if what is older than this moment were beyond retention."""
    return compact(store, TOWN, MONTH, at(seconds) + MONTH, **options)


class TestCompaction:
    def test_takes_what_is_older_than_the_retention_and_leaves_what_lives(self) -> None:
        store = logged("abaBcab")
        assert compact_at(store, 5) == Compaction(TOWN, 0, 5, 3)
        assert left(store) == [3, 5, 6, 7]

    def test_of_a_young_log_takes_nothing(self) -> None:
        store = logged("aaa")
        assert compact_at(store, 0) == Compaction(TOWN, 0, 0)
        assert left(store) == [1, 2, 3]

    def test_done_again_takes_nothing_more(self) -> None:
        store = logged("aabb")
        compact_at(store, 4)
        assert compact_at(store, 4) == Compaction(TOWN, 4, 4)
        assert compact_at(store, 2) == Compaction(TOWN, 4, 4)

    def test_foreseen_changes_nothing(self) -> None:
        store = logged("aabb")
        assert foresee_compaction(store, TOWN, MONTH, at(3) + MONTH) == Compaction(TOWN, 0, 3)
        assert left(store) == [1, 2, 3, 4]

    def test_never_passes_the_slowest_reader_and_names_it(self) -> None:
        store = logged("aaaa")
        with store.write() as uow:
            uow.set_cursor(cursor_name(TOWN), 3)
            uow.set_cursor(f"feed/{TOWN}/aula", 2)
            uow.set_cursor("publish/999", 0)
        assert compact_at(store, 4) == Compaction(TOWN, 0, 2, 1, f"feed/{TOWN}/aula")
        assert left(store) == [2, 3, 4]

    def test_waits_for_a_publisher_that_has_only_begun(self) -> None:
        store = logged("aaaa")
        with pytest.raises(TargetUnavailable):
            publish_step(store, Broker(patience=0), TOWN, 10)
        assert compact_at(store, 4).held_by == cursor_name(TOWN)
        assert left(store) == [1, 2, 3, 4]

    def test_waits_for_a_reader_that_begins_while_it_is_at_work(self) -> None:
        store = logged("a" * 3_000)

        def begins() -> bool:
            with store.write() as uow:
                uow.set_cursor(cursor_name(TOWN), min(uow.log_floor(TOWN) + 500, 1_200))
            return True

        assert compact_at(store, 3_000, go_on=begins).floor == 1_200

    def test_passes_a_reader_that_is_gone_which_begins_anew_should_it_come_back(self) -> None:
        store, broker = logged("aAbb"), Broker()
        with store.write() as uow:
            uow.set_cursor(cursor_name(TOWN), 1)
        found = compact_at(store, 3, gone={cursor_name(TOWN)})
        assert (found.floor, found.passed) == (3, (cursor_name(TOWN),))
        publish_step(store, broker, TOWN, 10)
        assert [event.sequence for event in broker.got] == [3, 4]

    def test_leaves_the_place_of_a_reader_that_is_gone_but_was_fast_enough(self) -> None:
        store = logged("aabb")
        with store.write() as uow:
            uow.set_cursor(cursor_name(TOWN), 4)
        assert compact_at(store, 3, gone={cursor_name(TOWN)}).passed == ()
        with store.read() as reader:
            assert reader.cursor(cursor_name(TOWN)) == 4

    def test_of_a_long_log_is_done_in_short_transactions(self) -> None:
        store, turns = logged("ab" * 2_500), count()
        assert compact_at(store, 4_500, go_on=lambda: next(turns) >= 0).floor == 4_500
        assert next(turns) == 5
        assert left(store) == [4_499, *range(4_500, 5_001)]

    def test_that_is_told_to_stop_goes_on_another_time(self) -> None:
        store, turns = logged("ab" * 2_500), count()
        assert compact_at(store, 4_500, go_on=lambda: next(turns) < 2).floor == 2_000
        assert names(state_at(store, 2_000)) == {"a": "a1999", "b": "b2000"}
        assert compact_at(store, 4_500).floor == 4_500

    @BRIEF
    @given(lives(), st.integers(0, 20), st.none() | st.integers(0, 20))
    def test_leaves_a_new_subscriber_one_full_state_of_everybody_and_then_the_whole_log(
        self, words: str, older: int, place: int | None
    ) -> None:
        store = logged(words)
        if place is not None:
            with store.write() as uow:
                uow.set_cursor(cursor_name(TOWN), place)
        compact_at(store, older)
        floor = floor_of(store)
        assert floor <= min(older, len(words) if place is None else place)
        told = list(replay(store, TOWN, Span()))
        assert living_of(fold(told)) == living_of(fold(events_of(words)))
        base = [event for event in told if event.sequence <= floor and ".deleted." not in event.type]
        assert {event.subject for event in base} == {one.subject for one in state_at(store, floor).entities}
        assert len(base) == len({event.subject for event in base})
        assert [event.sequence for event in told if event.sequence > floor] == list(
            range(floor + 1, len(words) + 1)
        )
        assert [e.sequence for e in told if ".deleted." in e.type and e.sequence < floor] == []

    @BRIEF
    @given(lives(), st.lists(st.integers(0, 20), max_size=4))
    def test_step_by_step_ends_as_at_once(self, words: str, steps: list[int]) -> None:
        slowly, at_once = logged(words), logged(words)
        for step in sorted(steps):
            compact_at(slowly, step)
        compact_at(at_once, max(steps, default=0))
        assert left(slowly) == left(at_once)
