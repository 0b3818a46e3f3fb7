"""When a file leaves, under what name, and that the same content gives the same bytes whenever it is packed."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cells import archive, is_formula, plain, table
from bridge.connector import TargetUnavailable
from bridge.domain.errors import StoreUnavailable
from bridge.shelving import check_name, file_name
from bridge.testing.memory_shelf import MemoryShelf
from connectors.sds import connector
from tests.support.files import FileDesk
from tests.support.oneroster import Clock
from tests.unit.test_sds import TOLD, user


def desk() -> FileDesk:
    made = FileDesk(connector, {"as": "zip"})
    made.tell(*TOLD)
    assert made.next_day() is not None
    return made


def test_a_look_in_vain_counts_as_one() -> None:
    made = desk()
    assert made.next_day() is None
    made.tell(user("dorte"))
    made.clock.at += timedelta(hours=23)
    assert made.target.hand_over() is None
    made.clock.at += timedelta(hours=1)
    assert made.target.hand_over() is not None


def test_a_clock_that_was_put_back_puts_nothing_off() -> None:
    made = desk()
    made.clock.at -= timedelta(days=400)
    made.tell(user("dorte"))
    assert made.target.hand_over() is not None


def test_another_place_is_given_the_file_though_nothing_changed() -> None:
    made = desk()
    made.restart(drop_folder=Path("elsewhere"))
    assert made.next_day() is not None
    assert made.drop.puts[0] == made.drop.puts[1]


def test_a_store_that_is_away_is_a_target_that_is_away() -> None:
    class Away(MemoryShelf):
        def note(self, name: str) -> str | None:
            raise StoreUnavailable("the disk is full")

        def put(self, entries: object) -> int:
            raise StoreUnavailable("the disk is full")

    made = FileDesk(connector, shelf=Away(Clock()))
    with pytest.raises(TargetUnavailable):
        made.tell(*TOLD)
    with pytest.raises(TargetUnavailable):
        made.target.hand_over()


def test_an_archive_is_of_no_time() -> None:
    with ZipFile(io.BytesIO(archive({"a.csv": b"a"}))) as whole:
        (entry,) = whole.infolist()
    assert entry.date_time == (1980, 1, 1, 0, 0, 0)


def test_a_table_is_rfc_4180() -> None:
    rows = [{"a": 'say "no"', "b": "x,y"}, {"b": "one\ntwo"}]
    assert table(("a", "b"), rows) == b'a,b\r\n"say ""no""","x,y"\r\n,"one\ntwo"\r\n'


@pytest.mark.parametrize("text", ["+45 12 34 56 78", "+4512345678", "Anna", "", "'=1"])
def test_what_is_no_formula(text: str) -> None:
    assert not is_formula(text)


@pytest.mark.parametrize("text", ["+45+A1", "=1", "-1", "@x", "\tx", "\rx", "\nx", "＝1", "+"])
def test_what_is_a_formula(text: str) -> None:
    assert is_formula(text)


@given(st.text("'=+-@\t1a", max_size=6))
def test_whoever_takes_our_apostrophe_away_has_the_text(text: str) -> None:
    cell = plain(text, "neutralise")
    assert not is_formula(cell)
    is_ours = cell.startswith("'") and is_formula(cell.lstrip("'"))
    assert (cell[1:] if is_ours else cell) == text


@pytest.mark.parametrize(
    "name", ["a/b", "a\\b", "..", ".a", "", "a b", "{x}", "{number:d}", "{{number}}", "ø.zip"]
)
def test_names_that_are_not_plain_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="plain file name"):
        check_name(name)


def test_a_name_has_the_day_of_denmark() -> None:
    late = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
    assert file_name(check_name("x-{municipality}-{date}-{number}.zip"), "0751", 7, late) == (
        "x-0751-2026-11-21-000007.zip"
    )
