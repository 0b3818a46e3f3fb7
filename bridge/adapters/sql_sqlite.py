"""SQLite as the store needs it: real transactions, commits that survive a power cut, texts without values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from sqlite3 import Connection as SqliteConnection

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from bridge.adapters.sql_errors import translated_files
from bridge.domain.errors import StoreUnavailable

BEGIN = "skolebro_begin"
"""The execution option that says how an engine's transactions begin."""

_PRAGMAS = {"foreign_keys": "ON", "synchronous": "FULL"}
_FULL = 2


def create_sqlite_engine(url: URL, busy_timeout: timedelta, pragmas: Mapping[str, str]) -> Engine:
    """An engine whose transactions begin and end where we say, not where the driver guesses."""
    engine = create_engine(
        url,
        hide_parameters=True,
        max_overflow=-1,  # a thread that waits for a connection would wait for other threads' work
        connect_args={"timeout": busy_timeout.total_seconds()},
    )
    settings = {**_PRAGMAS, **pragmas}

    @event.listens_for(engine, "connect")
    def _set_up(connection: SqliteConnection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        for name, value in settings.items():
            connection.execute(f"PRAGMA {name} = {value}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(BEGIN, "BEGIN"))

    return engine


def create_file(path: Path) -> None:
    """Make an empty database that only the service's user can read; one that exists stays as it is."""
    with translated_files(str(path)):
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


def use_wal(engine: Engine) -> None:
    """Let readers go on while a writer commits; the file remembers it for every connection."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def require_durable(connection: Connection, database: str) -> None:
    """Raise `StoreUnavailable` where a commit could be lost or half done after a power cut."""
    journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    if (journal, synchronous) != ("wal", _FULL):
        raise StoreUnavailable(
            f"the database {database} does not keep what it confirms (journal_mode={journal}, "
            f"synchronous={synchronous}); nothing was changed: put it on a local disk, not a network share"
        )
