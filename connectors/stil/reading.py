"""What is odd in an element is noted by place and code, and what can be understood is read all the same."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from xml.etree.ElementTree import Element

from bridge.connector import SnapshotInvalid
from bridge.domain.entities import Code
from bridge.domain.records import Noted, Quarantined
from connectors.stil.stream import local_name, namespace
from connectors.stil.values import read_date, read_token
from connectors.stil.vocabulary import BOOLEANS, NAMESPACES, XSI

Texts = dict[str, str]
"""Texts of child elements, by our field names; what is absent or empty is not there."""

_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


class Reader:
    """Reads the elements of one document; `asides` hands over what was noted on the way."""

    def __init__(self) -> None:
        self._unknown: set[str] = set()
        self._asides: list[Noted | Quarantined] = []

    def asides(self) -> Iterator[Noted | Quarantined]:
        """Hand over what was noted since the last time."""
        asides, self._asides = self._asides, []
        yield from asides

    def note(self, path: str, reason: str) -> None:
        """Remember something odd; `path` is a place and `reason` a code, so neither may hold a value."""
        self._asides.append(Noted(path, reason))

    def quarantine(self, quarantined: Quarantined) -> None:
        """Remember a part of a record that cannot be used."""
        self._asides.append(quarantined)

    def texts(self, element: Element, fields: Mapping[str, str], path: str) -> tuple[Texts, list[Element]]:
        """Return the texts of the children that `fields` names, and the other children.

        Of a repeated element the first counts.
        """
        texts: Texts = {}
        rest: list[Element] = []
        for child in element:
            tag, text = child.tag, child.text
            if tag not in fields:
                rest.append(child)
            elif len(child):
                # Its text is only what comes before a child that should not be there.
                self.note(f"{path}/{local_name(tag)}", "unexpected_children")
            elif text:
                # Nine in ten have nothing to collapse, and this is the innermost loop.
                if not text.isalnum():
                    text = read_token(text)
                if text and texts.setdefault(fields[tag], text) is not text:
                    self.note(f"{path}/{local_name(tag)}", "repeated_element")
        return texts, rest

    def first_of_each(self, elements: Iterable[Element], path: str) -> dict[str, Element]:
        """Return elements by name; repeats are noted and left out."""
        found: dict[str, Element] = {}
        for element in elements:
            if found.setdefault(element.tag, element) is not element:
                self.note(f"{path}/{_shown(element)}", "repeated_element")
        return found

    def plain(self, elements: Iterable[Element], path: str) -> tuple[str, ...]:
        """Return the texts of repeatable elements in their order, each once."""
        texts: dict[str, None] = {}
        for element in elements:
            if len(element):
                self.note(f"{path}/{local_name(element.tag)}", "unexpected_children")
            elif text := read_token(element.text or ""):
                texts[text] = None
        return tuple(texts)

    def pass_over(self, elements: Iterable[Element], path: str) -> None:
        """Note each unknown name once for the whole document.

        Raises `SnapshotInvalid` for a namespace that is none of the contract's: it may change what the rest means.
        """
        for element in elements:
            if not NAMESPACES.issuperset(namespace(inner.tag) for inner in element.iter()):
                raise SnapshotInvalid("unknown_namespace", path)
            if element.tag not in self._unknown:
                self._unknown.add(element.tag)
                self.note(f"{path}/{_shown(element)}".lstrip("/"), "unknown_element")

    def attributes(self, element: Element, known: frozenset[str], path: str) -> None:
        """Note each attribute that the contract does not have once for the whole document."""
        if known.issuperset(element.keys()):
            return
        for name in sorted(set(element.keys()) - known):
            if not name.startswith(XSI) and (where := f"{element.tag}/@{name}") not in self._unknown:
                self._unknown.add(where)
                self.note(f"{path}/@{_plain(local_name(name))}", "unknown_attribute")

    def checked(self, text: str | None, known: Container[str], path: str, what: str) -> str | None:
        """Return a text as it is; one that is none of those known is noted."""
        if text is not None and text not in known:
            self.note(path, f"unknown_{what}")
        return text

    def date(self, texts: Texts, field: str, path: str) -> str | None:
        """Return a date field as YYYY-MM-DD; one that cannot be read is noted and absent."""
        text = texts.get(field)
        if text is None:
            return None
        day = read_date(text)
        if day is None:
            self.note(path, f"unreadable_{field}")
        return day

    def code(self, codes: Mapping[str, Code], text: str | None, path: str, what: str) -> Code:
        """Return our word for a source code; an unknown or a missing one is noted and means "other"."""
        if not text:
            self.note(path, f"missing_{what}")
            return Code("other", "")
        code = codes.get(text)
        if code is None:
            self.note(path, f"unknown_{what}")
            return Code("other", text)
        return code

    def flag(self, element: Element, name: str, path: str, *, otherwise: bool) -> bool:
        """Return a boolean attribute; a missing or unreadable one is noted and counts as `otherwise`."""
        text = element.get(name)
        value = BOOLEANS.get(text or "")
        if value is None:
            value = BOOLEANS.get(read_token(text or ""))
        if value is None:
            self.note(f"{path}/@{name}", "missing_attribute" if text is None else "unreadable_boolean")
            return otherwise
        return value


def picked(elements: list[Element], name: str) -> tuple[list[Element], list[Element]]:
    """Split elements into those with a name and the others."""
    return [e for e in elements if e.tag == name], [e for e in elements if e.tag != name]


def _shown(element: Element) -> str:
    return _plain(local_name(element.tag))


def _plain(name: str) -> str:
    # A name made for the purpose could carry anything; one shaped like the schema's own helps the reader.
    return name if _PLAIN_NAME.fullmatch(name) else "*"
