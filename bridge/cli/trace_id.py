"""`skolebro trace --id`: what a trace id stands for that a vendor, a log line or an event names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bridge.cli.common import open_configured, who
from bridge.cli.printing import line, print_json
from bridge.domain.errors import ConfigError
from bridge.domain.tracing import read_trace
from bridge.engine.trace_by_id import LOOKED, Numbers, Told, Traced, Tried, by_trace, note_look_up
from bridge.engine.trace_words import in_plain_words, listed, moment, step_name
from bridge.ports import Run

_MOST = 1_000
_SHOWN = 50


def follow(config: Path, text: str, json: bool) -> bool:
    """Show what is known of a trace; return whether anything is. Raises `ConfigError` for what is no trace id."""
    read = read_trace(text)
    if read is None:
        raise ConfigError(
            "--id: allowed is a traceparent (00-<32 hex digits>-<16 hex digits>-01), a trace id of 32 hex digits, "
            "or the id of a run; nothing was looked up"
        )
    trace, span = read
    bridge = open_configured(config)
    note_look_up(bridge.store, bridge.book(who()), trace)
    with bridge.store.read() as reader:
        found = by_trace(reader, bridge.book(), trace, span, _MOST if json else _SHOWN)
    if json:
        print_json({"trace": found, "is_known": found.is_known})
    else:
        _show(found)
    return found.is_known


def _show(found: Traced) -> None:
    line(f"Trace {found.trace}")
    if not found.is_known:
        line("Nothing is known of it: see whether all 32 digits are there, and whether it was this bridge.")
        line("A run is remembered from its beginning on, an attempt from the version on that sends traces.")
        return
    line(
        _run(found.run) if found.run else "No run has this id: it is of a decision, or of a change of the mapping."
    )
    for one in found.told:
        line(f"  {one.at:%Y-%m-%d %H:%M:%S}  {_told(one)}")
    if found.events is not None:
        line(f"  {_numbers(found.events)}")
    if found.span is not None:
        _show_span(found)
    for target, outcomes in found.outcomes.items():
        line(f"{target}: {sum(outcomes.values())} attempts ({_counted(outcomes)})")
    for target, number in found.due.items():
        line(f"{target}: {number} still due; `skolebro deliveries list --target {target} --state due` says why")
    for attempt in found.tried:
        line(f"  {attempt.at:%Y-%m-%d %H:%M:%S}  {_attempt(attempt)}")
    if found.is_cut:
        line(f"  Of so many only those that did not arrive are told one by one, at most {_SHOWN} of them.")


def _run(run: Run) -> str:
    place = f"institution {run.institution}" if run.institution else "no institution that could be read"
    why = f" ({run.reason})" if run.reason else ""
    made = f", exported {moment(run.export_time)}" if run.export_time else ""
    return (
        f"Run {run.id} of {place} in municipality {run.municipality}: {run.result}{why}, taken {moment(run.at)} "
        f"from {run.origin or 'an unknown place'}{made}; {run.changes} changes, {run.quarantined} set aside"
    )


def _told(one: Told) -> str:
    if one.kind == LOOKED:
        return f"{one.by} looked this trace up"
    facts = {
        name: value for name, value in one.facts.items() if name not in ("cause", "first_event", "last_event")
    }
    counted = facts.pop("counted", None)
    told = [f"{name} {_plain(value)}" for name, value in sorted(facts.items())]
    told += [_plain(counted)] if counted else []
    return f"{one.kind} by {one.by}: {'; '.join(told)}"


def _plain(value: object) -> str:
    return listed(map(str, value)) if isinstance(value, list) else str(value)


def _numbers(events: Numbers) -> str:
    how = {None: "", True: ", published to the broker", False: ", not all published to the broker yet"}
    numbers = f"{events.first} to {events.last}" if events.first != events.last else str(events.first)
    return f"events {numbers} of the log of municipality {events.municipality}{how[events.is_published]}"


def _show_span(found: Traced) -> None:
    asked = next((one for one in found.tried if one.span == found.span), None)
    if asked is not None:
        line(f"Span {found.span} is the attempt at {_attempt(asked)}, {moment(asked.at)}")
    elif found.event is not None:
        line(f"Span {found.span} is event {found.event} of the log")
    else:
        line(f"Span {found.span} is no attempt and no event of the log, but the trace is this one")


def _counted(outcomes: Mapping[str, int]) -> str:
    return listed(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))


def _attempt(one: Tried) -> str:
    whom = one.id or f"the reference {one.subject}"
    why = f": {in_plain_words(one.reason)}" if one.reason else ""
    status = f", HTTP {one.status}" if one.status is not None else ""
    what = f"{one.target}: {step_name(one.operation)} of {one.resource} {whom}"
    return f"{what}: {one.outcome or 'no end is written'}{why}{status} (span {one.span})"
