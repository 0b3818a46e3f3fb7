"""Answers for people as tables and for programs as JSON: the same facts, never a personal value unasked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bridge.app import Checked
from bridge.cli.printing import add_row, console, line, new_table, print_json
from bridge.domain.ids import CanonicalId, Key, TargetId
from bridge.engine.audit import Verdict
from bridge.engine.decide import Rule, agreed_part, live_approvals
from bridge.engine.guard import REASON_TEXTS
from bridge.engine.hold_words import those_named, who_carries_out
from bridge.engine.roll import CLASSES, told_once
from bridge.observe import InstitutionStatus, Status, as_json
from bridge.ports import Delivery, Drift, Hold, KeptPerson

Keys = Mapping[tuple[TargetId, CanonicalId], Key]
"""What the entities of targets are known by at the source."""

_DECIDED = {"applied": "carried out"}
_WHOLE = (
    "Everything else of the snapshot is recorded with it: class moves, new people and groups, changes. "
    "Who was left out is not deleted, and waits under a new number."
)


@contextmanager
def progress(look: Callable[[], Status]) -> Iterator[Callable[[], None]]:
    """A bar a target on a terminal; elsewhere nothing while it runs (the summary follows)."""
    if not console.is_terminal:
        yield lambda: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def tick() -> None:
            for target in look().targets:
                if target.target not in tasks:
                    tasks[target.target] = bars.add_task(escape(target.target), total=None)
                total = target.confirmed + target.due
                bars.update(tasks[target.target], completed=target.confirmed, total=total or None)

        yield tick


# ---------------------------------------------------------------- the way of the data


def synced(now: Status, problems: Sequence[str], json: bool) -> None:
    if json:
        print_json({"problems": list(problems), **as_json(now)})
        return
    for problem in problems:
        line(f"! {problem}")
    _targets(now)
    waiting = sum(target.due - target.resting for target in now.targets if not target.is_off)
    if waiting:
        line(f"Not finished: {waiting} deliveries wait; the next sync or the daemon goes on.")
    if not now.is_well or not (waiting or problems):
        _attention(now)


# ---------------------------------------------------------------- looking


def status(now: Status, json: bool) -> None:
    if json:
        print_json(as_json(now))
        return
    _attention(now)
    _targets(now)
    _institutions(now.institutions)
    for note in now.notes:
        line(note)
    if now.processes:
        line("processes: " + ", ".join(f"{number} {role}" for role, number in now.processes.items()))
    line(f"audit {now.audit_head}")


def _institutions(rows: Sequence[InstitutionStatus]) -> None:
    """A column that would be empty for all is left out."""
    columns: dict[str, Callable[[InstitutionStatus], object]] = {
        "municipality": lambda row: row.municipality,
        "institution": lambda row: row.label,
        "school year": lambda row: row.school_year,
        "recorded": lambda row: _second(row.recorded_at) or ("never" if row.institution else None),
        "last run": lambda row: row.result,
        "at": lambda row: _second(row.last_run_at),
        "reason": lambda row: row.reason,
        "agreement": _agreement,
        "next try": lambda row: _second(row.retry_at),
    }
    used = {name: look for name, look in columns.items() if any(look(row) for row in rows)}
    table = new_table(*used)
    for row in rows:
        add_row(table, *(look(row) for look in used.values()))
    if rows:
        console.print(table)


def _agreement(row: InstitutionStatus) -> str | None:
    is_ended = row.agreement in ("missing", "withdrawn") and row.agreement_at is not None
    return f"{row.agreement} since {row.agreement_at:%Y-%m-%d}" if is_ended else row.agreement


def _second(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None


def _attention(now: Status) -> None:
    if now.is_well:
        line("All well.")
    for sentence in now.attention:
        line(f"! {sentence}")


def _targets(now: Status) -> None:
    table = new_table("target", "confirmed", "due", "waiting", "rejected", "paused")
    for target in now.targets:
        add_row(
            table,
            target.target,
            target.confirmed,
            target.due,
            target.waiting,
            target.rejected,
            target.pause_reason,
        )
    if now.targets:
        console.print(table)


def checked(found: Sequence[Checked], json: bool) -> None:
    if json:
        print_json(found)
        return
    for one in found:
        line(f"{'ok  ' if one.ok else 'FAIL'} {one.name}: {one.text}")


# ---------------------------------------------------------------- deciding


def holds(found: Sequence[Hold], json: bool) -> None:
    if json:
        print_json({"holds": [_hold(one) for one in found]})
        return
    if not found:
        line("Nothing waits for a decision.")
        return
    table = new_table("hold", "state", "municipality", "institution", "why", "since")
    for one in found:
        place = one.institution or one.target
        add_row(
            table, one.id, one.state, one.municipality, place, ", ".join(one.reasons), one.opened_at.isoformat()
        )
    console.print(table)


def _hold(one: Hold) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(one)
    return shown | {"explained": [REASON_TEXTS.get(reason, reason) for reason in one.reasons]}


def hold(one: Hold, json: bool, rule: Rule, now: datetime, parts: Sequence[Hold] = ()) -> None:
    """`parts` are those of the hold that were carried out by themselves."""
    if json:
        print_json(_hold(one) | {"parts": [_hold(part) for part in parts]})
        return
    line(f"Hold {one.id} ({one.state}): {one.subject} of {one.institution or one.target}, from {one.origin}")
    for reason in one.reasons:
        line(f"  {reason}: {REASON_TEXTS.get(reason, reason)}")
    for label, number in one.counts.items():
        line(f"  {label}: {number}")
    for heading, keys in told_once(one.summary, one.people).items():
        line(f"  {heading.replace('_', ' ')} ({len(one.summary[heading])}):" + _keys(heading, keys))
    for heading, named in those_named(one):
        if named:
            line(f"  {heading} ({len(named)}): " + ", ".join(named))
    for part in parts:
        line(f"  {_carried_out(part)}")
    for sentence in _approvals(one, rule, now):
        line(f"  {sentence}")
    if one.state != "open" and one.decided_at is not None:
        by = f" by {one.decided_by}" if one.decided_by and one.state != "applied" else ""
        line(f"  {_DECIDED.get(one.state, one.state)}{by} at {_second(one.decided_at)}")
    if one.state == "open":
        rest = "Everything else goes on. " if one.subject == "deletions" else ""
        line(f"{rest}Nothing of this is changed until you decide:")
        line(f"skolebro holds approve {one.id}, or reject {one.id}")
        line(f"What it would do in each target: skolebro holds preview {one.id}")


def _keys(heading: str, keys: Sequence[str]) -> str:
    """Class moves stand each in a line of its own."""
    return "".join(f"\n    {key}" for key in keys) if heading == CLASSES else f" {', '.join(keys)}"


def _carried_out(part: Hold) -> str:
    keys = (*part.people, *part.groups)
    people = ", ".join(f"{yes.by} at {_second(yes.at)}" for yes in part.approvals)
    done = f"carried out at {_second(part.decided_at)}, on record as hold {part.id}"
    return f"{len(keys)} of it ({', '.join(keys)}): approved by {people}; {done}"


def _approvals(one: Hold, rule: Rule, now: datetime) -> Iterator[str]:
    """Who said yes, part by part: people count together only where they said it to the same."""
    live = live_approvals(one, rule, now) if one.state == "open" else ()
    for part in dict.fromkeys(approval.only for approval in one.approvals):
        whom = "all of it" if part is None else f"only {len(part)} of it ({', '.join(part)})"
        people = [f"{a.by} at {_second(a.at)}" for a in one.approvals if a.only == part]
        counted = sum(approval.only == part for approval in live)
        missing = f"; {counted} of {rule.people_needed} people needed" if one.state == "open" else ""
        yield f"{whom}: approved by {', '.join(people)}{missing}"


def decided(one: Hold | None, json: bool, people_needed: int = 1) -> None:
    if one is None:
        return
    if json:
        print_json(_hold(one))
        return
    if one.state == "open":
        part = one.approvals[-1].only
        missing = people_needed - sum(approval.only == part for approval in one.approvals)
        line(
            f"Hold {one.id} is approved by {one.approvals[-1].by}{_for_whom(one)}; "
            f"{missing} more person has to approve it too."
        )
        if any(approval.only != part for approval in one.approvals):
            line(f"Somebody else approved another part of it, which counts apart: skolebro holds show {one.id}")
        return
    if one.state != "approved":
        line(f"Hold {one.id} is {one.state} by {one.decided_by}: nothing is changed.")
        return
    line(f"Hold {one.id} is approved by {one.decided_by}{_for_whom(one)}: {who_carries_out(one)}.")
    if agreed_part(one) is not None:
        line(
            _WHOLE if one.subject == "snapshot" else f"Who was left out stays, and waits on under number {one.id}."
        )


def _for_whom(one: Hold) -> str:
    """How much of a hold was approved last, where it is a part."""
    part = one.approvals[-1].only if one.approvals else None
    if part is None:
        return ""
    told = [
        f"{len(set(part) & set(keys))} of {len(keys)} {what}"
        for what, keys in (("people", one.people), ("groups", one.groups))
        if keys
    ]
    return f" for {' and '.join(told)}"


def kept(people: Sequence[KeptPerson], now: datetime, json: bool) -> None:
    if json:
        print_json({"kept": people})
        return
    if not people:
        line("Nobody is kept.")
        return
    table = new_table("user id", "until", "by", "since")
    for one in people:
        is_over = one.until is not None and one.until <= now
        until = "over" if is_over else _second(one.until) or "for good"
        add_row(table, one.user_id, until, one.kept_by, _second(one.kept_at))
    console.print(table)


def deliveries(rows: Sequence[Delivery], json: bool) -> None:
    if json:
        print_json({"deliveries": [_delivery(row) for row in rows]})
        return
    table = new_table("target", "entity", "key", "id", "state", "attempts", "next", "reason")
    for row in rows:
        at = row.next_attempt_at.isoformat(timespec="seconds") if row.is_due else ""
        place = (row.target, row.kind, "/".join(row.key), row.id)
        add_row(table, *place, _state(row), row.attempts, at, row.reason)
    console.print(table)


def _state(row: Delivery) -> str:
    if row.state == "rejected":
        return "rejected"
    return "due" if row.is_due else "confirmed" if row.is_there else "gone"


def _delivery(row: Delivery) -> dict[str, Any]:
    return {
        "target": row.target,
        "entity": row.kind.value,
        "id": row.id,
        "key": list(row.key),
        "resource": row.resource,
        "state": _state(row),
        "version": row.version,
        "attempts": row.attempts,
        "next_attempt_at": row.next_attempt_at.isoformat() if row.is_due else None,
        "reason": row.reason,
    }


def differences(rows: Sequence[Drift], keys: Keys, limit: int | None) -> None:
    table = new_table("target", "entity", "key", "id", "what", "fields", "rounds", "state")
    for row in rows[:limit]:
        key = "/".join(keys.get((row.target, row.id), ()))
        place = (row.target, row.kind.value, key, row.id)
        add_row(table, *place, row.what, ", ".join(row.fields), row.rounds, row.state)
    if rows:
        console.print(table)
    if limit is not None and len(rows) > limit:
        line(f"and {len(rows) - limit} more: --all shows them.")


def retried(number: int, json: bool) -> None:
    if json:
        print_json({"retried": number})
    else:
        line(f"{number} deliveries were set to be tried again and no target pauses any more;")
        line("the running daemon or the next sync sends what is due.")


def verdict(found: Verdict, json: bool) -> None:
    if json:
        print_json(found)
    elif found.ok:
        line(f"The audit chain holds: {found.size} links, {found.open_intents} without outcome yet.")
        line(f"Head: {found.head}")
        line("Note the head elsewhere (mail, paper): with --expect it shows later that nothing was cut off.")
    else:
        line(
            f"THE AUDIT CHAIN DOES NOT HOLD: {found.problem}. Stop the bridge and keep the state folder as it is."
        )
