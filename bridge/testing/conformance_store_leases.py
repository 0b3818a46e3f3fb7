"""What every store promises of leases, claims and properties."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from bridge.ports import Lease, SharedStore, Store
from bridge.testing.store_samples import NOW, TARGET, desired, identity_of, later

_LEASE = Lease("intake/101", "one", 1, later(60))


class LeaseConformance:
    """Leases are rows like others; claims keep what is due from everybody else, and from the lanes after it."""

    def test_a_lease_is_replaced_and_dropped(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_leases([_LEASE, replace(_LEASE, name="publish/101")])
            uow.put_leases([replace(_LEASE, holder="two", number=2)])
        with store.write() as uow:
            assert uow.lease("intake/101") == replace(_LEASE, holder="two", number=2)
            assert [one.name for one in uow.leases()] == ["intake/101", "publish/101"]
            assert [one.name for one in uow.leases("publish/")] == ["publish/101"]
            uow.drop_lease("intake/101")
            assert uow.lease("intake/101") is None

    def test_a_beat_prolongs_what_is_ones_own(self, store: SharedStore) -> None:
        with store.write() as uow:
            uow.put_leases([replace(_LEASE, until=NOW)])
            now = uow.store_time()
        assert store.beat("intake/101", "one", 60)
        assert not store.beat("intake/101", "two", 600)
        assert not store.beat("nothing", "one", 60)
        with store.read() as reader:
            found = reader.lease("intake/101")
            assert found is not None
            assert timedelta(seconds=59) < found.until - now < timedelta(seconds=120)

    def test_what_is_claimed_is_due_to_its_holder_alone(self, store: Store) -> None:
        a, b = identity_of("a"), identity_of("b")
        with store.write() as uow:
            uow.put_desired([desired("a"), desired("b")], NOW)
            uow.claim(TARGET, [a], "one")
        with store.read() as reader:
            assert [row.id for row in reader.due(TARGET, NOW, 9, "one")] == sorted([a, b])
            assert [row.id for row in reader.due(TARGET, NOW, 9, "two")] == [b]
            assert [row.id for row in reader.due(TARGET, NOW, 9)] == [b]

    def test_the_lanes_after_it_wait_for_what_is_claimed(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("a", rank=0), desired("b", rank=1)], NOW)
            uow.claim(TARGET, [identity_of("a")], "one")
        with store.read() as reader:
            assert reader.due(TARGET, NOW, 9, "two") == []

    def test_claims_are_given_back_one_by_one_or_all_of_a_holder(self, store: Store) -> None:
        ids = [identity_of(name) for name in ("a", "b", "c")]
        with store.write() as uow:
            uow.put_desired([desired(name) for name in ("a", "b", "c")], NOW)
            uow.claim(TARGET, ids[:2], "one")
            uow.claim(TARGET, ids[2:], "two")
            uow.claim(TARGET, [*ids[:1], identity_of("nobody")], "")
            assert uow.release_claims("one") == 1
            assert {row.id for row in uow.due(TARGET, NOW, 9)} == {*ids[:2]}

    def test_a_claim_outlives_what_is_written_back_and_what_is_desired_anew(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("a")], NOW)
            uow.claim(TARGET, [identity_of("a")], "one")
            (row,) = uow.due(TARGET, NOW, 1, "one")
            uow.put_deliveries([replace(row, attempts=1)])
            uow.put_desired([desired("a", b"2")], NOW)
            assert uow.due(TARGET, later(1), 1) == []

    def test_a_property_is_kept(self, store: Store) -> None:
        with store.write() as uow:
            assert uow.property("key") is None
            uow.set_property("key", "1")
            uow.set_property("key", "2")
        with store.read() as reader:
            assert reader.property("key") == "2"
