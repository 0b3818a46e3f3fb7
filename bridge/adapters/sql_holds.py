"""Holds in SQL: a snapshot's bytes are kept, compressed, for as long as someone may still apply them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update

from bridge.adapters.sql_schema import expected_rolls, from_stored, hold_bodies, holds, kept_people, to_stored
from bridge.adapters.sql_transaction import SqlPart, StoredRow
from bridge.domain.entities import Kind
from bridge.domain.errors import StoreError
from bridge.ports import Approval, ExpectedRoll, Hold, KeptPerson

_FINAL = frozenset({"applied", "rejected", "superseded"})


class SqlHolds(SqlPart):
    """The holds of `IntakeStore`."""

    def add_hold(self, hold: Hold, body: bytes | None) -> int:
        added = self._tx.run(insert(holds).values(_stored(hold)))
        (number,) = added.inserted_primary_key or (0,)
        if body is not None:
            self._tx.add(hold_bodies, [(number, zlib.compress(body))])
        return int(number)

    def holds(self, states: Sequence[str] | None = None) -> list[Hold]:
        wanted = select(holds).order_by(holds.c.id)
        if states is not None:
            wanted = wanted.where(holds.c.state.in_(states))
        return [_hold(row) for row in self._tx.rows(wanted)]

    def hold(self, number: int) -> Hold | None:
        return next(map(_hold, self._tx.rows(select(holds).where(holds.c.id == number))), None)

    def hold_body(self, number: int) -> bytes | None:
        rows = self._tx.rows(select(hold_bodies.c.body).where(hold_bodies.c.hold == number))
        return zlib.decompress(rows[0].body) if rows else None

    def put_hold(self, hold: Hold) -> None:
        self._change(hold.id, _stored(hold))

    def set_hold_state(self, number: int, state: str, by: str | None, at: datetime) -> None:
        decision = {"state": state, "decided_by": by, "decided_at": to_stored(at)}
        self._change(number, decision)
        if state in _FINAL:
            self._tx.run(delete(hold_bodies).where(hold_bodies.c.hold == number))

    def _change(self, number: int, values: dict[str, Any]) -> None:
        if not self._tx.run(update(holds).where(holds.c.id == number).values(values)).rowcount:
            raise StoreError(f"there is no hold {number}")

    # ------------------------------------------------------------ what people said beforehand

    def kept_people(self, municipality: str) -> list[KeptPerson]:
        columns = kept_people.c
        wanted = select(kept_people).where(columns.municipality == municipality).order_by(columns.user_id)
        return [
            KeptPerson(
                row.municipality, row.user_id, from_stored(row.until), row.kept_by, from_stored(row.kept_at)
            )
            for row in self._tx.rows(wanted)
        ]

    def put_kept_person(self, kept: KeptPerson) -> None:
        until, at = to_stored(kept.until), to_stored(kept.kept_at)
        self._tx.put(kept_people, [(kept.municipality, kept.user_id, until, kept.kept_by, at)])

    def drop_kept_person(self, municipality: str, user_id: str) -> bool:
        columns = kept_people.c
        this = (columns.municipality == municipality, columns.user_id == user_id)
        return bool(self._tx.run(delete(kept_people).where(*this)).rowcount)

    def expected_rolls(self, municipality: str) -> list[ExpectedRoll]:
        columns = expected_rolls.c
        wanted = select(expected_rolls).where(columns.municipality == municipality).order_by(columns.id)
        return [
            ExpectedRoll(
                municipality=row.municipality,
                institution=row.institution,
                opens_at=from_stored(row.opens_at),
                closes_at=from_stored(row.closes_at),
                opened_by=row.opened_by,
                opened_at=from_stored(row.opened_at),
            )
            for row in self._tx.rows(wanted)
        ]

    def add_expected_roll(self, roll: ExpectedRoll) -> None:
        self._tx.run(
            insert(expected_rolls).values(
                municipality=roll.municipality,
                institution=roll.institution,
                opens_at=to_stored(roll.opens_at),
                closes_at=to_stored(roll.closes_at),
                opened_by=roll.opened_by,
                opened_at=to_stored(roll.opened_at),
            )
        )

    def drop_expected_rolls(
        self, municipality: str, institution: str, opens_at: datetime, closes_at: datetime
    ) -> None:
        columns = expected_rolls.c
        here = (columns.municipality == municipality, columns.institution == institution)
        span = (columns.opens_at == to_stored(opens_at), columns.closes_at == to_stored(closes_at))
        self._tx.run(delete(expected_rolls).where(*here, *span))


def _stored(hold: Hold) -> dict[str, Any]:
    return {
        "municipality": hold.municipality,
        "institution": hold.institution,
        "subject": hold.subject,
        "target": hold.target,
        "digest": hold.digest,
        "reasons": json.dumps(hold.reasons),
        "counts": json.dumps(dict(hold.counts)),
        "people": json.dumps(hold.people),
        "state": hold.state,
        "opened_at": to_stored(hold.opened_at),
        "origin": hold.origin,
        "decided_at": to_stored(hold.decided_at),
        "decided_by": hold.decided_by,
        "groups": json.dumps(hold.groups),
        "withheld": json.dumps([[kind.value, *key] for kind, key in hold.withheld]),
        "approvals": json.dumps([[one.by, to_stored(one.at), one.only] for one in hold.approvals]),
        "summary": json.dumps({heading: list(keys) for heading, keys in hold.summary.items()}),
        "notified_at": to_stored(hold.notified_at),
        "reminded_at": to_stored(hold.reminded_at),
        "export_time": to_stored(hold.export_time),
    }


def _approval(by: str, at: int, only: list[str] | None) -> Approval:
    return Approval(by, from_stored(at), None if only is None else tuple(only))


def _hold(row: StoredRow) -> Hold:
    return Hold(
        id=row.id,
        municipality=row.municipality,
        institution=row.institution,
        subject=row.subject,
        target=row.target,
        digest=row.digest,
        reasons=tuple(json.loads(row.reasons)),
        counts=json.loads(row.counts),
        people=tuple(json.loads(row.people)),
        state=row.state,
        opened_at=from_stored(row.opened_at),
        origin=row.origin,
        decided_at=from_stored(row.decided_at),
        decided_by=row.decided_by,
        groups=tuple(json.loads(row.groups)),
        withheld=tuple((Kind(kind), tuple(key)) for kind, *key in json.loads(row.withheld)),
        approvals=tuple(_approval(*one) for one in json.loads(row.approvals)),
        summary={heading: tuple(keys) for heading, keys in json.loads(row.summary).items()},
        notified_at=from_stored(row.notified_at),
        reminded_at=from_stored(row.reminded_at),
        export_time=from_stored(row.export_time),
    )
