"""What targets keep that others fetch, or that goes out as one file, in SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import bindparam, delete, select

from bridge.adapters import sql_schema as schema
from bridge.adapters.sql_schema import from_stored, to_stored
from bridge.adapters.sql_transaction import CHUNK, SqlPart, StoredRow, chunks
from bridge.domain.ids import TargetId
from bridge.domain.shelf import Entry, Shelved, step_time

_C, _NOTES = schema.shelf.c, schema.shelf_notes.c
_SOME = _C.id.in_(bindparam(CHUNK, expanding=True))
_encoder = msgspec.json.Encoder(order="sorted")


class SqlShelf(SqlPart):
    """`ShelfStore`."""

    def put_on_shelf(self, target: TargetId, entries: Iterable[Entry], now: datetime) -> int:
        wanted = list(entries)
        kept = self._kept(target, wanted)
        version, last = self._shelf(target)
        number, at = version, to_stored(step_time(now, last))
        changed: dict[tuple[str, str], tuple[object, ...]] = {}
        for entry in wanted:
            place, state = (entry.collection, entry.id), (_encode(entry), int(entry.is_gone))
            if kept.get(place) != state:
                number += 1
                kept[place] = state
                changed[place] = (target, *place, *state, number, at)
        self._tx.put(schema.shelf, changed.values())
        self._tx.put(schema.shelves, [(target, number, at)] if changed else [])
        return number - version

    def take_off_shelf(self, target: TargetId, collection: str, ids: Iterable[str]) -> None:
        some = delete(schema.shelf).where(_C.target == target, _C.collection == collection, _SOME)
        for chunk in chunks(ids):
            self._tx.run(some, **{CHUNK: chunk})

    def shelved(self, target: TargetId, collection: str, ids: Collection[str]) -> dict[str, Shelved]:
        some = select(schema.shelf).where(_C.target == target, _C.collection == collection, _SOME)
        return {row.id: _shelved(row) for row in self._tx.rows_in(some, ids)}

    def shelved_ids(self, target: TargetId, collection: str, after: int) -> list[str]:
        newer = select(_C.id).where(_C.target == target, _C.collection == collection, _C.number > after)
        return sorted(row.id for row in self._tx.rows(newer))  # not by the database, whose collation may be any

    def shelved_after(self, target: TargetId, collection: str, after: int, limit: int) -> list[Shelved]:
        here = (_C.target == target, _C.collection == collection, _C.number > after)
        page = select(schema.shelf).where(*here).order_by(_C.number).limit(limit)
        return [_shelved(row) for row in self._tx.rows(page)]

    def shelf_version(self, target: TargetId) -> int:
        return self._shelf(target)[0]

    def forget_gone(self, target: TargetId, before: datetime) -> int:
        old = delete(schema.shelf).where(_C.target == target, _C.is_gone == 1, _C.changed_at < to_stored(before))
        return self._tx.run(old).rowcount

    def shelf_note(self, target: TargetId, name: str) -> str | None:
        rows = self._tx.rows(select(_NOTES.value).where(_NOTES.target == target, _NOTES.name == name))
        return str(rows[0].value) if rows else None

    def set_shelf_note(self, target: TargetId, name: str, value: str) -> None:
        self._tx.put(schema.shelf_notes, [(target, name, value)])

    def forget_shelf(self, target: TargetId) -> int:
        self._tx.run(delete(schema.shelf_notes).where(_NOTES.target == target))
        self._tx.run(delete(schema.shelves).where(schema.shelves.c.target == target))
        return self._tx.run(delete(schema.shelf).where(_C.target == target)).rowcount

    def _shelf(self, target: TargetId) -> tuple[int, datetime | None]:
        """The number and the time of the last step."""
        rows = self._tx.rows(select(schema.shelves).where(schema.shelves.c.target == target))
        return (rows[0].version, from_stored(rows[0].changed_at)) if rows else (0, None)

    def _kept(self, target: TargetId, wanted: Sequence[Entry]) -> dict[tuple[str, str], tuple[str, int]]:
        """What is kept under the places of these: document and mark, as they are stored."""
        ids: defaultdict[str, list[str]] = defaultdict(list)
        for entry in wanted:
            ids[entry.collection].append(entry.id)
        found = {}
        for collection, some in ids.items():
            wording = select(_C.id, _C.document, _C.is_gone).where(
                _C.target == target, _C.collection == collection, _SOME
            )
            for row in self._tx.rows_in(wording, some):
                found[collection, row.id] = (row.document, row.is_gone)
        return found


def _encode(entry: Entry) -> str:
    """With sorted keys, so that the order in which a document was built makes no change of it."""
    return _encoder.encode(entry.document).decode()


def _shelved(row: StoredRow) -> Shelved:
    return Shelved(
        collection=row.collection,
        id=row.id,
        document=msgspec.json.decode(row.document),
        is_gone=bool(row.is_gone),
        number=row.number,
        changed_at=from_stored(row.changed_at),
    )
