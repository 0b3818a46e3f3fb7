"""`skolebro trace`: one person's way from the snapshots to every platform, without naming anybody."""

from __future__ import annotations

import getpass
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from bridge.app import Bridge
from bridge.cli.common import CONFIG, Config, Json, open_configured, who
from bridge.cli.printing import line, print_json
from bridge.cli.trace_id import follow
from bridge.domain.errors import ConfigError
from bridge.engine.desire import Rendering
from bridge.engine.find import as_id, user_id_of
from bridge.engine.trace import Trace, note_look_up, other_spelling, people_by_number, trace
from bridge.engine.trace_now import Now
from bridge.engine.trace_rules import Fields
from bridge.engine.trace_target import AtTarget, Whereabouts
from bridge.engine.trace_words import listed, moment

_CPR = re.compile(r"\s*\d{6}[\s-]?\d{4}\s*")
_NOT_FOUND = 1

UserId = Annotated[
    str | None,
    typer.Argument(metavar="USER_ID", help="A user id, or a canonical id of somebody; - reads it from stdin."),
]


def trace_person(
    user_id: UserId = None,
    config: Config = CONFIG,
    municipality: Annotated[str | None, typer.Option(help="Municipality code; default: all of them.")] = None,
    target: Annotated[str | None, typer.Option(help="Only this target, <municipality>/<name>.")] = None,
    since: Annotated[str | None, typer.Option(help="The timeline from then on, such as 2026-08-11.")] = None,
    cpr_stdin: Annotated[
        bool, typer.Option("--cpr-stdin", help="Look up by the CPR number on standard input.")
    ] = False,
    trace_id: Annotated[
        str | None,
        typer.Option("--id", metavar="TRACE", help="No person, but what a trace id or a traceparent stands for."),
    ] = None,
    json: Json = False,
) -> None:
    """Show why a person is, or is not, at each platform, and all that happened so far; names nobody.

    With --id it shows which run it was, what it changed, and every attempt at a target. Every look-up is written
    into the audit chain. Exit code 1 when nothing is found.
    """
    if trace_id is not None:
        if cpr_stdin or any(one is not None for one in (user_id, municipality, target, since)):
            raise ConfigError(
                "--id goes with --json and --config only: give no user id and no other option with it"
            )
        raise SystemExit(0 if follow(config, trace_id, json) else _NOT_FOUND)
    begin = _moment(since)
    wanted = _wanted(user_id, is_number=cpr_stdin)
    bridge = open_configured(config)
    renderings = _renderings(bridge, municipality, target)
    found = _found_by_number if cpr_stdin else _found_by_id
    people = found(bridge, renderings, wanted)
    _note(bridge, renderings, people)
    silent = frozenset(one.id for one in bridge.settings.targets) - frozenset(bridge.live_targets)
    with bridge.store.read() as reader:
        traces = [
            trace(
                reader,
                bridge.book(),
                code,
                person,
                renderings[code],
                bridge.clock.now(),
                silent=silent,
                since=begin,
            )
            for code, person in people
        ]
        hints = [] if cpr_stdin else _hints(bridge, traces, wanted)
    known = [one for one in traces if one.is_known]
    _show(known, [] if known else [*_notes(traces), *hints], json)
    raise SystemExit(0 if known else _NOT_FOUND)


# ---------------------------------------------------------------- whom, where and since when


def _wanted(user_id: str | None, *, is_number: bool) -> str:
    """The user id or, with `is_number`, the CPR number; never quoted in an error."""
    if is_number:
        if user_id is not None:
            raise ConfigError("--cpr-stdin reads the number from standard input: give no user id with it")
        return _read("CPR number (not shown): ")
    if user_id is None:
        raise ConfigError("give a user id, - to type it where no shell keeps it, or --cpr-stdin")
    wanted = _read("User id (not shown): ") if user_id == "-" else user_id
    if _CPR.fullmatch(wanted):
        raise ConfigError(
            "this looks like a CPR number, which must not stay in the history of a shell: nothing was looked up; "
            "give it on standard input with --cpr-stdin, and take the line out of the history"
        )
    return wanted


def _read(prompt: str) -> str:
    text = getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline()
    if not text.strip():
        raise ConfigError("standard input gave nothing to look up")
    return text.strip()


def _moment(since: str | None) -> datetime | None:
    if since is None:
        return None
    try:
        at = datetime.fromisoformat(since)
    except ValueError:
        raise ConfigError("--since: allowed is a date or a time such as 2026-08-11 or 2026-08-11T06:00Z") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _renderings(bridge: Bridge, municipality: str | None, target: str | None) -> dict[str, list[Rendering]]:
    """The targets that are asked about, by municipality."""
    found = {one.code: bridge.renderings(one) for one in bridge.settings.municipalities}
    if municipality is not None and municipality not in found:
        raise ConfigError(f"no municipality {municipality!r}; there are {', '.join(found)}")
    bridge.settings.named(target)
    return {
        code: [one for one in rows if target in (None, one.target)]
        for code, rows in found.items()
        if municipality in (None, code) and (target is None or target.partition("/")[0] == code)
    }


