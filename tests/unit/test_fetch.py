"""Every snapshot ends recorded, unchanged, held or refused; nothing ends silently and nothing stops the others."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.connector import Snapshot, SourceFailure
from bridge.domain.entities import Kind
from bridge.domain.errors import AgreementMissing, SnapshotInvalid, SourceUnavailable
from bridge.domain.records import Header, ImportSource, PersonRecord, Record
from bridge.engine.decide import NotAllowed, NotOpen, Rule
from bridge.observe import configure_logging
from bridge.ports import Approval, Hold
from tests.support.engine import MORNING, OTHER_SCHOOL, SCHOOL, TOWN, Bench, group, header, parent, pupil

FIVE = ("ane", "bo", "carl", "dorte", "erik")


# No source reads such a name, so nothing of ours is prepared for it.
BROKEN = pupil("rigtig", given_name="Rigtig\udcff")


def pupils(*names: str) -> list[PersonRecord]:
    return [pupil(name) for name in names]


def at(hours: int, number: str = SCHOOL) -> Header:
    return header(number, at=MORNING + timedelta(hours=hours))


def exported(later: timedelta) -> Header:
    """An export made so much later of the same data of the school."""
    return Header(SCHOOL, "Skolen", MORNING + later, at(0).sources)


@pytest.fixture
def bench() -> Bench:
    """A school of five pupils."""
    bench = Bench()
    assert bench.take(*pupils(*FIVE), head=at(0)) == ("recorded", None)
    return bench


def held(bench: Bench, *records: Record, head: Header | None = None) -> int:
    """Take in what is to be held; returns the hold's number."""
    result, _ = bench.take(*records, head=head or at(1))
    assert result == "held"
    return bench.holds("open")[-1].id


def users(bench: Bench) -> set[str]:
    return {key[0] for key in bench.entities(Kind.PERSON)}


def groups(bench: Bench) -> set[str]:
    return {key[1] for key in bench.entities(Kind.GROUP)}


def told_of(bench: Bench, kind: str) -> list[tuple[int, str]]:
    """The holds that the audit tells this of, and why."""
    return [(record["hold"], record["reason"]) for record in bench.audit() if record["kind"] == kind]


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


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    out = io.StringIO()
    configure_logging(stream=out, json=True)
    yield out
    configure_logging(stream=io.StringIO())


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


