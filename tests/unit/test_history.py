"""The log as of any moment, told again, and kept short: nobody who follows it is left with a wrong picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.domain.changes import Operation
from bridge.domain.entities import Kind
from bridge.domain.errors import TargetError, TargetUnavailable
from bridge.domain.events import Event, event_subject, event_type
from bridge.domain.ids import canonical_id
from bridge.domain.records import Record
from bridge.engine.audit import AuditBook
from bridge.engine.compact import Compaction, compact, foresee_compaction
from bridge.engine.guard import GuardPolicy
from bridge.engine.history import Compacted, Place, State, Told, as_of, beginning, fold, position, snapshot
from bridge.engine.publish import Republished, cursor_name, publish_again, publish_step
from bridge.engine.replay import Span, last_events, note_reading, replay
from bridge.ports import Store
from bridge.testing.memory import MemoryStore
from tests.support.engine import OTHER_SCHOOL, SCHOOL, STEADY, TOWN, Bench, group, header, parent, pupil, schools

START = datetime(2026, 8, 1, tzinfo=UTC)
MONTH = timedelta(days=30)
NAMES = "abcd"
FREE = GuardPolicy(max_deleted_percent=None, max_created_percent=None, max_updated_percent=None)
BRIEF = settings(STEADY, max_examples=25)
WHOLE = settings(STEADY, max_examples=12)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def logged(words: str, store: Store | None = None) -> Store:
    """A log of a letter an event, a second after the one before; a capital letter deletes."""
    store = store or MemoryStore()
    with store.write() as uow:
        uow.append_events(TOWN, events_of(words))
    return store


def events_of(words: str) -> list[Event]:
    versions: dict[str, int] = {}
    found = []
    for number, word in enumerate(words, start=1):
        name = word.lower()
        versions[name] = versions.get(name, 0) + 1
        found.append(_event(name, number, versions[name], is_gone=word.isupper()))
    return found


def _event(name: str, number: int, version: int, *, is_gone: bool) -> Event:
    identity = canonical_id(TOWN, Kind.PERSON, (name,))
    shown = {"id": identity, "user_id": name} | ({} if is_gone else {"given_name": f"{name}{number}"})
    operation = Operation.DELETED if is_gone else Operation.CREATED if version == 1 else Operation.UPDATED
    return Event(
        sequence=number,
        id=f"event-{number}",
        type=event_type(Kind.PERSON, operation),
        municipality=TOWN,
        institution=(SCHOOL, OTHER_SCHOOL)[number % 2],
        subject=event_subject(Kind.PERSON, identity),
        key=(name,),
        version=version,
        time=at(number),
        cause="run",
        data=json.dumps({"object": shown}).encode(),
    )


@st.composite
def lives(draw: st.DrawFn) -> str:
    """A log in which nobody is deleted who is not there."""
    living: set[str] = set()
    words = ""
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=20)):
        is_gone = name in living and draw(st.booleans())
        living ^= {name} if is_gone or name not in living else set()
        words += name.upper() if is_gone else name
    return words


def state_at(store: Store, moment: int | datetime, institution: str | None = None) -> State:
    with store.read() as reader:
        return as_of(reader, TOWN, moment, institution)


def names(state: State) -> dict[str, str]:
    """Who lives, and what is told of them."""
    return {one.key[0]: (one.object or {})["given_name"] for one in state.entities}


def left(store: Store) -> list[int]:
    with store.read() as reader:
        return [event.sequence for event in reader.events(TOWN, 0, 1_000)]


def floor_of(store: Store) -> int:
    with store.read() as reader:
        return reader.log_floor(TOWN)


def compacted(words: str, floor: int) -> Store:
    store = logged(words)
    with store.write() as uow:
        uow.compact_events(TOWN, floor)
    return store


def numbers(store: Store, **span: Any) -> list[int]:
    return [event.sequence for event in replay(store, TOWN, Span(**span))]


def living_of(held: dict[Place, Told]) -> dict[Place, Told]:
    return {place: one for place, one in held.items() if one.object is not None}


def by_place(state: State) -> dict[Place, Told]:
    return {(one.kind, one.id): one for one in state.entities}


# ---------------------------------------------------------------- what a reader holds


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
        control = replace(events_of("a")[0], subject="snapshot/run-1", type="skolebro.snapshot.completed.v1")
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


# ---------------------------------------------------------------- the snapshot


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
        assert shown(MemoryStore()) == State(TOWN, 0, ())

    def test_never_shows_a_value_where_it_is_printed_by_mistake(self) -> None:
        assert "a1" not in repr(fold(events_of("a")))


# ---------------------------------------------------------------- telling again


class TestReplay:
    def test_tells_everything_in_order(self) -> None:
        assert numbers(logged("abaB")) == [1, 2, 3, 4]

    @pytest.mark.parametrize(
        ("span", "expected"),
        [
            ({"after": 2}, [3, 4, 5]),
            ({"until": 2}, [1, 2]),
            ({"after": 1, "until": 99}, [2, 3, 4, 5]),
            ({"after": 5}, []),
            ({"after": 99}, []),
            ({"institution": SCHOOL}, [2, 4]),
            ({"subject": event_subject(Kind.PERSON, canonical_id(TOWN, Kind.PERSON, ("a",)))}, [1, 3, 5]),
            ({"kind": Kind.PERSON, "operation": Operation.DELETED}, [4]),
            ({"operation": Operation.UPDATED, "after": 3}, [5]),
            ({"kind": Kind.GROUP}, []),
        ],
        ids=str,
    )
    def test_tells_only_what_is_meant(self, span: dict[str, Any], expected: list[int]) -> None:
        assert numbers(logged("abaBa"), **span) == expected

    def test_begins_at_a_number_or_a_moment_and_means_it_too(self) -> None:
        with logged("aba").read() as reader:
            begin = [beginning(reader, TOWN, moment) for moment in (0, 1, 3, START, at(1), at(1.5), at(3), at(99))]
            assert begin == [0, 0, 2, 0, 0, 1, 2, 3]
            assert beginning(reader, TOWN, datetime.min.replace(tzinfo=UTC)) == 0
            assert [position(reader, TOWN, moment) for moment in (0, 2, at(1), at(1.5))] == [0, 2, 1, 1]

    def test_reads_a_long_log_page_by_page(self) -> None:
        store = logged("ab" * 2_500)
        assert numbers(store) == list(range(1, 5_001))
        assert numbers(store, institution=SCHOOL) == list(range(2, 5_001, 2))

    @pytest.mark.parametrize("span", [{"after": 1}, {"after": 2}, {"until": 2}, {"until": 0}])
    def test_of_what_is_compacted_is_refused(self, span: dict[str, int]) -> None:
        with pytest.raises(Compacted, match="before 4 was compacted"):
            replay(compacted("abaB", 3), TOWN, Span(**span))

    def test_from_the_very_beginning_tells_what_a_new_subscriber_needs(self) -> None:
        assert numbers(compacted("abaBb", 3)) == [2, 3, 4, 5]
        assert numbers(compacted("abaBb", 3), after=3) == [4, 5]

    def test_ends_plainly_where_the_log_is_compacted_under_its_feet(self) -> None:
        store = logged("ab" * 2_500)
        told = replay(store, TOWN, Span())
        next(told)
        with store.write() as uow:
            uow.compact_events(TOWN, 4_000)
        with pytest.raises(Compacted, match="before 4001"):
            list(told)

    def test_goes_on_where_only_what_it_has_told_is_compacted(self) -> None:
        store = logged("ab" * 2_500)
        told = replay(store, TOWN, Span())
        next(told)
        with store.write() as uow:
            uow.compact_events(TOWN, 2_000)
        assert len(list(told)) == 4_999

    @BRIEF
    @given(lives(), st.integers(0, 20), st.integers(1, 8), st.sampled_from([None, SCHOOL]))
    def test_the_last_are_the_end_of_all(self, words: str, floor: int, number: int, school: str | None) -> None:
        store = compacted(words, floor)
        for span in (Span(institution=school), Span(institution=school, after=max(floor_of(store), 5))):
            every = list(replay(store, TOWN, span))
            assert last_events(store, TOWN, span, number) == every[-number:]

    def test_reading_values_is_written_down_with_who_and_what_and_of_nobody(self) -> None:
        store = logged("ab")
        note_reading(
            store, AuditBook(b"key", "eva", lambda: START), TOWN, "events", Span(1, 2, SCHOOL, "person/x")
        )
        (record,) = audit(store)
        assert record["actor"] == "eva"
        assert {name: record[name] for name in ("kind", "what", "from", "to", "institution")} == {
            "kind": "history.read",
            "what": "events",
            "from": 2,
            "to": 2,
            "institution": SCHOOL,
        }
        assert "person/x" not in str(record)


def audit(store: Store) -> list[dict[str, Any]]:
    with store.read() as reader:
        return [json.loads(row.record) for row in reader.audit_rows(0, 100)]


# ---------------------------------------------------------------- publishing again


class Broker:
    """Confirms at most `room` events a call, and after `patience` calls it is away."""

    def __init__(self, room: int = 1_000, patience: int = 1_000) -> None:
        self.room, self.patience = room, patience
        self.got: list[Event] = []

    def publish(self, events: Sequence[Event]) -> int:
        if not self.patience:
            raise TargetUnavailable("unreachable")
        self.patience -= 1
        taken = events[: self.room]
        self.got += taken
        return len(taken)

    def close(self) -> None: ...


def again(store: Store, broker: Broker, span: Span) -> Republished:
    ids = count(1)
    return publish_again(
        store, broker, TOWN, span, AuditBook(b"key", "eva", lambda: START), lambda: f"{next(ids)}"
    )


class TestPublishingAgain:
    def test_sends_the_same_ids_in_order_and_leaves_the_cursor(self) -> None:
        store, broker = logged("abab"), Broker()
        publish_step(store, broker, TOWN, 3)
        assert again(store, broker, Span(after=1)) == Republished(3, 2, 4)
        assert [event.id for event in broker.got] == [f"event-{n}" for n in (1, 2, 3, 2, 3, 4)]
        with store.read() as reader:
            assert reader.cursor(cursor_name(TOWN)) == 3

    def test_sends_identifiers_only_like_the_first_time(self) -> None:
        broker = Broker()
        again(logged("a"), broker, Span())
        assert b"given_name" not in broker.got[0].data and b"user_id" in broker.got[0].data

    def test_goes_on_where_the_broker_confirmed_a_part(self) -> None:
        broker = Broker(room=2)
        assert again(logged("ababa"), broker, Span()) == Republished(5, 1, 5)
        assert [event.sequence for event in broker.got] == [1, 2, 3, 4, 5]

    def test_brings_a_consumer_that_lost_some_to_the_state_of_the_log(self) -> None:
        store, broker = logged("abaBcAc"), Broker()
        everything = events_of("abaBcAc")
        held = fold([everything[0], everything[4]])  # it missed the rest
        again(store, broker, Span())
        after = fold(broker.got, held)
        assert {p: one.version for p, one in after.items()} == {p: o.version for p, o in fold(everything).items()}

    def test_is_written_down_before_and_after(self) -> None:
        store = logged("abab")
        again(store, Broker(), Span(after=1, until=3, institution=SCHOOL))
        begun, ended = audit(store)
        assert (begun["kind"], begun["actor"], begun["from"], begun["to"]) == ("events.replay", "eva", 2, 3)
        assert begun["institution"] == SCHOOL
        assert (ended["kind"], ended["closes"]) == ("events.replayed", begun["intent"])
        assert (ended["count"], ended["from"], ended["to"], ended["outcome"]) == (1, 2, 2, "published")

    def test_that_is_cut_short_says_how_far_it_came_and_where_to_go_on(self) -> None:
        store = logged("ababa")
        with pytest.raises(TargetError, match=r"unreachable; 2 events .* the last of them 2: go on with --from 3"):
            again(store, Broker(room=2, patience=1), Span())
        assert (audit(store)[-1]["count"], audit(store)[-1]["outcome"]) == (2, "broker_failed")

    def test_that_never_began_says_so(self) -> None:
        with pytest.raises(TargetError, match="nothing was published again"):
            again(logged("a"), Broker(patience=0), Span())

    def test_of_nothing_sends_nothing(self) -> None:
        assert again(logged("a"), Broker(patience=0), Span(after=1)) == Republished()

    def test_of_what_is_compacted_is_refused_before_anything_is_written_down(self) -> None:
        store = compacted("aaa", 2)
        with pytest.raises(Compacted):
            again(store, Broker(), Span(after=1))
        assert audit(store) == []


# ---------------------------------------------------------------- compaction


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
