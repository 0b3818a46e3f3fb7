"""All verbs of `skolebro`; each opens the bridge, asks it for one thing and shows the answer."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge import __version__
from bridge import app as bridge_app
from bridge.app import AlreadyRunning, Bridge, preview_folders
from bridge.app.crew import at_work
from bridge.app.notices import make_notices, untold
from bridge.cli import foresee, show
from bridge.cli.anomalies import anomalies
from bridge.cli.certify import certify_receiver
from bridge.cli.common import (
    BAD_CONFIG,
    BROKEN_AUDIT,
    BUSY,
    CONFIG,
    DONE,
    INTERRUPTED,
    UNAVAILABLE,
    UNFINISHED,
    Config,
    Json,
    Limit,
    fail,
    open_configured,
    who,
)
from bridge.cli.db import db_app
from bridge.cli.disclosures import print_disclosures
from bridge.cli.history import events, history_app, replay_events, snapshot
from bridge.cli.holds import holds_app, kept_app
from bridge.cli.init import SourceKind, write_example
from bridge.cli.mapping import mapping_app
from bridge.cli.notices import notices_app, said
from bridge.cli.printing import line
from bridge.cli.quarantine import quarantine_app
from bridge.cli.reconcile import reconcile_app, resync_target
from bridge.cli.report import print_report
from bridge.cli.simulate import simulate
from bridge.cli.target import target_app
from bridge.cli.trace import trace_person
from bridge.cli.vendors import vendors_app
from bridge.domain.errors import BridgeError, ConfigError, MappingError, SourceError, StoreError
from bridge.domain.ids import CanonicalId
from bridge.domain.tracing import decision_id
from bridge.engine.audit import verify
from bridge.engine.breaker import hurry
from bridge.engine.guard import REJECTED
from bridge.engine.history import Compacted
from bridge.engine.members import ROLES
from bridge.engine.notices import tell_holds
from bridge.engine.reconcile_mend import retry
from bridge.observe import install_excepthook
from bridge.registry import Registry

EXIT_CODES = """Exit codes: 0 done · 1 finished, but something failed or is still to be sent; of `status`:
something needs a person · 2 the configuration or the command is wrong · 3 state or source cannot be used now ·
4 another skolebro works on this state · 5 the audit chain does not verify · 130 interrupted"""

app = typer.Typer(
    help="Skolebro, the bridge between STIL's school data and the platforms that schools use.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
deliveries_app = typer.Typer(help="What each target should have and what it confirmed.", no_args_is_help=True)
audit_app = typer.Typer(help="The chain of every disclosure.", no_args_is_help=True)
app.add_typer(holds_app, name="holds")
app.add_typer(kept_app, name="kept")
app.add_typer(deliveries_app, name="deliveries")
app.add_typer(audit_app, name="audit")
app.add_typer(notices_app, name="notices")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(history_app, name="history")
app.add_typer(reconcile_app, name="reconcile")
app.add_typer(mapping_app, name="mapping")
app.add_typer(target_app, name="target")
app.add_typer(vendors_app, name="vendors")
app.add_typer(db_app, name="db")
app.add_typer(simulate, name="simulate")
app.command("anomalies")(anomalies)
app.command("trace")(trace_person)
app.command("resync")(resync_target)
app.command("events")(events)
app.command("replay")(replay_events)
app.command("snapshot")(snapshot)
app.command("disclosures")(print_disclosures)
app.command("report")(print_report)
app.command("certify")(certify_receiver)

Roles = Annotated[list[str] | None, typer.Option("--role", help="What this process does; may be given again.")]
Monitor = Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Where health and metrics answer.")]
Target = Annotated[str | None, typer.Option(help="A target's id, <municipality>/<name>.")]


def main() -> None:
    """Run the command; errors of ours become one sentence on stderr and their exit code."""
    install_excepthook()
    try:
        typer.main.get_command(app)()  # app() would put its own excepthook over ours, which quotes values
    except KeyboardInterrupt:
        fail("interrupted; what was confirmed is kept, the rest goes on next time", INTERRUPTED)
    except BridgeError as error:
        fail(str(error), _code(error))


def _code(error: BridgeError) -> int:
    match error:
        case ConfigError() | MappingError() | Compacted():
            return BAD_CONFIG
        case AlreadyRunning():
            return BUSY
        case StoreError() | SourceError():
            return UNAVAILABLE
        case _:
            return UNFINISHED


# ---------------------------------------------------------------- the way of the data


@app.command()
def run(config: Config = CONFIG, role: Roles = None, monitor: Monitor = None) -> None:
    """Run as a daemon until SIGTERM or Ctrl-C; a second signal ends it at once, which loses nothing.

    With a `database` in the configuration any number of processes may run on any number of machines, each in all
    roles or in those that are named: ingest (asks sources), publish (events to the broker), deliver, web.
    With --monitor it answers /health/live, /health/ready and /metrics there, and nothing else.
    """
    from bridge.daemon import run_daemon  # web server and broker clients: no other verb needs them

    wanted = frozenset(role or ROLES)
    unknown = sorted(wanted - ROLES)
    if unknown:
        raise ConfigError(f"--role {unknown[0]}: allowed are {', '.join(sorted(ROLES))}")
    run_daemon(open_configured(config), wanted, monitor)


@app.command()
def sync(config: Config = CONFIG, json: Json = False) -> None:
    """One pass: take what the sources have, then deliver until nothing is due.

    Exit code 1 when something was refused or failed, or is still to be sent. What waits for a person's decision is
    shown, told to whoever `notices` names, and no failure: `skolebro status` ends with 1 for it.

    Where stderr is no terminal (cron, a pipe), log lines go there as JSON; see `log` in the configuration.
    """
    bridge = open_configured(config)
    notices = make_notices(bridge, bridge.teller)
    with at_work(bridge, ROLES, is_alone=True):
        problems = _with_progress(bridge)
        if notices is not None:
            tell_holds(notices)
            said(untold(notices))
    status = bridge.status()
    show.synced(status, problems, json)
    is_open = any(not one.is_off and (one.due > one.resting or one.rejected) for one in status.targets)
    is_refused = any(
        place.result in ("refused", "failed") and place.reason != REJECTED for place in status.institutions
    )
    raise SystemExit(UNFINISHED if problems or is_open or is_refused else DONE)


def _with_progress(bridge: Bridge) -> list[str]:
    """Sync in a thread of its own while this one shows how far it is."""
    ended: list[list[str] | BaseException] = []

    def work() -> None:
        try:
            ended.append(bridge.sync())
        except BaseException as error:  # raised again by the main thread
            ended.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    with show.progress(bridge.status) as tick:
        while thread.is_alive():
            thread.join(0.2)
            tick()
    if isinstance(ended[0], BaseException):
        raise ended[0]
    return ended[0]


@app.command()
def preview(
    folders: Annotated[list[Path], typer.Argument(help="Folders of exports, each one later day.")],
    json: Json = False,
) -> None:
    """Read each folder of exports as one later day and show what would change; keeps and sends nothing."""
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"{folder} is no folder; give folders that hold *.xml exports")
    runs = preview_folders(folders, Registry())
    foresee.previewed(runs, json)


@app.command()
def plan(config: Config = CONFIG, json: Json = False) -> None:
    """Show what a sync would change in each target; sends and keeps nothing.

    Exit code 1 when a source or an institution gives nothing that can be used.
    """
    found = open_configured(config).plan()
    foresee.planned(found, json)
    is_refused = any(run.result in ("refused", "failed") and run.reason != REJECTED for run in found.snapshots)
    raise SystemExit(UNFINISHED if found.unavailable or is_refused else DONE)


# ---------------------------------------------------------------- looking


@app.command()
def status(config: Config = CONFIG, json: Json = False) -> None:
    """Show what the bridge does and what needs a person. Exit code 1 when something does."""
    now = open_configured(config).status()
    show.status(now, json)
    raise SystemExit(DONE if now.is_well else UNFINISHED)


@app.command()
def check(
    config: Config = CONFIG,
    json: Json = False,
    offline: Annotated[bool, typer.Option(help="Do not call any target.")] = False,
) -> None:
    """Check configuration, secrets, state and (unless --offline) every target; changes nothing."""
    found = bridge_app.check(open_configured(config), is_offline=offline)
    show.checked(found, json)
    raise SystemExit(DONE if all(result.ok for result in found) else UNFINISHED)


# ---------------------------------------------------------------- deliveries and audit


@deliveries_app.command("list")
def deliveries_list(
    config: Config = CONFIG,
    target: Target = None,
    state: Annotated[str | None, typer.Option(help="due, rejected or confirmed.")] = None,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List deliveries by target, without personal values."""
    if state not in (None, "due", "rejected", "confirmed"):
        raise ConfigError(f"--state {state}: allowed are due, rejected, confirmed")
    bridge = open_configured(config)
    rows: list[Any] = []
    with bridge.store.read() as reader:
        for name in bridge.settings.named(target):
            rows += reader.deliveries(name, state, None, limit - len(rows)) if len(rows) < limit else []
    show.deliveries(rows, json)


