"""What a target confirmed becomes due once more, in SQL; what is on its way, or waits, stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import bindparam, case, literal_column, select, update

from bridge.adapters.sql_deliveries import stored_delivery
from bridge.adapters.sql_schema import deliveries, to_stored
from bridge.adapters.sql_transaction import CHUNK, SqlPart
from bridge.domain.ids import CanonicalId, TargetId
from bridge.ports import REPLAYED, Delivery

_C = deliveries.c
_IS_SETTLED = (_C.is_due == literal_column("0"), _C.state == literal_column("'pending'"))
_SETTLED = select(deliveries).where(
    _C.target == bindparam("target"), _C.id.in_(bindparam(CHUNK, expanding=True)), *_IS_SETTLED
)
_AGAIN = (
    update(deliveries)
    .where(_C.target == bindparam("b_target"), _C.id == bindparam("b_id"), *_IS_SETTLED)
    .values(
        confirmed=None,
        # What is gone is told as gone once more: a doubt whether it is makes it due.
        in_doubt=case((_C.desired.is_(None), 1), else_=_C.in_doubt),
        version=_C.version + 1,
        attempts=0,
        cleared=1,
        reason=REPLAYED,
        next_attempt_at=bindparam("b_at"),
        updated_at=bindparam("b_at"),
    )
)


class SqlAgain(SqlPart):
    """The part of `DeliveryStore` that sends again."""

    def settled(self, target: TargetId, ids: Iterable[CanonicalId]) -> list[Delivery]:
        return [stored_delivery(row) for row in self._tx.rows_in(_SETTLED, ids, target=target)]

    def tell_again(self, target: TargetId, at: Mapping[CanonicalId, datetime]) -> None:
        rows = [(target, identity, to_stored(moment)) for identity, moment in at.items()]
        self._tx.change(_AGAIN, ("b_target", "b_id", "b_at"), rows)
