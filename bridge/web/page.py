"""In three seconds an operator sees what needs a person; everything shown is escaped."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template

from bridge.observe import (
    AnomalyStatus,
    HoldStatus,
    InstitutionStatus,
    QuarantinedStatus,
    Status,
    TargetStatus,
    meaning_of,
)

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_MANY_INSTITUTIONS = 200
_MANY_ANOMALIES = 50
_ENDED = ("missing", "withdrawn")
_GOOD = ("recorded", "unchanged")


def status_page(status: Status) -> str:
    """Return the status as one HTML page without scripts or outside resources."""
    body = "".join(
        (
            _headline(status.attention),
            _section("Targets", _targets(status.targets, status.at), "No target is configured."),
            _section("Holds", _holds(status.holds, status.at), "Nothing waits for a decision."),
            _section("Institutions", _institutions(status.institutions, status.at), "Nothing has come in yet."),
            _quarantine(status),
            _anomalies(status.anomalies),
            "".join(f'<p class="nothing">{escape(note)}</p>' for note in status.notes),
        )
    )
    return framed(_title(status.attention), body, _footer(status))


def trouble_page(text: str) -> str:
    """Return the page for a bridge whose state cannot be read."""
    return framed("Skolebro: state unknown", _headline((f"The state cannot be read: {text}",)), "")


@cache
def style_hash() -> str:
    """Return the only style sheet that the page's security policy lets through, as that policy names it."""
    style = _template().split("<style>")[1].split("</style>")[0]
    return f"sha256-{b64encode(sha256(style.encode()).digest()).decode()}"


@cache
def _template() -> str:
    return files(__package__).joinpath("status.html").read_text(encoding="utf-8")


def framed(title: str, body: str, footer: str) -> str:
    """Return a page of the console; title is escaped here, body and footer are by whoever made them."""
    return Template(_template()).substitute(title=escape(title), body=body, footer=footer)


# ---------------------------------------------------------------- headline


def _title(attention: Sequence[str]) -> str:
    return f"({len(attention)}) Skolebro" if attention else "Skolebro: all well"


def _headline(attention: Sequence[str]) -> str:
    if not attention:
        return '<section class="headline well"><h1>All well</h1><p>Nothing needs a person.</p></section>'
    count = len(attention)
    words = "1 thing needs a person" if count == 1 else f"{count} things need a person"
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in attention)
    return f'<section class="headline attention" role="alert"><h1>{words}</h1><ol>{items}</ol></section>'


def _section(title: str, rows: str, nothing: str) -> str:
    content = rows or f'<p class="nothing">{nothing}</p>'
    return f"<section><h2>{title}</h2>{content}</section>"


# ---------------------------------------------------------------- targets


def _targets(rows: Sequence[TargetStatus], now: datetime) -> str:
    heads = ["Target", "State", "#Confirmed", "#Due", "#Rejected", "Progress", "Last success"]
    is_read = any(row.reconciled_at for row in rows)
    heads += ["#Otherwise", "#Not ours", "Read back"] if is_read else []
    return _table("targets", heads, (_target(row, now) + (_drift(row, now) if is_read else ()) for row in rows))


def _target(row: TargetStatus, now: datetime) -> tuple[str, ...]:
    return (
        f"<strong>{escape(row.target)}</strong>",
        _target_state(row),
        _number(row.confirmed),
        _number(row.due),
        _number(row.rejected, "bad" if row.rejected else ""),
        _bar(row),
        _ago(row.last_success_at, now),
    )


def _drift(row: TargetStatus, now: datetime) -> tuple[str, ...]:
    """What the target had otherwise than it confirmed, and beside it, when all of it was last read back."""
    if row.reconciled_at is None:
        nothing = '<span class="quiet">–</span>'
        return nothing, nothing, _ago(None, now)
    drifted = _number(row.drifted, "bad" if row.drifted else "")
    return drifted, _number(row.foreign), _ago(row.reconciled_at, now)


def _target_state(row: TargetStatus) -> str:
    if row.is_off:
        return _badge("wait", "in shadow: sends nothing" if row.pause_reason == "shadow" else "retired")
    if row.paused_until is not None:
        reason = f": {row.pause_reason}" if row.pause_reason else ""
        return _badge("wait", f"paused{reason}")
    if row.rejected:
        return _badge("bad", "rejections")
    return _badge("busy", "at work") if row.due > row.resting else _badge("good", "up to date")


