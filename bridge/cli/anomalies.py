"""What each school can mend at the source: counts, groups and, when asked for, user ids; never a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from bridge.cli.common import CONFIG, Config, open_configured, who
from bridge.cli.forms import AsCsv, AsForm, AsJson, Form, form_of, write_sheet
from bridge.cli.printing import add_row, console, line, new_table, print_json
from bridge.domain.anomalies import Anomaly, AnomalyCode
from bridge.domain.errors import ConfigError
from bridge.engine.anomalies import RULES, Findings
from bridge.engine.report import note_shown

_FEW = 5
_HEADS = ("municipality", "institution", "code", "severity", "what", "what to do", "groups", "people", "also at")


def anomalies(
    config: Config = CONFIG,
    institution: Annotated[str | None, typer.Option(help="Only this institution number.")] = None,
    municipality: Annotated[str | None, typer.Option(help="Only this municipality code.")] = None,
    code: Annotated[str | None, typer.Option(help="Only what this rule finds.")] = None,
    ids: Annotated[bool, typer.Option("--ids", help="Each finding by itself, with user ids.")] = False,
    form: AsForm = None,
    json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show what schools can mend in their own systems: an empty class, a pupil in no class, one CPR number twice.

    It is looked for in what is stored, at every call. User ids are shown with --ids only, and then that is
    written into the audit chain.
    """
    written = form_of(form, json, as_csv)
    wanted = _rule(code)
    bridge = open_configured(config)
    codes = [one.code for one in bridge.settings.municipalities]
    if municipality is not None and municipality not in codes:
        raise ConfigError(f"no municipality {municipality!r} in {config}; there are {', '.join(codes)}")
    bridge.look_for_anomalies()
    found = [
        one.but([other for other in AnomalyCode if wanted not in (None, other)])
        for one in bridge.findings()
        if institution in (None, one.institution) and municipality in (None, one.municipality)
    ]
    if institution is not None and not found:
        raise ConfigError(
            f"nothing is stored of institution {institution}; `skolebro status` shows which there are"
        )
    if ids:
        shown = Counter[str]()
        for one in found:
            shown[one.municipality] += sum(len(each.users) for each in one.anomalies)
        note_shown(bridge.store, bridge.book(who()), "anomalies", shown)
    match written:
        case Form.JSON:
            print_json({"institutions": [_institution(one, ids) for one in found if one.anomalies]})
        case Form.CSV:
            heads = (*_HEADS, "user ids") if ids else _HEADS
            write_sheet(heads, (_cells(one, each, ids) for one in found for each in one.anomalies))
        case Form.TEXT:
            _show(found, ids)


def _rule(code: str | None) -> AnomalyCode | None:
    if code is None:
        return None
    try:
        return AnomalyCode(code)
    except ValueError:
        raise ConfigError(f"--code {code}: there is no such rule; there are {', '.join(AnomalyCode)}") from None


# ---------------------------------------------------------------- for people


def _show(found: Sequence[Findings], ids: bool) -> None:
    if not any(one.anomalies for one in found):
        line("No anomalies: the schools have nothing to mend.")
        return
    if ids:
        _show_each(found)
    else:
        _show_counts(found)
    for code in sorted({anomaly.code for one in found for anomaly in one.anomalies}, key=list(AnomalyCode).index):
        rule = RULES[code]
        line(f"{code}: {rule.what}.")
        line(f"  What to do: {rule.remedy}.")


def _show_counts(found: Sequence[Findings]) -> None:
    table = new_table("municipality", "institution", "rule", "severity", "found", "groups")
    for one in found:
        for code, number in one.counts.items():
            groups = sorted({group for each in one.anomalies if each.code == code for group in each.groups})
            more = f" and {len(groups) - _FEW} more" if len(groups) > _FEW else ""
            severity = RULES[AnomalyCode(code)].severity
            shown = ", ".join(groups[:_FEW]) + more
            add_row(table, one.municipality, one.institution, code, severity, number, shown)
    console.print(table)


def _show_each(found: Sequence[Findings]) -> None:
    table = new_table("municipality", "institution", "rule", "groups", "user ids", "also at")
    for one in found:
        for each in one.anomalies:
            place = (one.municipality, one.institution, each.code)
            add_row(table, *place, ", ".join(each.groups), ", ".join(each.users), ", ".join(each.also_at))
    console.print(table)


# ---------------------------------------------------------------- for programs and spreadsheets


def _institution(one: Findings, ids: bool) -> dict[str, Any]:
    return {
        "municipality": one.municipality,
        "institution": one.institution,
        "counts": one.counts,
        "anomalies": [_anomaly(each, ids) for each in one.anomalies],
    }


def _anomaly(each: Anomaly, ids: bool) -> dict[str, Any]:
    rule = RULES[each.code]
    told = {
        "code": each.code,
        "severity": rule.severity,
        "what": rule.what,
        "remedy": rule.remedy,
        "groups": each.groups,
        "people": len(each.users),
        "also_at": each.also_at,
    }
    return told | {"users": each.users} if ids else told


def _cells(one: Findings, each: Anomaly, ids: bool) -> Iterator[str]:
    rule = RULES[each.code]
    yield from (one.municipality, one.institution, each.code, rule.severity, rule.what, rule.remedy)
    yield from (", ".join(each.groups), str(len(each.users)), ", ".join(each.also_at))
    if ids:
        yield ", ".join(each.users)
