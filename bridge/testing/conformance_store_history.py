"""What every store promises of the event log's past: where a moment lies in it, and what compaction leaves."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.domain.events import Event
from bridge.ports import Reader, Store
from bridge.testing.store_samples import NOW, TOWN, event, later

OTHER_TOWN = "265"


def _log(words: str) -> list[Event]:
    """Events by name: small letters create or update, capital ones delete; each a second after the one before."""
    return [_event(name, number) for number, name in enumerate(words, start=1)]


def _event(name: str, number: int) -> Event:
    operation = "deleted" if name.isupper() else "updated"
    kind = f"skolebro.person.{operation}.v1"
    return event(name.lower())._replace(id=f"event-{number}", type=kind, version=number, time=later(number))


def _numbers(reader: Reader, town: str = TOWN) -> list[int]:
    return [one.sequence for one in reader.events(town, 0, 1_000)]


def _left(log: Sequence[Event], floor: int) -> list[int]:
    """What a compacted log holds, said in the plainest way."""
    old = dict(enumerate(log[:floor], start=1))
    last = {one.subject: number for number, one in old.items()}
    kept = [
        number
        for number, one in old.items()
        if last[one.subject] == number and (".deleted." not in one.type or number == floor)
    ]
    return [*kept, *range(floor + 1, len(log) + 1)]


class HistoryConformance:
    """`EventLog`, as far as it tells of the past."""

    def test_a_moment_lies_after_the_last_event_recorded_by_then(self, store: Store) -> None:
        with store.write() as uow:
            assert uow.sequence_at(TOWN, NOW) == 0
            uow.append_events(TOWN, _log("abc"))
            uow.append_events(OTHER_TOWN, _log("ab"))
        with store.read() as reader:
            assert [reader.sequence_at(TOWN, later(at)) for at in (0, 1, 1.5, 2, 3, 99)] == [0, 1, 1, 2, 3, 3]
            assert reader.sequence_at(OTHER_TOWN, later(99)) == 2
            assert reader.sequence_at("999", later(99)) == 0

    def test_events_of_one_moment_are_all_before_it_is_over(self, store: Store) -> None:
        with store.write() as uow:
            uow.append_events(TOWN, [one._replace(time=NOW) for one in _log("abc")])
            assert uow.sequence_at(TOWN, NOW) == 3
            assert uow.sequence_at(TOWN, later(-0.000_001)) == 0

    def test_a_log_is_whole_at_first(self, store: Store) -> None:
        with store.write() as uow:
            assert uow.log_floor(TOWN) == 0
            uow.append_events(TOWN, _log("aab"))
            assert uow.log_floor(TOWN) == 0

    def test_compaction_leaves_the_last_of_the_living_and_all_that_is_newer(self, store: Store) -> None:
        log = _log("abaAcbadDaBc")
        for floor in range(1, len(log) + 1):
            town = f"town-{floor}"
            with store.write() as uow:
                uow.append_events(town, log)
                assert uow.compact_events(town, floor) == len(log) - len(_left(log, floor))
                assert uow.log_floor(town) == floor
            with store.read() as reader:
                assert _numbers(reader, town) == _left(log, floor)
                assert reader.last_sequence(town) == len(log)

    def test_compaction_in_parts_ends_as_compaction_at_once(self, store: Store) -> None:
        log = _log("abaAcbadDaBcCC")
        with store.write() as uow:
            uow.append_events(TOWN, log)
        removed = 0
        for floor in (1, 4, 9, 10, 13):
            with store.write() as uow:
                removed += uow.compact_events(TOWN, floor)
        with store.read() as reader:
            assert _numbers(reader) == _left(log, 13)
        assert removed == len(log) - len(_left(log, 13))

    def test_what_is_left_is_left_as_it_was(self, store: Store) -> None:
        with store.write() as uow:
            uow.append_events(TOWN, _log("aba"))
            before = {one.sequence: one for one in uow.events(TOWN, 0, 10)}
            uow.compact_events(TOWN, 3)
            assert uow.events(TOWN, 0, 10) == [before[2], before[3]]
            assert uow.events(TOWN, 0, 10, subject=before[3].subject) == [before[3]]

    def test_the_floor_is_never_lowered_and_never_beyond_the_end(self, store: Store) -> None:
        with store.write() as uow:
            uow.append_events(TOWN, _log("aab"))
            assert uow.compact_events(TOWN, 2) == 1
            assert (uow.compact_events(TOWN, 1), uow.compact_events(TOWN, 0)) == (0, 0)
            assert uow.log_floor(TOWN) == 2
            assert uow.compact_events(TOWN, 99) == 0
            assert uow.log_floor(TOWN) == 3
            assert uow.append_events(TOWN, _log("c")) == 4
            assert _numbers(uow) == [2, 3, 4]

    def test_an_empty_log_has_nothing_to_compact(self, store: Store) -> None:
        with store.write() as uow:
            assert uow.compact_events(TOWN, 5) == 0
            assert uow.log_floor(TOWN) == 0

    def test_one_municipality_is_compacted_alone(self, store: Store) -> None:
        with store.write() as uow:
            uow.append_events(TOWN, _log("aaa"))
            uow.append_events(OTHER_TOWN, _log("aaa"))
            uow.compact_events(TOWN, 3)
            assert (_numbers(uow), _numbers(uow, OTHER_TOWN)) == ([3], [1, 2, 3])
            assert uow.log_floor(OTHER_TOWN) == 0

    def test_a_compaction_that_is_undone_leaves_the_log_whole(self, store: Store) -> None:
        with store.write() as uow:
            uow.append_events(TOWN, _log("aaa"))
        with store.write() as uow:
            uow.compact_events(TOWN, 3)
            uow.rollback()
        with store.read() as reader:
            assert (_numbers(reader), reader.log_floor(TOWN)) == ([1, 2, 3], 0)

    def test_the_time_of_the_floor_stays_known(self, store: Store) -> None:
        with store.write() as uow:
            uow.append_events(TOWN, _log("abAb"))
            uow.compact_events(TOWN, 3)
            assert [uow.sequence_at(TOWN, later(at)) for at in (2, 3, 4)] == [2, 3, 4]

    def test_every_reader_with_a_place_is_known_by_name(self, store: Store) -> None:
        with store.write() as uow:
            assert uow.cursors() == {}
            uow.set_cursor("publish/147", 0)
            uow.set_cursor("feed/åse", 5)
            assert uow.cursors() == {"feed/åse": 5, "publish/147": 0}
