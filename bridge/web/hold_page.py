"""One hold in full: why, how much, and whom it is about by key; who decides, decides on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from html import escape

from bridge.engine.hold_words import those_named
from bridge.engine.roll import told_once
from bridge.ports import Hold
from bridge.web.page import framed


def hold_page(hold: Hold, reasons: Mapping[str, str], parts: Sequence[Hold] = ()) -> str:
    """Return the page of a hold; `reasons` are the words for its codes, `parts` of it were carried out before."""
    body = "".join(
        (
            _headline(hold, reasons),
            _list("How much", (f"{label.replace('.', ' ')}: {number:,}" for label, number in hold.counts.items())),
            *(_list(heading.replace("_", " ").capitalize(), keys) for heading, keys in _summary(hold)),
            *(_list(heading.capitalize(), keys) for heading, keys in those_named(hold)),
            _list("Approved by", _approvals(hold)),
            _list("Carried out before", map(_carried_out, parts)),
            _decision(hold),
            _what_to_do(hold),
        )
    )
    return framed(f"Skolebro: hold {hold.id}", body, '<p><a href="/">All of it</a></p>')


def no_hold_page(number: int) -> str:
    """Return the page for a number that is no hold's."""
    text = f'<section class="headline attention"><h1>There is no hold {number}</h1></section>'
    return framed("Skolebro: no such hold", text, '<p><a href="/">All of it</a></p>')


def _headline(hold: Hold, reasons: Mapping[str, str]) -> str:
    title = f"<h1>Hold {hold.id} is {escape(hold.state)}</h1>"
    return f'<section class="headline attention">{title}{_why(hold, reasons)}</section>'


def _why(hold: Hold, reasons: Mapping[str, str]) -> str:
    place = hold.target or f"institution {hold.institution}"
    told = "".join(f"<li>{escape(reasons.get(reason, reason))}</li>" for reason in hold.reasons)
    return f"<p>{escape(hold.subject)} of {escape(place)}</p><ol>{told}</ol>"


def _approvals(hold: Hold) -> Iterator[str]:
    for one in hold.approvals:
        part = "all of it" if one.only is None else f"{len(one.only)} of it"
        yield f"{one.by}, {part}, {_minute(one.at)}"


def _summary(hold: Hold) -> Iterable[tuple[str, Sequence[str]]]:
    return told_once(hold.summary, hold.people).items()


def _carried_out(part: Hold) -> str:
    by = ", ".join(one.by for one in part.approvals)
    number = len(part.people) + len(part.groups)
    return f"{number} of it, approved by {by}: hold {part.id}, {_minute(part.decided_at)}"


def _decision(hold: Hold) -> str:
    if hold.state == "open" or hold.decided_at is None:
        return ""
    state = {"applied": "Carried out"}.get(hold.state, hold.state.capitalize())
    by = f" by {hold.decided_by}" if hold.decided_by and hold.state != "applied" else ""
    return f"<section><h2>Decided</h2><p>{escape(f'{state}{by}, {_minute(hold.decided_at)}')}</p></section>"


def _minute(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else "at an unknown time"


def _list(title: str, entries: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(entry)}</li>" for entry in entries)
    return f'<section><h2>{escape(title)}</h2><ul class="keys">{items}</ul></section>' if items else ""


def _what_to_do(hold: Hold) -> str:
    if hold.state != "open":
        return ""
    verbs = ("preview", "approve", "reject")
    lines = "".join(f"<li><code>skolebro holds {verb} {hold.id}</code></li>" for verb in verbs)
    return f"<section><h2>Decide on the command line</h2><ul>{lines}</ul></section>"
