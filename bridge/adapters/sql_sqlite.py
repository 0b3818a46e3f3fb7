"""SQLite as the store needs it: real transactions, commits that survive a power cut, texts without values."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from threading import Lock

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from bridge.adapters.sql_errors import translated_files
from bridge.domain.errors import StoreUnavailable

_BEGIN = "skolebro_begin"
"""The execution option that says how an engine's transactions begin."""

_PRAGMAS = {"foreign_keys": "ON", "synchronous": "FULL"}
_FULL = 2


class SqliteDatabase:
    """A `Database` in one file; its transactions begin and end where we say, not where the driver guesses.

    `pragmas` are settings of each connection, on top of ours; without `is_durable` it may forget.
    """

    def __init__(
        self,
        path: Path,
        busy_timeout: timedelta,
        pragmas: Mapping[str, str] | None = None,
        *,
        is_durable: bool = True,
    ) -> None:
        self.name = str(path)
        self._is_durable = is_durable
        self._turn = Lock()
        self._engine = create_engine(
            URL.create("sqlite", database=str(path)),
            hide_parameters=True,
            max_overflow=-1,  # a thread that waits for a connection would wait for other threads' work
            connect_args={"timeout": busy_timeout.total_seconds()},
        )
        self._writers = self._engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        settings = {**_PRAGMAS, **(pragmas or {})}

        @event.listens_for(self._engine, "connect")
        def _set_up(connection: SqliteConnection, _entry: ConnectionPoolEntry) -> None:
            connection.isolation_level = None
            for name, value in settings.items():
                connection.execute(f"PRAGMA {name} = {value}")

        @event.listens_for(self._engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One write transaction, its place in the queue taken at once: it never fails half way for a lock.

        Threads of this process wait for their turn here: SQLite's own waiting is polling, and starves.
        """
        with self._turn, self._writers.connect() as connection:
            connection.begin()
            yield connection
            connection.commit()  # leaving by an exception closes the connection, which rolls back

    def beating(self) -> AbstractContextManager[Connection]:
        """A file has one writer: here it is any other."""
        return self.writing()

    def prepare(self) -> None:
        """Let readers go on while a writer commits; the file remembers it for every connection."""
        connection = self._engine.raw_connection()
        try:  # also where it was once: a copy that SQLite made (VACUUM INTO) has another journal
            connection.cursor().execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()

    def require_durable(self, connection: Connection) -> None:
        if not self._is_durable:
            return
        journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
        if (journal, synchronous) != ("wal", _FULL):
            raise StoreUnavailable(
                f"the database {self.name} does not keep what it confirms (journal_mode={journal}, "
                f"synchronous={synchronous}); nothing was changed: put it on a local disk, not a network share"
            )

    def dispose(self) -> None:
        self._engine.dispose()


def create_file(path: Path) -> None:
    """Make an empty database that only the service's user can read; one that exists stays as it is."""
    with translated_files(str(path)):
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
