"""The export inside a SOAP answer, byte for byte, as a document that stands on its own.

What is kept is compared and read again later, so the envelope, which differs with every call, must go.
"""

from __future__ import annotations

import re
from datetime import datetime, tzinfo
from hashlib import sha256
from xml.sax.saxutils import quoteattr

from bridge.connector import SnapshotInvalid
from connectors.stil import vocabulary as v
from connectors.stil.envelope import BODY, ENVELOPE, EXPORTED
from connectors.stil.gate import Gate, Limits
from connectors.stil.values import read_moment

_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_PATHS = [[ENVELOPE, BODY, exported, v.qualified(v.SERVICE, "xml")] for exported in EXPORTED]
# The root's start tag stands at the beginning; its time of export is new in every export.
_HEAD = 4096
_EXPORT_TIME = re.compile(rb"""\sexportDateTime\s*=\s*("[^"]*"|'[^']*')""")
_TAG_NAME = re.compile(rb"<[^\s/>]+")


def cut_payload(envelope: bytes, limits: Limits) -> bytes:
    """Return the content of the answer's {wsieksport/7}xml element as a document.

    Namespaces that are declared further out are declared again on its root. Whether it is well-formed and
    what it holds is for `parse` to see.

    Raises `SnapshotInvalid` when there is none, when it is cut short, or for what the gate refuses.
    """
    gate = Gate(limits)
    finder = _Finder(gate)
    for _ in gate.feed(envelope):
        if finder.root_start is not None:
            return _cut(envelope, finder.wrapper_start, finder.root_start, finder.outer)
    raise SnapshotInvalid("unexpected_answer")


def content_digest(payload: bytes, reading: str = "") -> str:
    """Return the SHA-256 of a payload document, its exportDateTime left out, and of how it is read."""
    digest = sha256(reading.encode() + _EXPORT_TIME.sub(b"", payload[:_HEAD], count=1))
    digest.update(memoryview(payload)[_HEAD:])
    return digest.hexdigest()


def export_time(payload: bytes, zone: tzinfo) -> datetime | None:
    """Return the exportDateTime of a payload document, None where its root does not say it readably."""
    found = _EXPORT_TIME.search(payload[:_HEAD])
    return read_moment(found[1][1:-1].decode(errors="replace"), zone) if found else None


def _cut(envelope: bytes, wrapper_start: int, root_start: int, outer: dict[str, str]) -> bytes:
    wrapper, root = _TAG_NAME.match(envelope, wrapper_start), _TAG_NAME.match(envelope, root_start)
    end = envelope.rfind(b"</" + wrapper[0][1:], root_start) if wrapper else -1
    if root is None or end < 0:
        raise SnapshotInvalid("truncated")
    declarations = "".join(f" {name}={quoteattr(uri)}" for name, uri in sorted(outer.items()))
    return _DECLARATION + root[0] + declarations.encode() + envelope[root.end() : end].rstrip() + b"\n"


class _Finder:
    """Finds the first element inside the wrapper, and what namespaces hold there from further out."""

    def __init__(self, gate: Gate) -> None:
        self.wrapper_start = 0
        self.root_start: int | None = None
        self.outer: dict[str, str] = {}
        self._path: list[str] = []
        self._in_scope: dict[str, list[str]] = {}
        self._own: set[str] = set()  # declared by the element that begins next
        self._parser = gate.parser
        self._parser.StartNamespaceDeclHandler = self._declare
        self._parser.EndNamespaceDeclHandler = self._undeclare
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def _declare(self, prefix: str | None, uri: str | None) -> None:
        name = f"xmlns:{prefix}" if prefix else "xmlns"
        self._own.add(name)
        self._in_scope.setdefault(name, []).append(uri or "")

    def _undeclare(self, prefix: str | None) -> None:
        self._in_scope[f"xmlns:{prefix}" if prefix else "xmlns"].pop()

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        if self._path in _PATHS:
            self.root_start = self._parser.CurrentByteIndex
            self.outer = {n: uris[-1] for n, uris in self._in_scope.items() if uris and n not in self._own}
            self._parser.StartElementHandler = self._parser.EndElementHandler = None
            self._parser.StartNamespaceDeclHandler = self._parser.EndNamespaceDeclHandler = None
        self._path.append(name)
        self._own = set()
        if self._path in _PATHS:
            self.wrapper_start = self._parser.CurrentByteIndex

    def _end(self, _name: str) -> None:
        self._path.pop()
