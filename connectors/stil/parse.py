"""A wsiEKSPORT v7 payload document is read as records, or refused whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import tzinfo
from typing import assert_never
from xml.etree.ElementTree import Element

from bridge.connector import SnapshotInvalid
from bridge.domain.records import Header, ImportSource, Record
from connectors.stil import vocabulary as v
from connectors.stil.convert import Converter, ProtectedNames
from connectors.stil.gate import Limits
from connectors.stil.reading import Reader
from connectors.stil.services import SizeName
from connectors.stil.stream import Closed, Opened, Subtree, namespace, stream
from connectors.stil.strict import UnknownCodes, without_unknown_codes
from connectors.stil.values import read_moment, read_token

__all__ = ["ProtectedNames", "parse"]

_NAMESPACES = frozenset(map(namespace, v.SIZES))

READER = 1
"""Raise it when the same bytes are read otherwise than before: what is stored is then read anew."""


def reading(
    zone: tzinfo,
    protected_names: ProtectedNames | None,
    size: SizeName | None = None,
    unknown_codes: UnknownCodes = "note",
) -> str:
    """Return what `parse` depends on beside the document, so that another reading is no unchanged snapshot."""
    return f"{READER} {zone} {protected_names} {size}" + (" strict" if unknown_codes == "quarantine" else "")


def parse(
    body: bytes,
    zone: tzinfo,
    limits: Limits | None = None,
    *,
    size: SizeName | None = None,
    protected_names: ProtectedNames | None = None,
    unknown_codes: UnknownCodes = "note",
) -> Iterator[Record]:
    """Yield the records of an export document in document order, the `Header` first.

    `body` is a payload document (stil.md §3.1), of this `size` if one is given; times without a zone are meant
    in `zone`. `protected_names`: what a size other than fuldmyndighed holds as the name of a protected person,
    the "real" one (then everybody whose protection it does not state is protected) or the "alias".
    The records count only when the last one has come without an error.

    Raises `SnapshotInvalid` for a document that must be refused whole.
    """
    records = _records(body, _Document(zone, size, protected_names), limits or Limits())
    return without_unknown_codes(records) if unknown_codes == "quarantine" else records


def _records(body: bytes, document: _Document, limits: Limits) -> Iterator[Record]:
    for event in stream(body, _opens, limits):
        match event:
            case Opened():
                document.enter(event)
            case Subtree():
                yield from document.read(event)
            case Closed():
                yield from document.leave(event.name)
            case _:
                assert_never(event)
    document.check_complete()


def _opens(parent: str | None, name: str) -> bool:
    return parent is None or (parent in v.SIZES and name == v.SIZES[parent].institution)


class _Document:
    """What is known of the document so far."""

    def __init__(self, zone: tzinfo, size: SizeName | None, protected_names: ProtectedNames | None) -> None:
        self._zone, self._wanted, self._protected_names = zone, size, protected_names
        self._reader = Reader()
        self._size: v.Size | None = None
        self._converter: Converter | None = None
        self._attributes: Mapping[str, str] = {}
        self._sources: list[ImportSource] = []
        self._institution: dict[str, str] = {}
        self._has_institution = self._has_header = False
        self._counts = {"Group": 0, "InstitutionPerson": 0, "ImportSource": 0}

    def enter(self, event: Opened) -> None:
        """Take note of a container. Raises `SnapshotInvalid` for one that has no place here."""
        if event.name in v.SIZES:
            self._size, self._attributes = self._accepted(v.SIZES[event.name]), event.attributes
            self._converter = Converter(self._size, self._reader, self._protected_names)
        elif self._size is None:
            is_known = namespace(event.name) in _NAMESPACES
            raise SnapshotInvalid("unknown_root" if is_known else "unknown_namespace")
        elif self._has_institution:
            raise SnapshotInvalid("several_institutions")
        else:
            self._has_institution = True

    def read(self, event: Subtree) -> Iterator[Record]:
        """Yield what a subtree holds, after the header if it is the first record."""
        if self._size is None or self._converter is None:
            return  # no container has been entered, so there is nothing to be in
        if event.parent == self._size.root:
            self._read_root_child(event)
        elif event.name == v.GROUP:
            yield from self._header()
            yield from self._converter.group(event.element, self._place("Group"))
        elif event.name == self._size.record:
            yield from self._header()
            yield from self._converter.record(event.element, self._place("InstitutionPerson"))
        else:
            self._read_institution_child(event.element)

    def leave(self, name: str) -> Iterator[Record]:
        """Yield the header at the end of an institution without records, and what was noted last."""
        if self._size is not None and name == self._size.institution:
            yield from self._header()
        if self._has_header:
            yield from self._reader.asides()

    def check_complete(self) -> None:
        """Raise `SnapshotInvalid` when the document held no institution."""
        if not self._has_header:
            raise SnapshotInvalid("no_institution")

    def _accepted(self, size: v.Size) -> v.Size:
        if self._wanted not in (None, size.name):
            raise SnapshotInvalid("wrong_size")
        if not size.names_aliases and self._protected_names is None:
            raise SnapshotInvalid("protected_names_unset")
        return size

    def _place(self, name: str) -> str:
        self._counts[name] += 1
        return f"Institution/{name}[{self._counts[name]}]"

    def _header(self) -> Iterator[Record]:
        if self._has_header:
            return
        number = self._institution.get(v.INSTITUTION_NUMBER)
        if not number:
            raise SnapshotInvalid("no_institution")
        if not v.REGNR.fullmatch(number):
            raise SnapshotInvalid("bad_institution_number")
        time = read_moment(self._attributes.get("exportDateTime", ""), self._zone)
        if time is None:
            raise SnapshotInvalid("unreadable_export_time")
        self._has_header = True
        name = self._institution.get(v.INSTITUTION_NAME) or None
        states = self._converter is None or self._converter.states_protection
        yield Header(number, name, time, tuple(self._sources), states)
        yield from self._reader.asides()

    def _read_root_child(self, event: Subtree) -> None:
        if event.name == v.IMPORT_SOURCE:
            self._read_source(event.element)
        else:
            self._reader.pass_over([event.element], "")

    def _read_source(self, element: Element) -> None:
        self._counts["ImportSource"] += 1
        place = f"ImportSource[{self._counts['ImportSource']}]"
        name, school_year = (read_token(element.get(key, "")) for key in ("source", "schoolYear"))
        time = read_moment(element.get("sourceDateTime", ""), self._zone)
        if not name:
            self._reader.note(place, "missing_source")
        if not school_year:
            self._reader.note(place, "missing_school_year")
        elif not _is_school_year(school_year):
            self._reader.note(place, "unreadable_school_year")
        if self._converter is not None:
            self._converter.sources.add(name)
        if time is None:
            self._reader.note(place, "unreadable_source_time")
        else:
            self._sources.append(ImportSource(name, time, school_year))

    def _read_institution_child(self, element: Element) -> None:
        if element.tag not in (v.INSTITUTION_NUMBER, v.INSTITUTION_NAME):
            self._reader.pass_over([element], "Institution")
            return
        if element.tag in self._institution:
            if element.tag == v.INSTITUTION_NUMBER:
                raise SnapshotInvalid("several_institutions")
            self._reader.note("Institution/InstitutionName", "repeated_element")
            return
        if self._has_header:
            self._reader.note("Institution/InstitutionName", "misplaced_element")
        self._institution[element.tag] = "".join(self._reader.plain([element], "Institution"))


def _is_school_year(text: str) -> bool:
    found = v.SCHOOL_YEAR.fullmatch(text)
    return found is not None and int(found[2]) == int(found[1]) + 1
