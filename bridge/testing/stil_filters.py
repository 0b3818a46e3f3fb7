"""The filters of an export call, honoured; one that the schema does not allow is a fault of the receiver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from xml.etree.ElementTree import Element

from bridge.testing.stil_export import EXPORT
from bridge.testing.stil_records import Institution, Record, RoleKind, Student
from bridge.testing.stil_size import Size
from bridge.testing.stil_soap import SoapFault

_ACTORS: dict[str, RoleKind] = {
    "inkluderElever": "student",
    "inkluderMedarbejdere": "employee",
    "inkluderEksterne": "external",
}
_CONTACTS = "inkluderKontaktpersoner"
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
TRIN = ("DT", *map(str, range(11)), "U1", "U2", "U3", "U4", "VU", "Andet")


@dataclass(frozen=True, slots=True)
class Filters:
    """What a caller wants of an institution; everything but CPR numbers to begin with (stil.md §1)."""

    kinds: frozenset[RoleKind] = frozenset(_ACTORS.values())
    with_contacts: bool = True
    levels: frozenset[str] | None = None
    with_cpr: bool = False

    def apply(self, institution: Institution) -> Institution:
        """Leave out the records that are not wanted; the groups stay, as nobody knows better of STIL."""
        kept = tuple(self._stripped(record) for record in institution.records if self._wants(record))
        return replace(institution, records=kept)

    def _wants(self, record: Record) -> bool:
        is_level = self.levels is None or not isinstance(record.role, Student) or record.role.level in self.levels
        return is_level and record.kind in self.kinds

    def _stripped(self, record: Record) -> Record:
        if self.with_contacts or not isinstance(record.role, Student):
            return record
        return replace(record, role=replace(record.role, contacts=()))


def read_export(body: Element, size: Size) -> tuple[str, Filters]:
    """Return the institution number and the filters of an export call. Raises `SoapFault` for an invalid one."""
    parts = _children(body, ("instnr", "filtre"), required=("instnr",))
    return (parts["instnr"].text or "").strip(), _filters(parts.get("filtre"), size)


def _filters(element: Element | None, size: Size) -> Filters:
    if element is None:
        return Filters()
    allowed = ["aktoertypeFilter", "klassetrinFilter", *(["cprFilter"] if size.has_details else [])]
    parts, filters = _children(element, allowed), Filters()
    if (actors := parts.get("aktoertypeFilter")) is not None:
        names = (*_ACTORS, *([_CONTACTS] if size.has_contacts else []))
        wanted = {name: _flag(child, default=True) for name, child in _children(actors, names, names).items()}
        kinds = frozenset(kind for name, kind in _ACTORS.items() if wanted[name])
        filters = replace(filters, kinds=kinds, with_contacts=wanted.get(_CONTACTS, True))
    if (levels := parts.get("klassetrinFilter")) is not None:
        filters = replace(filters, levels=_levels(levels))
    if (numbers := parts.get("cprFilter")) is not None:
        asked = _children(numbers, ("inkluderCpr",), required=("inkluderCpr",))
        filters = replace(filters, with_cpr=_flag(asked["inkluderCpr"], default=False))
    return filters


def _levels(element: Element) -> frozenset[str] | None:
    levels = [(child.text or "").strip() for child in element]
    names = {child.tag for child in element}
    if names - {f"{{{EXPORT}}}inkluderKlassetrin"} or len(levels) > len(TRIN) or not set(levels) <= set(TRIN):
        raise SoapFault("klassetrinFilter is not as the schema has it", 500)
    return frozenset(levels) or None


def _children(element: Element, allowed: Sequence[str], required: Sequence[str] = ()) -> dict[str, Element]:
    """The children by name; they must be in the schema's order, none twice, none of another namespace."""
    names = [child.tag.removeprefix(f"{{{EXPORT}}}") for child in element]
    if names != [name for name in allowed if name in names] or not set(required) <= set(names):
        raise SoapFault(f"{element.tag.rpartition('}')[2]} is not as the schema has it", 500)
    return dict(zip(names, element, strict=True))


def _flag(element: Element, *, default: bool) -> bool:
    text = (element.text or "").strip()
    if text and text not in _FLAGS:
        raise SoapFault("a filter is neither true nor false", 500)
    return _FLAGS.get(text, default)
