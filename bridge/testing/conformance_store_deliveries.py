"""What every store promises of deliveries and targets."""

# a conformance suite is made of assertions

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import pytest

from bridge.domain.entities import Kind
from bridge.domain.errors import StoreError
from bridge.domain.ids import CanonicalId, TargetId
from bridge.ports import GRACE, Delivery, DeliveryCounts, Drift, Ledger, Reader, Store, TargetState, UnitOfWork
from bridge.testing.store_samples import (
    AWKWARD,
    NOW,
    OTHER_TARGET,
    TARGET,
    desired,
    identity_of,
    later,
)


class DesiredConformance:
    """`DeliveryStore`: what should be, and what that makes due."""

    def test_a_new_desire_is_due_at_once(self, store: Store) -> None:
        with store.write() as uow:
            assert len(uow.put_desired([desired("a", b"h")], NOW)) == 1
        with store.read() as reader:
            row = _get(reader, "a")
        assert row.is_due
        assert (row.desired, row.confirmed, row.confirmed_body) == (b"h", None, None)
        assert (row.version, row.attempts, row.state, row.in_doubt) == (1, 0, "pending", False)
        assert (row.next_attempt_at, row.updated_at, row.resource, row.rank) == (NOW, NOW, "Users", 2)

    def test_wanting_nothing_of_what_was_never_there_stores_nothing(self, store: Store) -> None:
        with store.write() as uow:
            assert len(uow.put_desired([desired("a", None)], NOW)) == 0
            assert uow.delivery(TARGET, identity_of("a")) is None

    def test_the_same_desire_again_writes_nothing(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("a")], NOW)
            before = _get(uow, "a")
            assert len(uow.put_desired([desired("a")], later(60))) == 0
            assert _get(uow, "a") == before

    def test_a_changed_rank_or_resource_is_kept_without_a_new_version(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("a"), desired("b")], NOW)
            before = _get(uow, "a")
            assert uow.put_desired([desired("a", rank=5), desired("b", resource="Groups")], later(60)) == set()
            assert _get(uow, "a") == replace(before, rank=5)
            assert _get(uow, "b").resource == "Groups"

    def test_a_changed_desire_starts_afresh(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("a", b"old")], NOW)
            _change(uow, "a", state="rejected", attempts=7, reason="bad", remote_id="r-1", in_doubt=True)
            assert len(uow.put_desired([desired("a", b"new")], later(60))) == 1
            row = _get(uow, "a")
        assert (row.desired, row.version, row.attempts, row.state) == (b"new", 2, 0, "pending")
        assert (row.next_attempt_at, row.updated_at, row.reason) == (later(60), later(60), None)
        assert (row.remote_id, row.in_doubt) == ("r-1", True)

    def test_the_last_of_several_desires_in_one_call_counts(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("a", b"1")], NOW)
            assert len(uow.put_desired([desired("a", b"2"), desired("a", b"1")], later(1))) == 0
            assert len(uow.put_desired(iter([desired("a", b"2"), desired("a", b"3")]), later(1))) == 1
            assert (_get(uow, "a").desired, _get(uow, "a").version) == (b"3", 2)

    def test_going_back_to_what_is_confirmed_is_not_due(self, store: Store) -> None:
        with store.write() as uow:
            _confirm(uow, "a")
            uow.put_desired([desired("a", b"other")], NOW)
            uow.put_desired([desired("a")], NOW)
            assert not _get(uow, "a").is_due
            assert uow.due(TARGET, NOW, 10) == []

    def test_wanting_nothing_of_what_is_there_is_due_until_confirmed(self, store: Store) -> None:
        with store.write() as uow:
            _confirm(uow, "a")
            assert len(uow.put_desired([desired("a", None)], NOW)) == 1
            assert [row.id for row in uow.due(TARGET, NOW, 10)] == [identity_of("a")]
            _change(uow, "a", confirmed=None, confirmed_body=None)
            assert uow.due(TARGET, NOW, 10) == []
            assert len(uow.put_desired([desired("a", None)], NOW)) == 0

    def test_desired_hashes_are_of_what_has_a_row(self, store: Store) -> None:
        with store.write() as uow:
            _confirm(uow, "gone")
            uow.put_desired([desired("a", b"h"), desired("gone", None), desired("b", target=OTHER_TARGET)], NOW)
            hashes = uow.desired_hashes(TARGET, map(identity_of, ("a", "gone", "b", "never")))
        assert hashes == {identity_of("a"): b"h", identity_of("gone"): None}

    def test_due_gives_one_lane_at_a_time_creations_by_rank_then_deletions_reversed(self, store: Store) -> None:
        with store.write() as uow:
            for name, rank in (("gone-group", 1), ("gone-member", 5)):
                _confirm(uow, name, rank=rank)
                uow.put_desired([desired(name, None, rank=rank)], NOW)
            uow.put_desired(
                [desired("member", rank=5), desired("school", rank=0), desired("school-2", rank=0)], NOW
            )
            assert _lanes(uow) == [["school", "school-2"], ["member"], ["gone-member"], ["gone-group"]]

    def test_within_a_lane_the_longest_waiting_comes_first_then_the_id(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("a")], later(2))
            uow.put_desired([desired("c"), desired("b")], later(1))
            assert _names(uow.due(TARGET, later(2), 10)) == ["b", "c", "a"]
            assert _names(uow.due(TARGET, later(2), 2)) == ["b", "c"]

    def test_a_lane_whose_time_has_not_come_does_not_stand_in_the_way(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("school", rank=0)], later(60))
            uow.put_desired([desired("member", rank=5)], NOW)
            assert _names(uow.due(TARGET, later(59), 10)) == ["member"]
            assert _names(uow.due(TARGET, later(60), 10)) == ["school"]

    def test_due_is_of_one_target(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("a", target=OTHER_TARGET)], NOW)
            assert uow.due(TARGET, NOW, 10) == []
            assert uow.next_due_at(TARGET) is None

    def test_the_next_due_time_is_the_earliest_of_all_lanes(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("school", rank=0)], later(60))
            uow.put_desired([desired("member", rank=5)], later(30))
            _confirm(uow, "settled")
            assert uow.next_due_at(TARGET) == later(30)


