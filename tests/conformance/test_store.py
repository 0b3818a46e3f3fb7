"""Both stores keep the port's promises, and SQLite keeps its own: durable, private, and clear when it cannot."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from bridge.adapters.sql_migrate import REVISIONS
from bridge.adapters.sql_schema import metadata
from bridge.adapters.sql_sqlite import SqliteDatabase
from bridge.adapters.store_sql import SqlStore, open_sqlite, open_throwaway
from bridge.domain.entities import Kind
from bridge.domain.errors import StoreError, StoreUnavailable
from bridge.domain.shelf import Entry
from bridge.ports import Store
from bridge.testing.conformance_store import StoreConformance
from bridge.testing.conformance_store_drift import DriftConformance
from bridge.testing.conformance_store_history import HistoryConformance
from bridge.testing.conformance_store_holds import HoldsConformance
from bridge.testing.conformance_store_leases import LeaseConformance
from bridge.testing.conformance_store_quarantine import QuarantineConformance
from bridge.testing.conformance_store_shelf import ShelfConformance
from bridge.testing.conformance_store_steps import StepsConformance
from bridge.testing.conformance_store_trace import TraceConformance
from bridge.testing.conformance_store_vendors import VendorConformance
from bridge.testing.memory import MemoryStore
from bridge.testing.store_samples import NOW, TARGET, TOWN, audit_row, desired, hold, person

AT_ONCE = timedelta(milliseconds=1)


class Everything(
    StoreConformance,
    QuarantineConformance,
    TraceConformance,
    DriftConformance,
    HistoryConformance,
    HoldsConformance,
    StepsConformance,
    ShelfConformance,
    LeaseConformance,
    VendorConformance,
):
    """All that every store promises."""


class TestMemoryStore(Everything):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class TestSqliteStore(Everything):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = open_sqlite(tmp_path / "skolebro.db")
        yield store
        store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "skolebro.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqlStore]:
    store = open_sqlite(path)
    yield store
    store.close()


def sqlite(path: Path, pragmas: Mapping[str, str] | None = None) -> SqlStore:
    """A store on the file as it is."""
    return SqlStore(SqliteDatabase(path, timedelta(seconds=30), pragmas))


def put_person(store: Store, name: str) -> None:
    with store.write() as uow:
        uow.put_entities(TOWN, [person(name)])


def people(store: Store) -> list[str]:
    with store.read() as reader:
        return [row.key[0] for row in reader.scan(TOWN, Kind.PERSON, None, 10)]


def by_hand(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def at_schema(path: Path, revision: str) -> None:
    """Make a database as an earlier version made it."""
    config = Config()
    config.set_main_option("script_location", "bridge.adapters:migrations")
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def schema(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every table with its columns, and every index with its definition, but Alembic's own."""
    connection = sqlite3.connect(path)
    named = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    found = {
        name: [(" ".join(sql.split()),)]
        if kind == "index"
        else [column[1:] for column in connection.execute(f"PRAGMA table_xinfo({name})")]
        for kind, name, sql in named
        if name != "alembic_version"
    }
    connection.close()
    return found


# ---------------------------------------------------------------- opening


def test_a_new_database_is_readable_by_its_owner_only(path: Path, store: SqlStore) -> None:
    put_person(store, "jens")
    files = list(path.parent.glob("skolebro.db*"))
    assert path in files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_what_was_committed_is_there_after_reopening(path: Path) -> None:
    first = open_sqlite(path)
    put_person(first, "jens")
    first.close()
    second = open_sqlite(path)
    assert people(second) == ["jens"]
    second.close()


def test_opening_an_up_to_date_database_waits_for_no_writer(path: Path, store: SqlStore) -> None:
    with store.write():
        open_sqlite(path, busy_timeout=AT_ONCE).close()


def test_the_migrations_make_the_schema_that_the_code_uses(path: Path, store: SqlStore) -> None:
    fresh = path.with_name("fresh.db")
    engine = create_engine(f"sqlite:///{fresh}")
    metadata.create_all(engine)
    engine.dispose()
    assert schema(path) == schema(fresh)


