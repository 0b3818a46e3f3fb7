"""What documents on the shelf say, whatever a municipality's own mapping made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

Document = Mapping[str, Any]


def text(document: Document, name: str) -> str | None:
    """One value as text; None for nothing, and for what is not one value."""
    value = document.get(name)
    if isinstance(value, str):
        return value or None
    return None if value is None or isinstance(value, (dict, list)) else str(value)


def texts(value: object) -> tuple[str, ...]:
    """One value or a list of them as texts, each once."""
    listed = value if isinstance(value, list) else [value]
    told = (str(one) for one in listed if one not in (None, "") and not isinstance(one, (dict, list)))
    return tuple(dict.fromkeys(told))


def tables(value: object) -> Iterator[Document]:
    """The elements of a list that have fields."""
    yield from (one for one in (value if isinstance(value, list) else ()) if isinstance(one, dict))


def day(document: Document, name: str) -> date | None:
    """A day; None for what is none."""
    try:
        return date.fromisoformat(text(document, name) or "")
    except ValueError:
        return None


def places(document: Document) -> Iterator[tuple[str, str]]:
    """The institution numbers and roles of a user; where no role is known, what their `kind` gives them."""
    for one in tables(document.get("roles")):
        number = text(one, "school")
        for role in texts(one.get("roles")) or texts(one.get("kind")):
            if number is not None:
                yield number, role


def reduced(resource: str, document: Document, identity: Iterable[str]) -> dict[str, Any]:
    """What is kept of a document when its entity is gone: keys and references, no name and nothing else personal.

    `identity` are the values of the canonical key; a user name, say, that is none of them is forgotten.
    """
    keys = {*identity}
    kept = {name: document[name] for name in _REFERENCES.get(resource, ()) if name in document}
    kept |= {name: document[name] for name in _KEYS.get(resource, ()) if document.get(name) in keys}
    return kept


_REFERENCES: Mapping[str, tuple[str, ...]] = {
    "org": (),
    "class": ("classType", "groupType", "school"),
    "user": ("roles",),
    "enrollment": ("user", "class", "school", "role"),
    "agent": ("child", "contact", "school", "relation"),
}
_KEYS: Mapping[str, tuple[str, ...]] = {
    "org": ("sourcedId", "identifier"),
    "class": ("sourcedId",),
    "user": ("sourcedId", "username", "identifier"),
    "enrollment": ("sourcedId",),
    "agent": ("sourcedId",),
}