class TestAHold:
    def test_is_opened_for_an_older_snapshot(self, bench: Bench) -> None:
        assert bench.take(*pupils(*FIVE, "frida"), head=at(-1)) == ("held", "older")

    def test_is_opened_for_an_empty_snapshot(self, bench: Bench) -> None:
        assert bench.take(group("1A"), head=at(1)) == ("held", "empty")

    def test_is_opened_for_a_mass_deletion(self, bench: Bench) -> None:
        assert bench.take(*pupils("ane", "bo"), head=at(1)) == ("held", "shrunken")

    def test_is_opened_for_another_institution_under_the_number_that_was_asked_for(self, bench: Bench) -> None:
        assert bench.take(pupil("x"), head=at(1, OTHER_SCHOOL)) == ("held", "wrong_institution")
        (hold,) = bench.holds()
        assert hold.institution == SCHOOL

    def test_is_opened_for_an_institution_that_is_not_configured(self) -> None:
        bench = Bench(institutions=frozenset({OTHER_SCHOOL}))
        assert bench.take(pupil("x"), expected=None) == ("held", "wrong_institution")

    def test_leaves_everything_as_it_was(self, bench: Bench) -> None:
        held(bench, group("1A"))
        assert users(bench) == set(FIVE)
        with bench.store.read() as reader:
            assert reader.institution_state("101", SCHOOL).export_time == MORNING  # type: ignore[union-attr]

    def test_of_deletions_lets_everything_else_go_on(self, bench: Bench) -> None:
        held(bench, pupil("ane", email="ny@x.example"), pupil("frida"))
        assert users(bench) == {*FIVE, "frida"}
        assert "ny@x.example" in str(bench.entities(Kind.PERSON)["ane",])
        assert {key[2] for key in bench.entities(Kind.MEMBERSHIP)} == {*FIVE, "frida"}

    def test_says_how_much_would_go_and_of_whom_by_user_id(self, bench: Bench) -> None:
        held(bench, pupil("ane"))
        (hold,) = bench.holds()
        assert hold.people == FIVE[1:]
        assert hold.counts["person.deleted"] == 4
        assert hold.counts["affiliation.student.stored"] == 5

    def test_is_one_hold_however_often_the_snapshot_comes(self, bench: Bench) -> None:
        held(bench, group("1A"))
        assert bench.fetch() == [("held", "empty")]
        assert len(bench.holds()) == 1

    def test_of_deletions_is_one_hold_however_many_snapshots_lack_the_same_people(self, bench: Bench) -> None:
        held(bench, pupil("ane"))
        assert bench.fetch() == [("unchanged", None)]
        assert bench.take(pupil("ane", email="ny@x.example"), head=at(2)) == ("held", "shrunken")
        (hold,) = bench.holds()
        assert (hold.state, hold.people) == ("open", FIVE[1:])

    def test_of_deletions_makes_room_for_one_of_other_people(self, bench: Bench) -> None:
        first = held(bench, pupil("ane"), pupil("bo"))
        second = held(bench, pupil("ane"), head=at(2))
        assert [(hold.id, hold.state) for hold in bench.holds()] == [(first, "superseded"), (second, "open")]

    def test_of_a_snapshot_makes_room_for_the_next_one(self, bench: Bench) -> None:
        first = held(bench, group("1A"))
        second = held(bench, group("1B"), head=at(2))
        assert [(hold.id, hold.state) for hold in bench.holds()] == [(first, "superseded"), (second, "open")]

    def test_of_an_older_snapshot_does_not_hide_that_of_the_newest(self, bench: Bench) -> None:
        empty = held(bench, group("1A"))
        held(bench, *pupils(*FIVE, "gerda"), head=at(-1))
        assert empty in [hold.id for hold in bench.holds("open")]

    def test_that_people_were_told_of_does_not_tell_them_again_tomorrow(self, bench: Bench) -> None:
        number = held(bench, group("1A"))
        with bench.store.write() as uow:
            uow.put_hold(replace(bench.holds("open")[0], notified_at=MORNING))
        assert held(bench, group("1B"), head=at(2)) != number
        assert bench.holds("open")[0].notified_at == MORNING

    def test_is_written_into_the_audit_with_its_reasons(self, bench: Bench) -> None:
        number = held(bench, pupil("ane"))
        (told,) = [row for row in bench.audit() if row["kind"] == "hold.opened"]
        assert (told["hold"], told["reasons"]) == (number, ["shrunken"])

    def test_for_the_wrong_institution_does_not_stop_the_right_one(self, bench: Bench) -> None:
        """The source mixes two institutions up once; the one whose document it was must still be taken."""
        bench.source.offered.clear()
        mixed = bench.source.offer(pupil("x"), head=at(1, OTHER_SCHOOL), expected=SCHOOL)
        bench.source.offer(pupil("x"), head=at(1, OTHER_SCHOOL), expected=OTHER_SCHOOL, digest=mixed.digest)
        assert bench.fetch() == [("held", "wrong_institution"), ("recorded", None)]

    def test_for_its_time_only_lets_the_same_content_pass_at_a_good_time(self, bench: Bench) -> None:
        late = exported(timedelta(days=1200))
        assert bench.take(*pupils(*FIVE), pupil("new"), head=late) == ("held", "from_future")
        good = exported(timedelta(days=1))
        assert bench.take(*pupils(*FIVE), pupil("new"), head=good) == ("recorded", None)
        assert bench.holds("open") == []

    @pytest.mark.parametrize("decided", [None, False])
    def test_for_its_time_only_is_one_hold_however_often_the_snapshot_comes(
        self, bench: Bench, decided: bool | None
    ) -> None:
        late = exported(timedelta(days=1200))
        bench.take(*pupils(*FIVE), pupil("new"), head=late)
        if decided is not None:
            bench.decide(bench.holds("open")[0].id, approve=decided)
        ends = [bench.take(*pupils(*FIVE), pupil("new"), head=late) for _ in range(3)]
        assert set(ends) == ({("held", "from_future")} if decided is None else {("refused", "rejected")})
        assert len(bench.holds()) == 1

    def test_is_opened_for_an_import_source_from_the_future(self, bench: Bench) -> None:
        times = {"KMD": MORNING + timedelta(days=20_000)}
        assert bench.take(*pupils(*FIVE), head=header(at=MORNING + timedelta(days=1), times=times)) == (
            "held",
            "from_future",
        )


