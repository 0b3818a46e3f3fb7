"""`skolebro report`: what observed systems will see, by institution; ids only when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from bridge.app.report import reports
from bridge.cli.common import CONFIG, Config, moment, open_configured, who
from bridge.cli.forms import AsCsv, AsForm, AsJson, Form, form_of, write_sheet
from bridge.cli.printing import add_row, console, line, new_table, print_json
from bridge.connector import Reports
from bridge.engine.report import Report, note_look

_COLUMNS = ("target", "institution", "code", "count", "meaning")
_ID_COLUMNS = ("target", "institution", "code", "id", "meaning")


def print_report(
    target: Annotated[str | None, typer.Argument(help="A target's id; default: all that report.")] = None,
    config: Config = CONFIG,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Count what was recorded then or later, too.")
    ] = None,
    ids: Annotated[bool, typer.Option("--ids", help="List whom each finding is about, by id.")] = False,
    form: AsForm = None,
    json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Report what a system that takes its data elsewhere, such as Aula, will see of the state; nothing is sent.

    Counts by institution; with --ids also user ids and group ids, and who asked for them is written into the audit
    chain first. Never a name.
    """
    wanted = form_of(form, json, as_csv)
    bridge = open_configured(config)
    found = list(reports(bridge, target, moment(since, "--since")))
    if ids:
        note_look(bridge.store, bridge.book(who()), [one for one, _ in found])
    match wanted:
        case Form.JSON:
            print_json({"reports": [_told(one, by, ids) for one, by in found]})
        case Form.CSV:
            write_csv(found, ids)
        case Form.TEXT:
            if not found:
                line("No configured target reports anything; one that is observed does, such as Aula.")
            for one, by in found:
                _show(one, by, ids)


def _counted(one: Report, by: Reports) -> Iterator[tuple[str, str, int, str]]:
    """Institution, code, count and meaning of all that was found, then of all that changed."""
    order = {code: place for place, code in enumerate(by.report_codes)}
    found = sorted(one.counts.items(), key=lambda item: (item[0][0], order.get(item[0][1], len(order)), item[0]))
    for (institution, code), count in found:
        yield institution, code, count, by.report_codes.get(code, "")
    for (institution, entity, operation), count in sorted((one.changes or {}).items()):
        yield institution, f"changed.{entity}.{operation}", count, f"events since then: {entity} {operation}"


def _told(one: Report, by: Reports, ids: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "target": one.target,
        "counts": [dict(zip(_COLUMNS[1:], row, strict=True)) for row in _counted(one, by)],
    }
    if ids:
        told["findings"] = [
            {"institution": found.institution, "code": found.code, "id": found.subject} for found in one.findings
        ]
    return told


def write_csv(found: Sequence[tuple[Report, Reports]], ids: bool) -> None:
    """Write a line a count, or with `ids` a line a finding."""
    rows = ((one.target, *row) for one, by in found for row in (_listed(one, by) if ids else _counted(one, by)))
    write_sheet(_ID_COLUMNS if ids else _COLUMNS, rows)


def _listed(one: Report, by: Reports) -> Iterator[tuple[str, str, str, str]]:
    for found in one.findings:
        yield found.institution, found.code, found.subject or "", by.report_codes.get(found.code, "")


def _show(one: Report, by: Reports, ids: bool) -> None:
    line(f"What {one.target} will see of what is stored; nothing was sent for this:")
    table = new_table("institution", "count", "what", "code")
    for institution, code, count, meaning in _counted(one, by):
        add_row(table, institution, count, meaning, code)
    console.print(table)
    if ids:
        table = new_table("institution", "code", "id")
        for found in one.findings:
            add_row(table, found.institution, found.code, found.subject)
        console.print(table)
