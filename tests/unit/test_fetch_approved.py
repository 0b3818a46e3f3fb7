"""What a person approved is carried out once, from the stored bytes, unless something newer came."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.domain.entities import Kind
from tests.support.engine import MORNING, OTHER_SCHOOL, SCHOOL, Bench, group, pupil
from tests.support.fetch import FIVE, at, exported, groups, held, pupils, school_of_five, told_of, users


@pytest.fixture
def bench() -> Bench:
    """A school of five pupils."""
    return school_of_five()


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
