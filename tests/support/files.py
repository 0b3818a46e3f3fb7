"""Targets that leave files, on a shelf and a drop in memory."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from bridge.connector import Drop, DropConfig, Http, Services, Shelf
from tests.support.oneroster import TOWN

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
