"""The store on an SQL database: everything or nothing, and after a commit it is still there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from sqlalchemy import URL, Connection, make_url

from bridge.adapters.sql_audit import SqlAudit
from bridge.adapters.sql_deliveries import SqlDeliveries
from bridge.adapters.sql_drift import SqlDrift
from bridge.adapters.sql_entities import SqlEntities
from bridge.adapters.sql_errors import translated, translated_files
from bridge.adapters.sql_events import SqlEvents
from bridge.adapters.sql_holds import SqlHolds
from bridge.adapters.sql_intake import SqlIntake
from bridge.adapters.sql_migrate import is_current, migrate
from bridge.adapters.sql_shelf import SqlShelf
from bridge.adapters.sql_sqlite import BEGIN, create_file, create_sqlite_engine, require_durable, use_wal
from bridge.adapters.sql_subscriptions import SqlSubscriptions
from bridge.adapters.sql_targets import SqlTargets
from bridge.adapters.sql_transaction import Transaction
from bridge.domain.errors import ConfigError, StoreUnavailable
from bridge.ports import Reader, UnitOfWork

BUSY_TIMEOUT = timedelta(seconds=30)


class SqlUnitOfWork(
    SqlEntities,
    SqlIntake,
    SqlSubscriptions,
    SqlHolds,
    SqlEvents,
    SqlDeliveries,
    SqlTargets,
    SqlDrift,
    SqlShelf,
    SqlAudit,
):
    """One transaction; after a rollback it still answers, and whatever it is told is forgotten."""

    def rollback(self) -> None:
        self._tx.rollback()


class SqlStore:
    """A store on a database that exists; `open_sqlite` also makes it and brings its schema up to date.

    Any number of threads may use it at once, each unit of work with a connection of its own.
    `pragmas` are SQLite settings of each connection, on top of ours; without `is_durable`, `check`
    accepts a database that may forget.

    Raises:
        ConfigError: the URL names a database that is not supported.
    """

    def __init__(
        self,
        url: str | URL,
        *,
        busy_timeout: timedelta = BUSY_TIMEOUT,
        pragmas: Mapping[str, str] | None = None,
        is_durable: bool = True,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        address = make_url(url)
        if address.get_backend_name() != "sqlite" or not address.database:
            raise ConfigError(f"the store cannot be {address.get_backend_name()}: give sqlite:///<path>")
        self._database = address.database
        self._engine = create_sqlite_engine(address, busy_timeout, pragmas or {})
        self._writers = self._engine.execution_options(**{BEGIN: "BEGIN IMMEDIATE"})
        self._turn = Lock()
        self._is_durable = is_durable
        self._on_close = on_close

    @contextmanager
    def read(self) -> Iterator[Reader]:
        with translated(self._database), self._engine.connect() as connection:
            yield SqlUnitOfWork(Transaction(connection, self._database, is_writer=False))

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        with self._writing() as connection:
            transaction = Transaction(connection, self._database, is_writer=True)
            yield SqlUnitOfWork(transaction)
            if transaction.is_rolled_back:
                connection.rollback()

    def check(self) -> None:
        with translated(self._database), self._engine.connect() as connection:
            if not is_current(connection, self._database):
                raise StoreUnavailable(
                    f"the database {self._database} has an older schema than this Skolebro; nothing was "
                    "changed: start Skolebro again, which brings it up to date"
                )
            if self._is_durable:
                require_durable(connection, self._database)

    def migrate(self) -> None:
        """Bring the schema to this version's, in one transaction.

        Raises:
            StoreUnavailable: the schema is another program's or a newer Skolebro's.
        """
        with translated(self._database), self._engine.connect() as connection:
            is_done = is_current(connection, self._database)
        with translated(self._database):
            use_wal(self._engine)  # a copy that SQLite made (VACUUM INTO) has another journal
        if is_done:
            return
        with self._writing() as connection:
            if not is_current(connection, self._database):  # another process may have been first
                migrate(connection)

    def close(self) -> None:
        self._engine.dispose()
        self._on_close()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """One write transaction, its place in the queue taken at once: it never fails half way for a lock.

        Threads of this process wait for their turn here: SQLite's own waiting is polling, and starves.
        """
        with self._turn, translated(self._database), self._writers.connect() as connection:
            connection.begin()
            yield connection
            connection.commit()  # leaving by an exception closes the connection, which rolls back


def open_sqlite(
    path: Path, *, busy_timeout: timedelta = BUSY_TIMEOUT, pragmas: Mapping[str, str] | None = None
) -> SqlStore:
    """Open the database at a path, made if it is missing, its schema brought up to date.

    Raises:
        StoreUnavailable: it cannot be used; the text says what to do.
    """
    create_file(path)
    return _opened(SqlStore(_url(path), busy_timeout=busy_timeout, pragmas=pragmas))


def open_throwaway() -> SqlStore:
    """Open an empty store in a temporary file, fast and forgetful, that `close` removes."""
    with translated_files("for a preview"):
        folder = TemporaryDirectory(prefix="skolebro-")
    url = _url(Path(folder.name) / "throwaway.db")
    fast = {"synchronous": "OFF"}
    return _opened(SqlStore(url, pragmas=fast, is_durable=False, on_close=folder.cleanup))


def _url(path: Path) -> URL:
    return URL.create("sqlite", database=str(path))


def _opened(store: SqlStore) -> SqlStore:
    try:
        store.migrate()
        store.check()
    except BaseException:
        store.close()
        raise
    return store
