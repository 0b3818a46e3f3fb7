"""`skolebro holds`: what waits for a person, and the decision; `skolebro kept`: who is to stay."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from bridge.app import Bridge
from bridge.cli import foresee, show
from bridge.cli.common import (
    CONFIG,
    UNFINISHED,
    Config,
    Json,
    Municipality,
    chosen,
    fail,
    moment,
    open_configured,
    who,
)
from bridge.cli.expected import expect, expected, unexpect
from bridge.cli.printing import say
from bridge.config import MunicipalitySettings
from bridge.domain.errors import ConfigError
from bridge.engine.decide import NotAllowed, NotOpen, Rule, decide_hold
from bridge.engine.holding import parts_of
from bridge.engine.keep import keep, let_go
from bridge.ports import Hold, KeptPerson

holds_app = typer.Typer(
    help="Snapshots, deletions and changed mappings that wait for a person.", no_args_is_help=True
)
kept_app = typer.Typer(help="People whom no target loses for now.", no_args_is_help=True)

By = Annotated[str | None, typer.Option(help="Who decides; default: the user of this session.")]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="KEY", help="Let only this user id or institution/group id go."),
]
Except = Annotated[
    list[str] | None,
    typer.Option("--except", metavar="KEY", help="Let all go but this user id or group."),
]
OnlyFile = Annotated[
    Path | None, typer.Option("--only-file", help="--only from a file, one key a line; - is standard input.")
]
UserId = Annotated[str, typer.Argument(metavar="USER_ID", help="The user id at the source.")]


@holds_app.command("list")
def holds_list(
    config: Config = CONFIG,
    every: Annotated[bool, typer.Option("--all", help="Decided ones too.")] = False,
    json: Json = False,
) -> None:
    """List what waits for a decision."""
    with open_configured(config).store.read() as reader:
        show.holds(reader.holds(None if every else ("open", "approved")), json)


@holds_app.command("show")
def holds_show(number: int, config: Config = CONFIG, json: Json = False) -> None:
    """Show one hold: why, how much of what, and whom by user id."""
    bridge = open_configured(config)
    hold = _hold(bridge, number)
    with bridge.store.read() as reader:
        parts = parts_of(reader, number)
    show.hold(hold, json, _rule(bridge, hold), bridge.clock.now(), parts)


@holds_app.command("preview")
def holds_preview(number: int, config: Config = CONFIG, json: Json = False) -> None:
    """Show what approving a hold would do in each target; decides, sends and keeps nothing."""
    bridge = open_configured(config)
    _hold(bridge, number)
    try:
        foresee.planned(bridge.foresee(number), json)
    except NotOpen as error:
        fail(str(error), UNFINISHED)


@holds_app.command("approve")
def holds_approve(
    number: int,
    config: Config = CONFIG,
    only: Only = None,
    but: Except = None,
    only_file: OnlyFile = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Let exactly this through, all of it or a part; the running daemon or the next sync carries it out.

    A part says who may go. Who is left out of deletions waits on under the same number.

    Of a snapshot (a new school year) all else is recorded with it, class moves and new people; who is left out
    waits under a new number.
    """
    bridge = open_configured(config)
    part = _part(_hold(bridge, number, UNFINISHED), only, but, only_file)
    _decide(bridge, number, by, json, approve=True, part=part)


@holds_app.command("reject")
def holds_reject(number: int, config: Config = CONFIG, by: By = None, json: Json = False) -> None:
    """Refuse it; what is stored and delivered stays as it is."""
    _decide(open_configured(config), number, by, json, approve=False, part=None)


holds_app.command("expect")(expect)
holds_app.command("expected")(expected)
holds_app.command("unexpect")(unexpect)


# ---------------------------------------------------------------- deciding


def _hold(bridge: Bridge, number: int, code: int = 2) -> Hold:
    with bridge.store.read() as reader:
        hold = reader.hold(number)
    if hold is None:
        fail(f"there is no hold {number}; `skolebro holds list --all` shows them", code)
    return hold


