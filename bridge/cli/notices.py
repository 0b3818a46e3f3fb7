"""`skolebro notices`: whether people can be told that something waits for them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from bridge.app.notices import make_notices, send_test
from bridge.cli.common import CONFIG, DONE, UNFINISHED, Config, Json, Municipality, chosen, open_configured
from bridge.cli.printing import line, plain, print_json
from bridge.domain.errors import ConfigError

notices_app = typer.Typer(help="Mail or a webhook when something waits for a person.", no_args_is_help=True)


@notices_app.command("test")
def notices_test(config: Config = CONFIG, municipality: Municipality = None, json: Json = False) -> None:
    """Send a test notice to whoever is told of one municipality. Exit code 1 when a way failed."""
    bridge = open_configured(config)
    code = chosen([one.code for one in bridge.settings.municipalities], municipality, config)
    notices = make_notices(bridge, bridge.teller)
    if notices is None:
        raise ConfigError(f"{config}: notices: missing; without mail or webhook there nobody is told of a hold")
    problems = send_test(bridge, notices, code)
    if json:
        ways = {way.name: way.failure.reason if way.failure else "sent" for way in notices.ways}
        print_json({"ways": ways, "problems": problems})
    else:
        for way in notices.ways:
            line(f"notices by {way.name}: {way.failure or 'the test notice is handed over'}")
    raise SystemExit(UNFINISHED if problems else DONE)


def said(problems: Sequence[str]) -> None:
    """Say on stderr that people could not be told; the pass itself is not worse for it."""
    for problem in problems:
        hint = "it is tried again; `skolebro holds list` shows what waits"
        sys.stderr.write(plain(f"skolebro: {problem}; {hint}\n"))
