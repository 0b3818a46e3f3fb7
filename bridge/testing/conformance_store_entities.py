"""What every store promises of entities, snapshots, quarantine and holds."""

# a conformance suite is made of assertions

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.domain.entities import Kind
from bridge.domain.errors import StoreError
from bridge.ports import Store, Subscription
from bridge.testing.store_samples import (
    AWKWARD,
    NOW,
    OTHER_SCHOOL,
    SCHOOL,
    TOWN,
    contribution,
    hold,
    institution_state,
    later,
    membership,
    person,
    quarantined,
    run,
    subscription,
)


class EntityConformance:
    """`EntityStore`."""

    def test_an_entity_comes_back_as_it_was_put(self, store: Store) -> None:
        row = membership("jens1234", "3A")
        with store.write() as uow:
            uow.put_entities(TOWN, [row])
        with store.read() as reader:
            assert reader.entities(TOWN, Kind.MEMBERSHIP, [row.key]) == {row.key: row}

    def test_awkward_characters_and_every_byte_survive(self, store: Store) -> None:
        row = replace(membership("jens", "3A"), other=AWKWARD, person=AWKWARD, body=bytes(range(256)) * 4)
        row = replace(row, key=(SCHOOL, "3Æ 'x' \"y\"", "søren"))
        with store.write() as uow:
            uow.put_entities(TOWN, [row])
        with store.read() as reader:
            assert reader.entities(TOWN, Kind.MEMBERSHIP, iter([row.key])) == {row.key: row}
            assert reader.entities_by_other(TOWN, Kind.MEMBERSHIP, [AWKWARD]) == [row]
            assert reader.entities_by_person(TOWN, Kind.MEMBERSHIP, [AWKWARD]) == [row]

    def test_putting_a_key_again_replaces_its_row(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_entities(TOWN, [person("jens")])
            uow.put_entities(TOWN, [person("jens", body=b"new", version=2)])
            assert uow.entities(TOWN, Kind.PERSON, [("jens",)]) == {
                ("jens",): person("jens", body=b"new", version=2)
            }

    def test_hashes_are_of_one_kind_at_one_institution_of_one_municipality(self, store: Store) -> None:
        here = membership("jens", "3A")
        with store.write() as uow:
            uow.put_entities(TOWN, [here, membership("jens", "3A", school=OTHER_SCHOOL), person("jens")])
            uow.put_entities("265", [membership("anna", "3A")])
            assert uow.hashes(TOWN, SCHOOL, Kind.MEMBERSHIP) == {here.key: here.hash}

    def test_bodies_are_of_what_lives_at_one_institution_of_one_municipality(self, store: Store) -> None:
        rows = [membership("sara", "3B"), membership("anna", "3A"), membership("jens", "3A")]
        gone = replace(membership("bo", "3A"), body=None)
        with store.write() as uow:
            uow.put_entities(TOWN, [*rows, gone, membership("jens", "3A", school=OTHER_SCHOOL), person("jens")])
            uow.put_entities("265", [membership("anna", "3A")])
            assert uow.bodies(TOWN, SCHOOL, Kind.MEMBERSHIP) == {row.key: row.body for row in rows}
            assert uow.bodies(TOWN, SCHOOL, Kind.GROUP) == {}

    def test_an_entity_that_is_gone_is_remembered_but_not_living(self, store: Store) -> None:
        gone = replace(membership("jens", "3A"), body=None, version=4)
        with store.write() as uow:
            uow.put_entities(TOWN, [membership("jens", "3A")])
            uow.put_entities(TOWN, [gone])
        with store.read() as reader:
            assert reader.entities(TOWN, Kind.MEMBERSHIP, [gone.key]) == {gone.key: gone}
            assert reader.hashes(TOWN, SCHOOL, Kind.MEMBERSHIP) == {}
            assert reader.entities_by_person(TOWN, Kind.MEMBERSHIP, ["jens"]) == []
            assert reader.entities_by_other(TOWN, Kind.MEMBERSHIP, [f"{SCHOOL}\x1f3A"]) == []
            assert reader.scan(TOWN, Kind.MEMBERSHIP, None, 10) == []
            assert reader.entity_counts(TOWN) == {}

    def test_an_empty_body_is_a_living_entity(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_entities(TOWN, [person("jens", body=b"")])
            assert uow.entity_counts(TOWN) == {Kind.PERSON: 1}

    def test_an_entity_that_came_back_is_living_again(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_entities(TOWN, [person("jens", body=None)])
            uow.put_entities(TOWN, [person("jens", version=2)])
            assert uow.scan(TOWN, Kind.PERSON, None, 10) == [person("jens", version=2)]

    def test_unknown_keys_are_absent(self, store: Store) -> None:
        with store.read() as reader:
            assert reader.entities(TOWN, Kind.PERSON, [("nobody",)]) == {}
            assert reader.entities(TOWN, Kind.PERSON, []) == {}

    def test_look_ups_by_person_come_in_key_order_each_once(self, store: Store) -> None:
        rows = [membership("jens", "3B"), membership("anna", "3A"), membership("jens", "3A")]
        with store.write() as uow:
            uow.put_entities(TOWN, [*rows, membership("sara", "3A")])
            found = uow.entities_by_person(TOWN, Kind.MEMBERSHIP, ["jens", "anna", "jens"])
        assert found == [rows[1], rows[2], rows[0]]

    def test_look_ups_by_other_come_in_key_order(self, store: Store) -> None:
        rows = [membership("sara", "3A"), membership("anna", "3A")]
        with store.write() as uow:
            uow.put_entities(TOWN, [*rows, membership("jens", "3B")])
            found = uow.entities_by_other(TOWN, Kind.MEMBERSHIP, (other for other in [f"{SCHOOL}\x1f3A"]))
        assert found == [rows[1], rows[0]]

    def test_look_ups_take_more_keys_than_one_statement_holds(self, store: Store) -> None:
        rows = [membership(f"u{n:04}", "3A") for n in range(1_203)]
        with store.write() as uow:
            uow.put_entities(TOWN, reversed(rows))
            assert len(uow.entities(TOWN, Kind.MEMBERSHIP, [row.key for row in rows])) == len(rows)
            people = [row.person or "" for row in reversed(rows)]
            assert uow.entities_by_person(TOWN, Kind.MEMBERSHIP, people) == rows

    def test_a_scan_goes_page_by_page_in_key_order(self, store: Store) -> None:
        rows = [person(name) for name in ("anna", "bo", "çelik", "Øjvind", "Zoe", "åse")]
        with store.write() as uow:
            uow.put_entities(TOWN, reversed(rows))
            found, page = [], uow.scan(TOWN, Kind.PERSON, None, 2)
            while page:
                found += page
                page = uow.scan(TOWN, Kind.PERSON, page[-1].key, 2)
        assert found == sorted(rows, key=lambda row: row.key)

    def test_people_are_shared_while_two_institutions_have_a_living_word_on_them(self, store: Store) -> None:
        rows = [
            contribution("both", SCHOOL),
            contribution("both", OTHER_SCHOOL),
            contribution("here", SCHOOL),
            contribution("there", OTHER_SCHOOL),
            contribution("moved", SCHOOL),
            contribution("moved", OTHER_SCHOOL, body=None),
        ]
        with store.write() as uow:
            uow.put_entities(TOWN, rows)
            uow.put_entities("265", [contribution("here", OTHER_SCHOOL)])
            assert uow.shared_people(TOWN, SCHOOL) == {"both"}

    def test_counts_are_by_kind_and_leave_out_kinds_without_any(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_entities(TOWN, [person("a"), person("b"), person("c", body=None), membership("a", "3A")])
            assert uow.entity_counts(TOWN) == {Kind.PERSON: 2, Kind.MEMBERSHIP: 1}
            assert uow.entity_counts("265") == {}


class IntakeConformance:
    """`IntakeStore`."""

    def test_an_institution_without_a_snapshot_has_no_state(self, store: Store) -> None:
        with store.read() as reader:
            assert reader.institution_state(TOWN, SCHOOL) is None
            assert reader.institution_states() == []

    def test_an_institution_keeps_its_last_state(self, store: Store) -> None:
        newest = institution_state(digest="digest-2")
        with store.write() as uow:
            uow.put_institution_state(institution_state())
            uow.put_institution_state(newest)
            uow.put_institution_state(institution_state(OTHER_SCHOOL))
        with store.read() as reader:
            assert reader.institution_state(TOWN, SCHOOL) == newest
            assert reader.institution_states() == [newest, institution_state(OTHER_SCHOOL)]

    def test_nothing_is_known_of_a_source_at_first(self, store: Store) -> None:
        with store.read() as reader:
            assert reader.subscriptions() == []
            assert reader.institution_facts(TOWN) == {}

    def test_a_subscription_comes_back_as_it_was_last_put(self, store: Store) -> None:
        bare = Subscription("999", "")
        with store.write() as uow:
            uow.put_subscriptions([subscription(OTHER_SCHOOL), subscription(failures=1)])
            uow.put_subscriptions([subscription(failures=3), bare])
            assert uow.subscriptions(TOWN) == [subscription(failures=3), subscription(OTHER_SCHOOL)]
        with store.read() as reader:
            assert reader.subscriptions() == [subscription(failures=3), subscription(OTHER_SCHOOL), bare]

    def test_the_subscriptions_of_a_municipality_are_forgotten_together(self, store: Store) -> None:
        elsewhere = Subscription("999", SCHOOL)
        with store.write() as uow:
            uow.put_subscriptions([subscription(OTHER_SCHOOL), subscription(), elsewhere])
            uow.forget_subscriptions(TOWN)
        with store.read() as reader:
            assert reader.subscriptions() == [elsewhere]

    def test_the_facts_of_an_institution_are_the_last_ones_put(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_institution_facts(TOWN, {SCHOOL: b"1", OTHER_SCHOOL: b"2"})
            uow.put_institution_facts(TOWN, {SCHOOL: b"3"})
            uow.put_institution_facts("999", {SCHOOL: b"4"})
        with store.read() as reader:
            assert reader.institution_facts(TOWN) == {SCHOOL: b"3", OTHER_SCHOOL: b"2"}

    def test_runs_come_newest_first_and_no_more_than_asked(self, store: Store) -> None:
        with store.write() as uow:
            for number in range(3):
                uow.add_run(run(f"run-{number}", seconds=number))
            assert uow.runs(2) == [run("run-2", seconds=2), run("run-1", seconds=1)]

    def test_the_last_run_of_each_place_is_known(self, store: Store) -> None:
        newest = [run("r3", school=None, seconds=3), run("r2", seconds=2), run("r4", school=OTHER_SCHOOL)]
        with store.write() as uow:
            uow.add_run(run("r0", school=None))
            uow.add_run(run("r1", result="failed", seconds=1))
            for last in newest:
                uow.add_run(last)
        with store.read() as reader:
            assert reader.last_runs() == newest

    def test_quarantine_is_replaced_for_one_institution(self, store: Store) -> None:
        kept, old, new = quarantined("/z", school=OTHER_SCHOOL), quarantined("/a"), quarantined("/c")
        with store.write() as uow:
            uow.replace_quarantine(TOWN, OTHER_SCHOOL, [kept])
            uow.replace_quarantine(TOWN, SCHOOL, [old, quarantined("/b")])
            uow.replace_quarantine(TOWN, SCHOOL, [new, old])
            assert uow.quarantine(10) == [new, old, kept]
            assert uow.quarantine(1) == [new]
            uow.replace_quarantine(TOWN, SCHOOL, [])
            assert uow.quarantine(10) == [kept]


class HoldConformance:
    """The holds of `IntakeStore`."""

    def test_a_hold_comes_back_under_its_own_number_with_its_bytes(self, store: Store) -> None:
        body = "<eksport navn='æøå'/>".encode() * 1_000
        with store.write() as uow:
            number = uow.add_hold(replace(hold(), id=99), body)
        with store.read() as reader:
            assert reader.hold(number) == replace(hold(), id=number)
            assert reader.hold_body(number) == body

    def test_a_hold_may_have_no_bytes_and_empty_bytes_are_bytes(self, store: Store) -> None:
        with store.write() as uow:
            assert uow.hold_body(uow.add_hold(hold(), None)) is None
            assert uow.hold_body(uow.add_hold(hold(), b"")) == b""

    def test_an_unknown_number_is_no_hold(self, store: Store) -> None:
        with store.write() as uow:
            assert uow.hold(7) is None
            assert uow.hold_body(7) is None
            with pytest.raises(StoreError):
                uow.set_hold_state(7, "approved", "anna", NOW)

    def test_holds_come_oldest_first_by_state_when_asked(self, store: Store) -> None:
        with store.write() as uow:
            first, second, third = (uow.add_hold(hold(), None) for _ in range(3))
            uow.set_hold_state(second, "approved", "anna", NOW)
            assert [row.id for row in uow.holds()] == [first, second, third]
            assert [row.id for row in uow.holds(["open"])] == [first, third]
            assert [row.id for row in uow.holds(("approved", "open"))] == [first, second, third]
            assert uow.holds([]) == []

    def test_an_approved_hold_keeps_its_bytes_and_says_who_decided(self, store: Store) -> None:
        with store.write() as uow:
            number = uow.add_hold(hold(), b"<eksport/>")
            uow.set_hold_state(number, "approved", "Åse Ø.", later(60))
            assert uow.hold_body(number) == b"<eksport/>"
            decided = uow.hold(number)
        assert decided == replace(hold(), id=number, state="approved", decided_by="Åse Ø.", decided_at=later(60))

    @pytest.mark.parametrize("state", ["applied", "rejected", "superseded"])
    def test_a_final_state_forgets_the_bytes(self, store: Store, state: str) -> None:
        with store.write() as uow:
            number = uow.add_hold(hold(), b"<eksport/>")
            uow.set_hold_state(number, state, None, later(60))
        with store.read() as reader:
            assert reader.hold_body(number) is None
            assert [row.state for row in reader.holds()] == [state]
