"""Every snapshot ends recorded, unchanged, held or refused; nothing ends silently and nothing stops the others."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.connector import Snapshot, SourceFailure
from bridge.domain.entities import Kind
from bridge.domain.errors import AgreementMissing, SnapshotInvalid, SourceUnavailable
from bridge.domain.records import Header, ImportSource
from bridge.ports import Approval, Hold
from tests.support.engine import MORNING, OTHER_SCHOOL, SCHOOL, TOWN, Bench, group, header, pupil
from tests.support.fetch import FIVE, at, exported, held, pupils, school_of_five, told_of, users

# No source reads such a name, so nothing of ours is prepared for it.
BROKEN = pupil("rigtig", given_name="Rigtig\udcff")


@pytest.fixture
def bench() -> Bench:
    """A school of five pupils."""
    return school_of_five()


def approved(bench: Bench, snapshot: Snapshot, institution: str) -> int:
    """Put a hold there that a person has approved; returns its number."""
    hold = Hold(
        id=0,
        municipality=TOWN,
        institution=institution,
        subject="snapshot",
        target=None,
        digest=snapshot.digest,
        reasons=("empty",),
        counts={},
        people=(),
        state="approved",
        opened_at=bench.clock.at,
        origin=snapshot.origin,
        approvals=(Approval("anna", bench.clock.at),),
    )
    with bench.store.write() as uow:
        return uow.add_hold(hold, snapshot.body)


class TestAGoodSnapshot:
    def test_is_recorded(self, bench: Bench) -> None:
        assert bench.take(*pupils(*FIVE, "frida"), head=at(1)) == ("recorded", None)
        assert users(bench) == {*FIVE, "frida"}

    def test_that_was_recorded_last_is_unchanged_and_not_even_parsed(self, bench: Bench) -> None:
        bench.source.parsed.clear()
        assert bench.fetch() == [("unchanged", None)]
        assert bench.source.parsed == []

    def test_that_differs_in_its_time_of_export_only_is_unchanged(self, bench: Bench) -> None:
        later = Header(SCHOOL, "Skolen", MORNING + timedelta(hours=9), at(0).sources)
        assert bench.take(*pupils(*FIVE), head=later) == ("unchanged", None)

    def test_is_given_back_to_the_source_when_it_is_committed(self, bench: Bench) -> None:
        assert bench.source.taken_digests == [bench.diary.runs[-1].digest]

    def test_of_another_institution_with_the_same_digest_is_not_taken_for_unchanged(self, bench: Bench) -> None:
        digest = bench.diary.runs[-1].digest
        result = bench.take(pupil("x"), head=header(OTHER_SCHOOL), expected=OTHER_SCHOOL, digest=digest)
        assert result == ("recorded", None)

    def test_tells_how_many_changes_it_brought(self, bench: Bench) -> None:
        bench.take(*pupils(*FIVE, "frida"), head=at(1))
        assert bench.diary.runs[-1].changes == 3  # person, affiliation, membership


class TestAnUnchangedSnapshot:
    def test_moves_the_time_of_what_is_known_so_that_a_late_one_is_older(self, bench: Bench) -> None:
        for hours in (10, 20):
            assert bench.take(*pupils(*FIVE), head=exported(timedelta(hours=hours)))[0] == "unchanged"
        late = exported(timedelta(hours=15))
        assert bench.take(*pupils(*FIVE), pupil("new"), head=late) == ("held", "older")
        assert bench.diary.runs[-2].export_time == MORNING + timedelta(hours=20)

    def test_from_the_future_moves_nothing(self, bench: Bench) -> None:
        bench.take(*pupils(*FIVE), head=exported(timedelta(days=1200)))
        tomorrow = exported(timedelta(days=1))
        assert bench.take(*pupils(*FIVE), pupil("new"), head=tomorrow) == ("recorded", None)


class TestAChangedUserId:
    def test_is_another_person_and_is_noted(self, bench: Bench) -> None:
        known = pupils(*FIVE)
        other = replace(known[0], person=replace(known[0].person, user_id="1000013b36"))
        assert bench.take(other, *known[1:], head=at(1)) == ("recorded", None)
        assert users(bench) == {*FIVE[1:], "1000013b36"}
        with bench.store.read() as reader:
            assert "user_id_changed" in [row.reason for row in reader.quarantine(10)]


class TestSeveralSourcesOfOneName:
    def test_count_by_the_newest(self, bench: Bench) -> None:
        told = ((30, "2026-27"), (26, "2026-99"))
        sources = tuple(ImportSource("KMD", MORNING + timedelta(hours=hours), year) for hours, year in told)
        for day in (2, 3):
            head = replace(header(at=MORNING + timedelta(days=day)), sources=sources)
            assert bench.take(*pupils(*FIVE), pupil(f"new{day}"), head=head) == ("recorded", None)
        with bench.store.read() as reader:
            (state,) = reader.institution_states()
        assert state.source_times == {"KMD": MORNING + timedelta(hours=30)}
        assert state.school_years == {"KMD": "2026-27"}


class TestAFailure:
    def test_refused_document_leaves_everything_as_it_was(self, bench: Bench) -> None:
        number = held(bench, pupil("ane"))
        assert bench.take(refused=SnapshotInvalid("bad_signature")) == ("refused", "bad_signature")
        assert users(bench) == set(FIVE)
        assert [hold.id for hold in bench.holds("open")] == [number]

    def test_of_one_institution_does_not_end_the_others(self, bench: Bench) -> None:
        bench.source.offered.clear()
        bench.source.offered.append(SourceFailure("999001", SourceUnavailable("away")))
        bench.source.offered.append(SourceFailure("999002", AgreementMissing("no agreement")))
        bench.source.offer(refused=SnapshotInvalid("not_xml"), expected="999003")
        bench.source.offer(*pupils(*FIVE, "frida"), head=at(1))
        assert bench.fetch() == [
            ("failed", "source_unavailable"),
            ("failed", "agreement_missing"),
            ("refused", "not_xml"),
            ("recorded", None),
        ]
        assert "frida" in users(bench)

    def test_of_our_own_making_stops_one_document_and_no_other(self, bench: Bench) -> None:
        bench.source.offered.clear()
        bench.source.offer(BROKEN, head=at(1, OTHER_SCHOOL), expected=OTHER_SCHOOL)
        bench.source.offer(*pupils(*FIVE, "frida"), head=at(1))
        assert bench.fetch() == [("failed", "engine_error"), ("recorded", None)]
        assert users(bench) == {*FIVE, "frida"}
        assert (OTHER_SCHOOL,) not in bench.entities(Kind.INSTITUTION)

    def test_of_our_own_making_leaves_the_document_where_it_is(self, bench: Bench) -> None:
        before = len(bench.source.taken_digests)
        assert bench.take(BROKEN, head=at(1)) == ("failed", "engine_error")
        assert len(bench.source.taken_digests) == before

    def test_of_our_own_making_is_logged_without_a_personal_value(self, bench: Bench, stream: io.StringIO) -> None:
        bench.take(BROKEN, head=at(1))
        assert "loop.failed" in stream.getvalue() and "Rigtig" not in stream.getvalue()

    def test_of_our_own_making_opens_an_approved_hold_again_and_stops_no_other(self, bench: Bench) -> None:
        broken = approved(bench, bench.source.offer(BROKEN, head=at(1, OTHER_SCHOOL)), OTHER_SCHOOL)
        number = held(bench, group("1A"))
        bench.decide(number, approve=True)
        bench.apply_approved()
        assert users(bench) == set()
        assert [(hold.id, hold.approvals) for hold in bench.holds("open")] == [(broken, ())]
        assert bench.diary.ends[-2:] == [("failed", "engine_error"), ("recorded", None)]
        assert told_of(bench, "hold.reopened") == [(broken, "engine_error")]

    def test_is_written_down_for_the_institution_that_was_asked_for(self, bench: Bench) -> None:
        bench.take(refused=SnapshotInvalid("not_xml"), expected="999003")
        with bench.store.read() as reader:
            (run,) = reader.runs(1)
        assert (run.institution, run.result, run.reason) == ("999003", "refused", "not_xml")

    def test_of_a_missing_agreement_deletes_nothing(self, bench: Bench) -> None:
        bench.source.offered[:] = [SourceFailure(SCHOOL, AgreementMissing("no agreement"))]
        bench.fetch()
        assert users(bench) == set(FIVE)

    def test_of_the_whole_source_is_the_callers_to_know(self, bench: Bench) -> None:
        bench.source.failure = SourceUnavailable("away")
        with pytest.raises(SourceUnavailable):
            bench.fetch()