def _bar(row: TargetStatus) -> str:
    """A bar drawn by SVG attributes: the security policy allows no style attributes."""
    total = row.confirmed + row.due + row.rejected
    if not total:
        return '<span class="quiet">–</span>'
    counts = (("good", row.confirmed), ("busy", row.due), ("bad", row.rejected))
    shares = [(name, max(0.015, count / total)) for name, count in counts if count]  # even one is to be seen
    scale, left, parts = 100 / sum(share for _, share in shares), 0.0, []
    for name, share in shares:
        width = share * scale
        parts.append(f'<rect class="{name}" x="{left:.2f}%" width="{width:.2f}%" height="100%"/>')
        left += width
    words = f"{row.confirmed} confirmed, {row.due} due, {row.rejected} rejected"
    return f'<svg class="bar" role="img" aria-label="{words}">{"".join(parts)}</svg>'


# ---------------------------------------------------------------- holds and institutions


def _holds(rows: Sequence[HoldStatus], now: datetime) -> str:
    heads = ("Hold", "Concerns", "Why", "Would change", "Opened")
    return _table("holds", heads, (_hold(row, now) for row in rows))


def _hold(row: HoldStatus, now: datetime) -> tuple[str, ...]:
    return (
        f'<strong><a href="/holds/{row.number}">{row.number}</a></strong>',
        escape(_concerns(row)),
        " ".join(_badge("wait", reason) for reason in row.reasons),
        escape(", ".join(_would_change(row.counts))) or "–",
        _ago(row.opened_at, now),
    )


def _concerns(row: HoldStatus) -> str:
    place = row.target or f"institution {row.institution}"
    return f"deletions at {place}" if row.subject == "deletions" else place


def _would_change(counts: Mapping[str, int]) -> Iterator[str]:
    """ "214 of 800 person deleted", from {person.deleted: 214, person.stored: 800}."""
    for label, count in sorted(counts.items()):
        kind, _, operation = label.rpartition(".")
        if count and operation != "stored":
            stored = counts.get(f"{kind}.stored", 0) if operation != "created" else 0
            yield f"{count:,}{f' of {stored:,}' if stored else ''} {kind} {operation}"


def _institutions(rows: Sequence[InstitutionStatus], now: datetime) -> str:
    heads = ["Institution", "Municipality", "Last result", "Fresh", "Last change"]
    has_agreements = any(row.agreement for row in rows)
    has_retries = any(row.retry_at for row in rows)
    heads += (["Agreement"] if has_agreements else []) + (["Next try"] if has_retries else [])
    worst_first = sorted(rows, key=_rank)
    cells = (
        _institution(row, now)
        + ((_agreement(row),) if has_agreements else ())
        + ((_until(row.retry_at, now),) if has_retries else ())
        for row in worst_first[:_MANY_INSTITUTIONS]
    )
    more = len(rows) - _MANY_INSTITUTIONS
    rest = f'<p class="nothing">and {more} more, all fresher</p>' if more > 0 else ""
    return _table("institutions", heads, cells) + rest


def _rank(row: InstitutionStatus) -> tuple[int, float]:
    if row.agreement in _ENDED:
        return 0, -_age(row)
    if row.result is None and not row.failures:
        return 2, -_age(row)
    return 1 if row.failures or row.result not in _GOOD else 3, -_age(row)


def _institution(row: InstitutionStatus, now: datetime) -> tuple[str, ...]:
    words = " · ".join(word for word in (row.result or "waiting", row.reason) if word)
    return (
        f"<strong>{escape(row.label)}</strong>",
        escape(row.municipality),
        _badge(_institution_colour(row), words),
        _ago(row.fresh_at, now),
        _ago(row.recorded_at, now),
    )


def _institution_colour(row: InstitutionStatus) -> str:
    if row.failures:
        return "bad"
    return {"recorded": "good", "unchanged": "good", "held": "wait", "": "wait"}.get(row.result or "", "bad")


def _agreement(row: InstitutionStatus) -> str:
    if row.agreement in _ENDED:
        return _badge("bad", f"{row.agreement} {row.agreement_at:%Y-%m-%d}" if row.agreement_at else row.agreement)
    return f'<span class="quiet">{escape(row.agreement or "–")}</span>'


def _age(row: InstitutionStatus) -> float:
    return float("inf") if row.freshness_seconds is None else row.freshness_seconds


# ---------------------------------------------------------------- quarantine


