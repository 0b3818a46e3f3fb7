"""Empty stores for the tests of the engine, of the kind that the environment names: memory, sqlite, postgresql."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Connection

from bridge.adapters.sql_database import Database
from bridge.adapters.sql_postgres import PostgresDatabase, postgres_url
from bridge.adapters.sql_schema import metadata
from bridge.adapters.sql_sqlite import SqliteDatabase
from bridge.adapters.store_sql import SqlStore, open_postgres
from bridge.ports import Store
from bridge.testing.memory import MemoryStore
from tests.support.postgres import EMPTY, database

KIND = os.environ.get("SKOLEBRO_TEST_STORE", "memory")
"""Which store the engine is tested with; `make test-stores` goes through all."""

_FEW = 6
"""So many are made before one is looked for among what is forgotten: that goes through all objects there are."""
_PATIENCE = timedelta(seconds=30)


def new_store() -> Store:
    """A store that nothing is in; its database is used again when nobody holds it any more."""
    if KIND == "memory":
        return MemoryStore()
    return _pool().store()


class _Pool:
    """Databases of this process, emptied before each use: to make one takes longer than most tests."""

    def __init__(self, make: Callable[[], Database], empty: Callable[[Connection], object]) -> None:
        self._make = make
        self._empty = empty
        self._free: list[Database] = []
        self._made = 0

    def store(self) -> Store:
        if not self._free and self._made >= _FEW:
            gc.collect()  # a store that a circle of objects holds is given back before another one is made
        database = self._free.pop() if self._free else self._another()
        with database.writing() as connection:
            self._empty(connection)
        store = SqlStore(database)
        weakref.finalize(store, self._take_back, database)
        return store

    def _another(self) -> Database:
        self._made += 1
        return self._make()

    def _take_back(self, database: Database) -> None:
        database.dispose()  # a server has connections for some dozens only
        self._free.append(database)


@cache
def _pool() -> _Pool:
    match KIND:
        case "sqlite":
            folder = TemporaryDirectory(prefix="skolebro-tests-")
            return _Pool(partial(_sqlite, folder), _delete_all)
        case "postgresql":
            return _Pool(_postgres, lambda connection: connection.exec_driver_sql(EMPTY))
        case _:
            raise AssertionError(f"SKOLEBRO_TEST_STORE={KIND}: there are memory, sqlite and postgresql")


def _sqlite(folder: TemporaryDirectory[str]) -> Database:
    path = Path(folder.name) / f"{len(os.listdir(folder.name))}.db"
    made = SqliteDatabase(path, _PATIENCE, {"synchronous": "OFF"}, is_durable=False)
    SqlStore(made).migrate()
    return made


def _delete_all(connection: Connection) -> None:
    for table in reversed(metadata.sorted_tables):
        connection.execute(table.delete())


def _postgres() -> Database:
    made = database()
    url = made.__enter__()
    weakref.finalize(_pool(), made.__exit__, None, None, None)
    open_postgres(url).close()
    fast = postgres_url(f"{url}%20-csynchronous_commit%3Doff")
    return PostgresDatabase(fast, _PATIENCE, is_durable=False)
