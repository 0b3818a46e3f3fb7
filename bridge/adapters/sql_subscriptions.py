"""What is remembered of institutions in SQL: how each is subscribed to, and what a register says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import delete, select

from bridge.adapters.sql_schema import from_stored, institution_facts, subscriptions, to_stored
from bridge.adapters.sql_transaction import SqlPart, StoredRow
from bridge.ports import Subscription


class SqlSubscriptions(SqlPart):
    """The part of `IntakeStore` that is about sources rather than snapshots."""

    def subscriptions(self, municipality: str | None = None) -> list[Subscription]:
        wanted = select(subscriptions).order_by(subscriptions.c.municipality, subscriptions.c.institution)
        if municipality is not None:
            wanted = wanted.where(subscriptions.c.municipality == municipality)
        return [_subscription(row) for row in self._tx.rows(wanted)]

    def put_subscriptions(self, rows: Iterable[Subscription]) -> None:
        self._tx.put(subscriptions, map(_stored, rows))

    def forget_subscriptions(self, municipality: str) -> None:
        self._tx.run(delete(subscriptions).where(subscriptions.c.municipality == municipality))

    def institution_facts(self, municipality: str) -> dict[str, bytes]:
        wanted = select(institution_facts).where(institution_facts.c.municipality == municipality)
        return {row.institution: row.body for row in self._tx.rows(wanted)}

    def put_institution_facts(self, municipality: str, facts: Mapping[str, bytes]) -> None:
        self._tx.put(institution_facts, [(municipality, number, body) for number, body in facts.items()])


def _stored(row: Subscription) -> tuple[object, ...]:
    return (
        row.municipality,
        row.institution,
        row.agreement,
        to_stored(row.agreement_at),
        row.failures,
        row.reason,
        to_stored(row.retry_at),
        to_stored(row.wanted_at),
        to_stored(row.asked_at),
    )


def _subscription(row: StoredRow) -> Subscription:
    return Subscription(
        municipality=row.municipality,
        institution=row.institution,
        agreement=row.agreement,
        agreement_at=from_stored(row.agreement_at),
        failures=row.failures,
        reason=row.reason,
        retry_at=from_stored(row.retry_at),
        wanted_at=from_stored(row.wanted_at),
        asked_at=from_stored(row.asked_at),
    )
