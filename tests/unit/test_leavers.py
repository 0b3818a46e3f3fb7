"""Who leaves one school is not gone: moves, sleeping accounts, people who are kept, and who comes back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.connector import Capabilities, Command
from bridge.domain.changes import Operation
from bridge.domain.entities import Phone
from bridge.domain.errors import ConfigError, SnapshotInvalid
from bridge.domain.outcomes import Unchanged
from bridge.domain.privacy import WITHHELD_NAME
from bridge.domain.records import Header, ImportSource
from bridge.engine.guard import GuardPolicy
from bridge.engine.keep import keep, let_go
from bridge.engine.leavers import Leaving
from bridge.engine.views import Scope
from bridge.ports import DEACTIVATED, GRACE, KEPT, KeptPerson, Subscription
from tests.support.deliveries import AWAY
from tests.support.engine import (
    OTHER_SCHOOL,
    PLATFORM,
    SCHOOL,
    TOWN,
    Bench,
    group,
    header,
    mapping_of,
    parent,
    person_id,
    pupil,
)

ANE = person_id("ane")
MONTH = timedelta(days=30)
ACTIVE = PLATFORM.replace("email: {from: email}", "email: {from: email}\n      active: {const: true}")
SLEEPS = {"User": {"active": False}}


def bench_of(*, grace_hours: int = 24, leaving: Leaving | None = None) -> Bench:
    """Two schools; ane and bo are pupils of the first, carl of the second, and everything is delivered."""
    bench = Bench(mapping=mapping_of(ACTIVE), policy=GuardPolicy(deletion_grace=timedelta(hours=grace_hours)))
    bench.leaving = leaving or Leaving()
    bench.take(pupil("ane"), pupil("bo"), head=header(at=bench.clock.at))
    at_other(bench, "carl")
    bench.drain()
    return bench


def at_first(bench: Bench, *users: str) -> list[Command]:
    bench.clock.forward(hours=1)
    assert bench.take(*map(pupil, users), head=header(at=bench.clock.at))[0] == "recorded"
    return bench.drain()


def at_other(bench: Bench, *users: str) -> list[Command]:
    bench.clock.forward(hours=1)
    head = header(OTHER_SCHOOL, at=bench.clock.at)
    assert bench.take(*map(pupil, users), head=head, expected=OTHER_SCHOOL)[0] == "recorded"
    return bench.drain()


def told_of(bench: Bench, user: str = "ane") -> list[Operation]:
    return [command.operation for command in bench.target.commands if command.id == person_id(user)]


class TestAMove:
    def test_that_the_old_school_tells_first_is_no_deletion(self) -> None:
        bench = bench_of()
        at_first(bench, "bo")
        bench.clock.forward(hours=12)
        at_other(bench, "ane", "carl")
        bench.clock.forward(days=3)
        bench.drain()
        assert Operation.DELETED not in told_of(bench)
        assert told_of(bench).count(Operation.CREATED) == 1

    def test_that_the_new_school_tells_first_is_no_deletion(self) -> None:
        bench = bench_of()
        at_other(bench, "ane", "carl")
        at_first(bench, "bo")
        bench.clock.forward(days=3)
        bench.drain()
        assert Operation.DELETED not in told_of(bench)
        assert told_of(bench).count(Operation.CREATED) == 1

    def test_keeps_the_remote_id(self) -> None:
        bench = bench_of()
        before = bench.delivery(ANE).remote_id
        at_first(bench, "bo")
        at_other(bench, "ane", "carl")
        assert bench.delivery(ANE).remote_id == before is not None


class TestALeaver:
    def test_stays_for_the_grace_and_then_goes(self) -> None:
        bench = bench_of()
        at_first(bench, "bo")
        bench.clock.forward(hours=23)
        assert bench.drain() == []
        at_first(bench, "bo")
        assert Operation.DELETED in [command.operation for command in at_other(bench, "carl")]

    def test_is_said_to_be_in_grace(self) -> None:
        bench = bench_of()
        at_first(bench, "bo")
        row = bench.delivery(ANE)
        assert (row.reason, row.next_attempt_at) == (GRACE, bench.clock.at + timedelta(hours=24))

    def test_leaves_the_groups_at_once(self) -> None:
        bench = bench_of()
        (changed,) = at_first(bench, "bo")
        assert (changed.resource, changed.operation) == ("Group", Operation.UPDATED)

    def test_without_a_grace_goes_at_once(self) -> None:
        bench = bench_of(grace_hours=0)
        at_first(bench, "bo")
        assert told_of(bench)[-1] is Operation.DELETED


class TestASleeper:
    """A leaver at a target that can put accounts to sleep."""

    @pytest.fixture
    def bench(self) -> Bench:
        bench = bench_of(leaving=Leaving(MONTH, SLEEPS))
        at_first(bench, "bo")
        bench.clock.forward(hours=49)
        return bench

    def test_is_put_to_sleep_first(self, bench: Bench) -> None:
        (command,) = bench.drain()
        assert (command.operation, command.document) == (
            Operation.UPDATED,
            {"userName": "ane", "givenName": "Ane", "familyName": "Holm", "active": False},
        )
        assert bench.delivery(ANE).reason == DEACTIVATED

    def test_is_deleted_when_the_retention_is_over(self, bench: Bench) -> None:
        bench.drain()
        bench.clock.forward(days=29)
        assert bench.drain() == []
        bench.clock.forward(days=2)
        assert [command.operation for command in bench.drain()] == [Operation.DELETED]

    def test_who_comes_back_wakes_up_under_the_same_remote_id(self, bench: Bench) -> None:
        bench.drain()
        asleep = bench.delivery(ANE).remote_id
        bench.clock.forward(days=20)
        at_first(bench, "ane", "bo")
        assert bench.target.documents[ANE]["active"] is True
        assert bench.delivery(ANE).remote_id == asleep
        assert told_of(bench) == [Operation.CREATED, Operation.UPDATED, Operation.UPDATED]

    def test_is_put_to_sleep_once_though_the_outcome_was_not_seen(self, bench: Bench) -> None:
        bench.target.script = [AWAY]
        bench.drain()
        bench.clock.forward(hours=1)
        bench.drain()
        assert bench.delivery(ANE).reason == DEACTIVATED
        assert Operation.DELETED not in told_of(bench)

    def test_must_not_come_into_being_by_being_put_to_sleep(self, bench: Bench) -> None:
        assert [command.may_create for command in bench.drain()] == [False]

    def test_whose_account_is_gone_already_is_gone_and_not_asleep(self, bench: Bench) -> None:
        bench.target.script = [Unchanged(is_gone=True)]
        bench.drain()
        row = bench.delivery(ANE)
        assert (row.confirmed, row.confirmed_body, row.remote_id, row.reason) == (None, None, None, None)
        bench.clock.forward(days=60)
        assert bench.drain() == []

    def test_whose_account_is_gone_already_is_made_anew_on_coming_back(self, bench: Bench) -> None:
        bench.target.script = [Unchanged(is_gone=True)]
        bench.drain()
        at_first(bench, "ane", "bo")
        assert told_of(bench) == [Operation.CREATED, Operation.UPDATED, Operation.CREATED]

    def test_that_is_asleep_there_already_is_deleted_when_the_retention_is_over(self, bench: Bench) -> None:
        bench.target.script = [Unchanged()]
        bench.drain()
        assert bench.delivery(ANE).reason == DEACTIVATED
        bench.clock.forward(days=31)
        assert [command.operation for command in bench.drain()] == [Operation.DELETED]


def test_a_protection_that_never_arrived_is_not_followed_by_the_old_name() -> None:
    """The target is away while somebody is protected and leaves: sleeping would repeat what it knows."""
    bench = bench_of(leaving=Leaving(MONTH, SLEEPS))
    bench.target.script = [AWAY]
    bench.clock.forward(hours=1)
    bench.take(pupil("ane", protected=True), pupil("bo"), head=header(at=bench.clock.at))
    bench.drain()
    sent = len(bench.target.reached)
    bench.clock.forward(seconds=1)
    bench.take(pupil("bo"), head=header(at=bench.clock.at))
    bench.clock.forward(days=2)
    bench.drain()
    commands = [c for c in bench.target.reached[sent:] if c.id == ANE]
    assert [c.operation for c in commands] == [Operation.DELETED]


class TestSomebodyWhoIsKept:
    def kept(self, bench: Bench, days: int | None) -> None:
        until = None if days is None else bench.clock.at + timedelta(days=days)
        keep(bench.store, bench.book, KeptPerson(TOWN, "ane", until, "anna", bench.clock.at))

    def test_stays_until_the_day_that_was_named(self) -> None:
        bench = bench_of()
        self.kept(bench, 10)
        at_first(bench, "bo")
        bench.clock.forward(days=9)
        assert bench.drain() == []
        assert bench.delivery(ANE).reason == KEPT
        bench.clock.forward(days=2)
        assert [command.operation for command in bench.drain()] == [Operation.DELETED]

    def test_for_good_stays_until_somebody_says_otherwise(self) -> None:
        bench = bench_of()
        self.kept(bench, None)
        at_first(bench, "bo")
        for _ in range(40):
            bench.clock.forward(days=10)
            assert bench.drain() == []
        assert let_go(bench.store, bench.book, TOWN, "ane", bench.clock.at)
        assert [command.operation for command in bench.drain()] == [Operation.DELETED]

    @pytest.mark.parametrize(
        ("user_id", "hint"),
        [("nosuch", ""), ("ANE ", "; there is ane: small and capital letters and blanks count")],
    )
    def test_is_nobody_whom_no_institution_ever_told_of(self, user_id: str, hint: str) -> None:
        bench = bench_of()
        with pytest.raises(ConfigError, match=f"nobody is known by that in municipality {TOWN}{hint}; nothing"):
            keep(bench.store, bench.book, KeptPerson(TOWN, user_id, None, "anna", bench.clock.at))
        with bench.store.read() as reader:
            assert reader.kept_people(TOWN) == []

    def test_may_be_somebody_whom_the_source_has_let_go(self) -> None:
        bench = bench_of()
        at_first(bench, "bo")
        self.kept(bench, None)
        bench.clock.forward(days=10)
        assert bench.drain() == []

    def test_is_written_into_the_audit_without_a_user_id(self) -> None:
        bench = bench_of()
        self.kept(bench, 10)
        told = bench.audit()[-1]
        assert (told["kind"], told["subject"]) == ("person.kept", bench.book.reference(ANE))
        assert "ane" not in str({name: value for name, value in told.items() if name != "actor"}.values())


class TestAProtection:
    def test_goes_before_everything_else_at_the_target(self) -> None:
        bench = bench_of()
        bench.clock.forward(hours=1)
        new = [pupil(f"new{number}") for number in range(60)]
        policy = bench.policy
        bench.policy = replace(policy, max_created_percent=None)
        bench.take(group("1A"), pupil("ane", protected=True), pupil("bo"), *new, head=header(at=bench.clock.at))
        bench.deliver()
        assert [command.key for command in bench.target.batches[-1]] == [("ane",)]

    def test_of_a_number_goes_first_too(self) -> None:
        bench = bench_of()
        bench.rendering = replace(
            bench.rendering,
            mapping=mapping_of(ACTIVE.replace("email: {from: email}", "phone: {from: mobile_phone.number}")),
        )
        bench.refresh()
        at = bench.clock.forward
        at(hours=1)
        bench.take(pupil("ane", mobile_phone=Phone("20202020")), pupil("bo"), head=header(at=bench.clock.at))
        bench.drain()
        at(hours=1)
        hidden = Phone("20202020", protected=True)
        bench.take(pupil("ane", mobile_phone=hidden), pupil("bo"), pupil("aage"), head=header(at=bench.clock.at))
        bench.deliver()
        assert [command.key for command in bench.target.batches[-1]] == [("ane",)]

    def test_stays_first_when_something_else_changes_before_it_is_sent(self) -> None:
        bench = bench_of()
        for fields in ({"protected": True}, {"protected": True, "alias_given_name": "Alias"}):
            bench.clock.forward(hours=1)
            bench.take(pupil("ane", **fields), pupil("bo"), pupil("aage"), head=header(at=bench.clock.at))
        bench.deliver()
        assert [command.key for command in bench.target.batches[-1]] == [("ane",)]
        assert SCHOOL in {key[0] for key in (command.key for command in bench.drain()) if len(key) > 1}


def test_a_target_that_cannot_put_to_sleep_is_told_to_delete() -> None:
    bench = bench_of(leaving=Leaving(MONTH, Capabilities().inactive))
    at_first(bench, "bo")
    bench.clock.forward(hours=49)
    assert [command.operation for command in bench.drain()] == [Operation.DELETED]


class TestAGraceThatRunsOut:
    """It was as long as the time between two nightly passes: one that began five minutes late deleted a mover."""

    def test_waits_for_the_pass_that_is_late(self) -> None:
        bench = bench_of()
        at_first(bench, "bo")
        at_other(bench, "carl")
        bench.clock.forward(hours=23, minutes=5)
        assert bench.drain() == []
        at_first(bench, "bo")
        at_other(bench, "ane", "carl")
        bench.clock.forward(days=3)
        bench.drain()
        assert told_of(bench) == [Operation.CREATED]

    def test_ends_when_each_school_has_spoken_once_more(self) -> None:
        bench = bench_of()
        at_first(bench, "bo")
        bench.clock.forward(hours=24)
        assert Operation.DELETED not in {c.operation for c in at_first(bench, "bo")}
        assert [c.operation for c in at_other(bench, "carl")] == [Operation.DELETED]

    def test_does_not_wait_for_a_silent_school_longer_than_as_much_again(self) -> None:
        bench = bench_of()
        at_first(bench, "bo")
        bench.clock.forward(hours=47)
        assert bench.drain() == []
        at_first(bench, "bo")
        assert told_of(bench)[-1] is Operation.DELETED

    def test_is_not_ended_by_a_failure_of_the_other_school(self) -> None:
        bench = bench_of()
        at_first(bench, "bo")
        bench.clock.forward(hours=25)
        bad = SnapshotInvalid("not_xml")
        bench.take(head=header(OTHER_SCHOOL, at=bench.clock.at), expected=OTHER_SCHOOL, refused=bad)
        at_first(bench, "bo")
        assert told_of(bench) == [Operation.CREATED]

    def test_ends_though_a_decision_was_the_last_that_happened_at_a_school(self) -> None:
        bench = bench_of()
        at_first(bench, "bo")
        bench.clock.forward(hours=20)
        at_other(bench, "carl")
        at_first(bench, "bo")
        with bench.store.write() as uow:  # what carries out approved deletions has no document
            uow.add_run(replace(uow.runs(1)[0], id="decided", digest=None, origin="hold 1"))
        bench.clock.forward(hours=2)
        bench.drain()
        assert told_of(bench)[-1] is Operation.DELETED

    def test_waits_for_no_school_whose_agreement_was_withdrawn(self) -> None:
        bench = bench_of()
        with bench.store.write() as uow:
            uow.put_subscriptions([Subscription(TOWN, OTHER_SCHOOL, "withdrawn", bench.clock.at)])
        at_first(bench, "bo")
        bench.clock.forward(hours=24)
        at_first(bench, "bo")
        assert told_of(bench)[-1] is Operation.DELETED

    def test_waits_for_no_school_that_the_target_does_not_see(self) -> None:
        bench = bench_of()
        bench.rendering = replace(bench.rendering, scope=Scope(TOWN, frozenset({SCHOOL})))
        bench.policy = replace(bench.policy, max_deleted_percent=None)
        assert bench.refresh()
        bench.drain()
        at_first(bench, "bo")
        bench.clock.forward(hours=24)
        at_first(bench, "bo")
        assert told_of(bench)[-1] is Operation.DELETED


def test_a_grace_does_not_end_while_the_snapshot_of_the_new_school_is_held() -> None:
    """The snapshot that names the mover waits for a person, over a weekend."""
    bench = bench_of()
    at_first(bench, "bo")
    bench.clock.forward(hours=20)
    at = bench.clock.at
    head = Header(OTHER_SCHOOL, "Skolen", at, (ImportSource("KMD", at, "2027/2028"),))
    assert bench.take(pupil("ane"), pupil("carl"), head=head, expected=OTHER_SCHOOL) == ("held", "school_year")
    bench.clock.forward(days=3)
    assert bench.drain() == []
    bench.decide(bench.holds("open")[0].id, approve=True)
    bench.apply_approved()
    bench.drain()
    bench.clock.forward(days=3)
    bench.drain()
    assert Operation.DELETED not in told_of(bench)
    assert told_of(bench).count(Operation.CREATED) == 1


class TestALeaverWhoIsProtectedElsewhere:
    """Ane leaves as a teacher, and is still the contact of a pupil at the other school, which says: protected."""

    def bench(self) -> Bench:
        bench = bench_of(leaving=Leaving(MONTH, SLEEPS))
        self.other(bench, protected=False)
        at_first(bench, "bo")
        return bench

    def other(self, bench: Bench, *, protected: bool) -> None:
        bench.clock.forward(hours=1)
        child = pupil("carl", contacts=[parent("ane", protected=protected)])
        bench.take(child, head=header(OTHER_SCHOOL, at=bench.clock.at), expected=OTHER_SCHOOL)

    def test_is_masked_at_once_and_has_the_rest_of_the_grace(self) -> None:
        bench = self.bench()
        before = len(bench.target.commands)
        self.other(bench, protected=True)
        bench.drain()
        assert [c.operation for c in bench.target.commands[before:] if c.id == ANE] == [Operation.UPDATED]
        assert bench.target.documents[ANE]["familyName"] == WITHHELD_NAME[1]
        assert bench.delivery(ANE).reason == GRACE

    def test_does_not_go_on_sleeping_under_the_name(self) -> None:
        bench = self.bench()
        bench.clock.forward(days=2)
        bench.drain()
        assert bench.delivery(ANE).reason == DEACTIVATED
        self.other(bench, protected=True)
        bench.drain()
        asleep = bench.target.documents[ANE]
        assert (asleep["familyName"], asleep["active"]) == (WITHHELD_NAME[1], False)
        bench.clock.forward(days=31)
        bench.drain()
        assert ANE not in bench.target.documents


def test_a_leaver_whose_protection_ends_with_their_leaving_has_the_same_grace() -> None:
    bench = Bench(policy=GuardPolicy(deletion_grace=timedelta(hours=24)))
    bench.take(pupil("ane", protected=True), pupil("bo"), head=header(at=bench.clock.at))
    bench.drain()
    assert ANE not in {command.id for command in at_first(bench, "bo")}
    assert bench.delivery(ANE).reason == GRACE