def _part(hold: Hold, only: list[str] | None, but: list[str] | None, file: Path | None) -> list[str] | None:
    """The keys that are approved, None for all. Raises `ConfigError` when two ways of saying it are mixed."""
    if sum(given is not None for given in (only or None, but or None, file)) > 1:
        raise ConfigError("--only, --only-file and --except: give one of them")
    if file is not None:
        text = sys.stdin.read() if str(file) == "-" else _read(file)
        return text.split()
    if but:
        strangers = sorted({*but} - {*hold.people, *hold.groups})
        if strangers:
            raise ConfigError(f"--except {strangers[0]}: not among those of hold {hold.id}; nothing was changed")
        return [key for key in (*hold.people, *hold.groups) if key not in but]
    return only or None


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--only-file {file}: cannot be read; nothing was changed") from error


def _decide(
    bridge: Bridge, number: int, by: str | None, json: bool, *, approve: bool, part: list[str] | None
) -> None:
    hold = _hold(bridge, number, UNFINISHED)
    rule = _rule(bridge, hold)
    person = who()
    if by is not None and approve and rule.people_needed > 1:
        fail("--by: two people are needed, so each of them decides under their own login", UNFINISHED)
    try:
        decide_hold(
            bridge.store,
            bridge.book(person),
            number,
            approve=approve,
            by=by or person,
            now=bridge.clock.now(),
            only=part,
            rule=rule,
        )
    except (NotOpen, NotAllowed) as error:
        fail(str(error), UNFINISHED)
    with bridge.store.read() as reader:
        show.decided(reader.hold(number), json, rule.people_needed)


def _rule(bridge: Bridge, hold: Hold) -> Rule:
    municipality = _municipality(bridge, hold.municipality)
    if municipality is None:
        return Rule()
    return Rule.of(bridge.policy(municipality), hold)


def _municipality(bridge: Bridge, code: str) -> MunicipalitySettings | None:
    return next((one for one in bridge.settings.municipalities if one.code == code), None)


# ---------------------------------------------------------------- keeping


@kept_app.command("list")
def kept_list(config: Config = CONFIG, municipality: Municipality = None, json: Json = False) -> None:
    """List who is kept, until when and by whom."""
    bridge = open_configured(config)
    code = chosen([one.code for one in bridge.settings.municipalities], municipality, config)
    with bridge.store.read() as reader:
        show.kept(reader.kept_people(code), bridge.clock.now(), json)


@kept_app.command("add")
def kept_add(
    user_id: UserId,
    until: Annotated[str | None, typer.Option(help="The last moment; default: for good.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="For so many days instead.")] = None,
    config: Config = CONFIG,
    municipality: Municipality = None,
    json: Json = False,
) -> None:
    """Keep somebody at every target that has them, though the source lets them go."""
    bridge = open_configured(config)
    code = chosen([one.code for one in bridge.settings.municipalities], municipality, config)
    now = bridge.clock.now()
    if until is not None and days is not None:
        raise ConfigError("--until and --days: give one of them")
    end = now + timedelta(days=days) if days is not None else moment(until, "--until")
    if end is not None and end <= now:
        raise ConfigError(f"--until {until}: that is over already")
    kept = KeptPerson(code, user_id, end, who(), now)
    keep(bridge.store, bridge.book(who()), kept)
    say(f"{user_id} stays at every target until {end or 'you say otherwise'}.", {"kept": kept}, json)


@kept_app.command("remove")
def kept_remove(
    user_id: UserId, config: Config = CONFIG, municipality: Municipality = None, json: Json = False
) -> None:
    """Let somebody go again whom the source let go; a deletion that waited follows within a day."""
    bridge = open_configured(config)
    code = chosen([one.code for one in bridge.settings.municipalities], municipality, config)
    if not let_go(bridge.store, bridge.book(who()), code, user_id, bridge.clock.now()):
        fail(f"{user_id} is not among those who are kept; `skolebro kept list` shows them", UNFINISHED)
    say(f"{user_id} is not kept any more.", {"removed": user_id}, json)
