"""What a store promises of the steps of deliveries: what they carry, what rests, what is urgent or cleared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.domain.entities import Kind
from bridge.ports import GRACE, HELD, RESTING, URGENT, Delivery, Ledger, Reader, Store
from bridge.testing.store_samples import NOW, OTHER_TARGET, TARGET, desired, identity_of, later


def _settled(row: Delivery) -> Delivery:
    """The delivery as it is when the target has confirmed what it should have."""
    return replace(row, confirmed=row.desired, in_doubt=False, state="pending", reason=None)


def _delivery(reader: Reader, name: str) -> Delivery:
    row = reader.delivery(TARGET, identity_of(name))
    assert row is not None
    return row


class StepsConformance:
    """Mixed into the suite that every store runs."""

    def test_a_step_counts_what_it_carries_until_it_arrives(self, store: Store) -> None:
        with store.write() as uow:
            uow.count_changes(TARGET, accepted=3, filtered=1)
            uow.put_desired([replace(desired("a", b"1"), carried=2)], NOW)
            assert uow.ledger(TARGET) == Ledger(TARGET, accepted=3, filtered=1, pending=2)
            uow.put_deliveries([_settled(_delivery(uow, "a"))])
            assert uow.ledger(TARGET) == Ledger(TARGET, accepted=3, filtered=1, delivered=2)
            assert uow.ledger(OTHER_TARGET) == Ledger(OTHER_TARGET)

    def test_the_next_step_supersedes_what_the_last_one_carried(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([replace(desired("a", b"1"), carried=2)], NOW)
            uow.put_desired([replace(desired("a", b"2"), carried=1)], later(1))
            assert uow.ledger(TARGET) == Ledger(TARGET, superseded=2, pending=1)

    def test_a_step_that_is_no_change_of_the_source_takes_along_what_was_carried(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([replace(desired("a", b"1"), carried=2)], NOW)
            uow.put_desired([desired("a", b"2")], later(1))
            assert uow.ledger(TARGET) == Ledger(TARGET, pending=2)

    def test_a_step_back_to_what_is_there_supersedes_all(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("a", b"1")], NOW)
            uow.put_deliveries([_settled(_delivery(uow, "a"))])
            uow.put_desired([replace(desired("a", b"2"), carried=1)], later(1))
            uow.put_desired([replace(desired("a", b"1"), carried=1)], later(2))
            assert uow.ledger(TARGET) == Ledger(TARGET, superseded=2)

    def test_an_outcome_of_an_overtaken_step_delivers_nothing_of_the_next(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([replace(desired("a", b"1"), carried=1)], NOW)
            old = _delivery(uow, "a")
            uow.put_desired([replace(desired("a", b"2"), carried=1)], later(1))
            uow.put_deliveries([_settled(old)])
            assert uow.ledger(TARGET) == Ledger(TARGET, superseded=1, pending=1)

    def test_what_is_rejected_is_counted_apart(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([replace(desired("a", b"1"), carried=1)], NOW)
            uow.put_deliveries([replace(_delivery(uow, "a"), state="rejected", in_doubt=False)])
            assert uow.ledger(TARGET) == Ledger(TARGET, rejected=1)

    def test_more_can_be_carried_by_what_is_due_and_by_nothing_else(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("a", b"1"), desired("b", b"1")], NOW)
            uow.put_deliveries([_settled(_delivery(uow, "b"))])
            uow.carry(TARGET, {identity_of("a"): 2, identity_of("b"): 3})
            assert uow.ledger(TARGET) == Ledger(TARGET, superseded=3, pending=2)

    def test_what_waits_with_a_mapping_can_be_superseded(self, store: Store) -> None:
        with store.write() as uow:
            uow.count_changes(TARGET, accepted=4, unapplied=4)
            uow.supersede_unapplied(TARGET)
            assert uow.ledger(TARGET) == Ledger(TARGET, accepted=4, superseded=4)
            uow.supersede_unapplied(OTHER_TARGET)

    def test_a_step_may_be_put_off_for_a_reason(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([replace(desired("a", b"1"), not_before=later(60), reason=GRACE)], NOW)
            row = _delivery(uow, "a")
            assert (row.next_attempt_at, row.reason) == (later(60), GRACE)
            assert uow.due(TARGET, NOW, 9) == []

    @pytest.mark.parametrize("reason", sorted(RESTING))
    def test_what_rests_is_counted_and_is_not_woken_by_chance(self, store: Store, reason: str) -> None:
        with store.write() as uow:
            resting = replace(desired("a", b"1"), not_before=later(60), reason=reason)
            uow.put_desired([resting, replace(desired("b", b"1"), not_before=later(60))], NOW)
            counts = uow.delivery_counts(TARGET, NOW)
            assert (counts.due, counts.waiting, counts.resting) == (2, 2, 1)
            assert uow.wake(TARGET, None, NOW) == 1
            assert uow.wake(TARGET, reason, NOW) == 1

    def test_what_is_urgent_goes_first_until_it_is_confirmed(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("a", b"1", rank=3), desired("b", b"1", rank=0)], NOW)
            uow.put_desired([replace(desired("a", b"2", rank=3), is_urgent=True)], later(1))
            uow.put_desired([desired("a", b"3", rank=3)], later(2))
            (row,) = uow.due(TARGET, later(9), 9)
            assert (row.id, row.rank) == (identity_of("a"), URGENT)
            uow.put_deliveries([_settled(row)])
            uow.put_desired([desired("a", b"4", rank=3)], later(3))
            assert _delivery(uow, "a").rank == 3

    def test_what_goes_away_is_never_urgent(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([replace(desired("a", b"1", rank=3), is_urgent=True)], NOW)
            uow.put_desired([replace(desired("a", None, rank=3), is_urgent=True)], later(1))
            assert _delivery(uow, "a").rank == 3

    def test_what_is_cleared_is_told_apart_until_its_next_step(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("a", b"1"), replace(desired("b", b"1"), is_cleared=True)], NOW)
            assert [row.id for row in uow.due_steps(TARGET)] == [identity_of("a")]
            uow.put_desired([desired("b", b"2")], later(1))
            assert len(uow.due_steps(TARGET)) == 2

    def test_clearing_frees_what_waited_for_it(self, store: Store) -> None:
        with store.write() as uow:
            held = replace(desired("a", b"1"), not_before=later(60), reason=HELD)
            uow.put_desired([held, replace(desired("b", b"1"), not_before=later(60))], NOW)
            uow.clear(TARGET, [identity_of("a"), identity_of("b"), identity_of("nobody")], HELD, later(1))
            assert [(row.id, row.reason) for row in uow.due(TARGET, later(1), 9)] == [(identity_of("a"), None)]
            assert uow.due_steps(TARGET) == []

    def test_what_a_target_has_is_counted_by_institution_and_kind(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("a", b"1"), desired("b", b"1")], NOW)
            uow.put_deliveries([_settled(_delivery(uow, "a"))])
            assert uow.living(TARGET) == {("", Kind.PERSON): 1}
            assert uow.living(OTHER_TARGET) == {}

    def test_who_leaves_while_sent_again_is_deleted_whatever_becomes_of_that(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("a", b"1")], NOW)
            uow.put_deliveries([replace(_settled(_delivery(uow, "a")), confirmed_body=b"{}")])
            uow.forget_confirmed(TARGET, [identity_of("a")])
            under_way = _delivery(uow, "a")
            uow.put_desired([desired("a", None)], NOW)
            for outcome in ({}, {"state": "rejected"}, {"in_doubt": True}):
                uow.put_deliveries([replace(under_way, **outcome)])
                assert [row.desired for row in uow.due(TARGET, NOW, 10)] == [None]
            uow.put_deliveries([replace(_delivery(uow, "a"), confirmed=None, confirmed_body=None, in_doubt=False)])
            assert uow.due(TARGET, NOW, 10) == []

    def test_what_a_person_has_allowed_is_over_once_it_is_settled(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([replace(desired("a", b"1"), is_cleared=True)], NOW)
            uow.put_deliveries([replace(_delivery(uow, "a"), attempts=1)])
            assert _delivery(uow, "a").is_cleared
            uow.put_deliveries([_settled(_delivery(uow, "a"))])
            assert not _delivery(uow, "a").is_cleared
            uow.clear(TARGET, [identity_of("a")], HELD, NOW)
            uow.forget_confirmed(TARGET, [identity_of("a")])
            assert not _delivery(uow, "a").is_cleared, "to send it again is another step"

    def test_what_is_to_be_sent_again_is_still_counted_as_there(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("a", b"1")], NOW)
            row = replace(_settled(_delivery(uow, "a")), confirmed_body=b"{}")
            uow.put_deliveries([row])
            uow.forget_confirmed(TARGET, [row.id])
            assert uow.living(TARGET) == {("", Kind.PERSON): 1}
            uow.put_deliveries([replace(row, confirmed=None, confirmed_body=None)])
            assert uow.living(TARGET) == {}