class TestAnApprovedHold:
    def test_lets_its_snapshot_through_from_the_stored_bytes(self, bench: Bench) -> None:
        number = held(bench, pupil("ane"))
        bench.decide(number, approve=True)
        bench.source.offered.clear()
        assert bench.apply_approved() == 1
        assert users(bench) == {"ane"}
        assert bench.holds("applied")[0].id == number

    def test_is_applied_once(self, bench: Bench) -> None:
        bench.decide(held(bench, pupil("ane")), approve=True)
        bench.apply_approved()
        assert bench.apply_approved() == 0

    def test_lets_nothing_but_that_snapshot_through(self, bench: Bench) -> None:
        bench.decide(held(bench, group("1A")), approve=True)
        assert bench.take(group("1B"), head=at(2)) == ("held", "empty")

    def test_of_deletions_deletes_nobody_who_came_back_meanwhile(self, bench: Bench) -> None:
        bench.decide(held(bench, pupil("ane")), approve=True)
        bench.take(pupil("ane"), pupil("bo"), head=at(2))
        bench.apply_approved()
        assert users(bench) == {"ane", "bo"}

    def test_that_is_not_carried_out_in_time_is_open_again(self, bench: Bench) -> None:
        number = held(bench, pupil("ane"))
        bench.decide(number, approve=True)
        bench.clock.forward(hours=25)
        assert bench.apply_approved() == 0
        assert [(hold.id, hold.approvals) for hold in bench.holds("open")] == [(number, ())]
        assert users(bench) == set(FIVE)
        assert bench.audit()[-1]["kind"] == "hold.approval_expired"

    def test_forgets_the_bytes_when_it_is_applied(self, bench: Bench) -> None:
        number = held(bench, pupil("ane"))
        bench.decide(number, approve=True)
        bench.apply_approved()
        with bench.store.read() as reader:
            assert reader.hold_body(number) is None

    def test_with_a_new_reason_is_held_anew(self, bench: Bench) -> None:
        """Between approval and application a newer snapshot was recorded: now it is older, too."""
        number = held(bench, group("1A"))
        bench.decide(number, approve=True)
        with bench.store.write() as uow:  # as if another process had recorded meanwhile
            state = uow.institution_state("101", SCHOOL)
            assert state is not None
            uow.put_institution_state(replace(state, export_time=MORNING + timedelta(hours=5), digest="other"))
        bench.apply_approved()
        assert users(bench) == set(FIVE)
        assert [(hold.state, hold.reasons) for hold in bench.holds()] == [
            ("superseded", ("empty", "shrunken")),
            ("open", ("older", "empty", "shrunken")),
        ]

    def test_for_the_wrong_institution_is_recorded_as_what_it_is(self, bench: Bench) -> None:
        bench.decide(held(bench, pupil("x"), head=at(1, OTHER_SCHOOL)), approve=True)
        bench.apply_approved()
        assert (OTHER_SCHOOL,) in bench.entities(Kind.INSTITUTION)
        assert users(bench) == {*FIVE, "x"}

    def test_is_written_into_the_audit_with_who_approved(self, bench: Bench) -> None:
        number = held(bench, pupil("ane"))
        bench.decide(number, approve=True)
        assert bench.audit()[-1].items() >= {"kind": "hold.approved", "hold": number, "by": "anna"}.items()


