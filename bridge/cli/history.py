"""`events`, `replay`, `snapshot` and `history compact`: the log looked at, told again, and kept short."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from bridge.app import Bridge
from bridge.app.crew import at_work
from bridge.cli import history_show
from bridge.cli.common import CONFIG, Config, Json, Limit, Municipality, chosen, moment, open_configured, who
from bridge.domain.changes import Operation
from bridge.domain.entities import PUBLISHED_KINDS
from bridge.domain.errors import ConfigError
from bridge.domain.events import Event, event_type
from bridge.engine.find import subject_of
from bridge.engine.history import as_of, beginning, living, position
from bridge.engine.members import ROLES
from bridge.engine.publish import Republished, publish_again
from bridge.engine.replay import Span, last_events, note_reading, replay
from bridge.engine.trace import other_spelling

_DIGITS = 18
_MOST = 10**_DIGITS
_T = TypeVar("_T")
_TYPES = {event_type(kind, operation): (kind, operation) for kind in PUBLISHED_KINDS for operation in Operation}

history_app = typer.Typer(help="How far back the event log reaches.", no_args_is_help=True)

Institution = Annotated[str | None, typer.Option(help="Only what this institution's snapshots brought.")]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="Only what was recorded then or later.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Only what was recorded then or before.")]


@history_app.callback()
def _history() -> None:
    """Keep `compact` a verb of its own."""


# ---------------------------------------------------------------- verbs


def events(
    config: Config = CONFIG,
    after: Annotated[int, typer.Option(min=0, max=_MOST, help="Only events after this sequence number.")] = 0,
    last: Annotated[int | None, typer.Option(min=1, max=100_000, help="The last so many.")] = None,
    since: Since = None,
    until: Until = None,
    until_sequence: Annotated[
        int | None, typer.Option(min=0, max=_MOST, help="Only events up to this number.")
    ] = None,
    institution: Institution = None,
    subject: Annotated[
        str | None,
        typer.Option(help="Only this one: a user id, <institution>/<group id> or <entity>/<canonical id>."),
    ] = None,
    entity: Annotated[str | None, typer.Option(help=f"Only {', '.join(PUBLISHED_KINDS)}.")] = None,
    operation: Annotated[Operation | None, typer.Option(help="Only what was done so.")] = None,
    type_: Annotated[
        str | None, typer.Option("--type", help="Only this type, skolebro.person.deleted.v1.")
    ] = None,
    limit: Limit = 100,
    municipality: Municipality = None,
    data: Annotated[bool, typer.Option("--data", help="Show the data too: PERSONAL VALUES.")] = False,
    json: Json = False,
) -> None:
    """Show the event log: identifiers and field names, without --data no values.

    Where the log is compacted it tells the last event of everything that lived there.

    Whoever has values shown is written into the audit chain.
    """
    bridge, code = _opened(config, municipality)
    if until is not None and until_sequence is not None:
        raise ConfigError("--until-sequence and --until: give the one that is meant")
    kind = None if entity is None else _one_of(entity, {kind.value: kind for kind in PUBLISHED_KINDS}, "--entity")
    if type_ is not None:
        kind, operation = _one_of(type_, _TYPES, "--type")
    end = moment(until, "--until") if until_sequence is None else until_sequence
    span = _span(bridge, code, after, moment(since, "--since"), end)
    about = None if subject is None else _subject(bridge, code, subject)
    span = replace(span, institution=institution, subject=about, kind=kind, operation=operation)
    if last is None:
        found: Iterator[Event] = islice(replay(bridge.store, code, span), limit)
    else:
        found = iter(last_events(bridge.store, code, span, last))
    if data:
        note_reading(bridge.store, bridge.book(who()), code, "events", span)
    if json:
        history_show.listed(found, data)
    else:
        history_show.tabled(found, data, _floor(bridge, code))


def replay_events(
    config: Config = CONFIG,
    from_: Annotated[str, typer.Option("--from", metavar="SEQ|TIME", help="From this number or time on.")] = "1",
    to: Annotated[str | None, typer.Option(metavar="SEQ|TIME", help="Up to this one; default: the end.")] = None,
    institution: Institution = None,
    municipality: Municipality = None,
    publish: Annotated[
        bool,
        typer.Option("--publish", help="Send them to the broker once more, identifiers and field names only."),
    ] = False,
    json: Json = False,
) -> None:
    """Tell a part of the event log again: one CloudEvent a line, with all PERSONAL VALUES but the CPR number.

    With --publish they go to the broker once more, in order and under the same ids, and none is printed.

    A consumer drops what it has by entityversion. Either is written into the audit chain.
    """
    bridge, code = _opened(config, municipality)
    span = _span(bridge, code, 0, _point(from_, "--from"), _point(to, "--to"))
    span = replace(span, institution=institution)
    if publish:
        history_show.republished(_publish(bridge, code, span), json)
        return
    found = replay(bridge.store, code, span)
    note_reading(bridge.store, bridge.book(who()), code, "replay", span)
    for event in found:
        sys.stdout.write(history_show.cloud_event(event) + "\n")


def snapshot(
    config: Config = CONFIG,
    as_of_: Annotated[
        str | None, typer.Option("--as-of", metavar="SEQ|TIME", help="As it was at this number or time.")
    ] = None,
    institution: Annotated[
        str | None, typer.Option(help="Only what is of this institution, and the people it names.")
    ] = None,
    municipality: Municipality = None,
) -> None:
    """Print all that lives now, or lived then, as JSON: PERSONAL VALUES, but no CPR number.

    `sequence` is where the event log goes on: who applies what comes after it misses nothing.

    Every snapshot is written into the audit chain.
    """
    bridge, code = _opened(config, municipality)
    at = _point(as_of_, "--as-of")
    with bridge.store.read() as reader:
        past = None if at is None else as_of(reader, code, at, institution)
    until = past.sequence if past else None
    note_reading(bridge.store, bridge.book(who()), code, "snapshot", Span(until=until, institution=institution))
    if past is not None:
        history_show.state(code, past.sequence, past.entities)
        return
    with bridge.store.read() as reader:
        history_show.state(code, reader.last_sequence(code), living(reader, code, institution))


@history_app.command("compact")
def compact(
    config: Config = CONFIG,
    municipality: Municipality = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how far it would go.")] = False,
    json: Json = False,
) -> None:
    """Take out of the event log what is older than its retention; the daemon does so once a day.

    The last event of everything that lives stays, and all that a reader with a place of its own has not read yet.
    """
    bridge = open_configured(config)
    known = [one.code for one in bridge.settings.municipalities]
    codes = known if municipality is None else [chosen(known, municipality, config)]
    if dry_run:
        found = [bridge.foresee_compaction(code) for code in codes]
    else:
        with at_work(bridge, ROLES, is_alone=True):
            found = [bridge.compact(code) for code in codes]
    history_show.compacted(found, dry_run, json)


# ---------------------------------------------------------------- what is meant


def _opened(config: Path, municipality: str | None) -> tuple[Bridge, str]:
    bridge = open_configured(config)
    return bridge, chosen([one.code for one in bridge.settings.municipalities], municipality, config)


def _one_of(text: str, known: Mapping[str, _T], option: str) -> _T:
    if text not in known:
        raise ConfigError(f"{option} {text}: allowed are {', '.join(known)}")
    return known[text]


def _point(text: str | None, option: str) -> int | datetime | None:
    """A sequence number, or a time; only digits are a number."""
    if text is not None and text.isascii() and text.isdigit():
        return int(text) if len(text) < _DIGITS else _MOST
    return moment(text, option)


def _subject(bridge: Bridge, code: str, text: str) -> str:
    with bridge.store.read() as reader:
        found = subject_of(reader, code, text)
        other = other_spelling(reader, code, text) if found is None else None
    if found is None:
        hint = f"; there is {other}: small and capital letters and blanks count" if other is not None else ""
        raise ConfigError(
            f"--subject {text}: nothing is known by that in municipality {code}{hint}; allowed are a user id, "
            "<institution>/<group id> and <entity>/<canonical id>"
        )
    return found


def _span(
    bridge: Bridge, code: str, after: int, since: int | datetime | None, until: int | datetime | None
) -> Span:
    """Raises `Compacted`."""
    with bridge.store.read() as reader:
        begin = after if since is None else max(after, beginning(reader, code, since))
        end = None if until is None else position(reader, code, until)
    return Span(begin, end)


def _publish(bridge: Bridge, code: str, span: Span) -> Republished:
    from bridge.app.events import publisher  # the broker's client: no other verb needs it

    to = publisher(bridge)
    try:
        return publish_again(bridge.store, to, code, span, bridge.book(who()), bridge.clock.new_id, bridge.metrics)
    finally:
        to.close()


def _floor(bridge: Bridge, code: str) -> int:
    with bridge.store.read() as reader:
        return reader.log_floor(code)
