"""One suite for every store: a class that passes it may stand behind the engine."""

# a conformance suite is made of assertions

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

import pytest

from bridge.domain.entities import Kind
from bridge.domain.errors import StoreError
from bridge.domain.events import Event
from bridge.domain.shelf import Entry
from bridge.ports import Lease, Reader, Store, TargetState, UnitOfWork
from bridge.testing.conformance_store_deliveries import (
    AttemptConformance,
    DesiredConformance,
    TargetConformance,
)
from bridge.testing.conformance_store_entities import EntityConformance, HoldConformance, IntakeConformance
from bridge.testing.store_samples import (
    AWKWARD,
    NOW,
    SCHOOL,
    TARGET,
    TOWN,
    audit_row,
    desired,
    event,
    hold,
    identity_of,
    institution_state,
    later,
    person,
    quarantined,
    run,
    subscription,
)

_WRITES: dict[str, Callable[[UnitOfWork], object]] = {
    "put_entities": lambda uow: uow.put_entities(TOWN, [person("jens")]),
    "put_institution_state": lambda uow: uow.put_institution_state(institution_state()),
    "put_subscriptions": lambda uow: uow.put_subscriptions([subscription()]),
    "put_institution_facts": lambda uow: uow.put_institution_facts(TOWN, {SCHOOL: b"{}"}),
    "add_run": lambda uow: uow.add_run(run("run-1")),
    "replace_quarantine": lambda uow: uow.replace_quarantine(TOWN, SCHOOL, [quarantined("/a")]),
    "add_hold": lambda uow: uow.add_hold(hold(), b"<eksport/>"),
    "append_events": lambda uow: uow.append_events(TOWN, [event("jens")]),
    "set_cursor": lambda uow: uow.set_cursor("feed", 7),
    "put_desired": lambda uow: uow.put_desired([desired("a")], NOW),
    "put_target_state": lambda uow: uow.put_target_state(TargetState(TARGET, failures=1)),
    "put_on_shelf": lambda uow: uow.put_on_shelf(TARGET, [Entry("users", "a", {}, is_gone=True)], NOW),
    "set_shelf_note": lambda uow: uow.set_shelf_note(TARGET, "file", "1"),
    "append_audit": lambda uow: uow.append_audit([audit_row(1, intent="i-1")]),
    "put_leases": lambda uow: uow.put_leases([Lease("intake/101", "one", 1, NOW)]),
    "set_property": lambda uow: uow.set_property("key", "1"),
}
_CHANGES: dict[str, Callable[[UnitOfWork], object]] = {
    "set_hold_state": lambda uow: uow.set_hold_state(1, "applied", "anna", NOW),
    "begin_attempts": lambda uow: uow.begin_attempts(TARGET, [identity_of("a")]),
    "put_deliveries": lambda uow: uow.put_deliveries(uow.deliveries(None, None, None, 10)),
    "wake": lambda uow: uow.wake(TARGET, None, NOW),
    "retry_rejected": lambda uow: uow.retry_rejected(None, None, NOW),
    "forget_confirmed": lambda uow: uow.forget_confirmed(TARGET, [identity_of("a")]),
    "set_cause": lambda uow: uow.set_cause(TARGET, [identity_of("a")], "decision"),
    "take_off_shelf": lambda uow: uow.take_off_shelf(TARGET, "users", ["a"]),
    "forget_gone": lambda uow: uow.forget_gone(TARGET, later(60)),
    "forget_shelf": lambda uow: uow.forget_shelf(TARGET),
}