class TestTwoApprovedHolds:
    """Of one school, by two documents: a person said yes to one after the other."""

    def two(self, bench: Bench, first: int, second: int) -> tuple[int, int]:
        bench.clock.forward(hours=12)
        one = held(bench, group("1A"), head=at(first))
        bench.decide(one, approve=True)
        other = held(bench, group("1A"), group("1B"), head=at(second))
        bench.decide(other, approve=True)
        return one, other

    @pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1)])
    def test_end_as_the_newest_document_says(self, bench: Bench, first: int, second: int) -> None:
        one, other = self.two(bench, first, second)
        bench.apply_approved()
        assert users(bench) == set()
        newest, older = (one, other) if first > second else (other, one)
        assert {hold.id: hold.state for hold in bench.holds()} == {newest: "applied", older: "superseded"}
        assert groups(bench) == ({"1A"} if newest == one else {"1A", "1B"})

    def test_leave_a_word_of_why_one_was_not_carried_out(self, bench: Bench) -> None:
        one, _ = self.two(bench, 1, 2)
        bench.apply_approved()
        assert told_of(bench, "hold.superseded") == [(one, "newer_approved")]


class TestAnApprovalThatIsOvertaken:
    def test_by_the_source_saying_again_what_is_recorded_is_not_carried_out(self, bench: Bench) -> None:
        bench.clock.forward(hours=12)
        number = held(bench, group("1A"), head=at(1))
        bench.decide(number, approve=True)
        assert bench.take(*pupils(*FIVE), head=exported(timedelta(hours=3))) == ("unchanged", None)
        bench.apply_approved()
        assert users(bench) == set(FIVE)
        assert [(hold.id, hold.state) for hold in bench.holds()] == [(number, "superseded")]
        assert told_of(bench, "hold.superseded") == [(number, "newer_recorded")]

    def test_by_nothing_newer_is_carried_out(self, bench: Bench) -> None:
        bench.clock.forward(hours=12)
        bench.decide(held(bench, group("1A"), head=at(2)), approve=True)
        assert bench.take(*pupils(*FIVE), head=exported(timedelta(hours=1))) == ("unchanged", None)
        bench.apply_approved()
        assert users(bench) == set()

    def test_to_go_back_in_time_is_carried_out_though_the_source_repeats_itself(self, bench: Bench) -> None:
        bench.decide(held(bench, pupil("old"), head=at(-2)), approve=True)
        assert bench.take(*pupils(*FIVE), head=at(0)) == ("unchanged", None)
        bench.apply_approved()
        assert users(bench) == {"old"}

    def test_by_a_document_that_is_older_than_the_approved_one_is_carried_out(self, bench: Bench) -> None:
        bench.clock.forward(hours=12)
        bench.decide(held(bench, group("1A"), head=at(4)), approve=True)
        assert bench.take(*pupils(*FIVE, "frida"), head=at(2)) == ("recorded", None)
        bench.apply_approved()
        assert users(bench) == set()


def test_an_approved_snapshot_whose_bytes_are_gone_does_not_stay_approved_for_ever(bench: Bench) -> None:
    number = held(bench, group("1A"))
    bench.decide(number, approve=True)
    with bench.store.write() as uow:
        uow.set_hold_state(number, "superseded", None, bench.clock.at)  # which forgets them
        uow.put_hold(bench.holds("approved")[0])
    bench.apply_approved()
    assert [(hold.id, hold.state) for hold in bench.holds()] == [(number, "superseded")]
    assert told_of(bench, "hold.superseded") == [(number, "body_gone")]
    assert users(bench) == set(FIVE)