def _found_by_number(bridge: Bridge, codes: Iterable[str], number: str) -> list[tuple[str, str]]:
    with bridge.store.read() as reader:
        return [(code, user_id) for code in codes for user_id in people_by_number(reader, code, number)]


def _found_by_id(bridge: Bridge, codes: Iterable[str], text: str) -> list[tuple[str, str]]:
    """The user id as it was given; of a canonical id, the user id that it stands for."""
    identity = as_id(text)
    if identity is None:
        return [(code, text) for code in codes]
    with bridge.store.read() as reader:
        return [(code, user_id_of(reader, code, identity) or text) for code in codes]


def _note(bridge: Bridge, codes: Collection[str], people: Sequence[tuple[str, str]]) -> None:
    """Write every look-up down before anything of it is shown."""
    book = bridge.book(who())
    for code, user_id in people:
        note_look_up(bridge.store, book, code, user_id)
    for code in sorted(set(codes) - {code for code, _ in people}):
        note_look_up(bridge.store, book, code, None)


def _hints(bridge: Bridge, traces: Sequence[Trace], user_id: str) -> list[str]:
    """What to try when nobody is found."""
    hints = []
    asked = [one.municipality for one in traces]
    with bridge.store.read() as reader:
        for code in asked:
            other = other_spelling(reader, code, user_id)
            if other is not None:
                hints.append(
                    f"In municipality {code} there is {other}: small and capital letters and blanks count."
                )
    others = [one.code for one in bridge.settings.municipalities if one.code not in asked]
    if others:
        hints.append(f"Not looked at: municipality {', '.join(others)}; see --municipality.")
    return hints


def _notes(traces: Sequence[Trace]) -> list[str]:
    return list(dict.fromkeys(note for one in traces for note in one.notes))


# ---------------------------------------------------------------- showing


def _show(known: Sequence[Trace], hints: Sequence[str], json: bool) -> None:
    if json:
        print_json({"traces": list(known), "hints": list(hints)})
        return
    if not known:
        line("Nobody is known by that: no institution, no hold and no quarantined record tells of them.")
        line("See whether the user id is written as the school writes it, and whose municipality it is.")
    for hint in hints:
        line(f"! {hint}")
    for one in known:
        show_trace(one)


def show_trace(one: Trace) -> None:
    """Show one person's way to people."""
    line(f"{one.user_id} in municipality {one.municipality}, as of {moment(one.at)}")
    line(f"Canonical id: {one.id}")
    for note in one.notes:
        line(f"! {note}")
    for target in one.targets:
        _show_target(target)
    _show_now(one.now)
    line("")
    line("What happened, oldest first:")
    for event in one.timeline:
        line(f"  {event.at:%Y-%m-%d %H:%M:%S}  {event.text}")
    if not one.timeline:
        line("  nothing")


def _show_target(one: AtTarget) -> None:
    line("")
    line(f"{one.target} (mapping {one.mapping})")
    line(f"  {one.sentence}")
    for fact in one.facts:
        line(f"  {fact[0].upper()}{fact[1:]}.")
    if not one.is_silent:
        _show_details(one.person)
    if one.person.fields is not None:
        _show_fields(one.person.fields, "go" if one.person.state in ("there", "changing") else "would go")
    for other in one.others:
        line(f"  {other.sentence}")


def _show_details(person: Whereabouts) -> None:
    told = {
        "remote id": person.remote_id,
        "version": person.version,
        "attempts without success": person.attempts or None,
    }
    found = [f"{name} {value}" for name, value in told.items() if value is not None]
    if found:
        line(f"  {', '.join(found)}")


def _show_fields(fields: Fields, verb: str) -> None:
    line(f"  Fields that {verb}: {listed(fields.sent)}")
    for text in fields.not_sent:
        line(f"    {text}")
    line(f"  Not named by the mapping, so never sent: {listed(fields.unnamed)}")


def _show_now(now: Now) -> None:
    line("")
    line("What institutions say now:")
    for word in now.words:
        age = f", its source {word.source} read {moment(word.source_time)}" if word.source_time else ""
        year = f", school year {word.school_year}" if word.school_year else ""
        recorded = f", recorded {moment(word.recorded_at)}" if word.recorded_at else ""
        if not word.is_named:
            recorded = ", stored from an earlier export; the last one does not name the person"
        role = word.role if word.source is not None else "no more than a protection, of a record that is set aside"
        line(f"  {word.institution}: {role}{recorded}{age}{year}")
    if not now.words:
        line("  nothing")
    if now.decision is not None:
        line(f"  {now.decision.sentence}")
        line(f"  {now.protection}")
    for tie in now.ties:
        line(f"  {tie.what}" + (f" ({', '.join(tie.facts)})" if tie.facts else ""))
    for row in now.set_aside:
        line(f"! {row.severity} at {row.institution}, {row.path}: {row.explained}")