def _quarantine(status: Status) -> str:
    """The records that are set aside, by place and reason; nothing where there is none."""
    if not status.set_aside:
        return ""
    heads = ("Institution", "Record", "Why", "What to do")
    more = status.quarantined - len(status.set_aside)
    rest = f'<p class="nothing">and {more:,} more: skolebro quarantine list</p>' if more > 0 else ""
    return _section("Quarantine", _table("quarantine", heads, map(_set_aside, status.set_aside)) + rest, "")


def _set_aside(row: QuarantinedStatus) -> tuple[str, ...]:
    meaning = meaning_of(row.reason, "quarantined")
    return (
        f"<strong>{escape(row.institution)}</strong>",
        escape(row.path),
        f"{_badge('wait', row.reason)} {escape(meaning.what)}",
        escape(meaning.remedy),
    )


# ---------------------------------------------------------------- anomalies


def _anomalies(rows: Sequence[AnomalyStatus]) -> str:
    """One line for each institution that has something to mend, the most first; nothing where there is none."""
    if not rows:
        return ""
    most_first = sorted(rows, key=lambda row: (-row.number, row.institution))
    heads = ("Institution", "#To mend", "What")
    more = len(rows) - _MANY_ANOMALIES
    rest = f" And {more:,} institutions more." if more > 0 else ""
    told = f'<p class="nothing">For the schools: <a href="/anomalies">what each of these is</a>.{rest}</p>'
    return _section(
        "Anomalies", _table("anomalies", heads, map(_anomaly, most_first[:_MANY_ANOMALIES])) + told, ""
    )


def _anomaly(row: AnomalyStatus) -> tuple[str, ...]:
    what = ", ".join(f"{code.replace('_', ' ')} {number:,}" for code, number in row.counts.items())
    return f"<strong>{escape(row.institution)}</strong>", _number(row.number), escape(what)


# ---------------------------------------------------------------- pieces


def _table(name: str, heads: Sequence[str], rows: Iterable[tuple[str, ...]]) -> str:
    body = "".join(
        "<tr>" + "".join(_cell(head, cell) for head, cell in zip(heads, row, strict=True)) + "</tr>"
        for row in rows
    )
    if not body:
        return ""
    top = "".join(f'<th scope="col"{_number_class(head)}>{head.lstrip("#")}</th>' for head in heads)
    table = f'<table class="{name}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="scroll">{table}</div>'


def _cell(head: str, content: str) -> str:
    return f'<td data-head="{head.lstrip("#")}"{_number_class(head)}><div>{content}</div></td>'


def _number_class(head: str) -> str:
    return ' class="number"' if head.startswith("#") else ""


def _badge(colour: str, words: str) -> str:
    return f'<span class="badge {colour}">{escape(words)}</span>'


def _number(value: int, colour: str = "") -> str:
    return f'<span class="{colour or ("quiet" if value == 0 else "plain")}">{value:,}</span>'


def _ago(at: datetime | None, now: datetime) -> str:
    if at is None:
        return '<span class="quiet">never</span>'
    seconds = (now - at).total_seconds()
    return _time(at, "just now" if seconds < _MINUTE else f"{_span(seconds)} ago")


def _until(at: datetime | None, now: datetime) -> str:
    if at is None:
        return '<span class="quiet">–</span>'
    seconds = (at - now).total_seconds()
    return _time(at, "now" if seconds < _MINUTE else f"in {_span(seconds)}")


def _time(at: datetime, words: str) -> str:
    exact = escape(at.isoformat(timespec="seconds"))
    return f'<time datetime="{exact}" title="{exact}">{words}</time>'


def _span(seconds: float) -> str:
    """Of a minute or more."""
    size, word = next(step for step in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")) if seconds >= step[0])
    count = int(seconds // size)
    return f"{count} {word}{'' if count == 1 else 's'}"


def _footer(status: Status) -> str:
    size, _, head = status.audit_head.partition(":")
    logs = ", ".join(f"{m.municipality} at event {m.last_sequence:,}" for m in status.municipalities)
    return (
        f"<p>As of <time>{escape(status.at.strftime('%Y-%m-%d %H:%M:%S %Z'))}</time>, renewed every 5 seconds."
        f" Municipalities: {escape(logs) or 'none'}. Set aside: {status.quarantined:,}."
        f" Audit chain: {escape(size)} records, head <code>{escape(head[:12])}</code>.</p>"
        '<p><a href="/status">JSON</a> <a href="/metrics">metrics</a> <a href="/health/ready">health</a></p>'
    )
