"""What a snapshot's transaction writes on PostgreSQL, against COPY and merge of the very same rows.

Ours is the engine's whole way through `take`. Its clock starts where `record` does, when the changes are known,
and stops when the commit is on disk: between them events are made and encoded, and what one transaction keeps
together is written (entities, events and their counter, the institution's state, the run, the audit chain). Then
the rows that are new in that database are read back, and written as they are into another one with the same
tables, indexes and rows of the day before: those of each table by binary COPY into a temporary table that is there
already, and by one INSERT ... SELECT ... ON CONFLICT, all in one transaction that is as durable as ours. That is
the bare work: it makes nothing, and looks at nothing.

The record rate is to be at least 0.6 of the bare one. From fetch to commit, and with a target whose bodies are
rendered meanwhile, there is no bound.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from benchmarks.measuring import ROUNDS, Bench, timed
from bridge.adapters.clock import SystemClock
from bridge.adapters.sql_schema import metadata
from bridge.adapters.sql_transaction import writable
from bridge.adapters.store_sql import SqlStore, open_postgres
from bridge.domain.ids import TargetId
from bridge.domain.records import Snapshot
from bridge.engine.audit import AuditBook
from bridge.engine.desire import Rendering
from bridge.engine.fetch import take
from bridge.engine.guard import GuardPolicy
from bridge.engine.intake import Intake, Listener
from bridge.engine.refresh import refresh
from bridge.engine.views import Scope
from bridge.mapping import load_mapping
from bridge.ports import InstitutionState, UnitOfWork
from bridge.testing.stil_folder import write_exports
from bridge.testing.stil_municipality import Churn, Municipality
from connectors.stil.folder import FolderSource
from tests.support.postgres import SERVER, database

LEAST_RATE = 0.6
TOWN = "101"
PUPILS = 900
BUSY = Churn(joiners=10, leavers=10, class_moves=60, contact_details=90)
DAYS = ("first snapshot", "next day")
NO_LIMIT = GuardPolicy(
    max_deleted_percent=None, max_created_percent=None, max_updated_percent=None, max_unprotected=None
)
ZONE = ZoneInfo("Europe/Copenhagen")
clock = SystemClock()

Rows = Mapping[str, Sequence[tuple[Any, ...]]]
"""By table, in the order in which they lie there."""


def recording(bench: Bench) -> None:
    """Compare; without a server at the usual place say so and measure nothing."""
    if why := is_missing():
        bench.left_out("record on PostgreSQL", why)
        return
    with tempfile.TemporaryDirectory() as folder:
        days = _days(Path(folder))
        gc.collect()
        gc.freeze()  # as `skolebro run` does when it has started
        _compare(bench, days, ())
        _compare(bench, days, ("scim/core",))


def is_missing() -> str:
    """Why PostgreSQL cannot be used; nothing where it can."""
    try:
        psycopg.connect(f"{SERVER}/postgres", connect_timeout=5).close()
    except psycopg.OperationalError:
        return f"no PostgreSQL answers at {SERVER.rpartition('@')[2]}"
    return ""


def _compare(bench: Bench, days: Sequence[FolderSource], mappings: Sequence[str]) -> None:
    rounds = [_round(days, mappings) for _ in range(ROUNDS)]
    for day, *measured in zip(DAYS, *rounds, strict=True):
        name = f"{measured[0].rows:,} rows of a {day}, {'a' if mappings else 'no'} target"
        most = None if mappings else 1 / LEAST_RATE
        bench.row(f"record {name}", [(one.record, one.bare) for one in measured], "COPY and merge", most)
        bench.row(f"fetch to commit, {name}", [(one.whole, one.bare) for one in measured], "same")


@dataclass(frozen=True, slots=True)
class _Measured:
    """How many rows one snapshot's transaction wrote, and the seconds of it all, of `record`, of the bare work."""

    rows: int
    whole: float
    record: float
    bare: float


def _round(days: Sequence[FolderSource], mappings: Sequence[str]) -> list[_Measured]:
    with (
        database() as ours,
        database() as theirs,
        closing(open_postgres(ours)) as store,
        closing(open_postgres(theirs)),
        psycopg.connect(ours) as reader,
        psycopg.connect(theirs) as writer,
    ):
        return list(_measure(store, days, mappings, reader, _Bare(writer)))