@deliveries_app.command("retry")
def deliveries_retry(
    ids: Annotated[list[str] | None, typer.Argument(help="Canonical ids; none: all.")] = None,
    config: Config = CONFIG,
    target: Target = None,
    json: Json = False,
) -> None:
    """Try rejected deliveries again and those that wait, now instead of later; without ids it also ends pauses."""
    bridge = open_configured(config)
    now = bridge.clock.now()
    wanted = [CanonicalId(identity) for identity in ids] if ids else None
    cause = decision_id("deliveries.retried", target or "all", who(), now.isoformat())
    with bridge.store.write() as uow:
        number = 0
        for name in bridge.settings.named(target):
            number += retry(uow, name, wanted, now, cause)
            if wanted is None:
                number += uow.wake(name, None, now)
                hurry(uow, name)
        told = {"kind": "deliveries.retried", "target": target or "all", "count": number}
        bridge.book(who()).on(cause).write(uow, [told])
    show.retried(number, json)


@audit_app.command("verify")
def audit_verify(
    config: Config = CONFIG,
    expect: Annotated[
        str | None, typer.Option(metavar="SIZE:HASH", help="A head that was noted elsewhere earlier.")
    ] = None,
    json: Json = False,
) -> None:
    """Walk the whole chain. Exit code 5 when it does not hold."""
    with open_configured(config).store.read() as reader:
        verdict = verify(reader, expect)
    show.verdict(verdict, json)
    raise SystemExit(DONE if verdict.ok else BROKEN_AUDIT)


# ---------------------------------------------------------------- beginning


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where the configuration is written.")] = Path(),
    municipality: Annotated[str, typer.Option(help="Municipality code.")] = "0999",
    name: Annotated[str, typer.Option(help="The municipality's name.")] = "Eksempel Kommune",
    source: Annotated[SourceKind, typer.Option(help="Where exports come from.")] = SourceKind.FOLDER,
) -> None:
    """Write a first configuration, with a drop folder or for STIL's services, and explain the next step."""
    line(write_example(folder, municipality, name, source))


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        line(f"skolebro {__version__}")
        raise SystemExit(DONE)
