"""A whole database in another one, row by row, and the proof that both hold the same."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from itertools import islice
from pathlib import Path

from sqlalchemy import Connection, Table, delete, func, select, text

from bridge.adapters.sql_database import Database
from bridge.adapters.sql_errors import translated, translated_files
from bridge.adapters.sql_migrate import is_current
from bridge.adapters.sql_schema import metadata
from bridge.adapters.sql_sqlite import SqliteDatabase, create_file
from bridge.adapters.sql_transaction import Transaction, writable
from bridge.adapters.store_sql import SqlStore
from bridge.domain.errors import StoreError, StoreUnavailable

_CHUNK = 5_000
_WAIT = timedelta(seconds=30)
_UNCOPIED = frozenset({"leases"})
"""Who works on a database says nothing of the other one."""
_NOTHING = frozenset({*_UNCOPIED, "properties"})
"""What a database may hold in which nothing is stored yet: who looked at it, and with which key."""


@dataclass(frozen=True, slots=True)
class Copied:
    """One table: how many rows both have, and the SHA-256 over all of them in key order."""

    table: str
    rows: int
    digest: str


def backup(store: SqlStore, to: Path) -> list[Copied]:
    """Write all that a store holds into a new SQLite file, as of one moment, whichever database it is in.

    Raises `StoreUnavailable` where there is a file already, or it cannot be written; then none is left behind.
    """
    if to.exists():
        raise StoreUnavailable(f"{to} is there already; nothing was written: name another file")
    draft = to.with_name(f".{to.name}.draft")
    with ExitStack() as undo:
        undo.callback(_remove, draft)
        create_file(draft)
        made = SqliteDatabase(draft, _WAIT, {"synchronous": "FULL"}, is_durable=False)
        undo.callback(made.dispose)
        target = SqlStore(made)
        target.migrate()
        found = copy(store.database, made)
        target.close()
        with translated_files(str(to)):
            _fold(draft)
            draft.rename(to)
    return found


def restore(file: Path, store: SqlStore) -> list[Copied]:
    """Bring all that a SQLite file holds into an empty store, or nothing. Raises `StoreUnavailable`."""
    if not file.is_file():
        raise StoreUnavailable(f"there is no file {file}; nothing was changed")
    source = SqliteDatabase(file, _WAIT)
    try:
        return copy(source, store.database)
    finally:
        source.dispose()


def copy(source: Database, target: Database) -> list[Copied]:
    """Copy every row and compare both; the target must be empty. One transaction: all or nothing.

    Raises `StoreUnavailable` where the target is not empty or the source has another schema, and `StoreError`
    where the two are not the same in the end.
    """
    with translated(source.name), source.reading() as here:
        if not is_current(here, source.name):
            raise StoreUnavailable(
                f"the database {source.name} has an older schema; nothing was changed: run `skolebro db migrate` "
                "with the configuration that it belongs to"
            )
        with translated(target.name), target.writing() as there:
            tables = [table for table in metadata.sorted_tables if table.name not in _UNCOPIED]
            filled = next((table.name for table in tables if _is_filled(there, table)), None)
            if filled is not None:
                raise StoreUnavailable(
                    f"the database {target.name} is not empty ({filled}); nothing was changed: a copy goes into "
                    "an empty one only"
                )
            for name in _NOTHING:
                there.execute(delete(metadata.tables[name]))
            into = Transaction(there, target.name, is_writer=True)
            found = [_copied(here, into, table) for table in tables]
            _count_on(there)
            for one in found:
                _require_same(there, one)
    return found


def _is_filled(connection: Connection, table: Table) -> bool:
    return table.name not in _NOTHING and connection.execute(select(table).limit(1)).first() is not None


def _rows(connection: Connection, table: Table) -> Iterator[tuple[object, ...]]:
    """All rows in key order, which is that of code points in every database of ours."""
    columns = [table.columns[name] for name in writable(table)]
    wanted = select(*columns).order_by(*table.primary_key.columns)
    streamed = connection.execution_options(yield_per=_CHUNK).execute(wanted)
    return (tuple(row) for row in streamed)


def _copied(source: Connection, target: Transaction, table: Table) -> Copied:
    """Copy a table; what was read of it is what the copy has to be."""
    rows, seen = _rows(source, table), _Seen()
    while chunk := list(islice(rows, _CHUNK)):
        target.add(table, chunk)
        seen.add(chunk)
    return Copied(f"{table.name}", seen.number, seen.digest)


def _count_on(connection: Connection) -> None:
    """Let PostgreSQL number new rows after those that were copied; SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in metadata.sorted_tables:
        for column in table.primary_key.columns:
            if column.autoincrement is True:
                last = connection.execute(select(func.max(column))).scalar()
                if last is not None:
                    connection.execute(
                        text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)"),
                        {"table": table.name, "column": column.name, "last": last},
                    )


def _require_same(target: Connection, told: Copied) -> None:
    seen = _Seen()
    seen.add(_rows(target, metadata.tables[told.table]))
    if (seen.number, seen.digest) != (told.rows, told.digest):
        raise StoreError(
            f"{told.table} is not the same in the copy ({told.rows} and {seen.number} rows); nothing was kept: "
            "report it"
        )


class _Seen:
    """How many rows, and the SHA-256 over all of them."""

    def __init__(self) -> None:
        self.number = 0
        self._hash = sha256()

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def add(self, rows: Iterable[tuple[object, ...]]) -> None:
        for row in rows:
            self.number += 1
            self._hash.update(json.dumps([one.hex() if isinstance(one, bytes) else one for one in row]).encode())
            self._hash.update(b"\n")


def _fold(file: Path) -> None:
    """Take what stands beside a database file into it, so that it is one file."""
    connection = sqlite3.connect(file)
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
    finally:
        connection.close()


def _remove(draft: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        draft.with_name(draft.name + suffix).unlink(missing_ok=True)
