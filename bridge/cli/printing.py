"""How a line, a table or a JSON answer gets to the reader; nothing in it acts upon a terminal."""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

console = Console(width=None if sys.stdout.isatty() else 200, emoji=False)  # a URN is no smiley


def plain(text: str) -> str:
    """What a terminal would act upon (escapes, text direction) is shown as a sign of it."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def line(text: str) -> None:
    console.print(plain(text), markup=False, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(msgspec.to_builtins(value), ensure_ascii=False) + "\n")


def new_table(*columns: str) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def add_row(into: Table, *cells: object) -> None:
    into.add_row(*(escape("" if cell is None else plain(str(cell))) for cell in cells))


def say(sentence: str, value: object, json: bool) -> None:
    """Answer a person by a sentence, a program by a value."""
    if json:
        print_json(value)
    else:
        line(sentence)
