"""Whatever is moved, copied, renamed or edited in a signed answer: what is read of it is what was signed."""

from __future__ import annotations

import copy

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from bridge.connector import SnapshotInvalid
from bridge.testing.stil_sealing import PREFIXES, SOAP, UTILITY
from connectors.stil.envelope import Answer, agreements, read_answer
from connectors.stil.gate import Limits
from tests.support.wsse import MESSAGE, answer, sealing, security

SIGNED = sealing().seal(answer())
OURS = security()
_IDS = ("Body", "Timestamp", "MessageID", "RelatesTo", "BinarySecurityToken", "evil")
_STEPS = ("move", "copy", "wrap", "drop", "identity", "text", "comment", "attribute", "instruction")
_WRAPPERS = (f"{{{SOAP}}}Header", f"{{{SOAP}}}Body", "{urn:x}Wrapper", f"{{{PREFIXES['ds']}}}Object")


def elements(root: etree._Element) -> list[etree._Element]:
    return [element for element in root.iter() if isinstance(element.tag, str)]


@st.composite
def attacks(draw: st.DrawFn) -> bytes:
    """The signed answer after some steps of an attacker who has no key."""
    root = etree.fromstring(SIGNED)
    for _ in range(draw(st.integers(1, 5))):
        them = elements(root)
        one, other = draw(st.sampled_from(them)), draw(st.sampled_from(them))
        how = draw(st.sampled_from(_STEPS))
        _attack(one, other, how, draw)
    return etree.tostring(root)


def _attack(one: etree._Element, other: etree._Element, how: str, draw: st.DrawFn) -> None:
    parent = one.getparent()
    if parent is None and how in ("move", "wrap", "drop"):
        return
    match how:
        case "move" if other is not one and one not in other.iterancestors():
            other.insert(draw(st.integers(0, len(other))), one)
        case "copy":
            other.insert(draw(st.integers(0, len(other))), copy.deepcopy(one))
        case "wrap" if parent is not None:
            wrapper = etree.Element(draw(st.sampled_from(_WRAPPERS)))
            parent.replace(one, wrapper)
            wrapper.append(one)
        case "drop" if parent is not None:
            parent.remove(one)
        case "identity":
            one.set(f"{{{UTILITY}}}Id", draw(st.sampled_from(_IDS)))
        case "text":
            one.text = draw(st.sampled_from(["", "999999", MESSAGE, "2026-11-24T06:00:00Z"]))
        case "comment":
            one.insert(0, etree.Comment("x"))
        case "attribute":
            one.set("Algorithm", draw(st.sampled_from(["", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"])))
        case "instruction":
            one.insert(0, etree.ProcessingInstruction("php"))
        case _:
            pass


def read(document: bytes) -> tuple[str, str | None, frozenset[str]]:
    found: Answer = read_answer(document, Limits())
    return found.name, found.relates_to, agreements(found)


TRUTH = read(OURS.open(SIGNED))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(attacks())
def test_what_is_believed_is_what_was_signed(document: bytes) -> None:
    try:
        believed = OURS.open(document)
    except SnapshotInvalid:
        return
    assert read(believed) == TRUTH


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(SIGNED) - 1), st.binary(max_size=2))
def test_an_edited_octet_changes_nothing_that_is_believed(position: int, octets: bytes) -> None:
    try:
        believed = OURS.open(SIGNED[:position] + octets + SIGNED[position + 1 :])
    except SnapshotInvalid:
        return
    assert read(believed) == TRUTH
