"""The log as of any moment: nobody who follows it is left with a wrong picture."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.domain.entities import Kind
from bridge.domain.records import Record
from bridge.engine.guard import GuardPolicy
from bridge.engine.history import Compacted, Place, State, Told, fold, snapshot
from bridge.engine.replay import Span, replay
from bridge.ports import Store
from tests.support.anything import STEADY, schools
from tests.support.engine import OTHER_SCHOOL, SCHOOL, TOWN, Bench, group, header, parent, pupil
from tests.support.history import (
    BRIEF,
    START,
    at,
    compacted,
    events_of,
    floor_of,
    lives,
    living_of,
    logged,
    names,
    state_at,
)
from tests.support.stores import new_store

FREE = GuardPolicy(max_deleted_percent=None, max_created_percent=None, max_updated_percent=None)
WHOLE = settings(STEADY, max_examples=12)


def by_place(state: State) -> dict[Place, Told]:
    return {(one.kind, one.id): one for one in state.entities}


class TestAReader:
    def test_holds_the_last_word_on_everybody_and_who_is_gone(self) -> None:
        held = {one.key[0]: one for one in fold(events_of("abaB")).values()}
        assert (held["a"].version, held["a"].object and held["a"].object["given_name"]) == (2, "a3")
        assert (held["b"].version, held["b"].object) == (2, None)

    @BRIEF
    @given(lives(), st.randoms(use_true_random=False))
    def test_holds_the_same_however_often_and_in_whatever_order_it_is_told(self, words: str, chance: Any) -> None:
        once = events_of(words)
        often = [*once, *chance.choices(once, k=len(once))]
        chance.shuffle(often)
        assert fold(often) == fold(once)

    @BRIEF
    @given(lives(), st.integers(0, 20), st.integers(0, 20))
    def test_who_goes_on_from_anywhere_before_its_place_ends_at_the_same(
        self, words: str, place: int, back: int
    ) -> None:
        events = events_of(words)
        held = fold(events[:place])
        assert fold(events[max(0, place - back) :], held) == fold(events)

    def test_is_not_brought_back_by_an_old_event_about_somebody_who_is_gone(self) -> None:
        events = events_of("aA")
        assert living_of(fold([events[0]], fold(events))) == {}

    def test_passes_over_events_that_are_about_no_entity(self) -> None:
        control = events_of("a")[0]._replace(subject="snapshot/run-1", type="skolebro.snapshot.completed.v1")
        assert fold([control]) == {}


class TestTheStateAsOf:
    def test_a_number_is_what_was_told_up_to_it(self) -> None:
        store = logged("abaB")
        assert [names(state_at(store, number)) for number in range(5)] == [
            {},
            {"a": "a1"},
            {"a": "a1", "b": "b2"},
            {"a": "a3", "b": "b2"},
            {"a": "a3"},
        ]

    def test_a_moment_is_what_was_recorded_by_then_and_says_at_which_number(self) -> None:
        store = logged("aba")
        assert [state_at(store, moment).sequence for moment in (START, at(1), at(2.5), at(99))] == [0, 1, 2, 3]
        assert names(state_at(store, at(2.5))) == {"a": "a1", "b": "b2"}

    def test_a_number_beyond_the_end_is_the_end(self) -> None:
        assert state_at(logged("ab"), 99).sequence == 2

    def test_a_long_log_is_read_page_by_page(self) -> None:
        store = logged("ab" * 2_500)
        assert names(state_at(store, 4_999)) == {"a": "a4999", "b": "b4998"}

    @pytest.mark.parametrize("moment", [0, 2, at(0), at(2)])
    def test_before_the_floor_is_refused_with_what_to_do(self, moment: int | datetime) -> None:
        store = compacted("abaB", 3)
        with pytest.raises(Compacted, match=r"before 4 was compacted.*take the snapshot.*from 4 on") as caught:
            state_at(store, moment)
        assert caught.value.floor == 3
        assert names(state_at(store, 3)) == names(state_at(store, at(3))) == {"a": "a3", "b": "b2"}

    def test_a_quiet_time_after_a_deletion_that_was_compacted_is_known(self) -> None:
        store = compacted("abA", 3)
        assert names(state_at(store, at(1_000_000))) == {"b": "b2"}

    @BRIEF
    @given(lives(), st.integers(1, 20))
    def test_is_the_same_with_and_without_compaction(self, words: str, floor: int) -> None:
        whole, short = logged(words), compacted(words, floor)
        for number in range(floor_of(short), len(words) + 1):
            assert state_at(short, number) == state_at(whole, number) == state_at(short, at(number))


def days() -> st.SearchStrategy[list[tuple[str, list[Record]]]]:
    return st.lists(st.tuples(st.sampled_from([SCHOOL, OTHER_SCHOOL]), schools()), min_size=1, max_size=4)


def shown(store: Store, institution: str | None = None) -> State:
    with store.read() as reader:
        return snapshot(reader, TOWN, institution)


def take(bench: Bench, number: str, records: Sequence[Record]) -> None:
    bench.clock.forward(hours=1)
    _, reason = bench.take(*records, head=header(number, at=bench.clock.now()), expected=number)
    assert reason in (None, "empty")


class TestTheSnapshot:
    @WHOLE
    @given(days())
    def test_with_the_events_after_it_is_the_state_at_any_later_time(
        self, days: list[tuple[str, list[Record]]]
    ) -> None:
        bench = Bench(policy=FREE)
        states = [shown(bench.store)]
        for number, records in days:
            take(bench, number, records)
            states.append(shown(bench.store))
        for before in states:
            later = replay(bench.store, TOWN, Span(after=before.sequence))
            assert living_of(fold(later, by_place(before))) == by_place(states[-1])

    @WHOLE
    @given(days())
    def test_is_what_the_log_tells(self, days: list[tuple[str, list[Record]]]) -> None:
        bench = Bench(policy=FREE)
        for number, records in days:
            take(bench, number, records)
        now = shown(bench.store)
        assert now == state_at(bench.store, now.sequence)
        for school in (SCHOOL, OTHER_SCHOOL, "999"):
            assert shown(bench.store, school) == state_at(bench.store, now.sequence, school)

    def test_holds_no_cpr_number(self) -> None:
        bench = Bench(policy=FREE)
        bench.take(pupil("ane", civil_registration_number="0101101234"))
        assert "0101101234" not in repr([one.object for one in shown(bench.store).entities])
        assert any("given_name" in (one.object or {}) for one in shown(bench.store).entities)

    def test_of_an_institution_holds_what_is_its_own_and_the_people_it_names(self) -> None:
        bench = Bench(policy=FREE)
        take(bench, SCHOOL, [group("1A"), pupil("ane", contacts=[parent("mor")])])
        take(bench, OTHER_SCHOOL, [group("2B"), pupil("bo", "2B", contacts=[parent("mor")])])
        here = shown(bench.store, OTHER_SCHOOL)
        assert [one.key for one in here.entities if one.kind is Kind.PERSON] == [("bo",), ("mor",)]
        assert {one.key[0] for one in here.entities if one.kind is not Kind.PERSON} == {OTHER_SCHOOL}
        assert here.sequence == shown(bench.store).sequence

    def test_of_an_empty_store_says_where_the_log_begins(self) -> None:
        assert shown(new_store()) == State(TOWN, 0, ())

    def test_never_shows_a_value_where_it_is_printed_by_mistake(self) -> None:
        assert "a1" not in repr(fold(events_of("a")))
