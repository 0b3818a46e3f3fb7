"""One open transaction: statements are portable, bulk writes go to the driver, errors come out translated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy import Connection, CursorResult, Dialect, Executable, Row, Table, Update, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert, UpdateBase

from bridge.adapters import sql_copy
from bridge.adapters.sql_errors import translated
from bridge.domain.errors import StoreError

StoredRow: TypeAlias = "Row[*tuple[Any, ...]]"

CHUNK = "chunk"
"""The name of the expanding parameter that `Transaction.rows_in` fills."""

_CHUNK_SIZE = 500


class Transaction:
    """Reads for everyone, writes for a writer only."""

    def __init__(self, connection: Connection, database: str, *, is_writer: bool) -> None:
        self._connection = connection
        self._database = database
        self._is_writer = is_writer
        self.is_rolled_back = False
        self.dialect = connection.dialect.name

    def rows(self, statement: Executable, **values: object) -> Sequence[StoredRow]:
        with translated(self._database):
            return self._connection.execute(statement, values).all()

    def rows_in(self, statement: Executable, members: Iterable[str], **values: object) -> Iterator[StoredRow]:
        """The rows of a statement for any number of members of its `CHUNK` parameter."""
        for chunk in chunks(dict.fromkeys(members)):
            yield from self.rows(statement, **values, **{CHUNK: chunk})

    def run(self, statement: UpdateBase, **values: object) -> CursorResult[Any]:
        connection = self._writing()
        with translated(self._database):
            return connection.execute(statement, values)

    def add(self, table: Table, rows: sql_copy.Rows) -> None:
        """Insert rows with their values in the order of `writable(table)`."""
        self._bulk(table, rows, _insert_sql, sql_copy.copy)

    def put(self, table: Table, rows: Iterable[tuple[object, ...]]) -> None:
        """Insert or replace by primary key, values in the order of `writable(table)`."""
        self._bulk(table, list(rows), _upsert_sql, sql_copy.merge)

    def change(self, statement: Update, names: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
        """Run an update for many rows; `names` says which bound parameter each place of a row fills."""
        sql, arrange = _update_sql(statement, names, self._connection.dialect)
        self._many(sql, [arrange(row) for row in rows])

    def rollback(self) -> None:
        self.is_rolled_back = True
        with translated(self._database):
            self._connection.rollback()

    def _bulk(
        self,
        table: Table,
        rows: sql_copy.Rows,
        spelt: Callable[[Table, Dialect], str],
        copied: Callable[[Connection, Table, tuple[str, ...], sql_copy.Rows], None],
    ) -> None:
        """Write rows by COPY where the database has it and it pays, else by a statement for each."""
        if self.dialect == "postgresql" and len(rows) >= sql_copy.WORTH_IT:
            with translated(self._database):
                copied(self._writing(), table, writable(table), rows)
        else:
            self._many(spelt(table, self._connection.dialect), list(rows))

    def _many(self, sql: str, rows: list[tuple[object, ...]]) -> None:
        connection = self._writing()
        if rows:
            with translated(self._database):
                connection.exec_driver_sql(sql, rows)

    def _writing(self) -> Connection:
        if not self._is_writer:
            raise StoreError("a reader was asked to write: open the store with write() instead")
        return self._connection


class SqlPart:
    """One part of the store's port, working in a transaction that it did not begin."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction


def chunks(members: Iterable[str]) -> Iterator[list[str]]:
    """Cut what may be long into lists that every database takes as parameters of one statement."""
    rest = iter(members)
    while chunk := list(islice(rest, _CHUNK_SIZE)):
        yield chunk


def writable(table: Table) -> tuple[str, ...]:
    """The columns that we fill: all but those that the database computes."""
    return tuple(column.name for column in table.columns if column.computed is None)


def _upsert(table: Table, dialect: Dialect) -> Insert:
    """The only statement whose spelling is a dialect's own."""
    keys = [column.name for column in table.primary_key.columns]
    values = [name for name in writable(table) if name not in keys]
    upsert: sqlite.Insert = (postgresql if dialect.name == "postgresql" else sqlite).insert(table)
    if not values:
        return upsert.on_conflict_do_nothing(index_elements=keys)
    return upsert.on_conflict_do_update(index_elements=keys, set_={name: upsert.excluded[name] for name in values})


@cache
def _insert_sql(table: Table, dialect: Dialect) -> str:
    return str(insert(table).compile(dialect=dialect, column_keys=list(writable(table))))


@cache
def _upsert_sql(table: Table, dialect: Dialect) -> str:
    return str(_upsert(table, dialect).compile(dialect=dialect, column_keys=list(writable(table))))


@cache
def _update_sql(
    statement: Update, names: tuple[str, ...], dialect: Dialect
) -> tuple[str, Callable[[tuple[object, ...]], tuple[object, ...]]]:
    """The driver's text of an update, and how to put a row in the order of its parameters."""
    compiled = statement.compile(dialect=dialect, column_keys=[])
    order = compiled.positiontup or []
    constants = tuple(name for name in dict.fromkeys(order) if name not in names)
    values = tuple(compiled.params[name] for name in constants)
    pick = itemgetter(*((*names, *constants).index(name) for name in order))
    return str(compiled), lambda row: pick(row + values)
