"""Parts of a document are digested in their exclusive canonical form while they pass by, never copied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

from bridge.connector import SnapshotInvalid
from connectors.stil.gate import Gate, Limits
from connectors.stil.vocabulary import qualified
from connectors.stil.wsse import names as n

_Key = TypeVar("_Key")
Prefixes = frozenset[str]
"""An InclusiveNamespaces PrefixList; "" stands for #default."""

SIGNED_INFO_PATH = (n.ENVELOPE, n.HEADER, n.SECURITY, n.SIGNATURE, n.SIGNED_INFO)

_XML = "http://www.w3.org/XML/1998/namespace"
_PIECES = 4096
_SHAPES = 1024
_DECLARING = 64


@dataclass(frozen=True, slots=True)
class Part:
    """Where an element stands, root first, and the SHA-256 of its canonical form (octets)."""

    path: tuple[str, ...]
    digest: bytes


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a document by their wsu:Id, and whether it has a SignedInfo where one was asked for."""

    by_id: Mapping[str, Part]
    has_signed_info: bool


@dataclass(frozen=True, slots=True)
class SignedInfo:
    """How SignedInfo is canonicalised; `check` is given its SHA-256 as soon as it has passed by."""

    prefixes: Prefixes
    check: Callable[[bytes], None]


def digest_parts(
    document: bytes, wanted: Mapping[str, Prefixes], signed_info: SignedInfo | None, limits: Limits
) -> Parts:
    """Return the parts with these ids, each canonicalised with its prefix list (Exclusive XML
    Canonicalization 1.0, §3, without comments), and check SignedInfo where WS-Security wants it.

    Raises `SnapshotInvalid`: `signature_wrapped` when an id stands twice or one part inside another, or when
    the envelope holds anything but one Header and then one Body; otherwise the gate's reason.
    """
    walk = _Walk(wanted, signed_info, limits)
    walk.run(document)
    if walk.children != [n.HEADER, n.BODY]:
        raise SnapshotInvalid("signature_wrapped")
    return Parts(walk.parts, walk.has_signed_info)


@dataclass(frozen=True, slots=True)
class _Shape:
    """How a start tag with certain names is written: `order` pairs what stands before a value with its place."""

    name: str
    opening: str
    order: tuple[tuple[str, int], ...]
    id_at: int | None
    inside: _Scope


class _Scope:
    """The namespaces in force, those that the output has declared already, and the shapes of tags met here.

    `declaring` holds the shapes of tags that declare namespaces, for all the scopes of a document together: with
    each goes a scope of its own, so there must not be many.
    """

    __slots__ = ("declared", "declaring", "inclusive", "rendered", "shapes")

    def __init__(
        self,
        declared: dict[str, str],
        rendered: dict[str, str],
        inclusive: Prefixes,
        declaring: dict[tuple[object, ...], _Shape],
    ) -> None:
        self.declared, self.rendered, self.inclusive = declared, rendered, inclusive
        self.declaring = declaring
        self.shapes: dict[tuple[str, ...], _Shape] = {}

    def shape(self, tag: str, attributes: list[str]) -> _Shape:
        """Return how this tag is written here. Raises `KeyError` for a prefix that is not declared."""
        key = (tag, *attributes[::2])
        return self.shapes.get(key) or self._found(key, tag, attributes)

    def _found(self, key: tuple[str, ...], tag: str, attributes: list[str]) -> _Shape:
        spaces = tuple(
            value for name, value in zip(key[1:], attributes[1::2], strict=True) if _is_declaration(name)
        )
        if not spaces:
            return _kept(self.shapes, key, self._shaped(tag, attributes), _SHAPES)
        within = (self, key, spaces)
        return self.declaring.get(within) or _kept(
            self.declaring, within, self._shaped(tag, attributes), _DECLARING
        )

    def _shaped(self, tag: str, attributes: list[str]) -> _Shape:
        declared = self._declared(attributes)
        plain = [(name, at) for at, name in enumerate(attributes[::2]) if not _is_declaration(name)]
        prefixes = {_split(tag)[0], *(prefix for name, _ in plain if (prefix := _split(name)[0]))}
        rendered = self._rendered(declared, prefixes)
        new = sorted(prefix for prefix in rendered if rendered[prefix] != self.rendered.get(prefix, ""))
        spaces = "".join(_declaration(prefix, rendered[prefix]) for prefix in new)
        ordered = sorted((_expanded(name, declared, ""), name, 2 * at + 1) for name, at in plain)
        inside = (
            self
            if declared is self.declared and not new
            else _Scope(declared, rendered, self.inclusive, self.declaring)
        )
        space, local = _expanded(tag, declared, declared[""])
        return _Shape(
            name=qualified(space, local) if space else local,
            opening=f"<{tag}{spaces}",
            order=tuple((f' {name}="', place) for _, name, place in ordered),
            id_at=next((place for full, _, place in ordered if full == (n.UTILITY, "Id")), None),
            inside=inside,
        )

    def _declared(self, attributes: list[str]) -> dict[str, str]:
        new = {
            name[6:]: attributes[2 * at + 1] for at, name in enumerate(attributes[::2]) if _is_declaration(name)
        }
        return {**self.declared, **new} if new else self.declared

    def _rendered(self, declared: dict[str, str], used: set[str]) -> dict[str, str]:
        """What the output has declared after this tag: what it uses, and the inclusive prefixes in force."""
        shown = {prefix: declared[prefix] for prefix in used if prefix != "xml"}
        shown |= {prefix: declared[prefix] for prefix in self.inclusive if prefix in declared and prefix != "xml"}
        return {**self.rendered, **shown}


class _Walk:
    """One pass over a document; at most one part is written at a time."""

    def __init__(self, wanted: Mapping[str, Prefixes], signed_info: SignedInfo | None, limits: Limits) -> None:
        self._wanted, self._limits = wanted, limits
        self._signed_info = signed_info
        self._gate = Gate(limits, is_namespace_aware=False)
        self._gate.parser.ordered_attributes = True
        self._gate.parser.StartElementHandler = self._start
        self._gate.parser.EndElementHandler = self._end
        self._gate.parser.CharacterDataHandler = self._text
        self._scopes = [_Scope({"": "", "xml": _XML}, {}, frozenset(), {})]
        self._path: list[str] = []
        self._part_depth = 0  # 0: none is being written
        self._part_id: str | None = None
        self._pieces: list[str] = []
        self._hash = sha256()
        self._elements = 0
        self.children: list[str] = []
        self.parts: dict[str, Part] = {}
        self.has_signed_info = False

    def run(self, document: bytes) -> None:
        for _ in self._gate.feed(document):
            pass

    # ------------------------------------------------------------ what the parser calls

    def _start(self, tag: str, attributes: list[str]) -> None:
        scope = self._scopes[-1]
        try:
            shape = scope.shape(tag, attributes)
            begun = self._begins(shape, attributes)
            if begun is not None:
                shape = _Scope(scope.declared, {}, begun, scope.declaring).shape(tag, attributes)
        except KeyError:
            self._gate.refuse("not_well_formed")
        self._path.append(shape.name)
        self._scopes.append(shape.inside)
        self._count(attributes)
        if begun is not None:
            self._part_depth = len(self._path)
        if self._part_depth:
            self._write_start(shape, attributes)

    def _end(self, tag: str) -> None:
        if self._part_depth:
            self._pieces.append(f"</{tag}>")
            if len(self._path) == self._part_depth:
                self._finish()
            elif len(self._pieces) > _PIECES:
                self._flush()
        self._path.pop()
        self._scopes.pop()

    def _text(self, text: str) -> None:
        if self._part_depth:
            self._pieces.append(_escaped_text(text))

    # ------------------------------------------------------------ parts

    def _begins(self, shape: _Shape, attributes: list[str]) -> Prefixes | None:
        """The prefix list of the part that begins here, None when none does."""
        identity = attributes[shape.id_at] if shape.id_at is not None else None
        if identity is not None and identity in self._wanted:
            if self._part_depth or identity in self.parts:
                raise SnapshotInvalid("signature_wrapped")
            self._part_id = identity
            return self._wanted[identity]
        is_signed_info = not self._part_depth and (*self._path, shape.name) == SIGNED_INFO_PATH
        return self._signed_info.prefixes if is_signed_info and self._signed_info is not None else None

    def _count(self, attributes: list[str]) -> None:
        self._elements += 1
        depth = len(self._path)
        if depth == 2:
            self.children.append(self._path[-1])
        if depth > self._limits.depth:
            self._gate.refuse("too_deep")
        if len(attributes) > 2 * self._limits.attributes:
            self._gate.refuse("too_many_attributes")
        if self._elements > self._limits.elements:
            self._gate.refuse("too_many_elements")

    def _write_start(self, shape: _Shape, attributes: list[str]) -> None:
        self._pieces.append(shape.opening)
        for before, place in shape.order:
            self._pieces.append(f'{before}{_escaped_value(attributes[place])}"')
        self._pieces.append(">")

    def _finish(self) -> None:
        self._flush()
        digest = self._hash.digest()
        if self._part_id is not None:
            self.parts[self._part_id] = Part(tuple(self._path), digest)
        elif self._signed_info is not None:
            self.has_signed_info = True
            self._signed_info.check(digest)
        self._part_depth, self._part_id, self._hash = 0, None, sha256()

    def _flush(self) -> None:
        self._hash.update("".join(self._pieces).encode())
        self._pieces.clear()


def _kept(shapes: dict[_Key, _Shape], key: _Key, shape: _Shape, most: int) -> _Shape:
    if len(shapes) >= most:
        shapes.clear()
    shapes[key] = shape
    return shape


def _is_declaration(name: str) -> bool:
    return name == "xmlns" or name.startswith("xmlns:")


def _split(name: str) -> tuple[str, str]:
    prefix, colon, local = name.partition(":")
    return (prefix, local) if colon else ("", name)


def _expanded(name: str, declared: Mapping[str, str], unprefixed: str) -> tuple[str, str]:
    prefix, local = _split(name)
    return (declared[prefix] if prefix else unprefixed, local)


def _declaration(prefix: str, space: str) -> str:
    return f' xmlns{":" if prefix else ""}{prefix}="{_escaped_value(space)}"'


def _escaped_text(text: str) -> str:
    if "&" in text or "<" in text or ">" in text or "\r" in text:
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#xD;")
    return text


def _escaped_value(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return text.replace("\t", "&#x9;").replace("\n", "&#xA;").replace("\r", "&#xD;")
