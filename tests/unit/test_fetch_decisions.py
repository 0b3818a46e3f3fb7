"""A person may reject a hold, or approve a part of it, and some holds need two people's word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.domain.entities import Kind
from bridge.domain.records import ImportSource
from bridge.engine.decide import NotAllowed, NotOpen, Rule
from tests.support.engine import OTHER_SCHOOL, SCHOOL, Bench, group, parent, pupil
from tests.support.fetch import FIVE, at, held, pupils, school_of_five, users


@pytest.fixture
def bench() -> Bench:
    """A school of five pupils."""
    return school_of_five()


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

    @pytest.mark.parametrize("is_rejected", [True, False])
    def test_of_deletions_is_no_weaker_for_a_snapshot_that_only_waits(
        self, bench: Bench, *, is_rejected: bool
    ) -> None:
        """What is held says nothing yet: neither that they are back nor, later, that they may go."""
        bench.decide(held(bench, pupil("ane")), approve=False)
        number = held(bench, *pupils(*FIVE), head=at(-1))
        if is_rejected:
            bench.decide(number, approve=False)
        assert bench.take(pupil("ane"), pupil("frida"), head=at(2)) == ("recorded", None)
        assert users(bench) == {*FIVE, "frida"}

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

    def test_a_no_ends_what_others_have_said_yes_to_before(self, bench: Bench) -> None:
        number = held(bench, pupil("ane"))
        bench.decide(number, approve=True, by="anna", rule=self.RULE)
        bench.decide(number, approve=False, by="bent")
        bench.decide(number, approve=True, by="carla", rule=self.RULE)
        assert bench.apply_approved() == 0
        bench.decide(number, approve=True, by="anna", rule=self.RULE)
        assert bench.apply_approved() == 1

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
