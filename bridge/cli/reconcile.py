"""`skolebro reconcile`: read targets back and show what differs; `skolebro resync`: send all of it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bridge.app import Bridge
from bridge.app.reconcile import name_of, reconcilers
from bridge.cli.common import CONFIG, DONE, UNFINISHED, Config, Json, fail, open_configured, who
from bridge.cli.printing import add_row, console, line, new_table, print_json
from bridge.domain.errors import ConfigError, TargetError
from bridge.domain.ids import TargetId
from bridge.engine.reconcile import Reconciler, Report, reconcile, shown
from bridge.engine.reconcile_mend import resync, unpark
from bridge.ports import Drift

_NOW = "now"


class _ByDefault(TyperGroup):
    """`skolebro reconcile 0751/platform --repair` is short for `skolebro reconcile now 0751/platform --repair`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_named = bool(args) and (args[0] in self.commands or args[0] in ("--help", "-h"))
        return list(super().parse_args(ctx, args if is_named else [_NOW, *args]))


reconcile_app = typer.Typer(
    help="Compare what targets have with what they confirmed. Without a word of its own: `now`.", cls=_ByDefault
)

Name = Annotated[str | None, typer.Argument(metavar="[TARGET]", help="A target's id, <municipality>/<name>.")]


@reconcile_app.command(_NOW)
def reconcile_now(
    target: Name = None,
    config: Config = CONFIG,
    repair: Annotated[
        bool, typer.Option("--repair", help="Set right what can be, whatever is configured.")
    ] = False,
    json: Json = False,
) -> None:
    """Read targets back and show what differs; sends nothing, what is set right goes with the next deliveries.

    Without --repair nothing is set right, but for what a person has approved. Exit code 1 when something stays as
    it is, or a target could not be read.
    """
    bridge = open_configured(config)
    reports: list[Report] = []
    problems: list[str] = []
    with bridge.alone():
        for one in _chosen(bridge, target):
            try:
                report = reconcile(one.lane, "restore" if repair else "report", bridge.teller)
            except TargetError as error:
                problems.append(
                    f"{name_of(one)} could not be read back: {error}. Nothing was concluded or changed."
                )
                continue
            if report is None:
                problems.append(f"{name_of(one)} was not read: its mapping or scope is not applied yet.")
            else:
                reports.append(report)
    _show(reports, problems, json)
    raise SystemExit(UNFINISHED if problems or any(report.left for report in reports) else DONE)


@reconcile_app.command("list")
def reconcile_list(target: Name = None, config: Config = CONFIG, json: Json = False) -> None:
    """List what differed when targets were last read back: ids and names of fields, no values."""
    bridge = open_configured(config)
    with bridge.store.read() as reader:
        rows = [row for name in _names(bridge, target) for row in reader.drift(name)]
    if json:
        print_json({"drift": [_row(row) for row in rows]})
    else:
        _table(rows)


@reconcile_app.command("retry")
def reconcile_retry(target: Name = None, config: Config = CONFIG, json: Json = False) -> None:
    """Let what a target kept changing back be set right again, by the next reading that sets anything right."""
    bridge = open_configured(config)
    by = who()
    number = unpark(bridge.store, bridge.book(by), _names(bridge, target), by)
    if json:
        print_json({"retried": number})
    else:
        line(f"{number} parked entities are set right again by the next `skolebro reconcile --repair`,")
        line("or by the daemon in its turn where `reconcile: {repair: restore}` is configured.")


def resync_target(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A target's id, <municipality>/<name>.")],
    config: Config = CONFIG,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it only the number is shown.")] = False,
    json: Json = False,
) -> None:
    """Send everything that a target should have once more; the running daemon or the next sync does it."""
    bridge = open_configured(config)
    (name,) = _names(bridge, target)
    if not yes:
        number = _number(bridge, name)
        fail(
            f"{number} entities would be sent to {name} again; with --yes they are. Nothing was changed",
            UNFINISHED,
        )
    by = who()
    number = resync(bridge.store, bridge.book(by), name, by, bridge.clock.now())
    if json:
        print_json({"target": name, "due": number})
    else:
        line(f"{number} entities are sent to {name} again, by the running daemon or the next sync.")


def _number(bridge: Bridge, name: TargetId) -> int:
    with bridge.store.read() as reader:
        counts = reader.delivery_counts(name, bridge.clock.now())
    return counts.confirmed


def _names(bridge: Bridge, wanted: str | None) -> list[TargetId]:
    known = [target.id for target in bridge.settings.targets]
    if wanted is not None and wanted not in known:
        raise ConfigError(f"no target {wanted!r}; there are {', '.join(known) or 'none'}")
    return [TargetId(wanted)] if wanted is not None else known


def _chosen(bridge: Bridge, wanted: str | None) -> list[Reconciler]:
    names = _names(bridge, wanted)
    found = [one for one in reconcilers(bridge) if name_of(one) in names]
    if wanted is not None and not found:
        raise ConfigError(f"{wanted} cannot be read back; what it confirms is all that is known of it")
    return found


# ---------------------------------------------------------------- showing


def _show(reports: Sequence[Report], problems: Sequence[str], json: bool) -> None:
    if json:
        print_json({"targets": [_report(report) for report in reports], "problems": list(problems)})
        return
    for problem in problems:
        line(f"! {problem}")
    for report in reports:
        line(_sentence(report))
        _table(report.drift)
        if report.hold is not None:
            line(
                f"That is much: hold {report.hold} asks for a decision first; `skolebro holds show {report.hold}`."
            )
    if not reports and not problems:
        line("No target can be read back.")


def _sentence(report: Report) -> str:
    counts = ", ".join(f"{number} {what}" for what, number in sorted(shown(report.drift).items()))
    mended = f"; {len(report.mended)} are set right with the next deliveries" if report.mended else ""
    return (
        f"{report.target}: {report.read} read, {report.foreign} not ours, {counts or 'nothing differs'}{mended}."
    )


def _report(report: Report) -> dict[str, Any]:
    return {
        "target": report.target,
        "at": report.at.isoformat(),
        "read": report.read,
        "foreign": report.foreign,
        "counts": shown(report.drift),
        "mended": len(report.mended),
        "left": report.left,
        "hold": report.hold,
        "drift": [_row(row) for row in report.drift],
    }


def _row(row: Drift) -> dict[str, Any]:
    return {
        "target": row.target,
        "entity": row.kind.value,
        "id": row.id,
        "what": row.what,
        "fields": list(row.fields),
        "rounds": row.rounds,
        "state": row.state,
        "seen_at": row.seen_at.isoformat(),
    }


def _table(rows: Sequence[Drift]) -> None:
    table = new_table("target", "entity", "id", "what", "fields", "rounds", "state")
    for row in rows:
        add_row(table, row.target, row.kind.value, row.id, row.what, ", ".join(row.fields), row.rounds, row.state)
    if rows:
        console.print(table)
