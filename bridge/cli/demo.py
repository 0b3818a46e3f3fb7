"""The demonstration: real processes on loopback, a live view, and nothing left behind but a folder."""

from __future__ import annotations

import base64
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import requests
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bridge.cli.processes import await_port, free_port, private, process, require_free, scim_command
from bridge.domain.errors import ConfigError, SourceUnavailable
from bridge.testing.aula_receiver import AulaReceiver
from bridge.testing.stil_municipality import Municipality
from bridge.testing.stil_server import StilServer

_MARK = "made-by-skolebro-simulate"

_CONFIG = """\
state_folder: state
municipalities:
  "{code}":
    name: Eksempel Kommune
    institutions: all
    interval: 5s
    # A school day takes seconds here: what is meant to take a day shall not.
    guard: {{window: 0s, deletion_grace: 10s}}
    source:
      connector: stil
      base_url: {stil}
      udbydersystem_id: demo
    targets:
      platform:
        connector: scim
        base_url: {scim}
        token_file: scim-token
        leavers: {{retention: 30s}}
      aula:
        connector: aula
        mode: agreement
        agreement: none, this is a stand-in
        base_url: {aula}
        secret_file: aula-secret
web:
  listen: {listen}
log:
  format: json
"""


def run_demo(folder: Path, municipality: Municipality, day_seconds: float, listen: str, stopping: Event) -> None:
    """Run all parts until the event; ends every process that it started.

    Raises `ConfigError` when the folder is not ours to empty or the port is taken, `SourceUnavailable`
    when a part does not come up.
    """
    console = Console()
    host, _, number = listen.rpartition(":")
    require_free(host, int(number), "--listen")
    _fresh(folder)
    token, secret = secrets.token_hex(24), "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    private(folder / "scim-token", token)
    private(folder / "aula-secret", secret)
    with ExitStack() as stack:
        stil = stack.enter_context(StilServer(municipality, day_seconds=day_seconds))
        aula = stack.enter_context(AulaReceiver(secret))
        scim_port = free_port()
        scim = f"http://127.0.0.1:{scim_port}/v2"
        server = stack.enter_context(process(scim_command(scim_port, token), folder / "scim-server.log"))
        await_port(scim_port, server, stopping)
        config = folder / "skolebro.yaml"
        config.write_text(
            _CONFIG.format(code=municipality.code, stil=stil.url, scim=scim, aula=aula.url, listen=listen)
        )
        command = [sys.executable, "-m", "bridge.cli", "run", "--config", str(config)]
        bridge = stack.enter_context(process(command, folder / "skolebro.log"))
        console.print(f"STIL simulator {stil.url} · SCIM server {scim} · Aula stand-in {aula.url}")
        console.print(f"Status page http://{listen}/ · log {folder / 'skolebro.log'} · Ctrl-C ends everything")
        _watch(console, f"http://{listen}/status", bridge, municipality, stopping)
    console.print("All parts have ended.")


# ---------------------------------------------------------------- parts


def _fresh(folder: Path) -> None:
    if folder.exists() and not (folder / _MARK).exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} holds files that are not the demonstration's; name another one with --folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    (folder / _MARK).touch()


# ---------------------------------------------------------------- the live view


def _watch(
    console: Console, url: str, bridge: subprocess.Popen[bytes], municipality: Municipality, stopping: Event
) -> None:
    session = requests.Session()
    session.trust_env = False
    show = _live if console.is_terminal else _lines
    with show(console) as update:
        while not stopping.is_set():
            if bridge.poll() is not None:
                raise SourceUnavailable(f"the bridge ended with exit code {bridge.returncode}; see skolebro.log")
            status = _status(session, url)
            if status is not None:
                update(municipality.day, status)
            stopping.wait(1.0)


def _status(session: requests.Session, url: str) -> dict[str, Any] | None:
    try:
        status: dict[str, Any] = session.get(url, timeout=5).json()
    except requests.RequestException:
        return None
    return status


@contextmanager
def _live(console: Console) -> Iterator[Any]:
    with Live(console=console, refresh_per_second=2) as live:
        yield lambda day, status: live.update(_picture(day, status))


def _picture(day: int, status: dict[str, Any]) -> Group:
    table = Table(title=f"Day {day}", title_justify="left", box=None)
    for column in ("target", "confirmed", "due", "rejected", "paused"):
        table.add_column(column, justify="left" if column in ("target", "paused") else "right")
    for one in status["targets"]:
        numbers = (f"{one[name]:,}" for name in ("confirmed", "due", "rejected"))
        table.add_row(one["target"], *numbers, one["pause_reason"] or "")
    recorded = sum(1 for one in status["institutions"] if one["recorded_at"])
    events = sum(one["last_sequence"] for one in status["municipalities"])
    people = sum(one["persons"] for one in status["municipalities"])
    head = Text(f"{recorded} institutions recorded · {people:,} persons · {events:,} events")
    needs = [Text(f"! {sentence}", style="yellow") for sentence in status["attention"]]
    return Group(head, table, *(needs or [Text("All well.", style="green")]))


@contextmanager
def _lines(console: Console) -> Iterator[Any]:
    """One plain line whenever the numbers have moved."""
    last: list[str] = []

    def update(day: int, status: dict[str, Any]) -> None:
        targets = " ".join(
            f"{one['target']}: {one['confirmed']} confirmed, {one['due']} due;" for one in status["targets"]
        )
        text = f"day {day}: {targets} {len(status['attention'])} need a person"
        if [text] != last:
            last[:] = [text]
            console.print(text, soft_wrap=True, highlight=False)

    yield update