def _measure(
    store: SqlStore,
    days: Sequence[FolderSource],
    mappings: Sequence[str],
    reader: psycopg.Connection[Any],
    bare: _Bare,
) -> Iterator[_Measured]:
    watch = _Watch(store)
    renderings = _renderings(store, mappings)
    before = _all_rows(reader)
    bare.write(before)
    for source in days:
        intake = _intake(watch, source, renderings)
        (snapshot,) = source.snapshots()
        assert isinstance(snapshot, Snapshot)
        gc.collect()  # of what was read back last
        begun = time.perf_counter()
        assert take(intake, snapshot, Listener()).result == "recorded"
        after = _all_rows(reader)
        new = {name: _without(rows, before[name]) for name, rows in after.items()}
        number = sum(map(len, new.values()))
        seconds = timed(partial(bare.write, new))
        yield _Measured(number, watch.ended - begun, watch.ended - watch.begun, seconds)
        before = after


# ---------------------------------------------------------------- ours


def _days(folder: Path) -> list[FolderSource]:
    """One school on two days, of which the second changes much."""
    municipality = Municipality(7, schools=1, pupils=PUPILS, code=TOWN, churn=BUSY)
    write_exports(municipality, folder / "1")
    municipality.advance()
    write_exports(municipality, folder / "2")
    return [FolderSource(folder / day, timedelta(0), ZONE, clock.now) for day in ("1", "2")]


def _renderings(store: SqlStore, mappings: Sequence[str]) -> list[Rendering]:
    found = [Rendering(TargetId(f"{TOWN}/{name}"), Scope(TOWN), load_mapping(name)) for name in mappings]
    for rendering in found:
        refresh(store, rendering, NO_LIMIT, _book(), clock.now)
    return found


def _intake(watch: _Watch, source: FolderSource, renderings: Sequence[Rendering]) -> Intake:
    return Intake(TOWN, None, watch, source, NO_LIMIT, renderings, _book(), clock.now, clock.new_id)


def _book() -> AuditBook:
    return AuditBook(b"k" * 32, "bench", clock.now)


class _Watch:
    """The store, noting when `record` began, by its first look at an institution, and when the commit ended."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self.read, self.check, self.close = store.read, store.check, store.close
        self.begun = self.ended = 0.0

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        with self._store.write() as uow:
            look = uow.institution_state

            def noting(municipality: str, institution: str) -> InstitutionState | None:
                self.begun = time.perf_counter()
                return look(municipality, institution)

            uow.institution_state = noting  # type: ignore[method-assign]
            yield uow
        self.ended = time.perf_counter()


# ---------------------------------------------------------------- bare


class _Bare:
    """Rows by COPY and merge, as anybody would write them who has nothing else to do."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._types = {name: self._stage(name, columns) for name, columns in _columns().items()}
        connection.commit()

    def write(self, rows: Rows) -> None:
        with self._connection.transaction():
            for name, some in rows.items():
                if some:
                    self._merge(name, some)

    def _stage(self, name: str, columns: str) -> list[int]:
        """Make the temporary table of a table, and return the types of its columns."""
        self._connection.execute(
            f"CREATE TEMPORARY TABLE new_{name} ON COMMIT DELETE ROWS AS SELECT {columns} FROM {name} WITH NO DATA"
        )
        described = self._connection.execute(f"SELECT * FROM new_{name}").description or []
        return [column.type_code for column in described]

    def _merge(self, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
        columns, keys = _columns()[name], [f'"{column.name}"' for column in metadata.tables[name].primary_key]
        with self._connection.cursor() as cursor:
            with cursor.copy(f"COPY new_{name} FROM STDIN (FORMAT BINARY)") as copying:
                copying.set_types(self._types[name])
                for row in rows:
                    copying.write_row(row)
            values = [column for column in columns.split(", ") if column not in keys]
            does = ", ".join(f"{column} = excluded.{column}" for column in values)
            cursor.execute(
                f"INSERT INTO {name} ({columns}) SELECT {columns} FROM new_{name}"
                f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {does}"
            )


def _columns() -> dict[str, str]:
    """The columns of each table that are written, in an order in which foreign keys hold."""
    return {table.name: ", ".join(f'"{name}"' for name in writable(table)) for table in metadata.sorted_tables}


def _all_rows(connection: psycopg.Connection[Any]) -> Rows:
    with connection.transaction():
        return {
            name: connection.execute(f"SELECT {columns} FROM {name}").fetchall()
            for name, columns in _columns().items()
        }


def _without(rows: Sequence[tuple[Any, ...]], others: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    there = set(others)
    return [row for row in rows if row not in there]
