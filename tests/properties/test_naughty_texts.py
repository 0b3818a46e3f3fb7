"""Whatever stands in a name, a group or an id: a log line stays one line, a page keeps its shape."""

from __future__ import annotations

import io
import json
import logging
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any, cast

import structlog
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.cli import printing
from bridge.domain.errors import StoreUnavailable
from bridge.domain.ids import TargetId
from bridge.engine.guard import REASON_TEXTS
from bridge.observe import (
    KEY_TEXTS,
    AnomalyStatus,
    HoldStatus,
    InstitutionStatus,
    LogEvent,
    QuarantinedStatus,
    Status,
    TargetStatus,
    as_json,
    configure_logging,
    log,
)
from bridge.ports import Hold
from bridge.web.anomalies_page import anomalies_page
from bridge.web.hold_page import hold_page
from bridge.web.page import status_page

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
FORGED = '{"ts": "2026", "level": "info", "event": "audit.verified"}'
NAUGHTY = (
    "",
    " ",
    "null",
    "undefined",
    "NaN",
    "\\",
    '"',
    "'",
    "%s %(name)s {0} {name!r}",
    "$title ${body} $$",
    "[bold red]x[/] [/nothing] [link=http://127.0.0.1/]y[/link] :smiley:",
    f"x\n{FORGED}",
    f"x\r\n{FORGED}\r\n",
    f"x\u2028{FORGED}",
    f"x\x85{FORGED}\x0b{FORGED}\x0c",
    "\x00\x07\x08\x7f",
    "\x1b[2J\x1b]0;title\x07\x1b[31mred",
    "\x9b31m",
    "\u202eabc\u2066\u200f",
    "\u200b\ufeff\u00ad",
    "<script>alert('x')</script>",
    "</td></table><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "&lt;b&gt; &#x3C;",
    "<!-- ", "-->", "]]>", "<![CDATA[",
    "=cmd|' /C calc'!A0",
    "'; DROP TABLE entities; --",
    "../../etc/passwd",
    "Æblegård Ø'Brien-Åse",
    "e\u0301\u0327" * 20,
    "\U0001f469\u200d\U0001f469\u200d\U0001f466\ufe0f",
    "田中さん",
    "\ufdfd\U00012031",
    "\U000e0041\U0010ffff\uffff",
    "x" * 1_500,
    "\n" * 400,
)  # fmt: skip

texts = st.sampled_from(NAUGHTY) | st.text(max_size=60)
with_surrogates = texts | st.text(st.characters(categories=["Cs", "Cc", "Cf", "Zl", "Zp", "Lu"]), max_size=20)
keys = st.sampled_from(sorted(KEY_TEXTS.keys() - {"ts", "level", "event"}))
values = st.one_of(
    with_surrogates,
    st.lists(with_surrogates, max_size=3),
    st.tuples(with_surrogates),
    st.dictionaries(with_surrogates, st.integers(), max_size=3),
    st.builds(StoreUnavailable, with_surrogates),
    st.builds(KeyError, with_surrogates),
)
STEADY = settings(deadline=None, max_examples=150)


@contextmanager
def logged(*, is_json: bool) -> Iterator[io.StringIO]:
    """What is logged meanwhile; afterwards all is as before."""
    root, stream = logging.getLogger(), io.StringIO()
    before, level = root.handlers, root.level
    configure_logging("debug", json=is_json, stream=stream)
    try:
        yield stream
    finally:
        structlog.reset_defaults()
        root.handlers, root.level = before, level
        logging.captureWarnings(False)


def dangerous(text: str) -> set[str]:
    """The characters that a terminal, an editor or whoever reads lines would act upon."""
    return {c for c in text if unicodedata.category(c)[0] in "CZ" and c != " "}


# ---------------------------------------------------------------- the log


@STEADY
@given(st.dictionaries(keys, values, max_size=5), st.dictionaries(with_surrogates, with_surrogates, max_size=2))
@example({"reason": f"x\n{FORGED}", "origin": f"x\u2028{FORGED}"}, {"event": "audit.verified", "ts": "2026"})
def test_a_json_line_is_one_line_and_says_what_happened(told: Mapping[str, Any], more: Mapping[str, str]) -> None:
    with logged(is_json=True) as stream:
        # "event" is the method's own parameter; a key that is no key of ours is dropped.
        strangers = {name: value for name, value in more.items() if name not in ("event", "self")}
        log.emit(LogEvent.LOOP_FAILED, **cast(Any, {**strangers, **told}))
    (line,) = stream.getvalue().splitlines()
    assert stream.getvalue() == f"{line}\n"
    assert line.isascii()
    read = json.loads(line)
    assert (read["event"], read["level"]) == ("loop.failed", "error")
    assert read["ts"] != "2026" and read.keys() <= KEY_TEXTS.keys()
    assert not dangerous("".join(_texts_in(read)))


