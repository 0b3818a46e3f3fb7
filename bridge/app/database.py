"""The database as a whole: its schema, a copy of it in a file, and a file brought into it."""

from __future__ import annotations

from pathlib import Path

from bridge.adapters.sql_copies import Copied, backup, restore
from bridge.adapters.sql_migrate import REVISIONS
from bridge.adapters.state_folder import sole_use
from bridge.app.bridge import open_store
from bridge.config import Settings
from bridge.domain.errors import ConfigError

__all__ = ["Copied", "back_up", "bring", "migrate"]


def migrate(settings: Settings) -> str:
    """Bring the schema up to date and return its revision. Raises `StoreUnavailable`."""
    open_store(settings).close()
    return REVISIONS[0]


def back_up(settings: Settings, to: Path) -> list[Copied]:
    """Write all that is stored into a new file, beside whoever works. Raises `StoreUnavailable`."""
    store = open_store(settings)
    try:
        return backup(store, to)
    finally:
        store.close()


def bring(settings: Settings, file: Path) -> list[Copied]:
    """Bring what a SQLite file holds into the configured database, which must be empty.

    The file must be nobody's at work. Raises `ConfigError`, `AlreadyRunning`, `StoreUnavailable`.
    """
    if settings.database is None:
        raise ConfigError(
            f"{settings.path}: there is no `database`; give it, or put the file in its place in the state folder"
        )
    with sole_use(file.resolve().parent if file.parent.exists() else settings.state_folder):
        store = open_store(settings)
        try:
            return restore(file, store)
        finally:
            store.close()
