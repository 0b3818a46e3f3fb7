"""Stand-ins to try the bridge against: a made-up STIL, an Aula receiver, and a demonstration of all parts."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from bridge.config import read_secret
from bridge.testing.aula_receiver import AulaReceiver
from bridge.testing.loopback import LoopbackServer
from bridge.testing.stil_municipality import Municipality
from bridge.testing.stil_server import StilServer

simulate = typer.Typer(help="Made-up systems to try the bridge against; loopback only.", no_args_is_help=True)

Port = Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")]


def until_signal() -> Event:
    """Return an event that Ctrl-C or SIGTERM sets."""
    stopping = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def _serve(server: LoopbackServer, says: Callable[[], str]) -> None:
    stopping = until_signal()
    with server:
        typer.echo(says())
        stopping.wait()


@simulate.command()
def stil(
    port: Port = 8610,
    schools: Annotated[int, typer.Option(min=1, max=200)] = 12,
    pupils: Annotated[int, typer.Option(min=1, max=200_000)] = 5_000,
    seed: int = 1,
    day_seconds: Annotated[float | None, typer.Option(help="Let a day with changes pass every so many.")] = None,
) -> None:
    """Serve wsiEKSPORT 7 of a made-up municipality over HTTP until Ctrl-C."""
    municipality = Municipality(seed, schools=schools, pupils=pupils)
    server = StilServer(municipality, port=port, day_seconds=day_seconds)
    _serve(server, lambda: f"STIL simulator: {server.url} with {schools} schools and {pupils} pupils")


@simulate.command()
def aula(
    secret_file: Annotated[Path, typer.Option(help="File with the Standard Webhooks secret (whsec_...).")],
    port: Port = 8620,
) -> None:
    """Receive what the connector `aula` sends in agreement mode, until Ctrl-C; a stand-in, not Aula."""
    server = AulaReceiver(read_secret(secret_file), port=port)
    _serve(server, lambda: f"Aula stand-in: {server.url}, counts at {server.url}/state")


@simulate.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where the demonstration keeps its files; emptied first.")] = Path(
        ".demo"
    ),
    schools: Annotated[int, typer.Option(min=1, max=200)] = 12,
    pupils: Annotated[int, typer.Option(min=1, max=200_000)] = 5_000,
    day_seconds: Annotated[float, typer.Option(min=1)] = 30.0,
    listen: Annotated[str, typer.Option(help="Where the status page listens.")] = "127.0.0.1:8600",
) -> None:
    """Everything at once: STIL simulator, a real SCIM server, an Aula stand-in, and the bridge between them."""
    from bridge.cli.demo import run_demo  # an HTTP client: no other verb needs it

    run_demo(folder, Municipality(1, schools=schools, pupils=pupils), day_seconds, listen, until_signal())