def _texts_in(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for name, one in value.items():
                yield from (name, *_texts_in(one))
        case list():
            for one in value:
                yield from _texts_in(one)


@STEADY
@given(st.dictionaries(keys, values, max_size=5))
def test_a_line_for_a_terminal_is_one_line_and_nothing_in_it_acts(told: Mapping[str, Any]) -> None:
    with logged(is_json=False) as stream:
        log.emit(LogEvent.LOOP_FAILED, **cast(Any, told))
    assert stream.getvalue().count("\n") == 1 and stream.getvalue().endswith("\n")
    assert not dangerous(stream.getvalue()[:-1])
    assert "loop.failed" in stream.getvalue()


@STEADY
@given(with_surrogates, with_surrogates)
def test_a_library_that_quotes_a_text_tells_its_template_only(name: str, value: str) -> None:
    with logged(is_json=True) as stream:
        logging.getLogger("vendor").warning("cannot send %s to %s", value, name)
        logging.getLogger("vendor").warning(f"cannot send {value}!")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["template"] for line in lines] == ["cannot send %s to %s", "<str>"]


# ---------------------------------------------------------------- a terminal


@STEADY
@given(texts, texts)
def test_a_sentence_and_a_table_show_a_text_and_obey_none(one: str, other: str) -> None:
    table = printing.new_table("group", "user id")
    printing.add_row(table, one, other)
    with printing.console.capture() as captured:
        printing.line(f"{one}|{other}")
        printing.console.print(table)
    assert not dangerous(captured.get().replace("\n", " "))
    sentence = captured.get().removesuffix("\n")
    assert sentence.startswith(f"{printing.plain(one)}|{printing.plain(other)}")


@STEADY
@given(st.lists(texts, max_size=4))
def test_json_comes_back_equal(told: list[str]) -> None:
    before, sys.stdout = sys.stdout, io.StringIO()
    try:
        printing.print_json({"ids": told})
        said = sys.stdout.getvalue()
    finally:
        sys.stdout = before
    assert json.loads(said) == {"ids": told}
    assert said.count("\n") == 1


# ---------------------------------------------------------------- the pages of the console


class _Shape(HTMLParser):
    """The tags of a page in their order, with the names of their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}",))

    def handle_comment(self, data: str) -> None:
        self.tags.append(("comment",))


def status_of(one: str, other: str) -> Status:
    institution = InstitutionStatus(one, other, NOW, NOW, "refused", one, NOW, 1.0, files=(other,))
    target = TargetStatus(TargetId(f"{one}/{other}"), 9, 1, 0, 1, NOW, NOW, other, 1, NOW)
    hold = HoldStatus(7, one, other, "snapshot", None, (one, other), {f"{one}.deleted": 3}, NOW)
    return Status(
        at=NOW,
        attention=(one, other),
        municipalities=(),
        institutions=(institution,),
        targets=(target,),
        holds=(hold,),
        quarantined=1,
        audit_head="0:00",
        notes=(other,),
        set_aside=(QuarantinedStatus(one, other, one, other),),
        anomalies=(AnomalyStatus(one, other, {one: 1, "class_without_pupils": 2}),),
    )


def hold_of(one: str, other: str) -> Hold:
    return Hold(
        id=7,
        municipality=one,
        institution=other,
        subject="snapshot",
        target=None,
        digest="d",
        reasons=(one,),
        origin=other,
        opened_at=NOW,
        counts={f"{one}.deleted": 3},
        summary={"leavers": (one, other)},
        state="open",
        people=(one, other),
        groups=(other,),
    )


@STEADY
@given(texts, texts)
def test_a_page_keeps_its_shape_whatever_it_shows(one: str, other: str) -> None:
    shown, harmless = status_of(one, other), status_of("harmless", "good")
    for make in (status_page, lambda status: anomalies_page(status.anomalies)):
        assert _Shape(make(shown)).tags == _Shape(make(harmless)).tags
    page = hold_page(hold_of(one, other), REASON_TEXTS)
    assert _Shape(page).tags == _Shape(hold_page(hold_of("harmless", "good"), REASON_TEXTS)).tags
    json.dumps(as_json(replace(shown, notes=(one, other))))
