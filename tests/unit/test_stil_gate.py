"""Whatever the bytes are, the gate lets a sound document through or refuses it with a stable code."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.connector import SnapshotInvalid
from connectors.stil.gate import Limits
from connectors.stil.stream import Closed, Event, Opened, Subtree, stream

MIB = 1024 * 1024


def events(body: bytes, limits: Limits | None = None) -> list[Event]:
    return list(stream(body, lambda parent, _name: parent is None, limits or Limits()))


def refusal(body: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(SnapshotInvalid) as caught:
        events(body, limits)
    return caught.value.code


REFUSED = {
    b"<!DOCTYPE a><a/>": "doctype",
    b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd"><a/>': "doctype",
    b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>': "doctype",
    b'<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;&x;">]><a>&z;</a>': "doctype",
    b"<?xml-stylesheet href='x'?><a/>": "processing_instruction",
    b"<a><?php x?></a>": "processing_instruction",
    b'<?xml version="1.1"?><a/>': "xml_version",
    b'<?xml version="1.0" encoding="ISO-8859-1"?><a/>': "not_utf8",
    b'<?xml version="1.0" encoding="UTF-16"?><a/>': "not_utf8",
    "<a/>".encode("utf-16"): "not_utf8",
    b"<a>\xc0\x80</a>": "not_utf8",  # an overlong NUL
    b"<a>\xed\xa0\x80</a>": "not_utf8",  # a lone surrogate
    b"<a>\xe6</a>": "not_utf8",  # æ in Latin-1
    b"<a>\xf4\x90\x80\x80</a>": "not_utf8",  # beyond Unicode
    b"<a>\x00</a>": "not_well_formed",
    b"<a>&#0;</a>": "not_well_formed",
    b"<a>\xef\xbf\xbf</a>": "not_well_formed",
    b"<a>&unknown;</a>": "not_well_formed",
    b"<p:a/>": "not_well_formed",
    b"<a p:x='1'/>": "not_well_formed",
    b"<a x='1' x='2'/>": "not_well_formed",
    b"<a></b>": "not_well_formed",
    b"<a/><a/>": "not_well_formed",
    b"<a/>text": "not_well_formed",
    b"plain text": "not_well_formed",
    b"": "truncated",
    b"   ": "truncated",
    b"<a": "truncated",
    b"<a>": "truncated",
    b"<a><b/>": "truncated",
    b"<a><![CDATA[x": "truncated",
    b"<a>\xc3": "truncated",
    b"<a/><!-- and then": "truncated",
}


@pytest.mark.parametrize(("body", "code"), REFUSED.items())
def test_what_is_not_plain_xml_is_refused_by_its_code(body: bytes, code: str) -> None:
    assert refusal(body) == code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<a>" + b"<b>" * 64 + b"</b>" * 64 + b"</a>", "too_deep"),
        (b"<a>" + b"<b>" * 200_000, "too_deep"),
        (b"<a><b " + b" ".join(b'x%d=""' % n for n in range(65)) + b"/></a>", "too_many_attributes"),
        (b"<a " + b" ".join(b'x%d=""' % n for n in range(65)) + b"/>", "too_many_attributes"),
        (b"<a><b>" + b"x" * (MIB + 1) + b"</b></a>", "text_too_long"),
        (b"<a><b><![CDATA[" + b"x" * (MIB + 1) + b"]]></b></a>", "text_too_long"),
        (b"<a><!--" + b"x" * (5 * MIB) + b"--></a>", "token_too_long"),
        (b'<a b="' + b"x" * (5 * MIB) + b'"/>', "token_too_long"),
        (b"<a>" + b"".join(b"<b%d/>" % n for n in range(50_000)) + b"</a>", "too_many_names"),
        (b"<a>" + b"".join(b"<b x%d=''/>" % n for n in range(50_000)) + b"</a>", "too_many_names"),
        (b"<a>" + b"".join(b"<b xmlns:p%d='u'/>" % n for n in range(50_000)) + b"</a>", "too_many_names"),
        (b"<a><record>" + b"<b/>" * 200_000 + b"</record></a>", "record_too_large"),
    ],
)
def test_what_costs_too_much_is_refused_by_its_code(body: bytes, code: str) -> None:
    assert refusal(body) == code


def test_the_document_as_a_whole_has_limits() -> None:
    body = b"<a>" + b"<b/>" * 10 + b"</a>"
    assert refusal(body, Limits(elements=10)) == "too_many_elements"
    assert refusal(body, Limits(document_bytes=len(body) - 1)) == "too_large"
    assert events(body, Limits(elements=11, document_bytes=len(body)))


def test_a_document_at_its_limits_passes() -> None:
    assert events(b"<a>" + b"<b>" * 63 + b"</b>" * 63 + b"</a>")
    assert events(b"<a><b " + b" ".join(b'x%d=""' % n for n in range(64)) + b"/></a>")
    assert events(b"<a><b>" + b"x" * MIB + b"</b></a>")


def test_a_byte_order_mark_may_stand_before_utf8() -> None:
    assert events(b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?><a/>') == [Opened("a", {}), Closed("a")]


def test_subtrees_come_in_document_order_between_their_containers() -> None:
    found = events(b"<a><b>1</b><b>2</b><c/></a>")
    assert found[0] == Opened("a", {}) and found[-1] == Closed("a")
    subtrees = [event for event in found if isinstance(event, Subtree)]
    assert [(s.parent, s.name, s.element.text) for s in subtrees] == [
        ("a", "b", "1"),
        ("a", "b", "2"),
        ("a", "c", None),
    ]


def test_a_document_of_many_chunks_yields_every_subtree_once() -> None:
    count = 100_000
    found = events(b"<a>" + b"".join(b"<b>%d</b>" % n for n in range(count)) + b"</a>")
    assert [s.element.text for s in found if isinstance(s, Subtree)] == [str(n) for n in range(count)]


def test_an_error_quotes_nothing_of_the_document() -> None:
    for body in (b"<a>Hemmelig</b>", b"<a>Hemmelig\xff</a>", b"<!DOCTYPE Hemmelig><a/>", b"<Hemmelig"):
        with pytest.raises(SnapshotInvalid) as caught:
            events(body)
        assert "Hemmelig" not in str(caught.value)
        assert caught.value.__cause__ is None


PIECES = (
    b"<a>",
    b"</a>",
    b"<b x='1'>",
    b"</b>",
    b"<!--",
    b"-->",
    b"<![CDATA[",
    b"]]>",
    b"&lt;",
    b"x",
    b"\xc3",
    b"<?",
)


@given(st.one_of(st.binary(), st.lists(st.sampled_from(PIECES)).map(b"".join)))
def test_no_bytes_raise_anything_but_a_refusal(body: bytes) -> None:
    with suppress(SnapshotInvalid):
        found = events(body)
        assert isinstance(found[0], Opened) and isinstance(found[-1], Closed)
