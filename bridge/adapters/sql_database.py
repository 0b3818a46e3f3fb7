"""What differs between databases: how they are reached, how writers take turns, when they may be trusted."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from sqlalchemy import Connection


class Database(Protocol):
    """One database as the store needs it. `name` is what an operator is told of it: never a password."""

    @property
    def name(self) -> str: ...

    def reading(self) -> AbstractContextManager[Connection]:
        """A connection whose transaction sees one state. Raises the driver's own errors, as all of these do."""
        ...

    def writing(self) -> AbstractContextManager[Connection]:
        """A connection in a transaction that no other writer of this database is in; leaving it commits."""
        ...

    def beating(self) -> AbstractContextManager[Connection]:
        """A connection in a transaction that waits for no writer's turn, for the one row that is its own."""
        ...

    def prepare(self) -> None:
        """Set what the database itself remembers, before its schema is looked at."""
        ...

    def require_durable(self, connection: Connection) -> None:
        """Raise `StoreUnavailable` where a commit could be lost."""
        ...

    def dispose(self) -> None: ...