def test_a_database_of_the_first_schema_keeps_what_it_holds(path: Path) -> None:
    at_schema(path, "0001")
    by_hand(
        path,
        "INSERT INTO institution_states VALUES ('147', '280123', 'd', 1, '{\"KMD\": 2}', 3, 'r')",
        "INSERT INTO runs VALUES (1, 'r', '147', '280123', 3, 'recorded', NULL, 'o', 'd', 1, 0, 1)",
    )
    store = open_sqlite(path)
    with store.read() as reader:
        state, run = reader.institution_states()[0], reader.last_runs()[0]
    store.close()
    assert (state.digest, list(state.source_times), state.school_years) == ("d", ["KMD"], {})
    assert (run.id, run.result, run.export_time, run.sources) == ("r", "recorded", None, ())


def test_a_database_before_the_fourth_schema_loses_the_counters_that_look_like_readers(path: Path) -> None:
    at_schema(path, "0003")
    by_hand(path, "INSERT INTO cursors VALUES ('publish/147', 7), ('feed/147', 9), ('early/147/platform', 739945)")
    store = open_sqlite(path)
    with store.read() as reader:
        known = [reader.cursor(name) for name in ("publish/147", "feed/147", "early/147/platform")]
    store.close()
    assert known == [7, 0, 0]


def test_a_database_before_the_fifth_schema_gets_empty_shelves_and_keeps_what_it_holds(path: Path) -> None:
    at_schema(path, "0004")
    by_hand(path, "INSERT INTO cursors VALUES ('publish/147', 7)")
    store = open_sqlite(path)
    with store.write() as uow:
        assert (uow.cursor("publish/147"), uow.shelf_version(TARGET)) == (7, 0)
        uow.put_on_shelf(TARGET, [Entry("users", "a", {})], NOW)
    store.close()


def test_a_repeat_on_the_shelf_writes_nothing_to_the_file(path: Path, store: SqlStore) -> None:
    log, entry = path.with_name("skolebro.db-wal"), Entry("users", "a", {"b": 1})
    with store.write() as uow:
        uow.put_on_shelf(TARGET, [entry], NOW)
    before = log.read_bytes()
    with store.write() as uow:
        assert uow.put_on_shelf(TARGET, [entry], NOW) == 0
    assert log.read_bytes() == before


def test_a_database_of_a_newer_skolebro_is_refused_and_untouched(path: Path) -> None:
    open_sqlite(path).close()
    by_hand(path, "UPDATE alembic_version SET version_num = '9999'")
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match="newer Skolebro"):
        open_sqlite(path)
    with pytest.raises(StoreUnavailable, match="newer Skolebro"):
        sqlite(path).check()
    assert path.read_bytes() == before


def test_a_database_without_our_schema_fails_the_check(path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="older schema"):
        sqlite(path).check()


def test_a_database_of_another_program_is_refused_and_untouched(path: Path) -> None:
    by_hand(path, "CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match="another program"):
        open_sqlite(path)
    assert path.read_bytes() == before


def test_a_store_that_may_lose_a_commit_fails_the_check(path: Path, store: SqlStore) -> None:
    forgetful = sqlite(path, {"synchronous": "NORMAL"})
    with pytest.raises(StoreUnavailable, match="synchronous=1"):
        forgetful.check()
    forgetful.close()


def test_a_database_outside_wal_fails_the_check(path: Path) -> None:
    open_sqlite(path).close()
    by_hand(path, "PRAGMA journal_mode = DELETE")
    store = sqlite(path)
    with pytest.raises(StoreUnavailable, match="journal_mode=delete"):
        store.check()
    store.close()


def test_a_copy_that_sqlite_made_opens_as_what_it_is_a_copy_of(path: Path, tmp_path: Path) -> None:
    store = open_sqlite(path)
    put_person(store, "jens")
    store.close()
    copy = tmp_path / "restored.db"
    by_hand(path, f"VACUUM INTO '{copy}'")
    restored = open_sqlite(copy)
    assert people(restored) == ["jens"]
    restored.close()


def test_a_throwaway_store_works_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = open_throwaway()
    store.check()
    put_person(store, "jens")
    assert people(store) == ["jens"]
    assert list(tmp_path.iterdir())
    store.close()
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- trouble


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"no/such/skolebro\.db cannot be opened") as caught:
        open_sqlite(tmp_path / "no" / "such" / "skolebro.db")
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_a_directory_in_place_of_the_file_cannot_be_opened(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        open_sqlite(path)


def test_a_file_that_is_no_database_is_refused_and_untouched(path: Path) -> None:
    path.write_bytes(b"Dette er ikke en database. " * 100)
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match="not a whole SQLite database"):
        open_sqlite(path)
    assert path.read_bytes() == before


