"""A whole database goes into another one, and the copy is the same, or nothing is kept."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.adapters.sql_copies import backup, restore
from bridge.adapters.sql_schema import metadata
from bridge.adapters.store_sql import SqlStore, open_postgres, open_sqlite
from bridge.domain.errors import StoreUnavailable
from bridge.ports import Lease
from bridge.testing.conformance_store import everything, write_everything
from bridge.testing.store_samples import NOW, TOWN, hold, person, run
from tests.support.postgres import database


@pytest.fixture
def empty() -> Iterator[SqlStore]:
    with database() as url:
        store = open_postgres(url)
        yield store
        store.close()


@pytest.fixture
def full(tmp_path: Path) -> Iterator[SqlStore]:
    store = open_sqlite(tmp_path / "skolebro.db")
    with store.write() as uow:
        write_everything(uow)
        uow.put_entities(TOWN, [person(name) for name in ("æ", "Å", "a", "Z", "\x7f", "'\"")])
    yield store
    store.close()


def told(store: SqlStore) -> object:
    with store.read() as reader:
        return everything(reader)


def test_a_file_goes_into_a_server_and_back_and_stays_the_same(
    full: SqlStore, empty: SqlStore, tmp_path: Path
) -> None:
    file, back = tmp_path / "backup.db", tmp_path / "back.db"
    first = backup(full, file)
    assert restore(file, empty) == first
    assert told(empty) == told(full)
    assert backup(empty, back) == first
    again = open_sqlite(back)
    assert told(again) == told(full)
    again.close()


def test_a_backup_is_one_file_of_its_owner(full: SqlStore, tmp_path: Path) -> None:
    file = tmp_path / "backup.db"
    backup(full, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir() if "backup" in path.name) == ["backup.db"]


def test_rows_that_come_later_are_numbered_after_those_that_were_copied(
    full: SqlStore, empty: SqlStore, tmp_path: Path
) -> None:
    with full.write() as uow:
        last = max(uow.add_hold(hold(), None) for _ in range(3))
    file = tmp_path / "backup.db"
    backup(full, file)
    restore(file, empty)
    with empty.write() as uow:
        assert uow.add_hold(hold(), None) == last + 1
        uow.add_run(run("run-of-tomorrow"))
        assert uow.runs(1)[0].id == "run-of-tomorrow"


def test_who_is_at_work_is_not_copied(full: SqlStore, empty: SqlStore, tmp_path: Path) -> None:
    file = tmp_path / "backup.db"
    assert "leases" not in {one.table for one in backup(full, file)}
    restore(file, empty)
    with empty.read() as reader:
        assert reader.leases() == []


def test_what_is_written_down_of_the_store_goes_along_and_replaces_what_a_look_left(
    full: SqlStore, empty: SqlStore, tmp_path: Path
) -> None:
    """How far the broker is, and which queues are still to be filled, is no smaller a matter than the log."""
    with full.write() as uow:
        uow.set_property("publish/101", "passed 3")
    with empty.write() as uow:
        uow.set_property("subject_key", "of who looked first")
        uow.put_leases([Lease("member/x", "x web", 1, NOW)])
    file = tmp_path / "backup.db"
    backup(full, file)
    restore(file, empty)
    with empty.read() as reader:
        assert (reader.property("publish/101"), reader.property("subject_key")) == ("passed 3", None)
        assert reader.leases() == []


def test_nothing_goes_into_a_database_that_holds_something(
    full: SqlStore, empty: SqlStore, tmp_path: Path
) -> None:
    file = tmp_path / "backup.db"
    backup(full, file)
    with empty.write() as uow:
        uow.set_cursor("here", 1)
    with pytest.raises(StoreUnavailable, match=r"is not empty \(cursors\); nothing was changed"):
        restore(file, empty)
    with empty.read() as reader:
        assert reader.cursors() == {"here": 1}


def test_a_file_that_is_there_is_not_written_over(full: SqlStore, tmp_path: Path) -> None:
    file = tmp_path / "backup.db"
    file.write_bytes(b"dear")
    with pytest.raises(StoreUnavailable, match="is there already"):
        backup(full, file)
    assert file.read_bytes() == b"dear"


def test_a_file_of_an_older_schema_is_refused(full: SqlStore, empty: SqlStore, tmp_path: Path) -> None:
    file = tmp_path / "backup.db"
    backup(full, file)
    with sqlite3.connect(file) as by_hand:
        by_hand.execute("UPDATE alembic_version SET version_num = '0005'")
    by_hand.close()
    with pytest.raises(StoreUnavailable, match="older schema"):
        restore(file, empty)


def test_every_table_is_copied_or_named_as_left_out(full: SqlStore, tmp_path: Path) -> None:
    copied = {one.table for one in backup(full, tmp_path / "backup.db")}
    assert copied | {"leases"} == set(metadata.tables)
