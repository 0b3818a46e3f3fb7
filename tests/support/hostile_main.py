"""Reads hostile documents in a process of its own, and prints what became of them as JSON.

A document that nothing refuses is `accepted`, one that ends in anything but `SnapshotInvalid` is `untyped`. Every
file, socket and process that is opened while they are read is counted as `forbidden`.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path
from zipfile import ZipFile

from bridge.connector import SnapshotInvalid
from connectors.stil.envelope import read_answer
from connectors.stil.gate import Limits
from connectors.stil.parse import parse
from connectors.stil.payload import cut_payload
from connectors.stil.wsse.canonical import digest_parts
from connectors.stil.wsse.header import read_claims
from tests.support.memory import most_held

CORPUS = Path(__file__).parents[1] / "data" / "hostile" / "not-wf.zip"
E7 = "https://brugerdatabasen.stil.dk/bpi/wsieksport/7"
SOAP = "http://www.w3.org/2003/05/soap-envelope"
_FORBIDDEN = ("open", "socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "urllib.")
_MANY = 100_000
_LARGE = 8 * 1024 * 1024
_LIMITS = Limits()


def export(content: bytes, before: bytes = b"") -> bytes:
    """An export whose institution ends with the content."""
    head = (
        f'<f:UNILoginExportFullMyndighed xmlns:f="{E7}/fullmyndighed" xmlns:c="{E7}/common"'
        ' exportDateTime="2026-11-24T06:00:00Z" accessLevel="full"><f:Institution>'
        "<c:InstitutionNumber>101001</c:InstitutionNumber>"
    )
    return before + head.encode() + content + b"</f:Institution></f:UNILoginExportFullMyndighed>"


def envelope(document: bytes) -> bytes:
    """An answer that holds the document."""
    head = (
        f'<s:Envelope xmlns:s="{SOAP}"><s:Header/><s:Body>'
        f'<r:eksporterXmlFuldMyndighedResponse xmlns:r="{E7}"><r:xml>'
    )
    return head.encode() + document + b"</r:xml></r:eksporterXmlFuldMyndighedResponse></s:Body></s:Envelope>"


def bombs() -> Iterator[tuple[str, bytes]]:
    """Documents that would cost memory, time, a file or a connection, each as the content of an export."""
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    yield "billion laughs", export(b"&l9;", f'<!DOCTYPE x [<!ENTITY l0 "ha">{laughs}]>'.encode())
    blow = b'<!DOCTYPE x [<!ENTITY a "' + b"a" * _MANY + b'">]>'
    yield "quadratic blow-up", export(b"&a;" * _MANY, blow)
    for name, address in (("file", "file:///etc/passwd"), ("network", "http://127.0.0.1:9/x")):
        yield f"entity of a {name}", export(b"&x;", f'<!DOCTYPE x [<!ENTITY x SYSTEM "{address}">]>'.encode())
        yield f"subset of a {name}", export(b"", f'<!DOCTYPE x SYSTEM "{address}">'.encode())
        yield f"parameter of a {name}", export(b"", f'<!DOCTYPE x [<!ENTITY % p SYSTEM "{address}">%p;]>'.encode())
    yield "attributes", export(b"<e " + b" ".join(b"a%d=''" % n for n in range(_MANY)) + b"/>")
    yield "names of elements", export(b"".join(b"<e%d/>" % n for n in range(5 * _MANY)))
    yield "names of attributes", export(b"".join(b"<e a%d=''/>" % n for n in range(5 * _MANY)))
    yield "prefixes", export(b"".join(b"<e xmlns:p%d='u'/>" % n for n in range(5 * _MANY)))
    yield "depth", export(b"<e>" * 10_000 + b"</e>" * 10_000)
    yield "text", export(b"<c:InstitutionName>" + b"x" * _LARGE + b"</c:InstitutionName>")
    yield "attribute", export(b"<e a='" + b"x" * _LARGE + b"'/>")
    yield "comment", export(b"<!--" + b"x" * _LARGE + b"-->")
    yield "siblings", export(b"<e/>" * 3_000_000)
    for name, octets in (
        ("overlong", b"\xc0\xaf"),
        ("surrogate", b"\xed\xa0\x80"),
        ("cut", b"\xc3"),
        ("beyond", b"\xf5\x80\x80\x80"),
        ("nul", b"\x00"),
    ):
        for place in (0, 256 * 1024 - 600, 256 * 1024 - 1):
            padded = b"x" * place + octets
            yield f"{name} after {place}", export(b"<c:InstitutionName>" + padded + b"</c:InstitutionName>")
    for encoding in ("utf-16", "utf-7", "iso-8859-1"):
        declared = f'<?xml version="1.0" encoding="{encoding}"?>'
        yield f"declared {encoding}", (declared + export(b"").decode()).encode(encoding)


def read_export(document: bytes) -> None:
    for _ in parse(document, UTC, _LIMITS):
        pass


def read_envelope(document: bytes) -> None:
    body = envelope(document)
    read_answer(body, _LIMITS)
    read_export(cut_payload(body, _LIMITS))


def read_signature(document: bytes) -> None:
    body = envelope(document)
    digest_parts(body, {}, None, _LIMITS)
    read_claims(body, _LIMITS)


def main() -> None:
    forbidden: list[str] = []
    with ZipFile(CORPUS) as corpus:
        documents = [(name, corpus.read(name)) for name in corpus.namelist()]
    readers = (read_export, read_envelope, read_signature)
    # What is imported late is imported now.
    for late in (export(b""), "".encode("utf-16"), "".encode("utf-7")):
        _tried(read_envelope, late)
    is_reading = [True]
    sys.addaudithook(
        lambda event, _: forbidden.append(event) if is_reading and event.startswith(_FORBIDDEN) else None
    )
    codes: Counter[str] = Counter()
    wrong: dict[str, list[str]] = {"accepted": [], "untyped": []}

    def judge(name: str, document: bytes, readers: tuple[Callable[[bytes], None], ...]) -> None:
        for reader in readers:
            code = _tried(reader, document)
            codes[code] += 1
            kind = code.partition(" ")[0]
            if kind in wrong:
                wrong[kind].append(f"{reader.__name__}: {name}: {code}")

    for name, document in documents:
        judge(f"bare {name}", document, readers)
        if b"<" in document:  # a blank one is none any more when it stands within another
            judge(f"within {name}", export(document), (read_export, read_envelope))
    for name, document in bombs():
        judge(name, document, readers)
    is_reading.clear()
    told = {"documents": len(documents), "codes": codes, **wrong, "forbidden": forbidden, "peak": most_held()}
    sys.stdout.write(json.dumps(told))


def _tried(reader: Callable[[bytes], None], document: bytes) -> str:
    try:
        reader(document)
    except SnapshotInvalid as error:
        return error.code
    except Exception as error:  # told to the test, by its kind
        return f"untyped {type(error).__name__}"
    return "accepted"


if __name__ == "__main__":
    main()
