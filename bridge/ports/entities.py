"""Entity state: what is stored of institutions, people, groups and their ties, found by key or by person."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from bridge.domain.entities import Kind
from bridge.domain.ids import CanonicalId, Key


@dataclass(frozen=True, slots=True)
class EntityRow:
    """One entity as it is stored.

    `institution` is "" for persons. `person` and `other` are look-up columns: the user id, and the group
    (membership: joined institution and group id) or the contact (guardianship: user id).
    `body` is None for an entity that is gone: only its id and version are remembered.
    """

    kind: Kind
    key: Key
    institution: str
    id: CanonicalId
    version: int
    hash: bytes
    body: bytes | None = field(repr=False)
    person: str | None = None
    other: str | None = None


class EntityStore(Protocol):
    """Entity state by municipality. Every method sees what was written earlier in the same unit of work.

    Key order is the order of the keys as `join_key` writes them, by code point.
    """

    def hashes(self, municipality: str, institution: str, kind: Kind) -> dict[Key, bytes]:
        """The hashes of the living entities of one kind at one institution."""
        ...

    def bodies(self, municipality: str, institution: str, kind: Kind) -> dict[Key, bytes]:
        """The bodies of the living entities of one kind at one institution."""
        ...

    def entities(self, municipality: str, kind: Kind, keys: Iterable[Key]) -> dict[Key, EntityRow]:
        """The rows of these keys, those of entities that are gone included."""
        ...

    def entities_by_person(self, municipality: str, kind: Kind, people: Iterable[str]) -> list[EntityRow]:
        """Living entities whose `person` is one of these, in key order."""
        ...

    def entities_by_other(self, municipality: str, kind: Kind, others: Iterable[str]) -> list[EntityRow]:
        """Living entities whose `other` is one of these, in key order."""
        ...

    def scan(self, municipality: str, kind: Kind, after: Key | None, limit: int) -> list[EntityRow]:
        """Living entities of a kind in key order, after a key: a page of at most `limit`."""
        ...

    def put_entities(self, municipality: str, rows: Iterable[EntityRow]) -> None:
        """Insert or replace by (municipality, kind, key)."""
        ...

    def shared_people(self, municipality: str, institution: str) -> set[str]:
        """User ids with a living contribution from this institution and from another one too."""
        ...

    def entity_counts(self, municipality: str) -> dict[Kind, int]:
        """Living entities by kind; kinds without any are absent."""
        ...
