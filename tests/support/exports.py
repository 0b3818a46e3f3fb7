"""Exports of tests/data changed in one respect, as a school's system or a mistake would change them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

COMMON = "https://brugerdatabasen.stil.dk/bpi/wsieksport/7/common"
SHARED = "https://brugerdatabasen.stil.dk/bpi/common/3"
OWN = "https://brugerdatabasen.stil.dk/bpi/wsieksport/7/fullmyndighed"
for _prefix, _uri in (("fm", OWN), ("c", COMMON), ("b", SHARED)):
    ET.register_namespace(_prefix, _uri)


class Export:
    """One document; every change gives the same object back, `bytes` writes it."""

    def __init__(self, content: bytes) -> None:
        self.root = ET.fromstring(content)  # noqa: S314 - our own file

    @classmethod
    def of(cls, path: Path) -> Self:
        return cls(path.read_bytes())

    def copy(self) -> Self:
        return type(self)(self.bytes())

    def bytes(self) -> bytes:
        return ET.tostring(self.root, encoding="UTF-8", xml_declaration=True)

    # ------------------------------------------------------------ parts

    @property
    def institution(self) -> ET.Element:
        return self._one(f"{{{OWN}}}Institution")

    @property
    def records(self) -> list[ET.Element]:
        return self.institution.findall(f"{{{OWN}}}InstitutionPerson")

    @property
    def pupils(self) -> list[ET.Element]:
        return [record for record in self.records if record.find(f"{{{OWN}}}Student") is not None]

    def person(self, record: ET.Element) -> ET.Element:
        """The person of a record (not a contact's)."""
        found = record.find(f"{{{OWN}}}Person")
        assert found is not None
        return found

    def user_id(self, record: ET.Element) -> str:
        return str(self.person(record).findtext(f"{{{COMMON}}}UserId"))

    @staticmethod
    def set(person: ET.Element, name: str, text: str, namespace: str = COMMON) -> None:
        """Give an element that is there another text."""
        found = person.find(f"{{{namespace}}}{name}")
        assert found is not None, name
        found.text = text

    # ------------------------------------------------------------ changes

    def later(self, **by: float) -> Self:
        """Move the export and all its import sources in time; `by` as for `timedelta`."""
        self._shift(self.root, "exportDateTime", timedelta(**by))
        for source in self.root.findall(f"{{{COMMON}}}ImportSource"):
            self._shift(source, "sourceDateTime", timedelta(**by))
        return self

    def exported_later(self, **by: float) -> Self:
        """Move the export alone in time; what it holds is as fresh as before."""
        self._shift(self.root, "exportDateTime", timedelta(**by))
        return self

    def numbered(self, number: str) -> Self:
        """Let it be of another institution."""
        found = self.institution.find(f"{{{COMMON}}}InstitutionNumber")
        assert found is not None
        found.text = number
        return self

    def keep(self, wanted: Callable[[ET.Element], bool]) -> Self:
        """Leave out the records that are not wanted."""
        for record in self.records:
            if not wanted(record):
                self.institution.remove(record)
        return self

    def cut(self, pupils: int, others: int = 5) -> Self:
        """Keep so many pupils and so many others, so that a test needs few requests."""
        chosen = set(self.pupils[:pupils])
        chosen |= set([record for record in self.records if record not in self.pupils][:others])
        return self.keep(chosen.__contains__)

    def without_pupils(self, percent: int) -> Self:
        """Leave out the first so many per cent of the pupils."""
        gone = set(self.pupils[: len(self.pupils) * percent // 100])
        return self.keep(lambda record: record not in gone)

    def emptied(self) -> Self:
        """Leave out every record and every group."""
        self.keep(lambda _: False)
        for group in self.institution.findall(f"{{{COMMON}}}Group"):
            self.institution.remove(group)
        return self

    def renamed(self, name: str) -> Self:
        """Give the institution another name: a harmless change."""
        found = self.institution.find(f"{{{COMMON}}}InstitutionName")
        assert found is not None
        found.text = name
        return self

    def _one(self, tag: str) -> ET.Element:
        found = self.root.find(tag)
        assert found is not None
        return found

    @staticmethod
    def _shift(element: ET.Element, name: str, by: timedelta) -> None:
        moved = datetime.fromisoformat(element.attrib[name]) + by
        element.set(name, moved.isoformat(timespec="milliseconds"))
