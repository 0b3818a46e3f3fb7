"""What would do much harm at a target waits for a person there too, and only that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.domain.changes import Operation
from bridge.domain.records import ImportSource
from bridge.engine.brake import AT_TARGETS
from bridge.engine.expect import expect_roll
from bridge.engine.guard import GuardPolicy, Limits
from bridge.engine.keep import keep, let_go
from bridge.engine.leavers import Leaving
from bridge.engine.reconcile_mend import resync
from bridge.ports import HELD, KEPT, ExpectedRoll, Hold, KeptPerson
from tests.support.engine import (
    PLATFORM,
    TARGET,
    TOWN,
    Bench,
    external,
    group,
    header,
    mapping_of,
    person_id,
    pupil,
)

TEN = tuple(f"p{number}" for number in range(10))
STRICT = replace(AT_TARGETS, min_deleted=3)
ENROLMENTS = (
    PLATFORM
    + """
  Enrolment:
    entity: membership
    fields: {id: {from: id}, user: {from: person, required: true}, class: {from: group, required: true}}
"""
)


def bench_of(target_policy: GuardPolicy = STRICT) -> Bench:
    """Ten pupils at the target, and an intake that lets everybody go."""
    bench = Bench(policy=GuardPolicy(max_deleted_percent=None, max_created_percent=None))
    bench.target_policy = target_policy
    bench.take(*map(pupil, TEN), head=header(at=bench.clock.at))
    bench.drain()
    return bench


def later(bench: Bench, *users: str) -> None:
    bench.clock.forward(hours=1)
    assert bench.take(*map(pupil, users), head=header(at=bench.clock.at)) == ("recorded", None)
    bench.drain()


def deleted(bench: Bench) -> set[str]:
    return {c.key[0] for c in bench.target.commands if c.operation is Operation.DELETED and c.kind == "person"}


def only_hold(bench: Bench) -> Hold:
    (hold,) = bench.holds("open")
    return hold


class TestDeletions:
    def test_below_the_limit_go(self) -> None:
        bench = bench_of()
        later(bench, *TEN[2:])
        assert deleted(bench) == {"p0", "p1"}
        assert bench.holds() == []

    def test_above_the_limit_wait_while_creates_and_updates_go_on(self) -> None:
        bench = bench_of()
        later(bench, *TEN[4:], "new")
        assert deleted(bench) == set()
        assert person_id("new") in bench.target.documents
        assert bench.delivery(person_id("p0")).reason == HELD

    def test_above_the_limit_are_asked_for_once(self) -> None:
        bench = bench_of()
        later(bench, *TEN[4:])
        for _ in range(5):
            bench.clock.forward(hours=2)
            bench.drain()
        hold = only_hold(bench)
        assert (hold.subject, hold.target, hold.reasons) == ("deletions", TARGET, ("target_shrinks",))
        assert (hold.people, hold.counts["person.deleted"], hold.counts["person.stored"]) == (TEN[:4], 4, 10)
        assert len(bench.holds()) == 1

    def test_of_people_who_stay_but_lose_the_role_that_the_mapping_wants_count_too(self) -> None:
        bench = bench_of()
        bench.clock.forward(hours=1)
        bench.take(*map(external, TEN[:4]), *map(pupil, TEN[4:]), head=header(at=bench.clock.at))
        bench.drain()
        assert deleted(bench) == set()
        assert (only_hold(bench).reasons, only_hold(bench).people) == (("target_shrinks",), TEN[:4])

    def test_below_the_limit_go_though_everything_is_to_be_sent_again(self) -> None:
        """After a resync nothing counted as being there: any number of deletions was too much of nothing."""
        bench = bench_of(replace(STRICT, min_deleted=2))
        renamed = [pupil(user, family_name="Ny") for user in TEN]
        bench.take(*renamed, head=header(at=bench.clock.at + timedelta(hours=1)))
        bench.drain()
        bench.target_policy = replace(bench.target_policy, max_updated=5)  # so that they wait to be sent again
        resync(bench.store, bench.book, TARGET, "anna", bench.clock.at)
        bench.take(*renamed[2:], head=header(at=bench.clock.at + timedelta(hours=2)))
        bench.drain()
        assert (deleted(bench), only_hold(bench).reasons) == ({"p0", "p1"}, ("target_rewritten",))

    def test_that_are_approved_go(self) -> None:
        bench = bench_of()
        later(bench, *TEN[4:])
        bench.decide(only_hold(bench).id, approve=True)
        assert bench.release() == 4
        bench.drain()
        assert deleted(bench) == set(TEN[:4])

    def test_that_are_approved_in_part_go_and_the_rest_waits_however_little_it_is(self) -> None:
        bench = bench_of()
        later(bench, *TEN[5:])
        bench.decide(only_hold(bench).id, approve=True, only=["p0"])
        bench.release()
        bench.clock.forward(hours=2)
        bench.drain()
        assert deleted(bench) == {"p0"}
        assert only_hold(bench).people == TEN[1:5]
        bench.decide(only_hold(bench).id, approve=True, only=["p1", "p2", "p3"])
        bench.release()
        for _ in range(3):
            bench.clock.forward(hours=2)
            bench.drain()
        assert deleted(bench) == {"p0", "p1", "p2", "p3"}
        assert only_hold(bench).people == ("p4",)
        bench.decide(only_hold(bench).id, approve=True)
        bench.release()
        bench.drain()
        assert deleted(bench) == set(TEN[:5])

    def test_that_one_person_approved_wait_where_two_are_needed_by_now(self) -> None:
        bench = bench_of()
        later(bench, *TEN[4:])
        bench.decide(only_hold(bench).id, approve=True, by="anna")
        bench.policy = replace(bench.policy, people_needed=2)
        assert bench.release() == 0
        bench.drain()
        assert deleted(bench) == set()
        assert [one.by for one in only_hold(bench).approvals] == ["anna"]

    def test_that_were_approved_too_long_ago_wait_on(self) -> None:
        bench = bench_of()
        later(bench, *TEN[4:])
        bench.decide(only_hold(bench).id, approve=True)
        bench.clock.forward(hours=25)
        assert bench.release() == 0
        assert only_hold(bench).approvals == ()

    def test_that_are_rejected_stay_and_are_not_asked_for_again(self) -> None:
        bench = bench_of()
        later(bench, *TEN[4:])
        bench.decide(only_hold(bench).id, approve=False)
        bench.clock.forward(hours=2)
        bench.drain()
        later(bench, *TEN[5:])
        bench.clock.forward(hours=2)
        bench.drain()
        assert deleted(bench) == {"p4"}
        assert bench.holds("open") == []

    def test_that_are_rejected_are_another_matter_when_who_came_back_leaves_again(self) -> None:
        """A no was kept for ever against whoever it once named, as long as it held for anybody else."""
        bench = bench_of()
        later(bench, *TEN[4:])
        bench.decide(only_hold(bench).id, approve=False)
        later(bench, TEN[0], *TEN[4:])
        bench.release()
        (hold,) = bench.holds("rejected")
        assert (hold.people, hold.counts["person.deleted"]) == (TEN[1:4], 3)
        bench.clock.forward(days=30)
        later(bench, *TEN[4:])
        assert deleted(bench) == {"p0"}

    def test_that_are_rejected_say_nothing_of_an_update_of_who_came_back(self) -> None:
        bench = bench_of(replace(STRICT, max_updated=5))
        later(bench, *TEN[4:])
        bench.decide(only_hold(bench).id, approve=False)
        bench.clock.forward(hours=1)
        bench.take(pupil("p0", given_name="Ny"), *map(pupil, TEN[4:]), head=header(at=bench.clock.at))
        assert "p0" in {c.key[0] for c in bench.drain()}

    def test_of_memberships_name_the_people_and_can_be_approved_in_part(self) -> None:
        """The hold named nobody: it could only be approved as a whole."""
        bench = Bench(mapping=mapping_of(ENROLMENTS), policy=GuardPolicy(max_deleted_percent=None))
        bench.target_policy = STRICT
        bench.take(group("1A"), group("Kor"), *(pupil(user, groups=["Kor"]) for user in TEN[:5]))
        bench.drain()
        bench.clock.forward(hours=1)
        bench.take(group("1A"), group("Kor"), *map(pupil, TEN[:5]), head=header(at=bench.clock.at))
        bench.drain()
        assert (only_hold(bench).people, only_hold(bench).counts["membership.deleted"]) == (TEN[:5], 5)
        bench.decide(only_hold(bench).id, approve=True, only=["p0"])
        assert bench.release() == 1
        assert [(c.operation, c.key[-1]) for c in bench.drain()] == [(Operation.DELETED, "p0")]
        assert only_hold(bench).people == TEN[1:5]

    def test_of_who_comes_back_are_over(self) -> None:
        bench = bench_of()
        later(bench, *TEN[4:])
        later(bench, *TEN)
        bench.clock.forward(hours=2)
        later(bench, *TEN[1:])
        assert deleted(bench) == {"p0"}
        assert [hold.state for hold in bench.holds()] == ["superseded"]

    def test_that_a_person_has_allowed_at_the_institution_are_not_asked_for_again(self) -> None:
        bench = bench_of()
        bench.policy = GuardPolicy()
        bench.clock.forward(hours=1)
        bench.take(*map(pupil, TEN[4:]), head=header(at=bench.clock.at))
        bench.decide(only_hold(bench).id, approve=True)
        bench.apply_approved()
        bench.drain()
        assert deleted(bench) == set(TEN[:4])
        assert bench.holds("open") == []


def test_people_who_are_kept_do_not_use_up_the_limit_until_they_are_let_go() -> None:
    """Each of them counted as a deletion that is due, for good."""
    bench = bench_of()
    for user in TEN[:2]:
        keep(bench.store, bench.book, KeptPerson(TOWN, user, None, "anna", bench.clock.at))
    later(bench, *TEN[2:])
    later(bench, *TEN[4:])
    assert (deleted(bench), bench.holds()) == ({"p2", "p3"}, [])
    later(bench, *TEN[6:])
    for user in TEN[:2]:
        let_go(bench.store, bench.book, TOWN, user, bench.clock.at)
    later(bench, *TEN[7:])
    assert only_hold(bench).people == ("p0", "p1", "p6")


class TestASleepersDeletion:
    """Whoever sleeps was counted when they were put to sleep: the deletion at the end is no new one."""

    def bench(self) -> Bench:
        bench = bench_of()
        bench.leaving = Leaving(timedelta(days=30), {"User": {"familyName": "-"}})
        return bench

    def test_is_not_counted_though_the_person_was_kept_meanwhile(self) -> None:
        bench = self.bench()
        for gone in (2, 4):
            later(bench, *TEN[gone:])
        for user in TEN[:4]:
            keep(bench.store, bench.book, KeptPerson(TOWN, user, None, "anna", bench.clock.at))
        bench.clock.forward(days=31)
        bench.drain()
        assert {bench.delivery(person_id(user)).reason for user in TEN[:4]} == {KEPT}
        for user in TEN[:4]:
            let_go(bench.store, bench.book, TOWN, user, bench.clock.at)
        bench.drain()
        assert (deleted(bench), bench.holds()) == (set(TEN[:4]), [])


class TestCreations:
    FEW = replace(AT_TARGETS, max_created=5)

    def test_of_a_first_run_are_never_held(self) -> None:
        bench = bench_of(self.FEW)
        assert len(bench.target.documents) == 11
        assert bench.holds() == []

    def test_above_an_absolute_limit_wait(self) -> None:
        bench = bench_of(self.FEW)
        later(bench, *TEN, *(f"new{number}" for number in range(6)))
        assert only_hold(bench).reasons == ("target_grows",)
        assert person_id("new0") not in bench.target.documents


class TestUpdates:
    def test_above_a_limit_wait(self) -> None:
        bench = bench_of(replace(AT_TARGETS, kinds={"person": Limits(max_updated_percent=50, min_updated=3)}))
        bench.clock.forward(hours=1)
        changed = [pupil(user, family_name="Ny") for user in TEN[:6]]
        bench.take(*changed, *map(pupil, TEN[6:]), head=header(at=bench.clock.at))
        bench.drain()
        assert only_hold(bench).reasons == ("target_rewritten",)


@pytest.mark.parametrize("is_approved", [True, False])
def test_a_mapping_that_a_person_allowed_to_empty_a_target_is_not_asked_for_again(*, is_approved: bool) -> None:
    bench = bench_of()
    bench.policy = GuardPolicy()
    bench.refresh(mapping_of(PLATFORM.replace("[student, employee]", "[employee]")))
    bench.decide(only_hold(bench).id, approve=is_approved)
    bench.refresh()
    bench.drain()
    assert deleted(bench) == (set(TEN) if is_approved else set())
    assert bench.holds("open") == []


def test_a_yes_to_updates_is_none_to_the_deletions_that_they_became() -> None:
    bench = bench_of(GuardPolicy(max_updated=5, max_deleted=5))
    bench.clock.forward(hours=1)
    renamed = [pupil(user, given_name="Ny") for user in TEN]
    assert bench.take(*renamed, head=header(at=bench.clock.at)) == ("recorded", None)
    bench.drain()
    number = only_hold(bench).id
    bench.clock.forward(hours=1)
    assert bench.take(pupil("zz"), head=header(at=bench.clock.at)) == ("recorded", None)
    bench.decide(number, approve=True)
    assert bench.release() == 0
    bench.clock.forward(hours=12)
    bench.drain()
    assert deleted(bench) == set()
    assert [hold.reasons for hold in bench.holds("open")] == [("target_shrinks",)]


def test_all_classes_of_one_school_do_not_go_because_their_words_changed() -> None:
    """Twenty of two hundred are little of the target, and nothing of them is gone from the source."""
    bench = Bench(mapping=mapping_of(PLATFORM.replace("entity: group", "entity: group\n    when: {level: '1'}")))
    for number in range(10):
        school = f"10{number:04}"
        head = header(school, at=bench.clock.at)
        bench.take(*(group(f"{each}", level="1") for each in range(20)), head=head, expected=school)
    bench.drain()
    assert len(bench.target.documents) == 200
    bench.clock.forward(hours=1)
    head = header("100000", at=bench.clock.at)
    assert (
        bench.take(*(group(f"{each}", level="2") for each in range(20)), head=head, expected="100000")[0]
        == "recorded"
    )
    bench.drain()
    assert len(bench.target.documents) == 200
    assert only_hold(bench).reasons == ("target_shrinks",)


def test_a_school_year_that_may_begin_is_not_held_at_the_target_for_being_most_of_a_small_school() -> None:
    bench = Bench()
    others = (pupil(f"o{number}") for number in range(300))
    bench.take(*others, head=header("100000", at=bench.clock.at), expected="100000")

    def year(users: Iterable[str], told: str) -> tuple[str, str | None]:
        bench.clock.forward(hours=1)
        head = replace(header(at=bench.clock.at), sources=(ImportSource("KMD", bench.clock.at, told),))
        return bench.take(*map(pupil, users), head=head)

    everyone = [f"a{number}" for number in range(40)]
    year(everyone, "2026/2027")
    bench.drain()
    at = bench.clock.at
    expect_roll(bench.store, bench.book, ExpectedRoll(TOWN, "", at, at + timedelta(days=50), "anna", at))
    assert year(everyone[12:], "2027/2028") == ("recorded", None)
    bench.drain()
    assert deleted(bench) == set(everyone[:12])
    assert bench.holds("open") == []
