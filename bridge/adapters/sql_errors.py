"""What a database says in its own words reaches the operator as what happened, what it means and what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
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
_UNREACHABLE = (
    "cannot be reached; nothing was changed: see that the server runs and that host, port and network are right, "
    "then it goes on"
)
_REFUSED = "refused the user; nothing was changed: correct user and password, or the server's pg_hba.conf"
_BY_STATE = {
    "28": _REFUSED,
    "3D": "does not exist on its server; nothing was changed: create it, or correct its name",
    "42501": "does not let this user do that; nothing was changed: make the user the owner of the database",
    "53100": "has no room left on its disk; nothing was changed: free space, then it goes on",
    "53300": "has too many connections; nothing was changed: raise max_connections, or end other clients",
    "55P03": "stayed locked by another writer; nothing was changed: see whether one hangs, then it goes on",
    "25006": "is read-only; nothing was changed: it may be a standby, or set so; name the primary server",
    "25P03": "ended a unit of work that stood still for too long; nothing was changed, it is done again",
    "57P": _UNREACHABLE,
    "08": _UNREACHABLE,
}
"""By the beginning of an SQLSTATE (PostgreSQL 15 manual, appendix A)."""
_PRIMARY_CODE = 0xFF  # SQLite's extended codes keep the primary one in the low byte


@contextmanager
def translated(database: str) -> Iterator[None]:
    """Raise `StoreUnavailable` for what the driver or the file system raises inside the block."""
    try:
        yield
    except IntegrityError as error:
        raise StoreError(f"the database {database} refused a row; nothing was changed") from _quiet(error)
    except DBAPIError as error:
        raise StoreUnavailable(f"the database {database} {_advice(error.orig)}") from _quiet(error)
    except psycopg.IntegrityError:  # of COPY, which SQLAlchemy knows nothing of
        raise StoreError(f"the database {database} refused a row; nothing was changed") from None
    except (sqlite3.Error, psycopg.Error) as error:  # outside a statement the driver's own error comes through
        raise StoreUnavailable(f"the database {database} {_advice(error)}") from _quiet(error)


@contextmanager
def translated_files(database: str) -> Iterator[None]:
    """Raise `StoreUnavailable` where the file cannot be made."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"the database {database} {_CANNOT_OPEN}") from error


def _advice(error: BaseException | None) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return _ADVICE.get(code & _PRIMARY_CODE, _UNKNOWN)
    if isinstance(error, psycopg.Error):
        return _advice_of_server(error)
    return _UNKNOWN


def _quiet(error: Exception) -> Exception | None:
    """The cause that may be told: PostgreSQL quotes the row that it refuses."""
    return None if isinstance(getattr(error, "orig", error), psycopg.Error) else error


def _advice_of_server(error: psycopg.Error) -> str:
    """Where there never was a connection, or is none any more, there is no SQLSTATE but a text."""
    state = error.sqlstate or ""
    known = next((advice for start, advice in _BY_STATE.items() if state.startswith(start)), None)
    if known is not None:
        return known
    if state or not isinstance(error, psycopg.OperationalError):
        return _UNKNOWN
    said = str(error)
    if "does not exist" in said and "database" in said:
        return _BY_STATE["3D"]
    return _REFUSED if any(word in said for word in ("authentication", "role", "pg_hba")) else _UNREACHABLE