class AttemptConformance:
    """`DeliveryStore`: what attempts bring, and what a person asks for."""

    def test_an_attempt_in_doubt_is_due_even_when_the_hashes_agree(self, store: Store) -> None:
        with store.write() as uow:
            _confirm(uow, "a")
            uow.begin_attempts(TARGET, [identity_of("a")])
            assert _get(uow, "a").in_doubt
            assert _names(uow.due(TARGET, NOW, 10)) == ["a"]

    def test_an_outcome_is_written_back_whole(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("a")], NOW)
            after = replace(
                _get(uow, "a"),
                confirmed=b"hash-1",
                confirmed_body=b'{"x":1}',
                remote_id=AWKWARD,
                etag='W/"1"',
                in_doubt=True,
                attempts=3,
                next_attempt_at=later(60),
                state="rejected",
                reason="value_refused:æ",
                updated_at=later(5),
            )
            uow.put_deliveries([after])
        with store.read() as reader:
            assert _get(reader, "a") == after

    def test_an_outcome_changes_nothing_of_what_should_be(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("a", b"h", rank=2)], NOW)
            before = _get(uow, "a")
            uow.put_deliveries([replace(before, desired=b"x", rank=9, resource="Groups")])
            assert _get(uow, "a") == before

    def test_an_outcome_of_an_older_version_leaves_the_new_desire_due(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("a", b"old")], NOW)
            attempt = _get(uow, "a")
            uow.put_desired([replace(desired("a", b"new"), reason=GRACE)], later(10))
            outcome = replace(
                attempt,
                confirmed=b"old",
                remote_id="r-1",
                state="rejected",
                reason="refused_422",
                attempts=4,
                next_attempt_at=later(999),
            )
            uow.put_deliveries([outcome])
            row = _get(uow, "a")
            assert _names(uow.due(TARGET, later(10), 10)) == ["a"]
        assert (row.desired, row.version, row.confirmed, row.remote_id) == (b"new", 2, b"old", "r-1")
        assert (row.state, row.attempts, row.next_attempt_at) == ("pending", 0, later(10))
        assert row.reason == GRACE, "why the new step waits, not what became of the old one"

    def test_an_outcome_of_an_unknown_delivery_stores_nothing(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("a")], NOW)
            uow.put_deliveries([replace(_get(uow, "a"), id=identity_of("never"))])
            uow.begin_attempts(TARGET, [identity_of("never")])
            assert _names(uow.deliveries(None, None, None, 10)) == ["a"]

    def test_a_rejected_delivery_is_not_due(self, store: Store) -> None:
        with store.write() as uow:
            _reject(uow, "a")
            uow.begin_attempts(TARGET, [identity_of("a")])
            assert uow.due(TARGET, later(999), 10) == []
            assert uow.next_due_at(TARGET) is None

    def test_remote_ids_are_of_those_that_have_one(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("a"), desired("b")], NOW)
            _change(uow, "a", remote_id="r-å")
            assert uow.remote_ids(TARGET, map(identity_of, "abc")) == {identity_of("a"): "r-å"}
            assert uow.remote_ids(OTHER_TARGET, [identity_of("a")]) == {}

    def test_waking_makes_what_waits_due_now(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("a"), desired("b"), desired("c", target=OTHER_TARGET)], later(60))
            _confirm(uow, "settled", at=later(60))
            assert uow.wake(TARGET, None, NOW) == 2
            assert _names(uow.due(TARGET, NOW, 10)) == ["a", "b"]
            assert uow.wake(TARGET, None, NOW) == 0
            assert uow.due(OTHER_TARGET, NOW, 10) == []

    def test_waking_can_be_for_one_reason(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("a"), desired("b")], later(60))
            _change(uow, "a", reason="waiting_for_reference")
            assert uow.wake(TARGET, "waiting_for_reference", NOW) == 1
            assert _names(uow.due(TARGET, NOW, 10)) == ["a"]

    def test_waking_leaves_rejected_deliveries_alone(self, store: Store) -> None:
        with store.write() as uow:
            _reject(uow, "a")
            assert uow.wake(TARGET, None, NOW) == 0
            assert _get(uow, "a").state == "rejected"

    def test_a_retry_makes_rejected_deliveries_due_now(self, store: Store) -> None:
        with store.write() as uow:
            _reject(uow, "a", "b")
            uow.put_desired([desired("pending")], NOW)
            assert uow.retry_rejected(TARGET, [identity_of("b"), identity_of("pending")], later(60)) == 1
            row = _get(uow, "b")
            assert row.is_due
            assert (row.attempts, row.next_attempt_at, row.version) == (0, later(60), 1)
            assert _get(uow, "a").state == "rejected"

    def test_a_retry_can_be_of_everything_at_one_target_or_at_all(self, store: Store) -> None:
        with store.write() as uow:
            _reject(uow, "a", "b")
            _reject(uow, "c", target=OTHER_TARGET)
            assert uow.retry_rejected(TARGET, [], NOW) == 0
            assert uow.retry_rejected(OTHER_TARGET, None, NOW) == 1
            assert uow.retry_rejected(None, None, NOW) == 2

    def test_forgetting_what_is_confirmed_sends_living_deliveries_again(self, store: Store) -> None:
        with store.write() as uow:
            _confirm(uow, "a")
            _confirm(uow, "gone")
            uow.put_desired([desired("gone", None)], NOW)
            uow.forget_confirmed(TARGET, map(identity_of, ("a", "gone", "never")))
            assert (_get(uow, "a").confirmed, _get(uow, "a").version) == (None, 2)
            assert _get(uow, "a").is_due
            assert (_get(uow, "gone").confirmed, _get(uow, "gone").version) == (b"hash-1", 2)

    def test_a_target_that_is_forgotten_leaves_nothing_and_the_others_stay(self, store: Store) -> None:
        with store.write() as uow:
            for target in (TARGET, OTHER_TARGET):
                uow.put_desired([desired("a", target=target), desired("b", target=target)], NOW)
                uow.count_changes(target, accepted=2)
                uow.put_drift([Drift(target, identity_of("a"), Kind.PERSON, "missing", (), 1, "open", NOW)])
            assert uow.forget_deliveries(TARGET) == 2
            assert uow.forget_deliveries(TARGET) == 0
            assert (uow.deliveries(TARGET, None, None, 10), uow.drift(TARGET)) == ([], [])
            assert uow.ledger(TARGET) == Ledger(TARGET)
            assert _names(uow.deliveries(OTHER_TARGET, None, None, 10)) == ["a", "b"]
            assert (len(uow.drift(OTHER_TARGET)), uow.ledger(OTHER_TARGET).accepted) == (1, 2)

    def test_deliveries_come_by_target_and_id(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("b"), desired("a"), desired("c", target=OTHER_TARGET)], NOW)
            assert _names(uow.deliveries(None, None, None, 10)) == ["c", "a", "b"]
            assert _names(uow.deliveries(TARGET, None, None, 1)) == ["a"]
            assert _names(uow.deliveries(TARGET, None, identity_of("a"), 10)) == ["b"]

    def test_deliveries_can_be_of_one_state(self, store: Store) -> None:
        with store.write() as uow:
            _confirm(uow, "settled")
            _reject(uow, "refused")
            uow.put_desired([desired("new")], later(60))
            assert _names(uow.deliveries(TARGET, "due", None, 10)) == ["new"]
            assert _names(uow.deliveries(None, "rejected", None, 10)) == ["refused"]
            assert _names(uow.deliveries(TARGET, "confirmed", None, 10)) == ["settled"]
            with pytest.raises(StoreError):
                uow.deliveries(TARGET, "lost", None, 10)

    def test_an_unknown_delivery_is_none(self, store: Store) -> None:
        with store.read() as reader:
            assert reader.delivery(TARGET, CanonicalId("nothing")) is None

    def test_counts_tell_what_is_confirmed_due_waiting_and_rejected(self, store: Store) -> None:
        with store.write() as uow:
            _confirm(uow, "settled")
            _confirm(uow, "leaving")
            uow.put_desired([desired("leaving", None)], later(-30))
            uow.put_desired([desired("new")], NOW)
            uow.put_desired([desired("waiting")], later(60))
            _reject(uow, "refused")
            uow.put_desired([desired("elsewhere", target=OTHER_TARGET)], later(-99))
            assert uow.delivery_counts(TARGET, NOW) == DeliveryCounts(2, 3, 1, 1, later(-30))

    def test_a_refused_protection_is_counted_while_the_target_has_what_was_before(self, store: Store) -> None:
        with store.write() as uow:
            for name, is_urgent in (("hidden", True), ("plain", False), ("unknown", True)):
                if name != "unknown":
                    _confirm(uow, name)
                uow.put_desired([replace(desired(name, b"mask"), is_urgent=is_urgent)], NOW)
            rows = [replace(row, state="rejected", reason="no") for row in uow.deliveries(TARGET, "due", None, 9)]
            uow.put_deliveries(rows)
            assert (uow.delivery_counts(TARGET, NOW).rejected, uow.delivery_counts(TARGET, NOW).exposed) == (3, 1)

    def test_a_target_without_deliveries_counts_nothing(self, store: Store) -> None:
        with store.read() as reader:
            assert reader.delivery_counts(TARGET, NOW) == DeliveryCounts(0, 0, 0, 0, None)

    def test_many_deliveries_go_in_one_call(self, store: Store) -> None:
        names = [f"n{number:04}" for number in range(1_203)]
        ids = [identity_of(name) for name in names]
        with store.write() as uow:
            assert len(uow.put_desired([desired(name) for name in names], NOW)) == len(names)
            uow.begin_attempts(TARGET, ids)
            rows = uow.due(TARGET, NOW, 5_000)
            assert all(row.in_doubt for row in rows)
            uow.put_deliveries([replace(row, state="rejected") for row in rows])
            assert uow.retry_rejected(TARGET, ids, NOW) == len(names)
            assert len(uow.desired_hashes(TARGET, ids)) == len(names)


