"""A database is brought to this version's schema, or left exactly as it was."""

from __future__ import annotations

from threading import Lock

from sqlalchemy import Connection, inspect, text

from bridge.domain.errors import StoreUnavailable

REVISIONS = ("0010", "0009", "0008", "0007", "0006", "0005", "0004", "0003", "0002", "0001")
"""The revisions that this version knows, the newest first; a test compares them with the scripts."""

_VERSION_TABLE = "alembic_version"
_TURN = Lock()  # Alembic's `op` is one for the whole process


def is_current(connection: Connection, database: str) -> bool:
    """Whether the schema is this version's; an older one of ours, or none at all, is not.

    Raises:
        StoreUnavailable: the schema is another program's or a newer Skolebro's.
    """
    tables = inspect(connection).get_table_names()
    revision = _revision(connection) if _VERSION_TABLE in tables else None
    if revision is None and any(table != _VERSION_TABLE for table in tables):
        raise StoreUnavailable(
            f"the database {database} belongs to another program; nothing was changed: correct the path"
        )
    if revision is not None and revision not in REVISIONS:
        raise StoreUnavailable(
            f"the database {database} was written by a newer Skolebro (schema {revision}); "
            "nothing was changed: install that version again, or restore a backup made before it"
        )
    return revision == REVISIONS[0]


def _revision(connection: Connection) -> str | None:
    found = connection.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalar()  # noqa: S608 - ours
    return None if found is None else str(found)


def migrate(connection: Connection) -> None:
    """Bring the schema to head in the connection's own transaction."""
    from alembic import command  # a database that is current, nearly always, is opened sooner without
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "bridge.adapters:migrations")
    config.attributes["connection"] = connection
    with _TURN:
        command.upgrade(config, "head")