class TestARejectedHold:
    def test_keeps_its_snapshot_out_for_good(self, bench: Bench) -> None:
        bench.decide(held(bench, group("1A")), approve=False)
        assert bench.fetch() == [("refused", "rejected")]
        assert bench.apply_approved() == 0
        assert users(bench) == set(FIVE)

    def test_of_deletions_keeps_these_people_without_asking_every_day(self, bench: Bench) -> None:
        bench.decide(held(bench, pupil("ane")), approve=False)
        assert bench.take(pupil("ane"), pupil("frida"), head=at(2)) == ("recorded", None)
        assert users(bench) == {*FIVE, "frida"}
        assert bench.holds("open") == []

    def test_of_deletions_ends_for_who_is_named_again(self, bench: Bench) -> None:
        bench.decide(held(bench, pupil("ane")), approve=False)
        bench.take(pupil("ane"), pupil("bo"), head=at(2))
        assert bench.holds("rejected")[0].people == FIVE[2:]
        assert bench.take(pupil("ane"), head=at(3)) == ("recorded", None)
        assert users(bench) == {"ane", *FIVE[2:]}

    def test_of_deletions_keeps_no_class_of_who_came_back_in_another(self, bench: Bench) -> None:
        bench.decide(held(bench, pupil("ane")), approve=False)
        assert bench.take(pupil("ane"), pupil("bo", "2B"), head=at(2)) == ("recorded", None)
        assert {key[1] for key in bench.entities(Kind.MEMBERSHIP) if key[2] == "bo"} == {"2B"}
        assert {key[1] for key in bench.entities(Kind.MEMBERSHIP) if key[2] == "carl"} == {"1A"}

    def test_is_judged_anew_when_its_content_comes_back_after_another(self, bench: Bench) -> None:
        bench.decide(held(bench, group("1A")), approve=False)
        assert bench.take(*pupils(*FIVE, "frida"), head=at(2)) == ("recorded", None)
        assert bench.take(group("1A"), head=at(3)) == ("held", "empty")

    def test_of_the_wrong_institution_is_not_asked_about_again(self, bench: Bench) -> None:
        stranger = {"head": at(1, OTHER_SCHOOL), "expected": SCHOOL}
        assert bench.take(pupil("frida"), **stranger) == ("held", "wrong_institution")
        bench.decide(bench.holds("open")[-1].id, approve=False)
        assert bench.take(*pupils(*FIVE, "frida"), head=at(2)) == ("recorded", None)
        assert bench.take(pupil("frida"), **stranger) == ("refused", "rejected")

    def test_of_deletions_can_be_approved_after_all(self, bench: Bench) -> None:
        number = held(bench, pupil("ane"))
        bench.decide(number, approve=False)
        bench.decide(number, approve=True)
        bench.apply_approved()
        assert users(bench) == {"ane"}

    def test_keeps_no_other_snapshot_out(self, bench: Bench) -> None:
        bench.decide(held(bench, pupil("ane")), approve=False)
        assert bench.take(*pupils(*FIVE, "frida"), head=at(2)) == ("recorded", None)

    def test_cannot_be_decided_again(self, bench: Bench) -> None:
        number = held(bench, group("1A"))
        bench.decide(number, approve=False)
        with pytest.raises(NotOpen):
            bench.decide(number, approve=True)


