"""No byte reaches a handler unless it is strict UTF-8, XML 1.0 without declarations, and within the limits."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn
from xml.parsers import expat

from bridge.connector import SnapshotInvalid

SEPARATOR = " "
"""Stands between namespace and local name; no namespace name may hold it (expat refuses that)."""

_CHUNK = 256 * 1024
# At the end of the input these say that something was still open (expat.h, XML_Error).
_CUT_SHORT = frozenset({3, 5, 6, 20})
_DECODER = getincrementaldecoder("utf-8")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a document may cost. `token_bytes` bounds one tag or comment, `text_characters` one element's text.

    `record_elements` bounds what is in memory at once: one group, one person with their contacts. `names` bounds
    the different names of elements, attributes and prefixes, which the parser never forgets.
    """

    document_bytes: int = 64 * 1024 * 1024
    depth: int = 64
    attributes: int = 64
    text_characters: int = 1024 * 1024
    token_bytes: int = 4 * 1024 * 1024
    elements: int = 2_000_000
    record_elements: int = 20_000
    names: int = 5_000


class Gate:
    """One parser for one document; the caller sets the element and text handlers on `parser`.

    Refused: DOCTYPE and with it every entity declaration, processing instructions (SOAP 1.2 §5 forbids
    both), XML versions other than 1.0, and every encoding but UTF-8 (a UTF-8 byte order mark may stand).
    """

    __slots__ = ("_decoder", "_limits", "_names", "_prefixes", "parser")

    def __init__(self, limits: Limits, *, is_namespace_aware: bool = True) -> None:
        self._limits = limits
        self._decoder = _DECODER("strict")
        self._names: dict[str, str] = {}  # filled by the parser
        self._prefixes: set[str | None] = set()
        self.parser = expat.ParserCreate("utf-8", SEPARATOR if is_namespace_aware else None, self._names)
        self.parser.buffer_text = True
        self.parser.XmlDeclHandler = self._check_declaration
        self.parser.StartDoctypeDeclHandler = self._refuse_doctype
        self.parser.EntityDeclHandler = self._refuse_doctype
        self.parser.ProcessingInstructionHandler = self._refuse_instruction
        if is_namespace_aware:
            self.parser.StartNamespaceDeclHandler = self._note_prefix

    def feed(self, body: bytes) -> Iterator[bool]:
        """Parse the document piece by piece; yield after each piece, False until the end has been reached.

        Raises `SnapshotInvalid` for whatever is refused, a document that ends too early included.
        """
        if len(body) > self._limits.document_bytes:
            raise SnapshotInvalid("too_large")
        for start in range(0, len(body), _CHUNK):
            chunk = body[start : start + _CHUNK]
            self._decode(chunk, start)
            self._parse(chunk, is_final=False)
            # expat before 2.6 scans an unfinished token again with every piece: quadratic, if it may grow.
            if start + len(chunk) - self.parser.CurrentByteIndex > self._limits.token_bytes:
                self.refuse("token_too_long")
            if len(self._names) + len(self._prefixes) > self._limits.names:
                self.refuse("too_many_names")
            yield False
        self._parse(b"", is_final=True)
        yield True

    def refuse(self, code: str) -> NoReturn:
        """Raise `SnapshotInvalid` for the place that the parser has reached."""
        raise SnapshotInvalid(code, f"byte {self.parser.CurrentByteIndex}")

    def _decode(self, chunk: bytes, start: int) -> None:
        # expat's own check is good; this one does not depend on its version.
        try:
            self._decoder.decode(chunk)
        except UnicodeDecodeError as error:
            # The decoder's error holds the bytes, so it must not travel along as the cause.
            where = f"byte {start + max(error.start, 0)}"
        else:
            return
        raise SnapshotInvalid("not_utf8", where)

    def _parse(self, chunk: bytes, *, is_final: bool) -> None:
        try:
            self.parser.Parse(chunk, is_final)
        except expat.ExpatError as error:
            code = "truncated" if is_final and error.code in _CUT_SHORT else "not_well_formed"
        else:
            return
        self.refuse(code)

    def _check_declaration(self, version: str, encoding: str | None, _standalone: int) -> None:
        if version != "1.0":
            self.refuse("xml_version")
        if encoding is not None and encoding.lower() != "utf-8":
            self.refuse("not_utf8")

    def _note_prefix(self, prefix: str | None, _: str | None) -> None:
        self._prefixes.add(prefix)

    def _refuse_doctype(self, *_: object) -> None:
        self.refuse("doctype")

    def _refuse_instruction(self, *_: object) -> None:
        self.refuse("processing_instruction")