def test_a_writer_takes_its_turn_before_its_block_begins(path: Path, store: SqlStore) -> None:
    other = open_sqlite(path, busy_timeout=AT_ONCE)
    entered = []
    with store.write(), pytest.raises(StoreUnavailable), other.write():
        entered.append(True)
    other.close()
    assert not entered


def test_a_writer_that_never_gets_its_turn_says_so(path: Path, store: SqlStore) -> None:
    other = open_sqlite(path, busy_timeout=AT_ONCE)
    with store.write() as uow:
        uow.put_entities(TOWN, [person("jens")])
        with pytest.raises(StoreUnavailable, match="stayed locked") as caught:
            put_person(other, "anna")
    assert caught.value.__cause__ is not None
    assert people(other) == ["jens"]
    other.close()


def test_a_memory_writer_that_never_gets_its_turn_says_so() -> None:
    store = MemoryStore(busy_timeout=AT_ONCE)
    with store.write() as uow:
        uow.put_entities(TOWN, [person("jens")])
        with pytest.raises(StoreUnavailable, match="stayed locked"):
            put_person(store, "anna")
    assert people(store) == ["jens"]


def test_a_read_only_database_can_be_read_and_says_why_it_cannot_be_written(path: Path, store: SqlStore) -> None:
    put_person(store, "jens")
    frozen = sqlite(path, {"query_only": "ON"})
    with pytest.raises(StoreUnavailable, match="is read-only"):
        put_person(frozen, "anna")
    assert people(frozen) == ["jens"]
    frozen.close()


def test_a_full_disk_undoes_the_unit_and_the_store_goes_on(path: Path, store: SqlStore) -> None:
    put_person(store, "jens")
    narrow = sqlite(path, {"max_page_count": "1"})  # SQLite: not below what is used
    with pytest.raises(StoreUnavailable, match="no room left"), narrow.write() as uow:
        uow.put_entities(TOWN, [person("anna", body=bytes(1_000_000))])
    assert people(narrow) == ["jens"]
    narrow.close()


def test_an_error_never_tells_a_value(store: SqlStore) -> None:
    broken = replace(person("0101011234"), hash=None)
    with pytest.raises(StoreError) as caught, store.write() as uow:
        uow.put_entities(TOWN, [person("jens"), broken])
    cause = caught.value.__cause__
    assert cause is not None
    assert "0101011234" not in f"{caught.value} {cause} {cause!r}"
    assert people(store) == []


def test_an_unchanged_desire_writes_nothing_to_the_file(path: Path, store: SqlStore) -> None:
    log = path.with_name("skolebro.db-wal")
    with store.write() as uow:
        uow.put_desired([desired("a")], NOW)
    before = log.read_bytes()
    with store.write() as uow:
        uow.put_desired([desired("a")], NOW)
    assert log.read_bytes() == before


def test_the_snapshot_of_a_hold_is_stored_compressed(path: Path, store: SqlStore) -> None:
    with store.write() as uow:
        number = uow.add_hold(hold(), b"<person/>" * 100_000)
    assert sum(file.stat().st_size for file in path.parent.glob("skolebro.db*")) < 900_000
    with store.read() as reader:
        assert reader.hold_body(number) == b"<person/>" * 100_000


# ---------------------------------------------------------------- a crash

_CHILD = """
import sys
from pathlib import Path
from bridge.adapters.sql_sqlite import SqliteDatabase
from bridge.adapters.store_sql import open_sqlite
from bridge.testing.store_samples import TOWN, audit_row, event, person

store = open_sqlite(Path(sys.argv[1]))
with store.write() as uow:
    uow.put_entities(TOWN, [person("kept")])
    uow.append_events(TOWN, [event("kept")])
with store.write() as uow:
    uow.put_entities(TOWN, (person(f"lost{n}", body=bytes(2_000)) for n in range(5_000)))
    uow.append_events(TOWN, [event("lost")])
    uow.append_audit([audit_row(1)])
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_process_killed_in_the_middle_of_a_unit_leaves_nothing_of_it(path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    store = open_sqlite(path, busy_timeout=AT_ONCE)
    assert people(store) == ["kept"]
    with store.write() as uow:
        assert uow.last_sequence(TOWN) == 1
        uow.append_audit([audit_row(1)])
    store.close()


def test_the_revisions_that_we_know_are_those_of_the_scripts() -> None:
    config = Config()
    config.set_main_option("script_location", "bridge.adapters:migrations")
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    assert tuple(script.revision for script in scripts) == REVISIONS