class TargetConformance:
    """`DeliveryStore`: the targets themselves."""

    def test_an_unknown_target_has_the_first_state(self, store: Store) -> None:
        with store.read() as reader:
            assert reader.target_state(TARGET) == TargetState(TARGET)
            assert reader.target_states() == []

    def test_the_state_of_a_target_is_replaced(self, store: Store) -> None:
        told = {("User", "name"): frozenset({"given_name", "family_name"}), ("User", "active"): frozenset[str]()}
        state = TargetState(TARGET, "digest", later(60), "unauthorised", 3, NOW, announced_at=later(5), told=told)
        with store.write() as uow:
            uow.put_target_state(TargetState(TARGET))
            uow.put_target_state(state)
            uow.put_target_state(TargetState(OTHER_TARGET))
        with store.read() as reader:
            assert reader.target_state(TARGET) == state
            assert reader.target_states() == [TargetState(OTHER_TARGET), state]


def _get(reader: Reader, name: str, target: TargetId = TARGET) -> Delivery:
    row = reader.delivery(target, identity_of(name))
    assert row is not None
    return row


def _change(uow: UnitOfWork, name: str, target: TargetId = TARGET, **values: object) -> None:
    uow.put_deliveries([replace(_get(uow, name, target), **values)])  # type: ignore[arg-type]  # test values


def _confirm(uow: UnitOfWork, name: str, *, rank: int = 2, at: datetime = NOW) -> None:
    uow.put_desired([desired(name, rank=rank)], NOW)
    _change(uow, name, confirmed=b"hash-1", confirmed_body=b"{}", remote_id=f"r-{name}", next_attempt_at=at)


def _reject(uow: UnitOfWork, *names: str, target: TargetId = TARGET) -> None:
    uow.put_desired([desired(name, target=target) for name in names], NOW)
    for name in names:
        _change(uow, name, target, state="rejected", attempts=2, reason="value_refused", next_attempt_at=later(60))


def _names(rows: Iterable[Delivery]) -> list[str]:
    return [row.key[0] for row in rows]


def _lanes(uow: UnitOfWork) -> list[list[str]]:
    """The names in each lane, one after the other, as a delivery loop would meet them."""
    lanes = []
    while rows := uow.due(TARGET, NOW, 10):
        lanes.append(_names(rows))
        uow.put_deliveries([replace(row, confirmed=row.desired, confirmed_body=row.desired) for row in rows])
    return lanes
