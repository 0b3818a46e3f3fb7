"""One hold in full: why, how much, and whom it is about by key; who decides, decides on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from html import escape

from bridge.engine.hold_words import those_named
from bridge.ports import Hold
from bridge.web.page import framed


def hold_page(hold: Hold, reasons: Mapping[str, str]) -> str:
    """Return the page of a hold; `reasons` are the words for its codes."""
    body = "".join(
        (
            _headline(hold, reasons),
            _list("How much", (f"{label.replace('.', ' ')}: {number:,}" for label, number in hold.counts.items())),
            *(_list(heading.replace("_", " ").capitalize(), keys) for heading, keys in hold.summary.items()),
            *(_list(heading[0].upper() + heading[1:], keys) for heading, keys in those_named(hold)),
            _list("Approved by", _approvals(hold)),
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
        yield f"{one.by}, {'all of it' if one.only is None else f'{len(one.only)} of it'}"


def _list(title: str, entries: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(entry)}</li>" for entry in entries)
    return f'<section><h2>{escape(title)}</h2><ul class="keys">{items}</ul></section>' if items else ""


def _what_to_do(hold: Hold) -> str:
    if hold.state != "open":
        return ""
    verbs = ("preview", "approve", "reject")
    lines = "".join(f"<li><code>skolebro holds {verb} {hold.id}</code></li>" for verb in verbs)
    return f"<section><h2>Decide on the command line</h2><ul>{lines}</ul></section>"
