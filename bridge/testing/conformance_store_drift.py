"""What every store promises of what targets were found to have otherwise."""

from __future__ import annotations

from dataclasses import replace

from bridge.domain.entities import Kind
from bridge.ports import Drift, Store, TargetState
from bridge.testing.store_samples import NOW, OTHER_TARGET, TARGET, identity_of, later


class DriftConformance:
    def test_how_the_last_reading_of_a_target_went_is_kept(self, store: Store) -> None:
        state = TargetState(TARGET, reconciled_at=NOW, drifted=2, foreign=30)
        with store.write() as uow:
            uow.put_target_state(state)
            uow.put_target_state(replace(state, target=OTHER_TARGET, reconciled_at=None))
        with store.read() as reader:
            assert reader.target_state(TARGET) == state
            assert reader.target_state(OTHER_TARGET).reconciled_at is None

    def test_what_differs_is_replaced_whole_and_dropped_by_id(self, store: Store) -> None:
        first = Drift(TARGET, identity_of("anna"), Kind.PERSON, "changed", ("b", "a"), 1, "open", NOW)
        parked = replace(first, what="missing", fields=(), rounds=3, state="parked", seen_at=later(60))
        with store.write() as uow:
            uow.put_drift([first])
            uow.put_drift([parked])
            uow.put_drift([])
            uow.drop_drift(TARGET, [identity_of("nobody")])
            uow.drop_drift(OTHER_TARGET, [first.id])
            assert uow.drift(TARGET) == [parked]
            uow.put_drift([first])
            assert uow.drift(TARGET) == [first], "the order of fields is kept"
            uow.drop_drift(TARGET, iter([first.id]))
            assert uow.drift(TARGET) == []