class TestAPart:
    def test_that_is_approved_goes_and_the_rest_waits_on(self, bench: Bench) -> None:
        number = held(bench, pupil("ane"))
        bench.decide(number, approve=True, only=["bo", "carl"])
        bench.apply_approved()
        assert users(bench) == {"ane", "dorte", "erik"}
        (hold,) = bench.holds("open")
        assert (hold.id, hold.people) == (number, ("dorte", "erik"))

    def test_can_be_the_rest_of_a_rejected_whole(self, bench: Bench) -> None:
        """These two leavers yes, those two no."""
        number = held(bench, pupil("ane"))
        bench.decide(number, approve=True, only=["bo", "carl"])
        bench.apply_approved()
        bench.decide(number, approve=False)
        assert bench.take(pupil("ane"), pupil("frida"), head=at(2)) == ("recorded", None)
        assert users(bench) == {"ane", "dorte", "erik", "frida"}

    def test_that_is_left_out_waits_on_however_little_it_is(self, bench: Bench) -> None:
        """One of five is no mass deletion; it is what a person has not allowed."""
        number = held(bench, pupil("ane"))
        bench.decide(number, approve=True, only=["bo", "carl", "dorte"])
        bench.apply_approved()
        bench.clock.forward(hours=25)
        assert bench.take(pupil("ane"), pupil("frida"), head=at(26)) == ("recorded", None)
        assert users(bench) == {"ane", "erik", "frida"}
        assert [(hold.id, hold.people) for hold in bench.holds("open")] == [(number, ("erik",))]

    def test_of_a_snapshot_records_all_but_the_other_deletions(self, bench: Bench) -> None:
        bench.decide(held(bench, group("1A")), approve=True, only=["bo"])
        bench.apply_approved()
        assert users(bench) == set(FIVE) - {"bo"}
        assert [(hold.subject, hold.people) for hold in bench.holds("open")] == [
            ("deletions", ("ane", "carl", "dorte", "erik"))
        ]

    def test_of_a_snapshot_keeps_the_ties_of_who_is_left_out(self) -> None:
        bench = Bench()
        family = [pupil(name, contacts=[parent(f"{name}-mor")]) for name in FIVE]
        bench.take(*family, head=at(0))
        rolled = replace(at(1), sources=(ImportSource("KMD", at(1).export_time, "2027/2028"),))
        assert bench.take(*pupils(*FIVE[1:]), head=rolled) == ("held", "school_year")
        (hold,) = bench.holds("open")
        assert set(FIVE) <= set(hold.people)
        bench.decide(hold.id, approve=True, only=["ane"])
        bench.apply_approved()
        assert {key[1] for key in bench.entities(Kind.GUARDIANSHIP)} == set(FIVE[1:])
        assert users(bench) == {*FIVE[1:], *(f"{name}-mor" for name in FIVE[1:])}

    def test_of_a_school_year_moves_everyone_who_stays(self, bench: Bench) -> None:
        rolled = replace(at(1), sources=(ImportSource("KMD", at(1).export_time, "2027/2028"),))
        assert bench.take(*(pupil(name, "2A") for name in FIVE[2:]), head=rolled) == ("held", "school_year")
        bench.decide(bench.holds("open")[0].id, approve=True, only=["ane"])
        bench.apply_approved()
        classes = {(key[2], key[1]) for key in bench.entities(Kind.MEMBERSHIP)}
        assert classes == {("bo", "1A"), ("carl", "2A"), ("dorte", "2A"), ("erik", "2A")}

    def test_with_a_stranger_is_refused(self, bench: Bench) -> None:
        number = held(bench, pupil("ane"))
        with pytest.raises(NotAllowed, match="gerda is not among"):
            bench.decide(number, approve=True, only=["bo", "gerda"])
        assert bench.holds("open")[0].approvals == ()

    def test_of_everyone_is_the_whole(self, bench: Bench) -> None:
        bench.decide(held(bench, pupil("ane")), approve=True, only=FIVE[1:])
        bench.apply_approved()
        assert users(bench) == {"ane"}