class TransactionConformance:
    """`Store`: everything or nothing."""

    def test_a_committed_unit_is_there_for_the_next_reader(self, store: Store) -> None:
        with store.write() as uow:
            write_everything(uow)
            inside = everything(uow)
        with store.read() as reader:
            assert everything(reader) == inside

    def test_an_exception_undoes_every_kind_of_write(self, store: Store) -> None:
        before = _state(store)
        with pytest.raises(ZeroDivisionError):
            _break_off(store, write_everything, ZeroDivisionError())
        assert _state(store) == before

    def test_an_exception_restores_what_was_changed(self, store: Store) -> None:
        with store.write() as uow:
            write_everything(uow)
        before = _state(store)
        with pytest.raises(KeyboardInterrupt):
            _break_off(store, _change_everything, KeyboardInterrupt())
        assert _state(store) == before

    def test_a_rolled_back_unit_commits_nothing_not_even_what_follows(self, store: Store) -> None:
        before = _state(store)
        with store.write() as uow:
            write_everything(uow)
            uow.rollback()
            assert everything(uow) == before
            uow.put_entities(TOWN, [person("jens")])
            uow.set_cursor("feed", 9)
        assert _state(store) == before

    def test_a_unit_sees_what_it_wrote_and_nobody_else_does_before_the_commit(self, store: Store) -> None:
        with store.write() as uow:
            uow.set_cursor("feed", 7)
            assert uow.cursor("feed") == 7
            with store.read() as reader:
                assert reader.cursor("feed") == 0

    def test_a_reader_keeps_its_view_while_a_writer_commits(self, store: Store) -> None:
        with store.read() as reader:
            before = everything(reader)
            writer = Thread(target=_write_in_one_unit, args=(store,))
            writer.start()
            writer.join()
            assert everything(reader) == before
        assert _state(store) != before

    @pytest.mark.parametrize("name", [*_WRITES, *_CHANGES])
    def test_a_reader_is_refused_a_write(self, store: Store, name: str) -> None:
        with store.write() as uow:
            write_everything(uow)
        before = _state(store)
        with store.read() as reader, pytest.raises(StoreError):
            (_WRITES | _CHANGES)[name](reader)  # type: ignore[arg-type]  # that is the mistake
        assert _state(store) == before

    def test_writers_in_many_threads_take_turns_and_lose_nothing(self, store: Store) -> None:
        writers = [Thread(target=_append, args=(store, name)) for name in "abcdefgh"]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        with store.read() as reader:
            numbers = [row.sequence for row in reader.events(TOWN, 0, 100)]
        assert numbers == list(range(1, 5 * len(writers) + 1))

    def test_a_sound_store_passes_its_check(self, store: Store) -> None:
        store.check()


class LogConformance:
    """`EventLog` and `AuditStore`."""

    def test_events_come_back_in_order_with_the_next_numbers(self, store: Store) -> None:
        with store.write() as uow:
            assert uow.append_events(TOWN, [event("a", sequence=99), event("b")]) == 2
            assert uow.append_events(TOWN, [event("c")]) == 3
        with store.read() as reader:
            assert reader.events(TOWN, 0, 10) == [
                event(name, sequence=number) for number, name in enumerate("abc", start=1)
            ]

    def test_events_are_read_page_by_page(self, store: Store) -> None:
        with store.write() as uow:
            uow.append_events(TOWN, [event(name) for name in "abcd"])
            assert [row.sequence for row in uow.events(TOWN, 1, 2)] == [2, 3]
            assert uow.events(TOWN, 4, 2) == []

    def test_awkward_values_survive_in_an_event(self, store: Store) -> None:
        row = Event(1, AWKWARD, "t", TOWN, "", "s", ("æ", "'", '"'), 2**40, NOW, AWKWARD, bytes(range(256)))
        with store.write() as uow:
            uow.append_events(TOWN, [row])
            assert uow.events(TOWN, 0, 1) == [row]

    def test_every_municipality_counts_for_itself(self, store: Store) -> None:
        with store.write() as uow:
            uow.append_events(TOWN, [event("a"), event("b")])
            assert uow.last_sequence("265") == 0
            assert uow.append_events("265", [event("c")]) == 1
            assert uow.last_sequence(TOWN) == 2

    def test_appending_no_events_uses_no_number(self, store: Store) -> None:
        with store.write() as uow:
            assert uow.append_events(TOWN, []) == 0
            uow.append_events(TOWN, [event("a")])
            assert uow.append_events(TOWN, []) == 1

    def test_a_unit_that_was_undone_leaves_no_gap(self, store: Store) -> None:
        with store.write() as uow:
            uow.append_events(TOWN, [event("a")])
        with store.write() as uow:
            uow.append_events(TOWN, [event("b")])
            uow.rollback()
        with pytest.raises(ZeroDivisionError):
            _break_off(store, lambda uow: uow.append_events(TOWN, [event("c")]), ZeroDivisionError())
        with store.write() as uow:
            assert uow.append_events(TOWN, [event("d")]) == 2
            assert [row.id for row in uow.events(TOWN, 0, 10)] == ["event-a", "event-d"]

    def test_a_cursor_starts_at_nought_and_stands_where_it_was_set(self, store: Store) -> None:
        with store.write() as uow:
            assert uow.cursor("feed/åse") == 0
            uow.set_cursor("feed/åse", 5)
            uow.set_cursor("feed/åse", 3)
            assert uow.cursor("feed/åse") == 3
            assert uow.cursor("publish") == 0

    def test_an_empty_chain_has_the_first_head(self, store: Store) -> None:
        with store.read() as reader:
            assert reader.audit_head() == (0, bytes(32))
            assert reader.audit_rows(0, 10) == []
            assert reader.open_intents() == []

    def test_audit_rows_come_back_in_order(self, store: Store) -> None:
        rows = [audit_row(1), audit_row(2, intent="i-1"), audit_row(3, closes="i-1")]
        with store.write() as uow:
            uow.append_audit(rows[:1])
            uow.append_audit(rows[1:])
        with store.read() as reader:
            assert reader.audit_rows(0, 10) == rows
            assert reader.audit_rows(1, 1) == [rows[1]]
            assert reader.audit_head() == (3, rows[2].hash)

    @pytest.mark.parametrize("numbers", [(3,), (1,), (2, 4), (2, 2)])
    def test_an_audit_row_out_of_turn_is_refused(self, store: Store, numbers: tuple[int, ...]) -> None:
        with store.write() as uow:
            uow.append_audit([audit_row(1)])
            with pytest.raises(StoreError):
                uow.append_audit([audit_row(number) for number in numbers])
            assert uow.audit_rows(0, 10) == [audit_row(1)]

    def test_an_intent_is_open_until_a_row_closes_it(self, store: Store) -> None:
        intents = [audit_row(1, intent="i-1"), audit_row(2, intent="i-2"), audit_row(3, intent="i-3")]
        with store.write() as uow:
            uow.append_audit([*intents, audit_row(4, closes="i-2")])
            assert uow.open_intents() == [intents[0], intents[2]]
            uow.append_audit([audit_row(5, closes="i-1"), audit_row(6, closes="i-3")])
            assert uow.open_intents() == []


