"""What one transaction writes: an event log that a stranger can rely on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.entities import Address, Kind
from bridge.domain.events import Event, attributes
from bridge.domain.records import Noted, Quarantined, Record
from tests.support.anything import WHOLE_LINE, schools
from tests.support.engine import (
    MORNING,
    OTHER_SCHOOL,
    SCHOOL,
    TOWN,
    Bench,
    group,
    header,
    parent,
    person_id,
    pupil,
    teacher,
)

CPR = "0101901234"
ORDER = ["institution", "group", "person", "affiliation", "guardianship", "membership"]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def log_of(bench: Bench) -> list[Event]:
    with bench.store.read() as reader:
        return reader.events(TOWN, 0, 100_000)


def news(bench: Bench, *records: Record) -> list[Event]:
    """The events that a snapshot adds."""
    before = len(log_of(bench))
    assert bench.take(*records) == ("recorded", None)
    return log_of(bench)[before:]


def data(event: Event) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(event.data)
    return decoded


def short(event: Event) -> tuple[str, str]:
    _, entity, operation, version = event.type.split(".")
    assert version == "v1"
    return operation, entity


def only(events: list[Event], entity: str) -> Event:
    (event,) = [event for event in events if short(event)[1] == entity]
    return event


class TestTheLog:
    def test_has_no_gap(self, bench: Bench) -> None:
        bench.take(group("1A"), pupil("ane", contacts=[parent("mor")]))
        bench.take(group("1A"), pupil("bo"))
        assert [event.sequence for event in log_of(bench)] == list(range(1, len(log_of(bench)) + 1))

    def test_tells_creations_in_the_order_in_which_they_depend_on_each_other(self, bench: Bench) -> None:
        told = [short(e) for e in news(bench, group("1A"), pupil("ane", "1A", contacts=[parent("mor")]))]
        assert [entity for _, entity in told] == sorted((entity for _, entity in told), key=ORDER.index)
        assert {operation for operation, _ in told} == {"created"}

    def test_tells_deletions_last_and_in_the_reversed_order(self, bench: Bench) -> None:
        bench.take(group("1A"), pupil("ane", "1A", contacts=[parent("mor")]), pupil("bo", "1B"))
        told = [short(event) for event in news(bench, pupil("bo", "1B"), pupil("carl", "1C"))]
        kept, gone = [e for o, e in told if o != "deleted"], [e for o, e in told if o == "deleted"]
        assert told == [*((o, e) for o, e in told if o != "deleted"), *(("deleted", e) for e in gone)]
        assert kept == sorted(kept, key=ORDER.index)
        assert gone == sorted(gone, key=ORDER.index, reverse=True)
        assert set(gone) == {"group", "person", "affiliation", "guardianship", "membership"}

    def test_names_the_run_that_caused_it_and_its_time(self, bench: Bench) -> None:
        (event, *_) = news(bench, pupil("ane"))
        assert (event.cause, event.time) == (bench.diary.runs[-1].id, MORNING)

    def test_gives_every_event_an_id_of_its_own(self, bench: Bench) -> None:
        for names in (["ane"], ["bo"], ["ane"]):
            bench.take(*map(pupil, names))
        ids = [event.id for event in log_of(bench)]
        assert len(set(ids)) == len(ids)

    def test_counts_on_when_an_entity_comes_back(self, bench: Bench) -> None:
        for names in (["ane", "bo"], ["bo"], ["ane", "bo"]):
            bench.take(*map(pupil, names))
        told = [e for e in log_of(bench) if e.subject == f"person/{person_id('ane')}"]
        assert [(short(e)[0], e.version) for e in told] == [("created", 1), ("deleted", 2), ("created", 3)]

    def test_writes_its_sequence_as_twenty_digits(self, bench: Bench) -> None:
        (event, *_) = news(bench, pupil("ane"))
        told = attributes(event)
        assert told["sequence"] == "00000000000000000001"
        assert told["source"] == f"/municipality/{TOWN}/institution/{SCHOOL}"
        assert told["time"] == "2026-08-11T06:00:00Z"


class TestAnEvent:
    def test_of_a_creation_holds_the_whole_object_under_its_id(self, bench: Bench) -> None:
        told = data(only(news(bench, group("1A", level="1")), "group"))
        assert set(told) == {"object"}
        assert told["object"].items() >= {"group_id": "1A", "level": "1", "institution_number": SCHOOL}.items()

    def test_of_an_update_holds_the_old_values_of_what_changed_only(self, bench: Bench) -> None:
        bench.take(pupil("ane", email="old@x.example"))
        told = data(only(news(bench, pupil("ane", email="new@x.example")), "person"))
        assert (told["changed"], told["previous"]) == (["email"], {"email": "old@x.example"})
        assert told["object"]["email"] == "new@x.example"

    def test_of_a_changed_street_names_the_address_as_one_field(self, bench: Bench) -> None:
        bench.take(pupil("ane", address=Address("Vej 1", "2100")))
        told = data(only(news(bench, pupil("ane", address=Address("Vej 2", "2100"))), "person"))
        assert told["changed"] == ["address"]
        assert told["previous"]["address"]["street"] == "Vej 1"

    def test_of_a_deletion_holds_identifiers_and_keys_only(self, bench: Bench) -> None:
        bench.take(pupil("ane", email="a@x.example"), pupil("bo"))
        gone = {short(e)[1]: data(e) for e in news(bench, pupil("bo")) if short(e)[0] == "deleted"}
        assert gone["person"] == {"object": {"id": person_id("ane"), "user_id": "ane"}}
        assert set(gone["affiliation"]["object"]) == {"id", "institution_number", "user_id", "kind"}
        assert set(gone["membership"]["object"]) == {"id", "institution_number", "group_id", "user_id"}

    def test_of_an_affiliation_calls_its_role_kind(self, bench: Bench) -> None:
        told = data(only(news(bench, teacher("bo")), "affiliation"))["object"]
        assert told["kind"] == "employee" and "role" not in told

    def test_of_a_cpr_number_names_it_and_holds_no_value(self, bench: Bench) -> None:
        bench.take(pupil("ane", civil_registration_number=CPR))
        told = only(news(bench, pupil("ane", civil_registration_number="0202901234")), "person")
        assert data(told)["changed"] == ["civil_registration_number"]
        assert data(told)["previous"] == {}
        assert not any(number in event.data for event in log_of(bench) for number in (CPR.encode(), b"0202901234"))

    def test_says_once_more_only_what_differs_for_its_own_institution(self, bench: Bench) -> None:
        bench.take(pupil("ane"))
        bench.source.offered.clear()
        bench.take(pupil("ane"), head=header(OTHER_SCHOOL), expected=OTHER_SCHOOL)
        told = [event for event in log_of(bench) if event.institution == OTHER_SCHOOL]
        assert "person" not in {short(event)[1] for event in told}


class TestAnUnchangedSnapshot:
    def test_adds_nothing_but_a_run(self, bench: Bench) -> None:
        bench.take(group("1A"), pupil("ane"))
        bench.drain()
        before, audit = log_of(bench), bench.audit()
        state = bench.entities(Kind.PERSON), bench.delivery(person_id("ane"))
        bench.clock.forward(hours=1)
        assert bench.fetch() == [("unchanged", None)]
        assert (log_of(bench), bench.audit()) == (before, audit)
        assert (bench.entities(Kind.PERSON), bench.delivery(person_id("ane"))) == state

    def test_that_differs_in_its_source_time_only_adds_no_event(self, bench: Bench) -> None:
        bench.take(pupil("ane"))
        before = log_of(bench)
        assert bench.take(pupil("ane"), head=header(at=MORNING + timedelta(hours=1))) == ("recorded", None)
        assert log_of(bench) == before


class TestBesidesTheLog:
    def test_what_could_not_be_used_is_written_down_without_values(self, bench: Bench) -> None:
        bad, odd = Quarantined("P[2]", "missing_user_id", "KMD", "L-x"), Noted("P[1]", "unknown_code")
        bench.take(group("1A"), pupil("ane"), bad, odd)
        with bench.store.read() as reader:
            rows = reader.quarantine(10)
        assert [(r.path, r.reason, r.severity) for r in rows] == [
            ("P[2]", "missing_user_id", "quarantined"),
            ("P[1]", "unknown_code", "noted"),
        ]

    def test_a_whole_snapshot_ends_the_quarantine(self, bench: Bench) -> None:
        bench.take(group("1A"), pupil("ane"), Quarantined("P[2]", "missing_user_id"))
        bench.take(group("1A"), pupil("ane"), pupil("bo"))
        with bench.store.read() as reader:
            assert reader.quarantine(10) == []

    def test_the_audit_says_how_much_changed_and_nothing_of_whom(self, bench: Bench) -> None:
        bench.take(pupil("ane"))
        (record,) = bench.audit()
        assert record.items() >= {"kind": "snapshot.recorded", "institution": SCHOOL, "changes": 5}.items()
        assert "ane" not in str(record)


@WHOLE_LINE
@given(st.lists(schools(), min_size=1, max_size=4))
def test_whoever_applies_every_event_holds_what_the_store_holds(days: list[list[Record]]) -> None:
    bench = Bench()
    bench.policy = type(bench.policy)(max_deleted_percent=100.0)
    for day in days:
        bench.take(*day)
        bench.clock.forward(hours=1)
    told: dict[str, tuple[int, dict[str, Any]]] = {}
    for event in log_of(bench):
        operation, _ = short(event)
        version, before = told.get(event.subject, (0, {}))
        assert event.version > version
        after = data(event)
        if operation == "updated":
            assert {**before, **after["previous"]} == before, "previous holds what was there"
            assert {n for n in after["object"] if after["object"][n] != before[n]} == set(after["changed"])
        told[event.subject] = (event.version, {} if operation == "deleted" else after["object"])
    living = sum(len(bench.entities(kind)) for kind in Kind if kind is not Kind.CONTRIBUTION)
    assert sum(bool(held) for _, held in told.values()) == living
