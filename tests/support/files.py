"""Targets that leave files, on a shelf and a drop in memory."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from bridge.connector import Command, Connector, Drop, DropConfig, HandedOver, Http, Outcome, Services, Shelf
from bridge.testing.memory_shelf import MemoryDrop, MemoryShelf
from tests.support.oneroster import TOWN, Clock

Rows = list[dict[str, str]]


def services(
    clock: Callable[[], datetime],
    shelf: Shelf,
    drop: Drop,
    municipality: str = TOWN,
    http: Callable[..., Http] | None = None,
) -> Services:
    def given(config: DropConfig) -> Drop:
        return drop

    return Services(
        municipality,
        None,
        http or _no_http,
        lambda path: path.read_text(),
        clock,
        Path.read_bytes,
        shelf=lambda: shelf,
        drop=given,
    )


def _no_http(*_: object, **__: object) -> Any:
    raise AssertionError("who leaves files calls nobody")


def unzip(content: bytes) -> dict[str, bytes]:
    with ZipFile(io.BytesIO(content)) as whole:
        return {name: whole.read(name) for name in whole.namelist()}


def read_csv(content: bytes) -> tuple[list[str], Rows]:
    """The header and the rows of a file."""
    reader = csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
    rows = list(reader)
    assert all(None not in row and None not in row.values() for row in rows), "a row is not as long as the header"
    return list(reader.fieldnames or ()), rows


def tables(files: Mapping[str, bytes]) -> dict[str, Rows]:
    """The rows of each file, by its name without an ending."""
    return {name.removesuffix(".csv"): read_csv(content)[1] for name, content in files.items()}


@dataclass
class FileDesk:
    """A target that leaves files, the time, and the folder in which it leaves them."""

    connector: Connector
    settings: Mapping[str, Any] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    drop: MemoryDrop = field(default_factory=MemoryDrop)
    shelf: Any = None
    municipality: str = TOWN

    def __post_init__(self) -> None:
        self.shelf = self.shelf or MemoryShelf(self.clock)
        self.restart()

    def restart(self, **settings: Any) -> None:
        self.settings = {**self.settings, **settings}
        config = self.connector.config(**{"drop_folder": Path("out"), **self.settings})
        assert self.connector.target is not None
        given = services(self.clock, self.shelf, self.drop, self.municipality)
        self.target: Any = self.connector.target(config, given)

    def tell(self, *told: Command) -> list[Outcome]:
        return list(self.target.apply(told))

    def next_day(self) -> HandedOver | None:
        self.clock.at += timedelta(days=1)
        made = self.target.hand_over()
        assert made is None or isinstance(made, HandedOver)
        return made


def killed_at(line: str, write: Any) -> Any:
    """`Shelf.set_note` that ends the process at the note of this name."""

    def set_note(self: Any, name: str, value: str) -> None:
        if name == line:
            raise KeyboardInterrupt
        write(self, name, value)

    return set_note
