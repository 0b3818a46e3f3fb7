"""What every store promises to whoever asks about one person: the log, the audit chain, and who is kept."""

from __future__ import annotations

from dataclasses import replace

from bridge.domain.entities import Kind
from bridge.ports import AuditRow, Drift, KeptPerson, Store
from bridge.testing.store_samples import NOW, OTHER_SCHOOL, OTHER_TARGET, TARGET, TOWN, event, identity_of, later


def _about(seq: int, subject: str | None, *, intent: str | None = None, closes: str | None = None) -> AuditRow:
    return AuditRow(seq, f'{{"seq":{seq}}}', bytes([seq - 1]) * 32, bytes([seq]) * 32, intent, closes, subject)


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
