"""The store on an SQL database: everything or nothing, and after a commit it is still there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Connection

from bridge.adapters.sql_again import SqlAgain
from bridge.adapters.sql_audit import SqlAudit
from bridge.adapters.sql_database import Database
from bridge.adapters.sql_deliveries import SqlDeliveries
from bridge.adapters.sql_drift import SqlDrift
from bridge.adapters.sql_entities import SqlEntities
from bridge.adapters.sql_errors import translated, translated_files
from bridge.adapters.sql_events import SqlEvents
from bridge.adapters.sql_holds import SqlHolds
from bridge.adapters.sql_intake import SqlIntake
from bridge.adapters.sql_leases import SqlLeases
from bridge.adapters.sql_migrate import is_current, migrate
from bridge.adapters.sql_postgres import PostgresDatabase, postgres_url
from bridge.adapters.sql_shelf import SqlShelf
from bridge.adapters.sql_sqlite import SqliteDatabase, create_file
from bridge.adapters.sql_subscriptions import SqlSubscriptions
from bridge.adapters.sql_targets import SqlTargets
from bridge.adapters.sql_transaction import Transaction
from bridge.domain.errors import StoreUnavailable
from bridge.ports import Reader, UnitOfWork

BUSY_TIMEOUT = timedelta(seconds=30)


class SqlUnitOfWork(
    SqlEntities,
    SqlIntake,
    SqlSubscriptions,
    SqlHolds,
    SqlEvents,
    SqlDeliveries,
    SqlAgain,
    SqlTargets,
    SqlDrift,
    SqlLeases,
    SqlShelf,
    SqlAudit,
):
    """One transaction; after a rollback it still answers, and whatever it is told is forgotten."""

    def rollback(self) -> None:
        self._tx.rollback()


class SqlStore:
    """A store on a database that exists; `open_sqlite` and `open_postgres` also bring its schema up to date.

    Any number of threads may use it at once, each unit of work with a connection of its own.
    """

    def __init__(self, database: Database, on_close: Callable[[], None] = lambda: None) -> None:
        self.database = database
        self._on_close = on_close

    @contextmanager
    def read(self) -> Iterator[Reader]:
        name = self.database.name
        with translated(name), self.database.reading() as connection:
            yield SqlUnitOfWork(Transaction(connection, name, is_writer=False))

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        with self._writing() as connection:
            transaction = Transaction(connection, self.database.name, is_writer=True)
            yield SqlUnitOfWork(transaction)
            if transaction.is_rolled_back:
                connection.rollback()

    def beat(self, name: str, holder: str, seconds: float) -> bool:
        database = self.database.name
        with translated(database), self.database.beating() as connection:
            return SqlUnitOfWork(Transaction(connection, database, is_writer=True)).prolong(name, holder, seconds)

    def check(self) -> None:
        name = self.database.name
        with translated(name), self.database.reading() as connection:
            if not is_current(connection, name):
                raise StoreUnavailable(
                    f"the database {name} has an older schema than this Skolebro; nothing was "
                    "changed: start Skolebro again, which brings it up to date"
                )
            self.database.require_durable(connection)

    def migrate(self) -> None:
        """Bring the schema to this version's, in one transaction.

        Raises:
            StoreUnavailable: the schema is another program's or a newer Skolebro's.
        """
        name = self.database.name
        with translated(name), self.database.reading() as connection:
            is_done = is_current(connection, name)
        with translated(name):
            self.database.prepare()
        if is_done:
            return
        with self._writing() as connection:
            if not is_current(connection, name):  # another process may have been first
                migrate(connection)

    def close(self) -> None:
        self.database.dispose()
        self._on_close()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with translated(self.database.name), self.database.writing() as connection:
            yield connection


def open_sqlite(
    path: Path, *, busy_timeout: timedelta = BUSY_TIMEOUT, pragmas: Mapping[str, str] | None = None
) -> SqlStore:
    """Open the database at a path, made if it is missing, its schema brought up to date.

    Raises:
        StoreUnavailable: it cannot be used; the text says what to do.
    """
    create_file(path)
    return _opened(SqlStore(SqliteDatabase(path, busy_timeout, pragmas)))


def open_postgres(url: str, *, busy_timeout: timedelta = BUSY_TIMEOUT) -> SqlStore:
    """Open a database on a PostgreSQL server, ``postgresql://user:password@host:port/database?sslmode=…``, its
    schema brought up to date.

    Raises:
        ConfigError: the URL is of another kind of database, or names none.
        StoreUnavailable: it cannot be used; the text says what to do.
    """
    return _opened(SqlStore(PostgresDatabase(postgres_url(url), busy_timeout)))


def open_throwaway() -> SqlStore:
    """Open an empty store in a temporary file, fast and forgetful, that `close` removes."""
    with translated_files("for a preview"):
        folder = TemporaryDirectory(prefix="skolebro-")
    path, fast = Path(folder.name) / "throwaway.db", {"synchronous": "OFF"}
    return _opened(SqlStore(SqliteDatabase(path, BUSY_TIMEOUT, fast, is_durable=False), folder.cleanup))


def _opened(store: SqlStore) -> SqlStore:
    try:
        store.migrate()
        store.check()
    except BaseException:
        store.close()
        raise
    return store
