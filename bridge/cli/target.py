"""Targets as a whole: which there are and how they fare, and switching one on again that has stopped."""

from __future__ import annotations

from typing import Annotated

import typer

from bridge.app import Bridge
from bridge.cli.common import CONFIG, Config, Json, open_configured, who
from bridge.cli.printing import add_row, console, line, new_table, print_json
from bridge.domain.errors import ConfigError
from bridge.domain.ids import TargetId
from bridge.engine.breaker import resume

target_app = typer.Typer(help="The platforms that are kept up to date.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="TARGET", help="A target's id, <municipality>/<name>.")]


@target_app.command("list")
def target_list(config: Config = CONFIG, json: Json = False) -> None:
    """List the configured targets: what they are, and whether anything is sent to them now."""
    bridge = open_configured(config)
    with bridge.store.read() as reader:
        rows = [
            {
                "target": target.id,
                "connector": target.connector.name,
                "system": target.config.system,
                "mapping": target.mapping.name,
                "is_sent": target.config.discloses,
                "pause_reason": reader.target_state(target.id).pause_reason,
            }
            for target in bridge.settings.targets
        ]
    if json:
        print_json({"targets": rows})
        return
    table = new_table("target", "connector", "system", "mapping", "now")
    for row in rows:
        now = (
            f"pauses: {row['pause_reason']}"
            if row["pause_reason"]
            else "on"
            if row["is_sent"]
            else "observes only"
        )
        add_row(table, row["target"], row["connector"], row["system"], row["mapping"], now)
    console.print(table)


@target_app.command("resume")
def target_resume(target: Name, config: Config = CONFIG, json: Json = False) -> None:
    """End a target's pause: one that asked for nothing more (410) is sent to again, any other at once."""
    bridge = open_configured(config)
    name = _known(bridge, target)
    with bridge.store.write() as uow:
        reason = resume(uow, name)
        if reason is not None:
            bridge.book(who()).write(uow, [{"kind": "target.resumed", "target": name, "reason": reason}])
    if json:
        print_json({"target": name, "paused_for": reason})
    elif reason is None:
        line(f"{name} does not pause. Nothing was changed.")
    else:
        line(f"{name} is sent to again, by the running daemon or the next sync. It had paused: {reason}.")


def _known(bridge: Bridge, wanted: str) -> TargetId:
    known = [target.id for target in bridge.settings.targets]
    if wanted not in known:
        raise ConfigError(f"no target {wanted!r}; there are {', '.join(known) or 'none'}")
    return TargetId(wanted)
