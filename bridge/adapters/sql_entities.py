"""Entity state in SQL: one row a key, kept as a tombstone when the entity is gone."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import BindParameter, Executable, bindparam, func, select

from bridge.adapters.sql_schema import entities
from bridge.adapters.sql_transaction import CHUNK, SqlPart, StoredRow
from bridge.domain.entities import Kind
from bridge.domain.ids import CanonicalId, Key, join_key, split_key
from bridge.ports import EntityRow

_OF_KIND = (entities.c.municipality == bindparam("municipality"), entities.c.kind == bindparam("kind"))
_IS_LIVING = entities.c.body.is_not(None)
_ALL = select(entities).where(*_OF_KIND)
_LIVING = _ALL.where(_IS_LIVING)
_MEMBERS: BindParameter[str] = bindparam(CHUNK, expanding=True)
_BY_KEY = _ALL.where(entities.c.key.in_(_MEMBERS))
_BY_PERSON = _LIVING.where(entities.c.person.in_(_MEMBERS))
_BY_OTHER = _LIVING.where(entities.c.other.in_(_MEMBERS))
_AT = entities.c.institution == bindparam("institution")
_HASHES = select(entities.c.key, entities.c.hash).where(*_OF_KIND, _AT, _IS_LIVING)
_BODIES = select(entities.c.key, entities.c.body).where(*_OF_KIND, _AT, _IS_LIVING)


class SqlEntities(SqlPart):
    """`EntityStore`; key order is the order of the joined keys."""

    def hashes(self, municipality: str, institution: str, kind: Kind) -> dict[Key, bytes]:
        rows = self._tx.rows(_HASHES, municipality=municipality, institution=institution, kind=kind.value)
        return {split_key(key): value for key, value in rows}

    def bodies(self, municipality: str, institution: str, kind: Kind) -> dict[Key, bytes]:
        rows = self._tx.rows(_BODIES, municipality=municipality, institution=institution, kind=kind.value)
        return {split_key(key): body for key, body in rows}

    def entities(self, municipality: str, kind: Kind, keys: Iterable[Key]) -> dict[Key, EntityRow]:
        found = self._find(_BY_KEY, municipality, kind, map(join_key, keys))
        return {row.key: row for row in found}

    def entities_by_person(self, municipality: str, kind: Kind, people: Iterable[str]) -> list[EntityRow]:
        return self._find(_BY_PERSON, municipality, kind, people)

    def entities_by_other(self, municipality: str, kind: Kind, others: Iterable[str]) -> list[EntityRow]:
        return self._find(_BY_OTHER, municipality, kind, others)

    def scan(self, municipality: str, kind: Kind, after: Key | None, limit: int) -> list[EntityRow]:
        page = _LIVING.order_by(entities.c.key).limit(limit)
        if after is not None:
            page = page.where(entities.c.key > join_key(after))
        return [_entity(row) for row in self._tx.rows(page, municipality=municipality, kind=kind.value)]

    def put_entities(self, municipality: str, rows: Iterable[EntityRow]) -> None:
        self._tx.put(entities, [_stored(municipality, row) for row in rows])

    def shared_people(self, municipality: str, institution: str) -> set[str]:
        here, there = entities.alias("here"), entities.alias("there")
        # Counted: EXISTS is a join to PostgreSQL, and as long as it has no statistics one of each with each.
        elsewhere = select(func.count()).where(
            there.c.municipality == municipality,
            there.c.kind == Kind.CONTRIBUTION.value,
            there.c.person == here.c.person,
            there.c.institution != institution,
            there.c.body.is_not(None),
        )
        shared = select(here.c.person).where(
            here.c.municipality == municipality,
            here.c.institution == institution,
            here.c.kind == Kind.CONTRIBUTION.value,
            here.c.body.is_not(None),
            elsewhere.scalar_subquery() > 0,
        )
        return {row.person for row in self._tx.rows(shared)}

    def entity_counts(self, municipality: str) -> dict[Kind, int]:
        living = select(entities.c.kind, func.count()).where(entities.c.municipality == municipality, _IS_LIVING)
        return {Kind(kind): count for kind, count in self._tx.rows(living.group_by(entities.c.kind))}

    def _find(
        self, statement: Executable, municipality: str, kind: Kind, members: Iterable[str]
    ) -> list[EntityRow]:
        found = self._tx.rows_in(statement, members, municipality=municipality, kind=kind.value)
        return [_entity(row) for row in sorted(found, key=lambda row: str(row.key))]


def _stored(municipality: str, row: EntityRow) -> tuple[object, ...]:
    return (
        municipality,
        row.kind.value,
        join_key(row.key),
        row.institution,
        row.person,
        row.other,
        row.id,
        row.version,
        row.hash,
        row.body,
    )


def _entity(row: StoredRow) -> EntityRow:
    return EntityRow(
        kind=Kind(row.kind),
        key=split_key(row.key),
        institution=row.institution,
        id=CanonicalId(row.id),
        version=row.version,
        hash=row.hash,
        body=row.body,
        person=row.person,
        other=row.other,
    )
