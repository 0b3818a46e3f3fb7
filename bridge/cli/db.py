"""`skolebro db`: the database as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bridge.app.database import Copied, back_up, bring, migrate
from bridge.cli.common import CONFIG, Config, Json
from bridge.cli.printing import add_row, console, line, new_table, print_json
from bridge.config import load_settings
from bridge.registry import Registry

db_app = typer.Typer(help="The database as a whole: its schema, and copies of it.", no_args_is_help=True)


@db_app.command("migrate")
def db_migrate(config: Config = CONFIG, json: Json = False) -> None:
    """Bring the schema up to date. Every start does so too; this is for who wants to do it before.

    Schemas only grow from one version to the next, so processes of the version before go on meanwhile.
    """
    revision = migrate(load_settings(config, Registry()))
    if json:
        print_json({"schema": revision})
    else:
        line(f"The schema is {revision}, as this Skolebro needs it.")


@db_app.command("backup")
def db_backup(
    file: Annotated[Path, typer.Argument(help="The SQLite file to write; it must not exist.")],
    config: Config = CONFIG,
    json: Json = False,
) -> None:
    """Write all that is stored, as of one moment, into one file that only you can read; work goes on meanwhile.

    Keep `subject.key` of the state folder with it: without it the references of the audit chain are nobody's.
    """
    _told(back_up(load_settings(config, Registry()), file), f"in {file}", json)


@db_app.command("copy")
def db_copy(
    file: Annotated[Path, typer.Argument(help="The SQLite file: of the state folder, or a backup.")],
    config: Config = CONFIG,
    json: Json = False,
) -> None:
    """Bring a SQLite file into the configured PostgreSQL database, which must be empty, and compare both.

    Counts and hashes of every table have to agree, else nothing is kept. The file stays as it is.
    """
    _told(bring(load_settings(config, Registry()), file), "in the database", json)


def _told(found: Sequence[Copied], where: str, json: bool) -> None:
    if json:
        print_json({"tables": [{"table": one.table, "rows": one.rows, "sha256": one.digest} for one in found]})
        return
    table = new_table("table", "rows", "SHA-256")
    for one in found:
        add_row(table, one.table, one.rows, one.digest[:16])
    console.print(table)
    line(f"{sum(one.rows for one in found)} rows are {where}, and every table is the same by count and hash.")
