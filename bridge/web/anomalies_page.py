"""What schools can mend, rule by rule: how many at which institution; the command line tells which these are."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bridge.domain.anomalies import AnomalyCode
from bridge.engine.anomalies import RULES
from bridge.observe import AnomalyStatus
from bridge.web.page import framed


def anomalies_page(rows: Sequence[AnomalyStatus]) -> str:
    """Return the page of what was found last; every rule that found something has a section."""
    body = "".join(_rule(code, rows) for code in AnomalyCode)
    nothing = (
        '<section class="headline well"><h1>No anomalies</h1><p>The schools have nothing to mend.</p></section>'
    )
    return framed("Skolebro: anomalies", body or nothing, '<p><a href="/">All of it</a></p>')


def _rule(code: AnomalyCode, rows: Sequence[AnomalyStatus]) -> str:
    found = [(row.institution, row.counts[code.value]) for row in rows if row.counts.get(code.value)]
    if not found:
        return ""
    rule = RULES[code]
    places = "".join(f"<li>{escape(institution)}: {number:,}</li>" for institution, number in found)
    return (
        f"<section><h2>{escape(_capital(rule.what))} ({rule.severity.value})</h2>"
        f"<p>What to do: {escape(rule.remedy)}.</p>"
        f'<ul class="keys">{places}</ul>'
        f"<p>Which: <code>skolebro anomalies --code {code.value}</code></p></section>"
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
