"""The forms in which a list is written: text for people, CSV for a spreadsheet, JSON for a program."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated

import typer

from bridge.cli.printing import plain
from bridge.domain.errors import ConfigError
from bridge.domain.sheets import inert


class Form(StrEnum):
    TEXT = "text"
    CSV = "csv"
    JSON = "json"


AsForm = Annotated[Form | None, typer.Option("--format", help="How it is written; text if nothing is said.")]
AsJson = Annotated[bool, typer.Option("--json", help="The same as --format json.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="The same as --format csv.")]

_BYTE_ORDER_MARK = "\ufeff"


def form_of(form: str | None, json: bool, as_csv: bool) -> Form:
    """Return the one form that is asked for. Raises `ConfigError` for several."""
    asked = {f"--format {form}": Form(form)} if form is not None else {}
    asked |= {"--json": Form.JSON} if json else {}
    asked |= {"--csv": Form.CSV} if as_csv else {}
    if len(set(asked.values())) > 1:
        raise ConfigError(f"{' and '.join(asked)}: choose one of them")
    return next(iter(asked.values()), Form.TEXT)


def write_sheet(heads: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write CSV as a spreadsheet with Danish settings opens it: UTF-8 with a mark, semicolons."""
    sys.stdout.write(_BYTE_ORDER_MARK)
    writer = csv.writer(sys.stdout, delimiter=";", quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(heads)
    for row in rows:
        writer.writerow(_cell(str(one)) for one in row)


def _cell(text: str) -> str:
    """No cell is run as a formula, blanks before it or not, and none acts upon a terminal."""
    shown = plain(text)
    return f"'{shown}" if inert(text) != text or inert(text.lstrip()) != text.lstrip() else shown
