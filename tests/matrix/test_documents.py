"""Rows 50 and 56 to 59 of the fault matrix: a document that is not sound is refused whole, and costs nothing."""

from __future__ import annotations

import gzip
import io
import re
import select
import socket
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from unicodedata import normalize

import pytest

from bridge.domain.entities import Kind, Person
from tests.matrix.desk import NUMBER, Calm, Desk, school, settled
from tests.support.exports import Export

CUTS = 400
SOUND = school().later(hours=1).renamed("Ny skole").bytes()
CLOSING = b"</fm:Institution>"
MEBIBYTE = 2**20


def with_content(content: bytes, document: bytes = SOUND) -> bytes:
    """The export with something more at the end of its institution."""
    assert CLOSING in document
    return document.replace(CLOSING, content + CLOSING)


def with_doctype(doctype: bytes, content: bytes = b"") -> bytes:
    head, _, rest = with_content(content).partition(b"?>")
    return head + b"?>" + doctype + rest


def refused(desk: Desk, document: bytes) -> str:
    """The code that a document is refused by; it must not end in any other way."""
    result, reason = desk.bring(document)
    assert (result, type(reason)) == ("refused", str)
    return str(reason)


# ---------------------------------------------------------------- 50


def cuts() -> list[int]:
    """Where the export is cut: ends and beginnings of elements, within letters of two bytes, and anywhere."""
    end = SOUND.rindex(b">")
    edges = [match.start() for match in re.finditer(rb"[<>]", SOUND)]
    letters = [place for place, byte in enumerate(SOUND) if byte >= 0xC0]
    chosen = Random(50)
    some = chosen.sample(edges, CUTS // 2) + [place + 1 for place in chosen.sample(edges, CUTS // 8)]
    some += [place + 1 for place in letters[:20]] + [0, 1, end - 1, end]
    return sorted({*some, *chosen.sample(range(end), CUTS // 4)})


def test_row_50_a_file_that_is_cut_anywhere_is_refused_whole_and_the_last_good_one_stays(
    desk: Desk, calm: Calm
) -> None:
    offsets = cuts()
    assert len(offsets) > CUTS * 3 // 4
    codes = {refused(desk, SOUND[:offset]) for offset in offsets}
    assert codes <= {"truncated", "not_well_formed", "not_utf8"}
    assert calm.holds()
    assert desk.bring(SOUND) == ("recorded", None)


# ---------------------------------------------------------------- 56


def inside_name(octets: bytes) -> bytes:
    return SOUND.replace(b"Ny skole", b"Ny " + octets + b" skole")


ENCODINGS = {
    "invalid": inside_name(b"\xff"),
    "overlong": inside_name(b"\xc0\xaf"),
    "overlong nul": inside_name(b"\xc0\x80"),
    "lone surrogate": inside_name(b"\xed\xa0\x80"),
    "cut letter": inside_name(b"\xc3"),
    "beyond unicode": inside_name(b"\xf4\x90\x80\x80"),
    "nul": inside_name(b"\x00"),
    "nul by number": inside_name(b"&#0;"),
    "latin-1": inside_name("å".encode("latin-1")),
    "utf-16 with a mark": SOUND.decode().replace("UTF-8", "UTF-16").encode("utf-16"),
    "utf-16 without": SOUND.decode().replace("UTF-8", "UTF-16").encode("utf-16-be"),
    "utf-16 under another name": SOUND.decode().encode("utf-16"),
    "utf-32": SOUND.decode().encode("utf-32"),
    "declared latin-1": SOUND.replace(b"UTF-8", b"ISO-8859-1"),
    "declared utf-16": SOUND.replace(b"UTF-8", b"UTF-16"),
    "declared utf-7": SOUND.replace(b"UTF-8", b"UTF-7"),
}


def test_row_56_bytes_that_are_no_utf_8_are_refused_and_never_replaced(desk: Desk, calm: Calm) -> None:
    codes = {name: refused(desk, document) for name, document in ENCODINGS.items()}
    assert set(codes.values()) <= {"not_utf8", "not_well_formed"}, codes
    assert calm.holds()
    assert "\N{REPLACEMENT CHARACTER}" not in desk.text()


def test_row_56_a_byte_order_mark_of_utf_8_may_stand(desk: Desk) -> None:
    assert desk.bring(b"\xef\xbb\xbf" + SOUND) == ("recorded", None)


def spelt(form: str, hours: int, **more: str) -> Export:
    """The export with a first name in one normal form of Unicode."""
    export = school().later(hours=hours)
    person = export.person(export.pupils[0])
    export.set(person, "FirstName", normalize(form, "Åse Zoé"))  # type: ignore[arg-type]
    for name, text in more.items():
        export.set(person, name, text)
    return export


def first_pupil(desk: Desk) -> Person:
    (user_id,) = {export.user_id(export.pupils[0]) for export in [school()]}
    person = desk.entities(Kind.PERSON)[user_id,]
    assert isinstance(person, Person)
    return person


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_row_56_a_name_is_stored_and_sent_as_it_was_received(form: str) -> None:
    desk = settled(spelt(form, 0))
    assert first_pupil(desk).given_name == normalize(form, "Åse Zoé")  # type: ignore[arg-type]
    assert normalize(form, "Åse Zoé") in desk.sent()  # type: ignore[arg-type]


@pytest.mark.parametrize(("before", "after"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_row_56_a_name_in_another_normal_form_is_no_change(before: str, after: str) -> None:
    desk = settled(spelt(before, 0))
    calm = Calm(desk)
    assert desk.bring(spelt(after, 1)) == ("recorded", None)
    assert desk.last_run().changes == 0
    assert calm.holds()


def test_row_56_what_changes_beside_it_is_told_without_the_name(desk: Desk) -> None:
    desk = settled(spelt("NFC", 0))
    assert desk.bring(spelt("NFD", 1, EmailAddress="ny@skole.example")) == ("recorded", None)
    with desk.store.read() as reader:
        told = [event.data for event in reader.events("101", desk.events() - 1, 10)]
    assert b'"changed":["email"]' in told[0]


# ---------------------------------------------------------------- 57


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    """A port on loopback that nobody may ever call."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def is_silent(trap: socket.socket) -> bool:
    """Whether nobody has called: a caller would wait in the listener's queue."""
    ready, _, _ = select.select([trap], [], [], 0)
    return not ready


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file whose content must turn up nowhere."""
    file = tmp_path / "canary"
    file.write_text("canary-of-row-57")
    return file


def entities(place: str) -> list[bytes]:
    """The ways in which a document can ask for what is at a place."""
    at = place.encode()
    return [
        with_doctype(b'<!DOCTYPE x [<!ENTITY e SYSTEM "' + at + b'">]>', b"<fm:x>&e;</fm:x>"),
        with_doctype(b'<!DOCTYPE x SYSTEM "' + at + b'">'),
        with_doctype(b'<!DOCTYPE x PUBLIC "-//X//X" "' + at + b'">'),
        with_doctype(b'<!DOCTYPE x [<!ENTITY % p SYSTEM "' + at + b'">%p;]>'),
        with_doctype(
            b'<!DOCTYPE x [<!ENTITY % f SYSTEM "file:///dev/null"><!ENTITY % p SYSTEM "' + at + b'?%f;">%p;]>'
        ),
        SOUND.replace(b"?>", b'?><?xml-stylesheet href="' + at + b'"?>', 1),
        with_content(b'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="' + at + b'"/>'),
    ]


def test_row_57_an_entity_of_a_file_or_of_the_network_is_refused_unread(
    desk: Desk, calm: Calm, trap: socket.socket, canary: Path
) -> None:
    port = trap.getsockname()[1]
    places = [canary.as_uri(), f"http://127.0.0.1:{port}/x", f"ftp://127.0.0.1:{port}/x", f"//127.0.0.1:{port}/x"]
    for place in places:
        codes = [refused(desk, document) for document in entities(place)]
        assert codes == ["doctype"] * 5 + ["processing_instruction", "unknown_namespace"], place
    assert is_silent(trap)
    assert "canary-of-row-57" not in desk.text() + desk.sent() + repr(desk.diary.runs)
    assert calm.holds()


def test_row_57_an_import_of_a_schema_is_no_reason_to_call_anybody(desk: Desk, trap: socket.socket) -> None:
    port = trap.getsockname()[1]
    located = (
        b' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        b' xsi:schemaLocation="urn:x http://127.0.0.1:%d/x.xsd" exportDateTime' % port
    )
    assert desk.bring(SOUND.replace(b" exportDateTime", located, 1)) == ("recorded", None)
    assert is_silent(trap)


def test_row_57_entities_that_grow_are_refused_before_they_grow(desk: Desk, calm: Calm) -> None:
    laughs = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
    billion = with_doctype(b'<!DOCTYPE x [<!ENTITY l0 "ha">' + laughs + b"]>", b"<fm:x>&l9;</fm:x>")
    quadratic = with_doctype(b'<!DOCTYPE x [<!ENTITY a "' + b"a" * 100_000 + b'">]>', b"&a;" * 100_000)
    huge = with_doctype(b"<!DOCTYPE x [" + b"<!ELEMENT x ANY>" * 100_000 + b"]>")
    assert [refused(desk, document) for document in (billion, quadratic, huge)] == ["doctype"] * 3
    assert calm.holds()


# ---------------------------------------------------------------- 58


def zipped(content: bytes, name: str = "export.xml") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def mtom(content: bytes) -> bytes:
    """The export as the root part of a multipart message, with an attachment."""
    return (
        b"--x\r\nContent-Type: application/xop+xml\r\n\r\n"
        + SOUND
        + b"\r\n--x\r\nContent-ID: <a>\r\n\r\n"
        + content
    )


LARGE = b"\x00" * (65 * MEBIBYTE)
PACKED: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: gzip.compress(LARGE),
    "deflate": lambda: zlib.compress(LARGE),
    "zip": lambda: zipped(LARGE),
    "zip of zips": lambda: zipped(zipped(LARGE), "inner.zip"),
    "gzip of gzip": lambda: gzip.compress(gzip.compress(LARGE)),
    "sound export in gzip": lambda: gzip.compress(SOUND),
    "attachment": lambda: mtom(b"x" * MEBIBYTE),
}


@pytest.mark.parametrize("how", PACKED)
def test_row_58_a_packed_document_is_refused_without_unpacking(desk: Desk, calm: Calm, how: str) -> None:
    assert refused(desk, PACKED[how]()) in ("not_utf8", "not_well_formed")
    assert calm.holds()


def test_row_58_a_document_larger_than_is_ever_read_is_refused(desk: Desk, calm: Calm) -> None:
    assert refused(desk, with_content(b" " * (64 * MEBIBYTE))) == "too_large"
    assert calm.holds()


# ---------------------------------------------------------------- 59


MANY = 100_000
GREAT: dict[str, tuple[Callable[[], bytes], str]] = {
    "attribute": (lambda: b"<c:x a='" + b"x" * (5 * MEBIBYTE) + b"'/>", "token_too_long"),
    "attributes": (lambda: element_with_attributes(MANY), "too_many_names"),
    "a thousand attributes": (lambda: element_with_attributes(1_000), "too_many_attributes"),
    "depth": (lambda: b"<c:x>" * MANY + b"</c:x>" * MANY, "too_deep"),
    "namespaces": (lambda: b"".join(b"<c:x xmlns:p%d='u'/>" % n for n in range(10 * MANY)), "too_many_names"),
    "names": (lambda: b"".join(b"<c:x%d/>" % n for n in range(MANY)), "too_many_names"),
    "comment": (lambda: b"<!--" + b"x" * (5 * MEBIBYTE) + b"-->", "token_too_long"),
    "section": (lambda: b"<c:x><![CDATA[" + b"x" * (5 * MEBIBYTE) + b"]]></c:x>", "text_too_long"),
    "text": (lambda: b"<c:x>" + b"x" * (2 * MEBIBYTE) + b"</c:x>", "text_too_long"),
    "record": (
        lambda: b'<fm:InstitutionPerson source="x">' + b"<c:x/>" * MANY + b"</fm:InstitutionPerson>",
        "record_too_large",
    ),
}


def element_with_attributes(number: int) -> bytes:
    return b"<c:x " + b" ".join(b"a%d=''" % each for each in range(number)) + b"/>"


@pytest.mark.parametrize("what", GREAT)
def test_row_59_what_is_absurdly_great_is_refused_by_our_own_limits(desk: Desk, calm: Calm, what: str) -> None:
    content, code = GREAT[what]
    assert refused(desk, with_content(content())) == code
    assert calm.holds()


def test_row_59_after_all_of_them_a_sound_export_is_recorded(desk: Desk) -> None:
    for what in ("attributes", "depth", "text"):
        refused(desk, with_content(GREAT[what][0]()))
    assert desk.bring(SOUND) == ("recorded", None)
    assert (NUMBER,) in desk.entities(Kind.INSTITUTION)
