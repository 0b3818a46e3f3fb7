"""What is told again, to a reader or through the broker, is the same in the same order."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.changes import Operation
from bridge.domain.entities import Kind
from bridge.domain.errors import TargetError
from bridge.domain.events import event_subject
from bridge.domain.ids import canonical_id
from bridge.engine.audit import AuditBook
from bridge.engine.history import Compacted, beginning, fold, position
from bridge.engine.publish import Republished, cursor_name, publish_again, publish_step
from bridge.engine.replay import Span, last_events, note_reading, replay
from bridge.ports import Store
from tests.support.engine import SCHOOL, TOWN
from tests.support.history import BRIEF, START, Broker, at, audit, compacted, events_of, floor_of, lives, logged


def numbers(store: Store, **span: Any) -> list[int]:
    return [event.sequence for event in replay(store, TOWN, Span(**span))]


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
