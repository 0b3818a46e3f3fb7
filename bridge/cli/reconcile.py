"""`skolebro reconcile`: read targets back and show what differs; `skolebro resync`: send all of it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bridge.app import Bridge
from bridge.app.crew import at_work
from bridge.app.reconcile import name_of, reconcilers
from bridge.cli import show
from bridge.cli.common import CONFIG, DONE, UNFINISHED, Config, Json, fail, open_configured, who
from bridge.cli.printing import line, print_json
from bridge.domain.errors import ConfigError, TargetError
from bridge.domain.ids import TargetId
from bridge.engine.members import ROLES
from bridge.engine.reconcile import Reconciler, Report, reconcile, shown
from bridge.engine.reconcile_mend import resync, to_resync, unpark
from bridge.ports import Drift

_NOW = "now"
_SHOWN = 40


class _ByDefault(TyperGroup):
    """`skolebro reconcile 0751/platform --repair` is short for `skolebro reconcile now 0751/platform --repair`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_named = bool(args) and (args[0] in self.commands or args[0] in ("--help", "-h"))
        return list(super().parse_args(ctx, args if is_named else [_NOW, *args]))


reconcile_app = typer.Typer(
    help="Compare what targets have with what they confirmed. Without a word of its own: `now`.", cls=_ByDefault
)

All = Annotated[bool, typer.Option("--all", help=f"Show all that differs, not only {_SHOWN} of it.")]
Name = Annotated[str | None, typer.Argument(metavar="[TARGET]", help="A target's id, <municipality>/<name>.")]


@reconcile_app.command(_NOW)
def reconcile_now(
    target: Name = None,
    config: Config = CONFIG,
    repair: Annotated[
        bool, typer.Option("--repair", help="Set right what can be, whatever is configured.")
    ] = False,
    every: All = False,
    json: Json = False,
) -> None:
    """Read targets back and show what differs; sends nothing, what is set right goes with the next deliveries.

    Without --repair nothing is set right, but for what a person has approved. Exit code 1 when something stays as
    it is, or a target could not be read.
    """
    bridge = open_configured(config)
    reports: list[Report] = []
    problems: list[str] = []
    with at_work(bridge, ROLES, is_alone=True):
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
    keys = _keys_of(bridge, [row for report in reports for row in report.drift])
    _show(reports, problems, keys, json=json, limit=None if every else _SHOWN)
    raise SystemExit(UNFINISHED if problems or any(report.left for report in reports) else DONE)


@reconcile_app.command("list")
def reconcile_list(target: Name = None, config: Config = CONFIG, every: All = False, json: Json = False) -> None:
    """List what differed when targets were last read back: keys, ids and names of fields, no values."""
    bridge = open_configured(config)
    with bridge.store.read() as reader:
        rows = [row for name in bridge.settings.named(target) for row in reader.drift(name)]
    keys = _keys_of(bridge, rows)
    if json:
        print_json({"drift": [_row(row, keys) for row in rows]})
    else:
        show.differences(rows, keys, None if every else _SHOWN)


@reconcile_app.command("retry")
def reconcile_retry(target: Name = None, config: Config = CONFIG, json: Json = False) -> None:
    """Let what a target kept changing back be set right again, by the next reading that sets anything right."""
    bridge = open_configured(config)
    by = who()
    number = unpark(bridge.store, bridge.book(by), bridge.settings.named(target), by)
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
    (name,) = bridge.settings.named(target)
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
        return len(to_resync(reader, name))


def _chosen(bridge: Bridge, wanted: str | None) -> list[Reconciler]:
    names = bridge.settings.named(wanted)
    found = [one for one in reconcilers(bridge) if name_of(one) in names]
    if wanted is not None and not found:
        raise ConfigError(f"{wanted} cannot be read back; what it confirms is all that is known of it")
    return found


def _keys_of(bridge: Bridge, rows: Sequence[Drift]) -> show.Keys:
    with bridge.store.read() as reader:
        found = {(row.target, row.id): reader.delivery(row.target, row.id) for row in rows}
    return {place: delivery.key for place, delivery in found.items() if delivery is not None}


# ---------------------------------------------------------------- showing


def _show(
    reports: Sequence[Report], problems: Sequence[str], keys: show.Keys, *, json: bool, limit: int | None
) -> None:
    if json:
        print_json({"targets": [_report(report, keys) for report in reports], "problems": list(problems)})
        return
    for problem in problems:
        line(f"! {problem}")
    for report in reports:
        line(_sentence(report))
        show.differences(report.drift, keys, limit)
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


def _report(report: Report, keys: show.Keys) -> dict[str, Any]:
    return {
        "target": report.target,
        "at": report.at.isoformat(),
        "read": report.read,
        "foreign": report.foreign,
        "counts": shown(report.drift),
        "mended": len(report.mended),
        "left": report.left,
        "hold": report.hold,
        "drift": [_row(row, keys) for row in report.drift],
    }


def _row(row: Drift, keys: show.Keys) -> dict[str, Any]:
    return {
        "target": row.target,
        "entity": row.kind.value,
        "id": row.id,
        "key": list(keys.get((row.target, row.id), ())),
        "what": row.what,
        "fields": list(row.fields),
        "rounds": row.rounds,
        "state": row.state,
        "seen_at": row.seen_at.isoformat(),
    }
