"""What a database says in its own words reaches the operator as what happened, what it means and what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError

from bridge.domain.errors import StoreError, StoreUnavailable

_NOT_A_DATABASE = "is not a whole SQLite database; nothing was changed: correct the path, or restore a backup"
_CANNOT_OPEN = (
    "cannot be opened; nothing was changed: see that its directory exists and that the service's user "
    "may write to both"
)
_ADVICE = {
    sqlite3.SQLITE_BUSY: "stayed locked by another process; nothing was changed: end the other writer "
    "(a second Skolebro, a copy or a shell with an open transaction), then it goes on",
    sqlite3.SQLITE_READONLY: "is read-only; nothing was changed: let the service's user write to the file "
    "and its directory",
    sqlite3.SQLITE_IOERR: "could not be read from or written to disk; nothing was changed: look at the disk "
    "and the system log",
    sqlite3.SQLITE_FULL: "has no room left on its disk; nothing was changed: free space, then it goes on",
    sqlite3.SQLITE_CANTOPEN: _CANNOT_OPEN,
    sqlite3.SQLITE_PERM: _CANNOT_OPEN,
    sqlite3.SQLITE_CORRUPT: _NOT_A_DATABASE,
    sqlite3.SQLITE_NOTADB: _NOT_A_DATABASE,
}
_UNKNOWN = "does not answer as it should; nothing was changed: look at the database and its log"
_PRIMARY_CODE = 0xFF  # SQLite's extended codes keep the primary one in the low byte


@contextmanager
def translated(database: str) -> Iterator[None]:
    """Raise `StoreUnavailable` for what the driver or the file system raises inside the block."""
    try:
        yield
    except IntegrityError as error:
        raise StoreError(f"the database {database} refused a row; nothing was changed") from error
    except DBAPIError as error:
        raise StoreUnavailable(f"the database {database} {_advice(error.orig)}") from error
    except sqlite3.Error as error:  # outside a statement SQLAlchemy lets the driver's own error through
        raise StoreUnavailable(f"the database {database} {_advice(error)}") from error


@contextmanager
def translated_files(database: str) -> Iterator[None]:
    """Raise `StoreUnavailable` where the file cannot be made."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"the database {database} {_CANNOT_OPEN}") from error


def _advice(error: BaseException | None) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    return _UNKNOWN if code is None else _ADVICE.get(code & _PRIMARY_CODE, _UNKNOWN)