class TestFourEyes:
    RULE = Rule(people_needed=2)

    def test_are_needed_before_anything_goes(self, bench: Bench) -> None:
        number = held(bench, pupil("ane"))
        bench.decide(number, approve=True, by="anna", rule=self.RULE)
        assert bench.apply_approved() == 0
        bench.decide(number, approve=True, by="bent", rule=self.RULE)
        assert bench.apply_approved() == 1
        assert users(bench) == {"ane"}
        told = [(row["kind"], row["by"]) for row in bench.audit() if row["kind"].startswith("hold.approv")]
        assert told == [("hold.approval", "anna"), ("hold.approved", "bent")]

    def test_are_not_those_of_one_person_twice(self, bench: Bench) -> None:
        number = held(bench, pupil("ane"))
        bench.decide(number, approve=True, by="anna", rule=self.RULE)
        with pytest.raises(NotAllowed, match="2 different people"):
            bench.decide(number, approve=True, by="anna", rule=self.RULE)

    def test_must_see_the_same_part(self, bench: Bench) -> None:
        number = held(bench, pupil("ane"))
        bench.decide(number, approve=True, by="anna", only=["bo"], rule=self.RULE)
        bench.decide(number, approve=True, by="bent", rule=self.RULE)
        assert bench.apply_approved() == 0

    def test_count_by_part_and_nobody_undoes_what_another_said(self, bench: Bench) -> None:
        number = held(bench, pupil("ane"))
        bench.decide(number, approve=True, by="anna", only=["bo"], rule=self.RULE)
        bench.decide(number, approve=True, by="bent", rule=self.RULE)
        assert [(one.by, one.only) for one in bench.holds("open")[0].approvals] == [
            ("anna", ("bo",)),
            ("bent", None),
        ]
        bench.decide(number, approve=True, by="carla", only=["bo"], rule=self.RULE)
        bench.apply_approved()
        assert users(bench) == set(FIVE) - {"bo"}

    def test_are_needed_too_of_what_was_approved_while_one_person_was_enough(self, bench: Bench) -> None:
        number = held(bench, pupil("ane"))
        bench.decide(number, approve=True, by="anna")
        bench.policy = replace(bench.policy, people_needed=2)
        assert bench.apply_approved() == 0
        assert users(bench) == set(FIVE)
        assert [one.by for one in bench.holds("open")[0].approvals] == ["anna"]
        assert bench.audit()[-1].items() >= {"kind": "hold.approval_expired", "hold": number}.items()
        bench.decide(number, approve=True, by="bent", rule=self.RULE)
        assert bench.apply_approved() == 1

    def test_of_which_one_is_too_old_by_now_are_not_enough(self, bench: Bench) -> None:
        bench.policy = replace(bench.policy, people_needed=2)
        number = held(bench, pupil("ane"))
        bench.decide(number, approve=True, by="anna", rule=self.RULE)
        bench.clock.forward(hours=20)
        bench.decide(number, approve=True, by="bent", rule=self.RULE)
        bench.clock.forward(hours=5)
        assert bench.apply_approved() == 0
        assert [(hold.state, [one.by for one in hold.approvals]) for hold in bench.holds()] == [("open", ["bent"])]

    def test_of_a_whole_snapshot_are_needed_too_where_its_policy_is_its_own(self, bench: Bench) -> None:
        strict = replace(bench.policy, people_needed=2)
        bench.policy = replace(bench.policy, institutions={SCHOOL: strict})
        bench.decide(held(bench, group("1A")), approve=True, by="anna")
        assert bench.apply_approved() == 0

    def test_of_yesterday_do_not_count(self, bench: Bench) -> None:
        number = held(bench, pupil("ane"))
        bench.decide(number, approve=True, by="anna", rule=self.RULE)
        bench.clock.forward(hours=25)
        bench.decide(number, approve=True, by="bent", rule=self.RULE)
        assert bench.apply_approved() == 0

    def test_that_saw_other_people_do_not_count(self, bench: Bench) -> None:
        """Tomorrow's snapshot lacks somebody more: that is another question."""
        number = held(bench, pupil("ane"), pupil("bo"))
        bench.decide(number, approve=True, by="anna", rule=self.RULE)
        other = held(bench, pupil("ane"), head=at(2))
        with pytest.raises(NotOpen):
            bench.decide(number, approve=True, by="bent", rule=self.RULE)
        bench.decide(other, approve=True, by="bent", rule=self.RULE)
        assert bench.apply_approved() == 0


class TestASupersededHold:
    def test_comes_of_a_good_snapshot_of_the_institution(self, bench: Bench) -> None:
        number = held(bench, pupil("ane"))
        bench.take(*pupils(*FIVE, "frida"), head=at(2))
        assert [(hold.id, hold.state) for hold in bench.holds()] == [(number, "superseded")]

    def test_comes_of_the_recorded_snapshot_seen_again(self, bench: Bench) -> None:
        """A glitch is over when the source shows again what it showed before."""
        held(bench, group("1A"))
        assert bench.take(*pupils(*FIVE), head=at(0)) == ("unchanged", None)
        assert bench.holds("open") == []

    def test_does_not_come_of_another_institutions_snapshot(self, bench: Bench) -> None:
        held(bench, pupil("ane"))
        bench.take(pupil("x"), head=at(2, OTHER_SCHOOL), expected=OTHER_SCHOOL)
        assert len(bench.holds("open")) == 1

    def test_is_opened_anew_when_its_snapshot_comes_back(self, bench: Bench) -> None:
        held(bench, group("1A"), head=at(1))
        bench.take(*pupils(*FIVE, "frida"), head=at(2))
        assert bench.take(group("1A"), head=at(3)) == ("held", "empty")
        assert len(bench.holds("open")) == 1


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
