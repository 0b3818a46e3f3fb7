"""Stand-ins to try the bridge against: a made-up STIL, an Aula receiver, and a demonstration of all parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from typing import Annotated

import typer

from bridge.cli.processes import await_port, free_port, private, process, require_free, scim_command, taken
from bridge.config import read_secret
from bridge.domain.errors import ConfigError, SourceUnavailable
from bridge.signals import until_signal
from bridge.testing.aula_receiver import AulaReceiver
from bridge.testing.loopback import LoopbackServer
from bridge.testing.stil_folder import write_exports
from bridge.testing.stil_municipality import Municipality
from bridge.testing.stil_server import StilServer

_MARK = "skolebro.yaml"
_CONFIGURATION = """\
# For the simulator that wrote this file, for as long as it runs.
state_folder: state
municipalities:
  "0751":
    name: Prøveby
    institutions: all
    source:
      connector: stil
      base_url: {url}
      udbydersystem_id: {system}
      size: fuldmyndighed
      certificate_file: client.p12
      password_file: client-password
      oces_ca_files: [oces-root-ca.pem, oces-issuing-ca.pem]
      {trust}
      calls_per_minute: 6000
web:
  listen: null
"""

simulate = typer.Typer(help="Made-up systems to try the bridge against; loopback only.", no_args_is_help=True)

Port = Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")]


def _serve(server: LoopbackServer, port: int, says: Callable[[], str]) -> None:
    stopping = until_signal()
    with _listening(server, port):
        typer.echo(says())
        stopping.wait()


def _listening(server: LoopbackServer, port: int) -> LoopbackServer:
    """Let it take its port. Raises `ConfigError` when another program has it."""
    try:
        return server.start()
    except OSError as error:
        raise taken("127.0.0.1", port, "--port", error) from error


@simulate.command()
def stil(
    port: Port = 8610,
    schools: Annotated[int, typer.Option(min=1, max=200)] = 12,
    pupils: Annotated[int, typer.Option(min=1, max=200_000)] = 5_000,
    seed: int = 1,
    day_seconds: Annotated[float | None, typer.Option(help="Let a day with changes pass every so many.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Sign as STIL does; a client's files and configuration go here.")
    ] = None,
    tls: Annotated[bool, typer.Option(help="With --folder: serve over TLS, as STIL does.")] = True,
) -> None:
    """Serve wsiEKSPORT 7 and wsiINST 6 of a made-up municipality until Ctrl-C; without --folder unsigned."""
    municipality = Municipality(seed, schools=schools, pupils=pupils)
    if folder is None:
        server = StilServer(municipality, port=port, day_seconds=day_seconds)
    else:
        server = _signed(municipality, port, day_seconds, folder, with_tls=tls)
    _serve(
        server,
        port,
        lambda: (
            f"STIL simulator: {server.url} with {schools} schools and {pupils} pupils\n"
            f"Faults, agreements and what is wrong with an export: GET and PATCH {server.url}/simulator"
        ),
    )


def _signed(
    municipality: Municipality, port: int, day_seconds: float | None, folder: Path, *, with_tls: bool
) -> StilServer:
    """A server that signs, whose client finds all that it needs in the folder."""
    try:
        from bridge.testing.stil_signed import SYSTEM_ID, signed_stil  # lxml: a dependency of the extra `demo`
    except ImportError as error:
        raise ConfigError("--folder: to sign, the simulator needs lxml: pip install 'skolebro[demo]'") from error
    if folder.exists() and not (folder / _MARK).is_file() and any(folder.iterdir()):
        raise ConfigError(f"--folder: {folder} holds other files; name a new folder")
    made = signed_stil(municipality, port, day_seconds, with_tls=with_tls)
    _listening(made.server, port)  # the configuration names its port
    try:
        made.write_files(folder)
        trust = "ca_file: tls-ca.pem" if with_tls else "# ca_file: tls-ca.pem"
        text = _CONFIGURATION.format(url=made.server.url, system=SYSTEM_ID, trust=trust)
        (folder / _MARK).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--folder: {folder} cannot be written ({error.strerror})") from error
    return made.server


@simulate.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the exports go, such as incoming.")],
    institutions: Annotated[int, typer.Option(min=1, max=200, help="So many schools.")] = 3,
    pupils: Annotated[int, typer.Option(min=1, max=200_000, help="So many pupils, in all of them.")] = 300,
    day: Annotated[int, typer.Option(min=0, max=1_000, help="As it is after so many days with changes.")] = 0,
    seed: Annotated[int, typer.Option(help="Another number, another municipality.")] = 1,
    drop_pupils: Annotated[
        int,
        typer.Option(min=0, max=100, metavar="PERCENT", help="Leave so many out at the first school, by mistake."),
    ] = 0,
) -> None:
    """Write the exports of a made-up municipality, as something else would leave them for `stil-folder`.

    The same numbers give the same people; a later --day is the same municipality later.
    """
    if pupils < institutions:
        raise ConfigError(f"--pupils {pupils}: there has to be one for each of {institutions} institutions")
    municipality = Municipality(seed, schools=institutions, pupils=pupils)
    for _ in range(day):
        municipality.advance()
    try:
        written = write_exports(municipality, folder, drop_pupils)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written ({error.strerror})") from error
    typer.echo(f"Wrote {len(written)} exports of day {day} into {folder}.")


@simulate.command()
def scim(
    port: Port = 8630,
    token_file: Annotated[
        Path, typer.Option(help="Where the bearer token is, or is put when there is none.")
    ] = Path("scim-token"),
) -> None:
    """Serve a learning platform (SCIM 2.0) until Ctrl-C: empty at first, and empty again after that."""
    token = _token(token_file)
    stopping = until_signal()
    if port:
        require_free("127.0.0.1", port, "--port")
    port = port or free_port()
    with process(scim_command(port, token), None) as server:
        await_port(port, server, stopping)
        typer.echo(
            f"Learning platform: http://127.0.0.1:{port}/v2\n"
            f"Its target: connector: scim, base_url: http://127.0.0.1:{port}/v2, token_file: {token_file}"
        )
        while not stopping.wait(1):
            if server.poll() is not None:
                raise SourceUnavailable(f"the SCIM server ended by itself, with exit code {server.returncode}")


def _token(file: Path) -> str:
    if file.exists():
        return read_secret(file)
    token = token_hex(24)
    try:
        private(file, token)
    except OSError as error:
        raise ConfigError(f"--token-file {file} cannot be written ({error.strerror})") from error
    return token


@simulate.command()
def aula(
    secret_file: Annotated[Path, typer.Option(help="File with the Standard Webhooks secret (whsec_...).")],
    port: Port = 8620,
) -> None:
    """Receive what the connector `aula` sends in agreement mode, until Ctrl-C; a stand-in, not Aula."""
    server = AulaReceiver(read_secret(secret_file), port=port)
    _serve(server, port, lambda: f"Aula stand-in: {server.url}, counts at {server.url}/state")


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
