"""Whatever is done to a written audit chain, the check finds it; what it cannot know alone, a noted head can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.engine.audit import GENESIS, AuditBook, Verdict, canonical, link_hash, verify
from bridge.ports import AuditRow, Store
from tests.support.anything import STEADY
from tests.support.engine import MORNING
from tests.support.stores import new_store

Tamper = Callable[[list[AuditRow]], list[AuditRow]]


def now() -> datetime:
    return MORNING


BOOK = AuditBook(b"a key", "tests", now)
RECORDS: list[dict[str, Any]] = [
    {"kind": "snapshot.recorded", "changes": 3},
    {"kind": "disclosure.intent", "intent": "i-1", "fields": ["name"]},
    {"kind": "disclosure.outcome", "closes": "i-1", "outcome": "delivered"},
    {"kind": "hold.opened", "hold": 1, "reasons": ["æøå", "older"]},
]


def store_of(records: Sequence[dict[str, Any]]) -> Store:
    store = new_store()
    with store.write() as uow:
        BOOK.write(uow, records)
    return store


def test_every_record_is_counted_by_its_kind() -> None:
    counted: list[tuple[str, int]] = []
    book = AuditBook(b"a key", "tests", now, lambda kind, number: counted.append((kind, number)))
    with new_store().write() as uow:
        book.write(uow, [*RECORDS, RECORDS[0]])
    assert counted == [
        ("snapshot.recorded", 2),
        ("disclosure.intent", 1),
        ("disclosure.outcome", 1),
        ("hold.opened", 1),
    ]


def rows_of(store: Store) -> list[AuditRow]:
    with store.read() as reader:
        return reader.audit_rows(0, 1_000)


@dataclass
class Chain:
    """A stored chain that somebody had their hands on; the head row beside it is left as it was."""

    rows: list[AuditRow]
    head: tuple[int, bytes]

    def audit_rows(self, after: int, limit: int) -> list[AuditRow]:
        return [row for row in self.rows if row.seq > after][:limit]

    def audit_head(self) -> tuple[int, bytes]:
        return self.head

    def open_intents(self) -> list[AuditRow]:
        return []


def tampered(tamper: Tamper, expect: str | None = None) -> Verdict:
    rows = rows_of(store_of(RECORDS))
    chain: Any = Chain(tamper(list(rows)), (rows[-1].seq, rows[-1].hash))
    return verify(chain, expect)


def rewritten(rows: list[AuditRow]) -> list[AuditRow]:
    """The same records hashed anew from the beginning: a forgery by somebody who knows how."""
    forged: list[AuditRow] = []
    head = GENESIS
    for seq, row in enumerate(rows, 1):
        record = canonical({**msgspec.json.decode(row.record), "seq": seq})
        forged.append(AuditRow(seq, record, head, link_hash(head, record), row.intent, row.closes))
        head = forged[-1].hash
    return forged


class TestAWholeChain:
    def test_passes(self) -> None:
        with store_of(RECORDS).read() as reader:
            verdict = verify(reader)
        assert (verdict.ok, verdict.size, verdict.problem) == (True, 4, None)

    def test_passes_when_it_is_empty(self) -> None:
        with new_store().read() as reader:
            assert verify(reader) == Verdict(True, 0, f"0:{GENESIS.hex()}", 0)

    def test_passes_against_any_head_that_was_noted_on_the_way(self) -> None:
        store = store_of(RECORDS)
        for row in rows_of(store):
            with store.read() as reader:
                assert verify(reader, f"{row.seq}:{row.hash.hex()}").ok

    def test_goes_on_where_the_last_writer_left_it(self) -> None:
        store = store_of(RECORDS[:2])
        with store.write() as uow:
            BOOK.write(uow, RECORDS[2:])
        assert rows_of(store) == rows_of(store_of(RECORDS))

    def test_links_each_record_to_the_one_before(self) -> None:
        rows = rows_of(store_of(RECORDS))
        assert [row.prev for row in rows] == [GENESIS, *(row.hash for row in rows[:-1])]

    def test_says_who_wrote_and_when(self) -> None:
        record = msgspec.json.decode(rows_of(store_of(RECORDS))[0].record)
        assert record.items() >= {"actor": "tests", "ts": "2026-08-11T06:00:00+00:00", "seq": 1}.items()

    def test_gets_nothing_from_no_record(self) -> None:
        assert rows_of(store_of([])) == []


class TestATrace:
    def test_is_in_all_that_is_written_of_one_run_but_what_names_its_own(self) -> None:
        store = new_store()
        with store.write() as uow:
            book = BOOK.on("4bf92f35-77b3-4da6-a3ce-929d0e0e4736")
            book.write(uow, [RECORDS[0], {**RECORDS[3], "trace": "f" * 32}])
            BOOK.write(uow, [RECORDS[0]])
        rows = rows_of(store)
        assert [row.trace for row in rows] == ["4bf92f3577b34da6a3ce929d0e0e4736", "f" * 32, None]
        assert [msgspec.json.decode(row.record).get("trace") for row in rows] == [row.trace for row in rows]
        with store.read() as reader:
            assert verify(reader).ok

    def test_that_is_written_over_is_found(self) -> None:
        verdict = tampered(lambda rows: [*rows[:3], replace(rows[3], trace="f" * 32)])
        assert verdict.problem == "link 4 was changed after it was written"


class TestTampering:
    @pytest.mark.parametrize(
        ("tamper", "problem"),
        [
            (
                lambda rows: [replace(rows[0], record=rows[0].record.replace("3", "4")), *rows[1:]],
                "link 1 was changed",
            ),
            (lambda rows: [rows[0], replace(rows[1], hash=bytes(32)), *rows[2:]], "link 2 was changed"),
            (lambda rows: [*rows[:2], replace(rows[2], closes="i-2"), rows[3]], "link 3 was changed"),
            (lambda rows: [rows[0], replace(rows[1], intent=None), *rows[2:]], "link 2 was changed"),
            (lambda rows: [rows[0], *rows[2:]], "link 2 is missing"),
            (lambda rows: rows[1:], "link 1 is missing"),
            (lambda rows: [rows[0], replace(rows[2], seq=2), replace(rows[1], seq=3), rows[3]], "link 2 does not"),
            (lambda rows: [rows[0], rows[0], *rows[1:]], "link 2 is missing"),
            (lambda rows: rows[:3], "links were removed"),
            (lambda rows: [], "links were removed"),
        ],
        ids=[
            "edit",
            "hash",
            "closes",
            "intent",
            "delete",
            "delete the first",
            "swap",
            "insert",
            "tail",
            "everything",
        ],
    )
    def test_is_found(self, tamper: Tamper, problem: str) -> None:
        verdict = tampered(tamper)
        assert not verdict.ok
        assert verdict.problem is not None and problem in verdict.problem

    def test_by_writing_everything_anew_is_found_by_the_head_row(self) -> None:
        assert not tampered(lambda rows: rewritten(rows[1:])).ok

    def test_by_writing_everything_and_the_head_anew_is_found_by_a_noted_head_only(self) -> None:
        rows = rows_of(store_of(RECORDS))
        forged = rewritten(rows[1:])
        chain: Any = Chain(forged, (forged[-1].seq, forged[-1].hash))
        assert verify(chain).ok
        told = verify(chain, f"2:{rows[1].hash.hex()}")
        assert told.problem == "link 2 is not the one that was noted"

    def test_by_cutting_the_tail_and_its_head_is_found_by_a_noted_head_only(self) -> None:
        rows = rows_of(store_of(RECORDS))
        chain: Any = Chain(rows[:2], (2, rows[1].hash))
        assert verify(chain).ok
        told = verify(chain, f"4:{rows[3].hash.hex()}")
        assert not told.ok and told.problem is not None and "its tail was cut off" in told.problem

    def test_leaves_the_head_that_is_still_sound(self) -> None:
        rows = rows_of(store_of(RECORDS))
        verdict = tampered(lambda rows: [*rows[:2], replace(rows[2], record="{}"), rows[3]])
        assert verdict.head == f"2:{rows[1].hash.hex()}"


_RECORDS = st.lists(
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["a", "b"]), "text": st.text(max_size=5), "n": st.integers(0, 9)}
    ),
    min_size=1,
    max_size=6,
)


@STEADY
@given(_RECORDS, st.data())
def test_no_single_change_of_any_stored_field_goes_unseen(
    records: list[dict[str, Any]], data: st.DataObject
) -> None:
    rows = rows_of(store_of(records))
    index = data.draw(st.integers(0, len(rows) - 1))
    row = rows[index]
    changed = data.draw(
        st.sampled_from(
            [
                replace(row, record=row.record[:-1] + ',"x":1}'),
                replace(row, seq=row.seq + 1),
                replace(row, prev=bytes(31) + b"\x01"),
                replace(row, hash=bytes(32)),
                replace(row, intent="i-x"),
                replace(row, closes="i-x"),
                None,
            ]
        )
    )
    forged = [*rows[:index], *([changed] if changed else []), *rows[index + 1 :]]
    chain: Any = Chain(forged, (rows[-1].seq, rows[-1].hash))
    assert not verify(chain).ok


@STEADY
@given(_RECORDS, _RECORDS)
def test_a_chain_verifies_however_its_records_are_batched(
    one: list[dict[str, Any]], two: list[dict[str, Any]]
) -> None:
    store = store_of(one)
    with store.write() as uow:
        BOOK.write(uow, two)
    assert rows_of(store) == rows_of(store_of([*one, *two]))
    with store.read() as reader:
        assert verify(reader).ok


class TestOpenIntents:
    INTENTS = ({"kind": "disclosure.intent", "intent": "i-1"}, {"kind": "disclosure.intent", "intent": "i-2"})

    def test_are_counted_by_the_check(self) -> None:
        with store_of(self.INTENTS).read() as reader:
            assert verify(reader).open_intents == 2

    def test_are_closed_as_unknown_after_a_crash(self) -> None:
        store = store_of([*self.INTENTS, {"kind": "disclosure.outcome", "closes": "i-1", "outcome": "delivered"}])
        with store.write() as uow:
            assert BOOK.close_open(uow) == 1
        told = msgspec.json.decode(rows_of(store)[-1].record)
        assert told.items() >= {"closes": "i-2", "outcome": "unknown", "reason": "interrupted"}.items()

    def test_are_closed_once(self) -> None:
        store = store_of(self.INTENTS)
        with store.write() as uow:
            BOOK.close_open(uow)
        with store.write() as uow:
            assert BOOK.close_open(uow) == 0
        with store.read() as reader:
            assert verify(reader).ok


class TestReferences:
    def test_are_the_same_for_the_same_entity(self) -> None:
        assert BOOK.reference("ane") == BOOK.reference("ane") != BOOK.reference("bo")

    def test_cannot_be_made_without_the_key(self) -> None:
        assert AuditBook(b"another key", "tests", now).reference("ane") != BOOK.reference("ane")


def test_a_record_is_written_the_same_whatever_order_its_keys_have() -> None:
    assert canonical({"b": 1, "a": "æ"}) == canonical({"a": "æ", "b": 1}) == '{"a":"æ","b":1}'
