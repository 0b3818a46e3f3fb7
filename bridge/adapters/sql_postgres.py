"""PostgreSQL as the store needs it: readers see one moment, writers take turns, and a commit is on disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from psycopg import Cursor, ServerCursor
from sqlalchemy import URL, Connection, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError

from bridge.domain.errors import ConfigError, StoreUnavailable

_LOCK = 7_301_650_442_118_395_217  # of all that a PostgreSQL server's advisory locks are asked for, ours
_TURN = text("SELECT pg_advisory_xact_lock(:lock)")
_FROZEN = timedelta(seconds=20)
"""How long a writer may keep its turn without a word: one whose process is stopped must not stop all others."""
_NEVER_OFF = ("fsync", "full_page_writes", "synchronous_commit")


class PostgresDatabase:
    """A `Database` on a server, shared by any number of processes.

    A writer waits for its turn as long as `busy_timeout`. Since what it has read is what it changes, two writers
    never run side by side; requests to targets are made between transactions, so that this costs little. Without
    `is_durable` it may forget.
    """

    def __init__(self, url: URL, busy_timeout: timedelta, *, is_durable: bool = True) -> None:
        self.name = f"{url.database} on {url.host or 'the local server'}"
        self._is_durable = is_durable
        self._engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            hide_parameters=True,
            paramstyle="format",
            pool_pre_ping=True,  # the server may have been restarted
            max_overflow=-1,
            connect_args={"application_name": "skolebro", "connect_timeout": 10, **url.query},
        )
        event.listen(self._engine, "do_execute", _execute)
        self._readers = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._settings = {
            "lock_timeout": _milliseconds(busy_timeout),
            "idle_in_transaction_session_timeout": _milliseconds(_FROZEN),
        }

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with self._readers.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            connection.begin()
            for name, value in self._settings.items():
                connection.execute(text(f"SET LOCAL {name} = {value}"))
            connection.execute(_TURN, {"lock": _LOCK})
            yield connection
            connection.commit()  # leaving by an exception closes the connection, which rolls back

    @contextmanager
    def beating(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection

    def prepare(self) -> None:
        """Nothing: the server has been set up by whoever runs it."""

    def require_durable(self, connection: Connection) -> None:
        if not self._is_durable:
            return
        off = [name for name in _NEVER_OFF if connection.exec_driver_sql(f"SHOW {name}").scalar_one() == "off"]
        if off:
            raise StoreUnavailable(
                f"the database {self.name} does not keep what it confirms ({', '.join(off)} off); nothing was "
                "changed: set it on in the server's configuration"
            )

    def dispose(self) -> None:
        self._engine.dispose()


def _execute(cursor: Cursor[Any] | ServerCursor[Any], statement: str, parameters: Any, _context: Any) -> bool:
    """Have each statement planned for its own values, but those that run for many rows.

    A prepared statement has one plan for all values: as long as the server has no statistics (a first load), that
    is to compare each row of a kind with each of hundreds of keys.
    """
    if isinstance(cursor, ServerCursor):  # prepares nothing
        return False
    cursor.execute(statement, parameters, prepare=False)
    return True


def postgres_url(text: str) -> URL:
    """Read a database's URL. Raises `ConfigError`, which does not quote it: a password may stand in it."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.get_backend_name() not in ("postgresql", "postgres") or not url.database:
        raise ConfigError(
            "the URL of the database is none that can be used; give postgresql://user:password@host:port/database"
        )
    return url


def _milliseconds(time: timedelta) -> int:
    return max(1, time // timedelta(milliseconds=1))
