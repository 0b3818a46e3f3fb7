"""What every store promises to whoever asks about one person: the log, the audit chain, and who is kept."""

from __future__ import annotations

from dataclasses import replace

from bridge.domain.entities import Kind
from bridge.ports import AuditRow, Drift, KeptPerson, Reader, Store
from bridge.testing.store_samples import (
    NOW,
    OTHER_SCHOOL,
    OTHER_TARGET,
    TARGET,
    TOWN,
    desired,
    event,
    identity_of,
    later,
)


def _traced(seq: int, trace: str | None) -> AuditRow:
    return replace(_about(seq, None), trace=trace)


def _about(seq: int, subject: str | None, *, intent: str | None = None, closes: str | None = None) -> AuditRow:
    return AuditRow(seq, f'{{"seq":{seq}}}', bytes([seq - 1]) * 32, bytes([seq]) * 32, intent, closes, subject)


def _causes(reader: Reader) -> dict[str, str]:
    return {row.id: row.cause for row in reader.deliveries(TARGET, None, None, 10)}


class TraceConformance:
    def test_the_log_of_one_subject_or_institution_is_read_alone_and_in_pages(self, store: Store) -> None:
        first, second = event("anna"), event("anna")._replace(id="again", version=2)
        elsewhere = event("bo")._replace(institution=OTHER_SCHOOL)
        with store.write() as uow:
            uow.append_events(TOWN, [first, elsewhere, second])
        with store.read() as reader:
            told = reader.events(TOWN, 0, 10, subject=first.subject)
            assert [(one.sequence, one.version) for one in told] == [(1, 1), (3, 2)]
            assert [one.sequence for one in reader.events(TOWN, 1, 10, subject=first.subject)] == [3]
            assert [one.sequence for one in reader.events(TOWN, 0, 1, subject=first.subject)] == [1]
            assert [one.sequence for one in reader.events(TOWN, 0, 10, institution=OTHER_SCHOOL)] == [2]
            assert reader.events(TOWN, 0, 10, institution=OTHER_SCHOOL, subject=first.subject) == []
            assert reader.events("999", 0, 10, subject=first.subject) == []

    def test_the_audit_about_somebody_holds_every_intent_with_its_outcome(self, store: Store) -> None:
        rows = [
            _about(1, "anna", intent="i-1"),
            _about(2, "bo", intent="i-2"),
            _about(3, None, closes="i-2"),
            _about(4, None, closes="i-1"),
            _about(5, "anna"),
            _about(6, None),
            _about(7, "anna", intent="i-3"),
        ]
        with store.write() as uow:
            uow.append_audit(rows)
        with store.read() as reader:
            assert [row.seq for row in reader.audit_about("anna")] == [1, 4, 5, 7]
            assert reader.audit_about("bo") == rows[1:3]
            assert reader.audit_about("nobody") == []

    def test_the_audit_of_a_trace_is_read_alone_and_in_pages(self, store: Store) -> None:
        traces = ("a" * 32, "b" * 32, None, "a" * 32, "a" * 32)
        rows = [_traced(seq, trace) for seq, trace in enumerate(traces, start=1)]
        with store.write() as uow:
            uow.append_audit(rows)
        with store.read() as reader:
            assert reader.audit_of("a" * 32, 0, 10) == [rows[0], rows[3], rows[4]]
            assert reader.audit_of("a" * 32, 1, 1) == [rows[3]]
            assert reader.audit_of("a" * 32, 5, 10) == reader.audit_of("c" * 32, 0, 10) == []

    def test_the_cause_of_a_delivery_is_the_last_that_changed_what_is_desired(self, store: Store) -> None:
        first, again = replace(desired("anna"), cause="run-1"), replace(desired("anna", b"hash-2"), cause="run-2")
        with store.write() as uow:
            uow.put_desired([first, replace(desired("bo"), cause="run-1")], NOW)
            assert _causes(uow) == {"id-anna": "run-1", "id-bo": "run-1"}
            uow.put_desired([again, replace(desired("bo"), cause="run-2")], later(1))
            assert _causes(uow) == {"id-anna": "run-2", "id-bo": "run-1"}
            uow.put_desired([desired("anna", b"hash-3")], later(2))
            assert _causes(uow)["id-anna"] == "run-2"

    def test_the_cause_of_a_delivery_can_be_a_decision_and_no_attempt_changes_it(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([replace(desired(name), cause="run-1") for name in ("anna", "bo")], NOW)
            before = uow.delivery(TARGET, identity_of("anna"))
            assert before is not None
            uow.set_cause(TARGET, map(identity_of, ("anna", "never")), "decision")
            uow.set_cause(OTHER_TARGET, [identity_of("bo")], "decision")
            after = uow.delivery(TARGET, identity_of("anna"))
            assert after == replace(before, cause="decision")
            uow.put_deliveries([replace(before, attempts=3)])
        with store.read() as reader:
            assert _causes(reader) == {"id-anna": "decision", "id-bo": "run-1"}

    def test_what_is_still_due_for_a_cause_is_counted_by_target(self, store: Store) -> None:
        rows = [desired("anna"), desired("bo"), desired("bo", target=OTHER_TARGET)]
        with store.write() as uow:
            assert uow.due_for("run-1") == {}
            uow.put_desired([replace(row, cause="run-1", not_before=later(60)) for row in rows], NOW)
            uow.put_desired([replace(desired("carl"), cause="run-2")], NOW)
            anna = uow.delivery(TARGET, identity_of("anna"))
            assert anna is not None
            uow.put_deliveries([replace(anna, confirmed=anna.desired)])
        with store.read() as reader:
            assert reader.due_for("run-1") == {TARGET: 1, OTHER_TARGET: 1}
            assert reader.due_for("run-2") == {TARGET: 1}

    def test_who_is_kept_is_remembered_until_it_is_taken_back(self, store: Store) -> None:
        anna = KeptPerson(TOWN, "anna", None, "eva", NOW)
        bo = KeptPerson(TOWN, "bo", later(60), "eva", NOW)
        with store.write() as uow:
            uow.put_kept_person(bo)
            uow.put_kept_person(replace(anna, until=later(5)))
            uow.put_kept_person(anna)
            uow.put_kept_person(replace(anna, municipality="999"))
        with store.write() as uow:
            assert uow.kept_people(TOWN) == [anna, bo]
            assert uow.drop_kept_person(TOWN, "anna")
            assert not uow.drop_kept_person(TOWN, "anna")
        with store.read() as reader:
            assert reader.kept_people(TOWN) == [bo]
            assert [one.user_id for one in reader.kept_people("999")] == ["anna"]

    def test_drift_is_kept_by_target(self, store: Store) -> None:
        anna = Drift(TARGET, identity_of("anna"), Kind.PERSON, "changed", ("name",), 2, "parked", NOW)
        bo = Drift(TARGET, identity_of("bo"), Kind.PERSON, "missing", (), 0, "open", NOW)
        with store.write() as uow:
            uow.put_drift([bo, replace(anna, rounds=1), replace(anna, target=OTHER_TARGET)])
            uow.put_drift([anna])
        with store.read() as reader:
            assert reader.drift(TARGET) == [anna, bo]
        with store.write() as uow:
            uow.drop_drift(TARGET, [anna.id])
        with store.read() as reader:
            assert reader.drift(TARGET) == [bo]
            assert [one.id for one in reader.drift(OTHER_TARGET)] == [anna.id]
