"""`skolebro vendors`: who fetches or is sent events, what was disclosed to each, and its rights at the broker."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from bridge.app import Bridge
from bridge.app.vendor_rights import hashed, rights_of
from bridge.app.vendors import vendor_log
from bridge.cli.common import CONFIG, Config, Json, Limit, moment, open_configured
from bridge.cli.printing import add_row, console, line, new_table, print_json
from bridge.config import VendorSettings, queue_name, read_secret
from bridge.domain.errors import ConfigError
from bridge.domain.ids import TargetId
from bridge.engine.vendor_feed_cursor import AtLog
from bridge.engine.vendor_log import VendorLog
from bridge.engine.vendor_replay import ends_at

vendors_app = typer.Typer(help="Vendors, their delivery logs and their rights.", no_args_is_help=True)
Vendor = Annotated[str, typer.Argument(help="The vendor's name in the configuration.")]


@vendors_app.command("list")
def vendors_list(config: Config = CONFIG, json: Json = False) -> None:
    """List vendors with their municipalities and channels, and where each stands."""
    bridge = open_configured(config)
    rows = [_standing(bridge, vendor) for vendor in bridge.settings.vendors]
    if json:
        print_json({"vendors": rows})
        return
    if not rows:
        line("There are no vendors.")
        return
    table = new_table("vendor", "municipalities", "mapping", "last in its log", "targets", "queue")
    for row in rows:
        last = f"{row['last']['kind']} {row['last']['time']}" if row["last"] else "nothing"
        targets = ", ".join(f"{one['target']} ({_due(one)})" for one in row["targets"])
        add_row(
            table, row["vendor"], ", ".join(row["municipalities"]), row["mapping"], last, targets, row["queue"]
        )
    console.print(table)


@vendors_app.command("log")
def vendors_log(
    vendor: Vendor,
    config: Config = CONFIG,
    since: Annotated[str | None, typer.Option(help="From this time on.")] = None,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """Show what was disclosed to a vendor last, as the vendor itself sees it at /v1/deliveries."""
    bridge = open_configured(config)
    log = vendor_log(bridge, _named(bridge, vendor))
    at = moment(since, "--since")
    shown = _entries(log, log.at_time(at), limit) if at else log.newest(limit)
    if json:
        print_json({"vendor": vendor, "entries": shown})
        return
    for one in shown:
        line(_sentence(one))
    if len(shown) == limit:
        which = "The first" if at else "The last"
        line(f"{which} {limit}{' from there on' if at else ''}; there may be more: --since TIME or --limit.")
    if not shown:
        line(f"Nothing was disclosed to {vendor}{' since then' if at else ''}.")


@vendors_app.command("rights")
def vendors_rights(
    vendor: Vendor,
    config: Config = CONFIG,
    password_file: Annotated[
        Path | None, typer.Option(help="A file with the user's password (mode 0600), for --json: its hash.")
    ] = None,
    json: Json = False,
) -> None:
    """Print what lets a vendor's user at RabbitMQ read its queue and do nothing else; no password is shown."""
    bridge = open_configured(config)
    rights = rights_of(bridge, _named(bridge, vendor))
    if not json:
        if password_file is not None:
            raise ConfigError("--password-file goes with --json; rabbitmqctl asks for the password itself")
        for command in rights.commands():
            line(shlex.join(command))
        return
    password = (
        hashed(read_secret(password_file), bytes.fromhex(bridge.clock.new_key()))
        if password_file is not None
        else ""
    )
    print_json(rights.definitions(password))


def _named(bridge: Bridge, name: str) -> VendorSettings:
    for vendor in bridge.settings.vendors:
        if vendor.name == name:
            return vendor
    known = ", ".join(one.name for one in bridge.settings.vendors) or "none"
    raise ConfigError(f"no vendor {name!r}; there are {known}")


def _standing(bridge: Bridge, vendor: VendorSettings) -> dict[str, Any]:
    now = bridge.clock.now()
    last, targets = vendor_log(bridge, vendor).newest(1), []
    with bridge.store.read() as reader:
        for target in map(TargetId, vendor.section.targets):
            state = reader.target_state(target)
            due, ends = reader.delivery_counts(target, now).due, ends_at(reader, target)
            replay = ends.isoformat() if ends is not None and ends > now else None
            targets.append({"target": target, "due": due, "pause": state.pause_reason, "replay_until": replay})
    return {
        "vendor": vendor.name,
        "municipalities": list(vendor.municipalities),
        "mapping": vendor.mapping.name,
        "last": last[0] if last else None,
        "targets": targets,
        "queue": queue_name(vendor.name) if vendor.has_queue else None,
    }


def _due(target: dict[str, Any]) -> str:
    until = f", a replay until {target['replay_until'][:16]}" if target["replay_until"] else ""
    return f"{target['due']} due{until}" + (f", {target['pause']}" if target["pause"] else "")


def _entries(log: VendorLog, at: AtLog, limit: int) -> list[dict[str, Any]]:
    page = log.page(at, limit)
    assert page.body is not None  # noqa: S101 - only an etag that is known leaves it out
    shown: list[dict[str, Any]] = msgspec.json.decode(page.body)
    return shown


def _sentence(one: dict[str, Any]) -> str:
    match one["kind"]:
        case "fetch":
            kinds = ", ".join(f"{number} {kind}" for kind, number in one["entities"].items())
            told = f"fetched {one['what']} of {one['municipality']}, {one['from']} to {one['to']}: {kinds}"
        case "replay":
            told = f"had {one['entities']} of {one['target']} told again, {one['deletions']} as deleted"
        case _:
            why = f" ({one['reason']})" if "reason" in one else ""
            event = f"{one['type']} {one['subject']} version {one['entityversion']}"
            told = f"{one['target']}: {event} {one['outcome']}{why}, {one['id']}"
    return f"{one['time']} {told}"
