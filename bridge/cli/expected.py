"""`skolebro holds expect`, `expected` and `unexpect`: the weeks in which a new school year passes by itself."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from bridge.app import Bridge
from bridge.cli.common import CONFIG, UNFINISHED, Config, Json, Municipality, chosen, fail, open_configured, who
from bridge.cli.printing import add_row, console, line, new_table, print_json, say
from bridge.config import MunicipalitySettings
from bridge.domain.errors import ConfigError
from bridge.engine.decide import NotAllowed
from bridge.engine.expect import Window, as_proposed, expect_roll, unexpect_roll, windows
from bridge.ports import PARTS, ExpectedRoll

Institution = Annotated[str, typer.Option(help="One institution; default: all.")]


def expect(
    until: Annotated[str, typer.Option(help="The last day, to its end, or moment, such as 2027-08-31.")],
    since: Annotated[str | None, typer.Option("--from", help="The first day or moment; default: now.")] = None,
    institution: Institution = "",
    config: Config = CONFIG,
    municipality: Municipality = None,
    json: Json = False,
) -> None:
    """Expect the new school year: within these days a roll passes by itself, unless too many leave with it.

    Days and times are of the municipality's zone. Where two people decide, the second one has to say the same;
    without --from it begins as the first one said.
    """
    bridge = open_configured(config)
    here = _chosen(bridge, municipality, config)
    zone, policy, now = bridge.schedule(here).zone, bridge.policy(here), bridge.clock.now()
    _check(bridge, here, institution)
    opens = moment_in(zone, since, "--from") if since is not None else now
    closes = moment_in(zone, until, "--until", is_end=True)
    if closes <= max(opens, now):
        raise ConfigError(f"--until {until}: the window would be over before it begins")
    roll = ExpectedRoll(here.code, institution, opens, closes, who(), now)
    if since is None:
        with bridge.store.read() as reader:
            roll = as_proposed(reader, roll, policy)
    try:
        is_open = expect_roll(bridge.store, bridge.book(who()), roll, policy)
    except NotAllowed as error:
        fail(str(error), UNFINISHED)
    place = _place(institution)
    span = f"from {_shown(roll.opens_at, zone)} until {_shown(roll.closes_at, zone)} ({zone.key})"
    sentence = f"The roll of {place} is expected {span}; `skolebro holds unexpect` takes that back."
    if not is_open:
        same = f"skolebro holds expect --until {until}" + (f" --institution {institution}" if institution else "")
        sentence = (
            f"The roll of {place} is not expected yet {span}: {policy.people_needed} people decide here. Within "
            f"{policy.approval_lifetime / timedelta(hours=1):g} hours another person has to say the same, under "
            f"their own login: {same}"
        )
    say(sentence, {"expected": roll, "is_open": is_open}, json)


def expected(config: Config = CONFIG, municipality: Municipality = None, json: Json = False) -> None:
    """List when the new school year is expected, who said so, and what still waits for another person."""
    bridge = open_configured(config)
    here = _chosen(bridge, municipality, config)
    with bridge.store.read() as reader:
        rolls = reader.expected_rolls(here.code)
    found = windows(rolls, bridge.policy(here), bridge.clock.now())
    if json:
        print_json({"expected": found})
    elif not found:
        line("No new school year is expected.")
    else:
        _show(found, bridge.schedule(here).zone, bridge.clock.now())


def unexpect(
    institution: Institution = "",
    until: Annotated[str | None, typer.Option(help="Only the window that ends so; default: all of them.")] = None,
    config: Config = CONFIG,
    municipality: Municipality = None,
    json: Json = False,
) -> None:
    """Expect the new school year no longer: from now on a roll waits for a person again."""
    bridge = open_configured(config)
    here = _chosen(bridge, municipality, config)
    zone, now = bridge.schedule(here).zone, bridge.clock.now()
    closes = moment_in(zone, until, "--until", is_end=True) if until is not None else None
    gone = unexpect_roll(bridge.store, bridge.book(who()), here.code, institution, closes, now)
    if not gone:
        fail(f"the roll of {_place(institution)} is not expected so; see `skolebro holds expected`", UNFINISHED)
    say(f"The roll of {_place(institution)} is not expected any more.", {"withdrawn": gone}, json)


def moment_in(zone: ZoneInfo, text: str, option: str, *, is_end: bool = False) -> datetime:
    """Read a day or a moment of a zone, unless the text names another; `is_end`: a day counts to its end.

    Raises `ConfigError`.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{option} {text}: allowed is a date or time such as 2027-06-15 or 2027-06-15T08:00"
        ) from None
    if is_end and _is_day(text):
        next_day = datetime.combine(at.date() + timedelta(days=1), time(), zone)
        return next_day.astimezone(UTC) - timedelta(seconds=1)
    return (at if at.tzinfo is not None else at.replace(tzinfo=zone)).astimezone(UTC)


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _chosen(bridge: Bridge, municipality: str | None, config: Config) -> MunicipalitySettings:
    code = chosen([one.code for one in bridge.settings.municipalities], municipality, config)
    return next(one for one in bridge.settings.municipalities if one.code == code)


def _check(bridge: Bridge, here: MunicipalitySettings, institution: str) -> None:
    """Refuse an institution that is not configured or, where all are taken, that nothing was heard of."""
    known = here.institutions
    if institution and known is None:
        with bridge.store.read() as reader:
            stored = {one.institution for one in reader.institution_states() if one.municipality == here.code}
            agreed = {row.institution for row in reader.subscriptions(here.code)}
        known = frozenset(stored | agreed) - PARTS
    if institution and institution not in (known or ()):
        raise ConfigError(f"--institution {institution}: municipality {here.code} has no such institution")


def _show(found: list[Window], zone: ZoneInfo, now: datetime) -> None:
    table = new_table("institution", "from", "until", "by", "state")
    for one in found:
        begins = "open" if one.opens_at <= now else "begins later"
        state = begins if one.is_open else "waits for another person"
        span = (_shown(one.opens_at, zone), _shown(one.closes_at, zone))
        add_row(table, one.institution or "all", *span, ", ".join(one.people), state)
    console.print(table)
    line(f"Times are of {zone.key}.")


def _place(institution: str) -> str:
    return f"institution {institution}" if institution else "every institution"


def _shown(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M}"
