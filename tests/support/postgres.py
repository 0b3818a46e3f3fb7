"""Empty databases on the PostgreSQL server of this machine: one for each test process, emptied for each test.

Each is a schema of one database of the server's: to make and to drop a database takes seconds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count

import psycopg
from sqlalchemy import create_engine

from bridge.adapters.sql_schema import metadata
from bridge.adapters.store_sql import SqlStore, open_postgres
from tests.support.needs import postgres_url, require

SERVER = postgres_url()
APPLICATION = f"skolebro_test_{os.getpid()}"
_DATABASE = f"{SERVER}/postgres"
_OURS = "skolebro_test_"
_numbers = count(1)

_SERIALS = ("holds_id", "expected_rolls_id", "runs_number")
EMPTY = "; ".join(
    (
        *(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables)),  # noqa: S608 - ours
        *(f"ALTER SEQUENCE {name}_seq RESTART" for name in _SERIALS),
    )
)
"""Not by TRUNCATE, which makes new files: that takes longer than most tests."""


@contextmanager
def database() -> Iterator[str]:
    """The URL of a database that nothing is in yet, dropped at the end."""
    require("postgresql")
    _drop_leftovers()
    name = f"{_OURS}{os.getpid()}_{next(_numbers)}"
    _at_server(f"CREATE SCHEMA {name}")
    try:
        yield f"{_DATABASE}?application_name={APPLICATION}&options=-csearch_path%3D{name}"
    finally:
        _at_server(f"DROP SCHEMA {name} CASCADE")


@contextmanager
def shared_store(url: str) -> Iterator[SqlStore]:
    """A store on a database that tests use in turn: whoever was first made the tables, everybody empties them."""
    store = open_postgres(url)
    try:
        yield store
    finally:
        store.close()
        empty(url)


def empty(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("SET synchronous_commit = off; " + EMPTY)  # type: ignore[arg-type]


def _at_server(statement: str) -> None:
    with psycopg.connect(_DATABASE, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute(statement)  # type: ignore[arg-type]  # made of our own names


@cache
def _drop_leftovers() -> None:
    """Drop what test processes left that were killed, once."""
    with psycopg.connect(_DATABASE, autocommit=True, connect_timeout=5) as connection:
        named = "SELECT nspname FROM pg_namespace WHERE nspname LIKE %s"
        left = [name for (name,) in connection.execute(named, [f"{_OURS}%"]).fetchall()]
    for name in left:
        if not os.path.exists(f"/proc/{name.removeprefix(_OURS).partition('_')[0]}"):
            _at_server(f"DROP SCHEMA IF EXISTS {name} CASCADE")


def columns(url: str) -> dict[str, list[tuple[object, ...]]]:
    """Every table with its columns, their types, collations and defaults, and every index, but Alembic's own."""
    told = (
        "SELECT table_name, column_name, data_type, collation_name, is_nullable,"
        " replace(column_default, current_schema() || '.', ''), generation_expression"
        " FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY 1, 2"
    )
    indexes = (
        "SELECT indexname, replace(indexdef, current_schema() || '.', '') FROM pg_indexes"
        " WHERE schemaname = current_schema()"
    )
    found: dict[str, list[tuple[object, ...]]] = {}
    with psycopg.connect(url) as connection:
        for name, *column in connection.execute(told):
            found.setdefault(name, []).append(tuple(column))
        for name, text in connection.execute(indexes):
            found[name] = [(text,)]
    return {name: what for name, what in found.items() if "alembic_version" not in name}


def make_all(url: str) -> None:
    """Make the tables as `sql_schema` has them, without a revision."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    metadata.create_all(engine)
    engine.dispose()
