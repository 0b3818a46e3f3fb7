"""One suite for every place where files are left: whole, under plain names, in place of older ones."""

from __future__ import annotations

import pytest

from bridge.domain.shelf import Drop

_NAMES = ["roster.zip", "elever 2026-08.csv", "æøå.xml", "a" * 200, "-rf", "~", "x.part"]
_OTHERS = ["", ".", "..", ".hidden", "a/b", "/etc/passwd", "../up", "a\\b", "a\nb", "a\0b", "b" * 201, "\udc80"]


class DropConformance:
    """A subclass named `Test…` gives a fixture `drop` that yields an empty place."""

    @pytest.mark.parametrize("name", _NAMES)
    def test_a_file_is_there_as_it_was_left(self, drop: Drop, name: str) -> None:
        content = bytes(range(256)) * 300
        drop.put(name, content)
        assert drop.names() == [name]
        assert drop.read(name) == content

    def test_an_empty_file_is_a_file(self, drop: Drop) -> None:
        drop.put("a", b"")
        assert (drop.names(), drop.read("a")) == (["a"], b"")

    def test_a_file_takes_the_place_of_an_older_one(self, drop: Drop) -> None:
        drop.put("a", b"longer than the next")
        drop.put("a", b"short")
        drop.put("a", b"short")
        assert (drop.names(), drop.read("a")) == (["a"], b"short")

    def test_names_are_sorted(self, drop: Drop) -> None:
        for name in ("b", "Ä", "a", "10"):
            drop.put(name, b"x")
        assert drop.names() == sorted(["b", "Ä", "a", "10"])

    def test_what_was_never_left_is_none_and_no_error(self, drop: Drop) -> None:
        assert (drop.names(), drop.read("a")) == ([], None)
        drop.delete("a")

    def test_a_deleted_file_is_gone_and_the_others_stay(self, drop: Drop) -> None:
        drop.put("a", b"1")
        drop.put("b", b"2")
        drop.delete("a")
        drop.delete("a")
        assert (drop.names(), drop.read("a"), drop.read("b")) == (["b"], None, b"2")

    @pytest.mark.parametrize("name", _OTHERS)
    def test_a_name_that_is_not_plain_is_refused_and_leaves_nothing(self, drop: Drop, name: str) -> None:
        with pytest.raises(ValueError, match="plain name"):
            drop.put(name, b"x")
        with pytest.raises(ValueError, match="plain name"):
            drop.read(name)
        with pytest.raises(ValueError, match="plain name"):
            drop.delete(name)
        assert drop.names() == []

    def test_a_large_file_arrives_whole(self, drop: Drop) -> None:
        content = b"0123456789abcdef" * 200_001
        drop.put("large", content)
        assert drop.read("large") == content
