"""What is set aside: `quarantine list` says which record, why, and who must do what; ids only, no values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from bridge.cli.common import CONFIG, Config, Json, Limit, open_configured
from bridge.cli.printing import add_row, console, line, new_table, print_json
from bridge.domain.errors import ConfigError
from bridge.domain.tracing import trace_id
from bridge.observe import meaning_of
from bridge.ports import InstitutionState, QuarantineRow, Reader, Run

quarantine_app = typer.Typer(help="Records that are out of use, each by itself.", no_args_is_help=True)


@quarantine_app.callback()
def _quarantine() -> None:
    """Keep `list` a verb of its own."""


@quarantine_app.command("list")
def quarantine_list(
    config: Config = CONFIG,
    institution: Annotated[str | None, typer.Option(help="Only those of this institution number.")] = None,
    municipality: Annotated[str | None, typer.Option(help="Only those of this municipality code.")] = None,
    noted: Annotated[bool, typer.Option("--noted", help="What is odd but used too.")] = False,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List the records that are set aside: where each stands, why, since when, and who must do what.

    Each is released by itself, by the next good snapshot in which it can be used.
    """
    bridge = open_configured(config)
    codes = [m.code for m in bridge.settings.municipalities]
    if municipality is not None and municipality not in codes:
        raise ConfigError(f"no municipality {municipality!r} in {config}; there are {', '.join(codes)}")
    with bridge.store.read() as reader:
        states = _states(reader, institution, municipality)
        if institution is not None and not states:
            raise ConfigError(
                f"nothing is stored of institution {institution}; `skolebro status` shows which there are"
            )
        rows = list(_rows(reader, states, is_noted=noted))
        runs = reader.runs_by_id({row.run for row in rows[:limit]})
    _show(rows[:limit], runs, len(rows) - limit, json)


def _states(reader: Reader, institution: str | None, municipality: str | None) -> list[InstitutionState]:
    return [
        state
        for state in reader.institution_states()
        if institution in (None, state.institution) and municipality in (None, state.municipality)
    ]


def _rows(reader: Reader, states: Sequence[InstitutionState], *, is_noted: bool) -> Iterator[QuarantineRow]:
    for state in states:
        for row in reader.quarantine_of(state.municipality, state.institution):
            if is_noted or row.severity == "quarantined":
                yield row


def _show(rows: Sequence[QuarantineRow], runs: dict[str, Run], more: int, json: bool) -> None:
    if json:
        print_json({"records": [_record(row, runs) for row in rows], "more": max(0, more)})
        return
    if not rows:
        line("No record is set aside.")
        return
    table = new_table("municipality", "institution", "user id", "path", "reason", "since", "run")
    for row in rows:
        place = (row.municipality, row.institution, row.user_id, row.path)
        add_row(table, *place, row.reason, _since(row, runs), row.run)
    console.print(table)
    if more > 0:
        line(f"and {more} more: --limit or --institution shows them.")
    for reason, severity in sorted({(row.reason, row.severity) for row in rows}):
        meaning = meaning_of(reason, severity)
        line(f"{reason}: {meaning.what}.")
        line(f"  What to do: {meaning.remedy}.")
    severities = {row.severity for row in rows}
    if "quarantined" in severities:
        line("What was stored of these people and groups stays. The next good snapshot releases each by itself.")
    if "noted" in severities:
        line("What is only noted is used; the note goes with the next good snapshot that is without it.")


def _since(row: QuarantineRow, runs: dict[str, Run]) -> str | None:
    run = runs.get(row.run)
    return run.at.isoformat(timespec="seconds") if run else None


def _record(row: QuarantineRow, runs: dict[str, Run]) -> dict[str, Any]:
    meaning = meaning_of(row.reason, row.severity)
    return {
        "municipality": row.municipality,
        "institution": row.institution,
        "user_id": row.user_id,
        "path": row.path,
        "severity": row.severity,
        "reason": row.reason,
        "what": meaning.what,
        "remedy": meaning.remedy,
        "run": row.run,
        "trace_id": trace_id(row.run),
        "since": _since(row, runs),
    }
