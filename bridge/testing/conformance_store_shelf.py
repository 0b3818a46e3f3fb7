"""What every store promises of the shelves of targets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from threading import Thread
from typing import Any

import pytest

from bridge.domain.ids import TargetId
from bridge.domain.shelf import Entry, Shelf
from bridge.engine.shelf import StoreShelf
from bridge.ports import Store
from bridge.testing.store_samples import AWKWARD, NOW, OTHER_TARGET, TARGET

_MILLISECOND = timedelta(milliseconds=1)
_WHOLE = NOW.replace(microsecond=123_000)


class _Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def _entry(name: str, collection: str = "users", *, is_gone: bool = False, **document: Any) -> Entry:
    return Entry(collection, name, document or {"name": name}, is_gone)


def _ids(shelf: Shelf, collection: str = "users", after: int = 0) -> list[str]:
    return [one.id for one in shelf.all(collection, after=after)]


class ShelfConformance:
    @pytest.fixture
    def clock(self) -> _Clock:
        return _Clock()

    @pytest.fixture
    def shelf(self, store: Store, clock: _Clock) -> Shelf:
        return StoreShelf(store, TARGET, clock)

    @pytest.fixture
    def other(self, store: Store, clock: _Clock) -> Shelf:
        return StoreShelf(store, OTHER_TARGET, clock)

    def test_what_was_put_comes_back_as_json_has_it(self, shelf: Shelf) -> None:
        document = {"æ": AWKWARD, "list": ("a", 1), "deep": {"b": [None, True, 1.5]}}
        assert shelf.put([Entry("users", AWKWARD, document)]) == 1
        found = shelf.get("users", AWKWARD)
        assert found is not None
        assert found.document == {"æ": AWKWARD, "list": ["a", 1], "deep": {"b": [None, True, 1.5]}}
        assert (found.collection, found.id, found.is_gone, found.number) == ("users", AWKWARD, False, 1)
        assert found.changed_at == _WHOLE
        assert list(shelf.all("users")) == [found]

    def test_an_empty_shelf_has_nothing(self, shelf: Shelf) -> None:
        assert shelf.put([]) == 0
        assert (shelf.get("users", "a"), list(shelf.all("users")), shelf.version()) == (None, [], 0)
        assert (shelf.note("file"), shelf.forget_gone(NOW)) == (None, 0)

    def test_a_changed_copy_changes_nothing_that_is_kept(self, shelf: Shelf) -> None:
        shelf.put([_entry("a", deep={"b": 1})])
        found = shelf.get("users", "a")
        assert found is not None
        found.document["deep"]["b"] = 2
        assert [one.document for one in shelf.all("users")] == [{"deep": {"b": 1}}]

    def test_a_repeat_is_no_change_however_the_document_was_built(self, shelf: Shelf, clock: _Clock) -> None:
        shelf.put([_entry("a", x=1, y=["b"])])
        before = shelf.get("users", "a")
        clock.now += timedelta(hours=1)
        assert shelf.put([_entry("a", y=("b",), x=1)]) == 0
        assert shelf.get("users", "a") == before
        assert shelf.version() == 1

    def test_another_type_or_mark_is_a_change(self, shelf: Shelf) -> None:
        shelf.put([_entry("a", x=1)])
        assert shelf.put([_entry("a", x=True)]) == 1
        assert shelf.put([_entry("a", x=True, is_gone=True)]) == 1
        assert shelf.put([_entry("a", x=True)]) == 1, "it has come back"
        assert shelf.version() == 4

    def test_each_change_has_a_number_and_all_of_a_step_one_time(self, shelf: Shelf) -> None:
        shelf.put([_entry("a"), _entry("c")])
        assert shelf.put([_entry("a"), _entry("b"), _entry("c", of="C"), _entry("g", "groups")]) == 3
        assert [(one.id, one.number) for one in shelf.all("users")] == [("a", 1), ("b", 3), ("c", 4)]
        assert {one.changed_at for one in shelf.all("users", after=2)} == {_WHOLE + _MILLISECOND}
        assert [one.number for one in shelf.all("groups")] == [5]

    def test_a_page_is_by_number_and_has_the_gone_ones_too(self, store: Store, shelf: Shelf) -> None:
        shelf.put([_entry("b"), _entry("a"), _entry("g", "groups"), _entry("c")])
        shelf.put([_entry("b", n=2), _entry("a", is_gone=True)])
        with store.read() as reader:
            page = reader.shelved_after(TARGET, "users", 4, 1)
            rest = reader.shelved_after(TARGET, "users", page[-1].number, 9)
            assert [(one.id, one.number, one.is_gone) for one in (*page, *rest)] == [
                ("b", 5, False),
                ("a", 6, True),
            ]
            assert [one.id for one in reader.shelved_after(TARGET, "users", 0, 9)] == ["c", "b", "a"]
            assert reader.shelved_after(OTHER_TARGET, "users", 0, 9) == []

    def test_the_last_of_several_for_one_id_is_kept(self, shelf: Shelf) -> None:
        assert shelf.put([_entry("a", n=1), _entry("a", n=2), _entry("a", n=2)]) == 2
        found = shelf.get("users", "a")
        assert found is not None
        assert (found.document, found.number, shelf.version()) == ({"n": 2}, 2, 2)

    @pytest.mark.parametrize("step", [timedelta(0), timedelta(hours=-2), timedelta(microseconds=400)])
    def test_every_step_is_later_than_the_one_before_whatever_the_clock_says(
        self, shelf: Shelf, clock: _Clock, step: timedelta
    ) -> None:
        shelf.put([_entry("a")])
        clock.now += step
        shelf.put([_entry("b")])
        shelf.put([_entry("c")])
        times = [one.changed_at for one in shelf.all("users")]
        assert times == [_WHOLE, _WHOLE + _MILLISECOND, _WHOLE + 2 * _MILLISECOND]

    def test_a_clock_of_another_zone_is_told_in_utc(self, shelf: Shelf, clock: _Clock) -> None:
        clock.now = NOW.astimezone(timezone(timedelta(hours=2)))
        shelf.put([_entry("a")])
        found = shelf.get("users", "a")
        assert found is not None
        assert (found.changed_at, found.changed_at.tzinfo) == (_WHOLE, UTC)

    def test_what_was_removed_leaves_no_trace_and_its_number_is_not_used_again(self, shelf: Shelf) -> None:
        shelf.put([_entry("a"), _entry("b"), _entry("a", "groups")])
        shelf.remove("users", iter(["b", "nobody"]))
        shelf.remove("groups", ["a"])
        assert (_ids(shelf), _ids(shelf, "groups"), shelf.version()) == (["a"], [], 3)
        shelf.put([_entry("b")])
        assert _ids(shelf, after=3) == ["b"]
        found = shelf.get("users", "b")
        assert found is not None
        assert found.changed_at == _WHOLE + _MILLISECOND

    def test_all_is_by_id_and_begins_after_a_number(self, shelf: Shelf) -> None:
        names = ["b", "ö", "a", "A", "å", "10", "9"]
        shelf.put([_entry(name) for name in names])
        assert _ids(shelf) == sorted(names)
        assert _ids(shelf, after=5) == ["10", "9"]
        assert _ids(shelf, after=7) == []

    def test_a_shelf_of_many_pages_comes_whole_and_is_put_again_without_a_change(self, shelf: Shelf) -> None:
        entries = [_entry(f"{number:05}") for number in range(1_203)]
        assert shelf.put(iter(entries)) == 1_203
        assert shelf.put(reversed(entries)) == 0
        assert [one.id for one in shelf.all("users")] == [one.id for one in entries]
        shelf.remove("users", (one.id for one in entries))
        assert _ids(shelf) == []

    def test_whoever_reads_all_sees_one_moment(self, shelf: Shelf) -> None:
        shelf.put([_entry(f"{number:05}") for number in range(700)])
        reading = shelf.all("users")
        first = next(reading)
        shelf.remove("users", ["00699"])
        shelf.put([_entry("99999")])
        assert [first.id, *(one.id for one in reading)] == [f"{number:05}" for number in range(700)]
        assert _ids(shelf)[-2:] == ["00698", "99999"]

    def test_marks_are_forgotten_by_age_and_the_living_stay(self, shelf: Shelf, clock: _Clock) -> None:
        shelf.put([_entry("a"), _entry("old", is_gone=True)])
        clock.now += timedelta(days=1)
        shelf.put([_entry("new", is_gone=True)])
        assert shelf.forget_gone(_WHOLE) == 0, "before means before"
        assert shelf.forget_gone(clock.now.replace(microsecond=0)) == 1
        assert (_ids(shelf), shelf.version()) == (["a", "new"], 3)

    def test_a_note_is_what_was_last_written(self, shelf: Shelf) -> None:
        shelf.set_note("file", AWKWARD)
        shelf.set_note("file", "")
        shelf.set_note("day", "1")
        assert (shelf.note("file"), shelf.note("day"), shelf.version()) == ("", "1", 0)

    def test_no_target_sees_or_touches_the_shelf_of_another(self, shelf: Shelf, other: Shelf) -> None:
        shelf.put([_entry("a"), _entry("gone", is_gone=True)])
        shelf.set_note("file", "x")
        assert (other.get("users", "a"), _ids(other), other.version(), other.note("file")) == (None, [], 0, None)
        other.put([_entry("a", of="the other")])
        other.remove("users", ["gone"])
        assert other.forget_gone(NOW + timedelta(days=1)) == 0
        other.set_note("file", "y")
        found = shelf.get("users", "a")
        assert found is not None
        assert (found.document, _ids(shelf), shelf.version(), shelf.note("file")) == (
            {"name": "a"},
            ["a", "gone"],
            2,
            "x",
        )

    def test_a_forgotten_shelf_is_as_new_and_the_others_stay(
        self, store: Store, shelf: Shelf, other: Shelf
    ) -> None:
        for one in (shelf, other):
            one.put([_entry("a"), _entry("g", "groups"), _entry("gone", is_gone=True)])
            one.set_note("file", "x")
        with store.write() as uow:
            assert uow.forget_shelf(TARGET) == 3
            assert uow.forget_shelf(TargetId("147/nobody")) == 0
        assert (_ids(shelf), _ids(shelf, "groups"), shelf.version(), shelf.note("file")) == ([], [], 0, None)
        assert (_ids(other), _ids(other, "groups"), other.version(), other.note("file")) == (
            ["a", "gone"],
            ["g"],
            3,
            "x",
        )

    def test_steps_of_many_threads_share_no_number_and_no_time(self, shelf: Shelf) -> None:
        def put(name: str) -> None:
            for number in range(5):
                shelf.put([_entry(f"{name}{number}"), _entry(f"{name}{number}", "groups")])

        threads = [Thread(target=put, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        users, groups = list(shelf.all("users")), list(shelf.all("groups"))
        assert sorted(one.number for one in [*users, *groups]) == list(range(1, 41))
        assert len({one.changed_at for one in users}) == 20