class StoreConformance(
    TransactionConformance,
    EntityConformance,
    IntakeConformance,
    HoldConformance,
    LogConformance,
    DesiredConformance,
    AttemptConformance,
    TargetConformance,
):
    """Everything; a subclass named `Test…` gives a fixture `store` that yields an empty store and closes it."""


def write_everything(uow: UnitOfWork) -> None:
    for write in _WRITES.values():
        write(uow)


def _change_everything(uow: UnitOfWork) -> None:
    uow.put_entities(TOWN, [person("jens", body=None, version=2)])
    uow.append_audit([audit_row(2, closes="i-1")])
    for change in _CHANGES.values():
        change(uow)


def _break_off(store: Store, work: Callable[[UnitOfWork], object], error: BaseException) -> None:
    with store.write() as uow:
        work(uow)
        raise error


def _write_in_one_unit(store: Store) -> None:
    with store.write() as uow:
        write_everything(uow)


def _append(store: Store, name: str) -> None:
    for number in range(5):
        with store.write() as uow:
            uow.append_events(TOWN, [event(f"{name}{number}")])


def _state(store: Store) -> tuple[object, ...]:
    with store.read() as reader:
        return everything(reader)


def everything(reader: Reader) -> tuple[object, ...]:
    return (
        reader.entities(TOWN, Kind.PERSON, [("jens",)]),
        reader.scan(TOWN, Kind.PERSON, None, 10),
        reader.institution_states(),
        reader.subscriptions(),
        reader.institution_facts(TOWN),
        reader.runs(10),
        reader.last_runs(),
        reader.quarantine(10),
        reader.holds(),
        reader.hold_body(1),
        reader.events(TOWN, 0, 10),
        reader.last_sequence(TOWN),
        reader.cursor("feed"),
        reader.deliveries(None, None, None, 10),
        reader.target_states(),
        reader.shelved(TARGET, "users", ["a"]),
        reader.shelf_version(TARGET),
        reader.shelf_note(TARGET, "file"),
        reader.audit_rows(0, 10),
        reader.audit_head(),
        reader.open_intents(),
    )
