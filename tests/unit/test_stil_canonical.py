"""Our canonical form, made while a document passes by, is the one that lxml makes of the whole tree."""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.connector import SnapshotInvalid
from bridge.testing.stil_sealing import UTILITY, canonical, parse
from connectors.stil.gate import Limits
from connectors.stil.wsse.canonical import digest_parts
from tests.support.wsse import NOW, answer, authority, provider, sealing

ROOT = Path(__file__).parents[2]
SOAP = "http://www.w3.org/2003/05/soap-envelope"
_SPACES = ("urn:one", "urn:two", SOAP)
_TEXTS = st.text("ab <>&\"'\r\n\tæøå😀;]", max_size=8)
_NAMES = st.sampled_from(["x", "y", "lang"])
_LISTS = st.sets(st.sampled_from(["a", "b", "soap", "nowhere"]))


@st.composite
def elements(draw: st.DrawFn, depth: int = 3) -> str:
    """An element with whatever declarations, attributes and children; prefixes are declared at the top."""
    prefix = draw(st.sampled_from(["", "a:", "b:", "soap:"]))
    spaces = draw(st.dictionaries(st.sampled_from(["", "a", "b"]), st.sampled_from(_SPACES), max_size=2))
    if "" in spaces and draw(st.booleans()):
        spaces[""] = ""
    declarations = "".join(f' xmlns{":" if p else ""}{p}="{uri}"' for p, uri in spaces.items())
    names = draw(st.lists(_NAMES, max_size=2, unique=True))
    written = "".join(f" {draw(st.sampled_from(['', 'soap:', 'xml:']))}{n}={_quoted(draw(_TEXTS))}" for n in names)
    children = draw(st.lists(elements(depth - 1), max_size=2)) if depth else []
    parts = [
        draw(st.sampled_from(["", "<!-- note -->", "<![CDATA[<&]]>"])) + _escaped(draw(_TEXTS)) for _ in range(2)
    ]
    return f"<{prefix}e{declarations}{written}>{parts[0]}{''.join(children)}{parts[1]}</{prefix}e>"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def _quoted(text: str) -> str:
    text = _escaped(text).replace('"', "&quot;").replace("\t", "&#9;").replace("\n", "&#10;")
    return f'"{text}"'


def envelope(content: str) -> bytes:
    return (
        f'<soap:Envelope xmlns:soap="{SOAP}" xmlns:a="urn:a" xmlns:b="urn:b" xmlns="urn:d"><soap:Header/>'
        f'<soap:Body xmlns:wsu="{UTILITY}" wsu:Id="Body">{content}</soap:Body></soap:Envelope>'
    ).encode()


@given(elements(), _LISTS)
def test_the_canonical_form_is_that_of_another_implementation(content: str, prefixes: set[str]) -> None:
    document = envelope(content)
    body = parse(document).findall(f"{{{SOAP}}}Body")[0]
    listed = tuple(sorted(prefixes))
    ours = digest_parts(document, {"Body": frozenset(prefixes)}, None, Limits())
    assert ours.by_id["Body"].digest == sha256(canonical(body, listed)).digest()


def test_the_default_namespace_can_be_in_the_list_too() -> None:
    """By Exclusive XML Canonicalization 1.0, §3; lxml passes over "#default"."""
    written = (
        f'<soap:Body xmlns="urn:d" xmlns:soap="{SOAP}" xmlns:wsu="{UTILITY}" wsu:Id="Body">'
        '<e xmlns=""><a:f xmlns:a="urn:a"></a:f></e></soap:Body>'
    )
    found = digest_parts(envelope('<e xmlns=""><a:f/></e>'), {"Body": frozenset({""})}, None, Limits())
    assert found.by_id["Body"].digest == sha256(written.encode()).digest()


@pytest.mark.parametrize("content", ["<q:e/>", '<e q:x=""/>', "<e><q:f/></e>"])
def test_a_prefix_that_nobody_declared_is_refused(content: str) -> None:
    with pytest.raises(SnapshotInvalid, match="not_well_formed"):
        digest_parts(envelope(content), {"Body": frozenset()}, None, Limits())


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("<e>" * 100 + "</e>" * 100, "too_deep"),
        ("<e " + " ".join(f"a{n}='x'" for n in range(100)) + "/>", "too_many_attributes"),
        ("<?php ?>", "processing_instruction"),
    ],
)
def test_what_the_gate_refuses_is_refused_here_too(content: str, code: str) -> None:
    with pytest.raises(SnapshotInvalid, match=code):
        digest_parts(envelope(content), {"Body": frozenset()}, None, Limits())


_MEASURE = """
import sys
from datetime import datetime, timedelta
from pathlib import Path
from connectors.stil.wsse import OcesSecurity, Trust, load_identity
from tests.support.memory import most_held
folder, now = Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2])
identity = load_identity((folder / "client.pem").read_bytes(), None, None)
security = OcesSecurity(identity, Trust([(folder / "ca.pem").read_bytes()]), lambda: now, timedelta(minutes=5))
body = (folder / "answer.xml").read_bytes()
before = most_held()
security.open(body)
print(len(body), most_held() - before)
"""


def test_twenty_megabytes_are_verified_in_less_memory_than_they_take_themselves(tmp_path: Path) -> None:
    record = f'<p:e xmlns:p="urn:p" a="1"><p:f>{"Æble &amp; grød " * 20}</p:f><p:g/></p:e>'
    signed = sealing().seal(answer(record * (20 * 1024 * 1024 // len(record.encode()))))
    (tmp_path / "answer.xml").write_bytes(signed)
    (tmp_path / "client.pem").write_bytes(provider().pem + provider().key_pem)
    (tmp_path / "ca.pem").write_bytes(b"".join(authority().files.values()))
    command = [sys.executable, "-c", _MEASURE, str(tmp_path), NOW.isoformat()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    size, added = map(int, done.stdout.split())
    assert size > 19 * 2**20 and 0 < added < size, done.stdout
