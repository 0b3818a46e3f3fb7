"""`skolebro disclosures`: the municipality's record of processing, for people, spreadsheets and programs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import typer

from bridge.app.disclosures import OBSERVED, Disclosure, Recipient, disclosures
from bridge.cli.common import CONFIG, Config
from bridge.cli.forms import AsCsv, AsJson, Form, form_of, write_sheet
from bridge.cli.printing import plain, print_json
from bridge.config import load_settings
from bridge.ports import ACTIVE, GONE, RETIRED, SHADOW
from bridge.registry import Registry

_INTRODUCTION = """# Who gets which personal data, of whom, and why

Printed by `skolebro disclosures` from the configuration that is in force and from how each recipient stands; part
of the record of processing (GDPR article 30). Under *protected* stands what is sent of somebody with a protected
name and address. Phone numbers that are protected by themselves are always left out. What is not listed is never
sent."""


_STANDING = {
    ACTIVE: "is sent the following",
    OBSERVED: "is sent NOTHING (it only observes); it would be told",
    SHADOW: "is sent NOTHING yet (it is in shadow); from when it is switched on it is sent the following",
    RETIRED: "is sent NOTHING any more (it is retired) and keeps what it was sent; switched on again it is sent "
    "the following",
    GONE: "is sent NOTHING any more (it asked for nothing more) and keeps what it was sent; resumed it is sent "
    "the following",
}


class Written(StrEnum):
    TEXT = "text"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"


def print_disclosures(
    config: Config = CONFIG,
    form: Annotated[
        Written | None, typer.Option("--format", help="How it is written; the text is Markdown.")
    ] = None,
    json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Print who gets which personal data of whom and why, from the configuration, and who is sent nothing now."""
    wanted = form_of(Form.TEXT if form is Written.MARKDOWN else form, json, as_csv)
    recipients = disclosures(load_settings(config, Registry()))
    match wanted:
        case Form.JSON:
            print_json({"recipients": recipients})
        case Form.CSV:
            write_sheet(_COLUMNS, (_cells(recipient, one) for recipient in recipients for one in recipient.fields))
        case Form.TEXT:
            sys.stdout.write("\n".join([_INTRODUCTION, *map(_markdown, recipients)]) + "\n")


_COLUMNS = (
    "municipality",
    "recipient",
    "connector",
    "system",
    "is_sent",
    "standing",
    "institutions",
    "resource",
    "field",
    "sources",
    "people",
    "is_personal",
    "purpose",
    "legal_basis",
    "when_protected",
    "retention",
)


def _cells(recipient: Recipient, one: Disclosure) -> Iterator[str]:
    yield from (recipient.municipality, recipient.target, recipient.connector, recipient.system)
    yield from (_yes(recipient.is_sent), recipient.standing, one.institutions, one.resource, one.field)
    yield from (" ".join(one.sources), ", ".join(one.people), _yes(one.is_personal))
    yield from (one.purpose or recipient.purpose, one.legal_basis, one.when_protected, recipient.retention)


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def _markdown(recipient: Recipient) -> str:
    lines = [
        "",
        f"## {_cell(recipient.municipality)}/{_cell(recipient.target)}",
        "",
        f"- Recipient: connector `{_cell(recipient.connector)}`, system {_cell(recipient.system or 'not named')}; "
        f"{_STANDING[recipient.standing]}",
        f"- Purpose: {_cell(recipient.purpose)} (mapping `{_cell(recipient.mapping)}`)",
        f"- Institutions: {_cell(recipient.institutions)}",
        f"- Retention: {_cell(recipient.retention)}",
        "",
        "| as | field | from | of whom | institutions | why | legal basis | protected |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in recipient.fields:
        of_whom = ", ".join(one.people) if one.is_personal else "nobody: not personal"
        cells = (one.resource, one.field, ", ".join(one.sources), of_whom, one.institutions)
        why = (one.purpose or recipient.purpose, one.legal_basis, one.when_protected)
        lines.append(f"| {' | '.join(map(_cell, (*cells, *why)))} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Nothing in a value ends a cell or a line, or is taken for markup."""
    return " ".join(plain(text).split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
