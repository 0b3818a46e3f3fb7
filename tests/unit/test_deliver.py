"""Due deliveries go out once each, in order, written down before they leave, whatever the target does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest

from bridge.connector import Capabilities, Command
from bridge.domain.changes import Operation
from bridge.domain.errors import ContractBroken, TargetUnauthorised, TargetUnavailable
from bridge.domain.outcomes import Deferred, Delivered, Outcome, Rejected, Unchanged
from bridge.engine.guard import GuardPolicy
from bridge.ports import Delivery
from tests.support.deliveries import ANE, AWAY, BO, CLASS, later, told
from tests.support.engine import (
    MORNING,
    TARGET,
    Bench,
    FakeTarget,
    group,
    parent,
    person_id,
    pupil,
    teacher,
)

USERS = tuple(f"p{number}" for number in range(9))
STUCK = sorted(map(person_id, USERS))[3]

# ---------------------------------------------------------------- what goes out


class TestOrder:
    def test_persons_go_before_the_groups_that_refer_to_them(self, bench: Bench) -> None:
        assert [c.resource for c in bench.drain()] == ["User", "User", "Group"]

    def test_deletions_go_last_and_groups_before_persons(self, settled: Bench) -> None:
        later(settled, group("1B"), pupil("carl", "1B"))
        sent = settled.drain()
        assert told(sent[:2]) == [("created", "User", "carl"), ("created", "Group", "1B")]
        assert [c.resource for c in sent[2:]] == ["Group", "User", "User"]
        assert {c.operation for c in sent[2:]} == {Operation.DELETED}

    def test_a_batch_is_as_long_as_the_target_can_take(self) -> None:
        bench = Bench(capabilities=Capabilities(max_batch=2))
        bench.take(*map(pupil, ["ane", "bo", "carl"]))
        bench.drain()
        assert [len(batch) for batch in bench.target.batches] == [2, 1, 1]

    def test_a_batch_never_mixes_what_depends_on_each_other(self, bench: Bench) -> None:
        bench.drain()
        assert all(len({c.resource for c in batch}) == 1 for batch in bench.target.batches)


class TestACommand:
    def test_of_a_creation_holds_the_body_that_the_mapping_makes(self, bench: Bench) -> None:
        (ane,) = [c for c in bench.drain() if c.id == ANE]
        assert ane.document == {"userName": "ane", "givenName": "Ane", "familyName": "Holm"}
        assert (ane.operation, ane.previous, ane.remote_id) == (Operation.CREATED, None, None)
        assert ane.identity == {"id": ANE, "user_id": "ane"}

    def test_of_an_update_holds_what_was_confirmed_and_the_remote_id(self, settled: Bench) -> None:
        later(settled, group("1A"), pupil("ane", given_name="Anne"), pupil("bo"))
        (update,) = settled.drain()
        assert update.operation is Operation.UPDATED
        assert update.previous == {"userName": "ane", "givenName": "Ane", "familyName": "Holm"}
        assert update.document == {"userName": "ane", "givenName": "Anne", "familyName": "Holm"}
        assert update.remote_id is not None

    def test_of_a_deletion_holds_no_body_and_the_remote_id(self, settled: Bench) -> None:
        later(settled, group("1A"), pupil("bo"))
        (_, deletion) = settled.drain()
        assert (deletion.operation, deletion.document) == (Operation.DELETED, None)
        assert deletion.remote_id in ("remote-1", "remote-2")

    def test_of_a_retry_has_the_same_delivery_key_and_says_that_it_is_in_doubt(self, bench: Bench) -> None:
        bench.target.script = [AWAY]
        bench.deliver()
        bench.clock.forward(hours=1)
        bench.deliver()
        (first, *_), (again, *_) = bench.target.batches
        assert (first.id, first.delivery_key, first.in_doubt) == (again.id, again.delivery_key, False)
        assert again.in_doubt

    def test_of_the_next_step_has_another_delivery_key_and_a_higher_version(self, settled: Bench) -> None:
        first = next(c for c in settled.target.commands if c.id == ANE)
        later(settled, group("1A"), pupil("ane", given_name="Anne"), pupil("bo"))
        (update,) = settled.drain()
        assert update.delivery_key != first.delivery_key
        assert update.version > first.version

    def test_of_a_person_who_comes_back_is_a_creation_with_a_higher_version(self, settled: Bench) -> None:
        later(settled, group("1A"), pupil("bo"))
        gone = settled.drain()[-1]
        later(settled, group("1A"), pupil("ane"), pupil("bo"))
        back = settled.drain()[0]
        assert (back.operation, back.id, back.remote_id) == (Operation.CREATED, gone.id, None)
        assert back.version > gone.version


class TestNothing:
    def test_due_is_no_call(self, settled: Bench) -> None:
        settled.target.batches.clear()
        assert settled.deliver() == 0
        assert settled.target.batches == []

    def test_goes_out_for_a_change_that_the_mapping_does_not_show(self, settled: Bench) -> None:
        later(settled, group("1A"), pupil("ane", birth_date="2019-01-01"), pupil("bo"))
        assert settled.drain() == []

    def test_goes_out_for_a_person_who_does_not_go_there(self, settled: Bench) -> None:
        later(settled, group("1A"), pupil("ane", contacts=[parent("mor")]), pupil("bo"))
        assert settled.drain() == []

    def test_goes_out_when_what_was_to_come_is_gone_before_it_was_sent(self, bench: Bench) -> None:
        later(bench, group("1A"), pupil("bo"))
        assert ANE not in {c.id for c in bench.drain()}

    def test_goes_out_for_what_changed_and_changed_back(self, settled: Bench) -> None:
        later(settled, group("1A"), pupil("ane", given_name="Anne"), pupil("bo"))
        later(settled, group("1A"), pupil("ane"), pupil("bo"))
        assert settled.drain() == []

    def test_goes_out_twice_though_it_changed_twice(self, settled: Bench) -> None:
        later(settled, group("1A"), pupil("ane", given_name="Anne"), pupil("bo"))
        later(settled, group("1A"), pupil("ane", given_name="Anna"), pupil("bo"))
        (update,) = settled.drain()
        assert update.document is not None and update.document["givenName"] == "Anna"


# ---------------------------------------------------------------- outcomes of one entity


class TestRejected:
    @pytest.fixture
    def bench(self) -> Bench:
        bench = Bench(policy=GuardPolicy(100.0))
        bench.target.about[ANE] = Rejected("invalid", "userName")
        bench.take(pupil("ane"), teacher("bo"))
        bench.drain()
        return bench

    def test_stays_with_its_reason_and_does_not_stop_the_others(self, bench: Bench) -> None:
        assert (bench.delivery(ANE).state, bench.delivery(ANE).reason) == ("rejected", "invalid:userName")
        assert not bench.delivery(BO).is_due

    def test_is_not_tried_again_by_itself(self, bench: Bench) -> None:
        bench.clock.forward(days=30)
        assert ANE not in {c.id for c in bench.drain()}

    def test_is_tried_again_when_it_changes(self, bench: Bench) -> None:
        bench.target.about.clear()
        later(bench, pupil("ane", given_name="Anne"), teacher("bo"))
        assert told(bench.drain())[0] == ("created", "User", "ane")

    def test_is_tried_again_when_a_person_asks(self, bench: Bench) -> None:
        bench.target.about.clear()
        with bench.store.write() as uow:
            assert uow.retry_rejected(TARGET, [ANE], bench.clock.now()) == 1
        assert told(bench.drain())[0] == ("created", "User", "ane")

    def test_keeps_what_was_confirmed_before(self, bench: Bench) -> None:
        bench.target.about = {BO: Rejected("invalid")}
        later(bench, pupil("ane"), teacher("bo", given_name="Bjarne"))
        bench.drain()
        row = bench.delivery(BO)
        assert row.state == "rejected" and row.confirmed_body is not None
        assert msgspec.json.decode(row.confirmed_body)["givenName"] == "Bo"

    def test_is_over_when_the_entity_leaves(self, bench: Bench) -> None:
        later(bench, teacher("bo"))
        assert told(bench.drain()) == [("deleted", "Group", "1A")]
        assert not bench.delivery(ANE).is_due

    def test_is_no_failure_of_the_target(self, bench: Bench) -> None:
        assert (bench.target_state().failures, bench.diary.pauses) == (0, [])


class TestDeferred:
    def wait_of(self, bench: Bench, *answers: Outcome, chance: float = 0.5) -> timedelta:
        """How long the pupil waits after the last of these answers."""
        bench.chance = chance
        bench.take(pupil("ane"))
        for answer in answers:
            bench.target.about[ANE] = answer
            bench.clock.at = bench.delivery(ANE).next_attempt_at
            bench.deliver()
        return bench.delivery(ANE).next_attempt_at - bench.clock.at

    def test_waits_longer_each_time(self) -> None:
        waits = [self.wait_of(Bench(), *[Deferred("busy")] * times) for times in (1, 2, 3, 4)]
        assert waits == [timedelta(seconds=s) for s in (2.5, 5, 10, 20)]

    def test_waits_by_chance_between_nothing_and_the_ceiling(self) -> None:
        busy = [Deferred("busy")] * 4
        waits = [self.wait_of(Bench(), *busy, chance=chance) for chance in (0.1, 0.5, 0.9)]
        assert waits == [timedelta(seconds=s) for s in (4, 20, 36)]

    def test_waits_at_least_a_second(self) -> None:
        assert self.wait_of(Bench(), Deferred("busy"), chance=0.0) == timedelta(seconds=1)
        assert self.wait_of(Bench(), Deferred("busy", timedelta(0))) == timedelta(seconds=1)

    def test_waits_as_long_as_it_was_asked_to(self) -> None:
        assert self.wait_of(Bench(), Deferred("busy", timedelta(minutes=7))) == timedelta(minutes=7)

    def test_waits_no_longer_than_the_cap_whatever_it_was_asked_to(self) -> None:
        assert self.wait_of(Bench(), Deferred("busy", timedelta(days=9_999))) == timedelta(hours=1)

    def test_goes_out_again_when_its_time_has_come(self) -> None:
        bench = Bench()
        self.wait_of(bench, Deferred("busy"))
        bench.target.about.clear()
        assert ANE not in {c.id for c in bench.drain()}
        bench.clock.forward(hours=1)
        assert ANE in {c.id for c in bench.drain()}

    def test_counts_its_attempts_and_begins_anew_when_it_is_confirmed(self) -> None:
        bench = Bench()
        self.wait_of(bench, *[Deferred("busy")] * 3)
        assert bench.delivery(ANE).attempts == 3
        bench.target.about.clear()
        bench.clock.forward(hours=1)
        bench.drain()
        assert bench.delivery(ANE).attempts == 0

    def test_does_not_make_the_others_wait(self, bench: Bench) -> None:
        bench.target.about[ANE] = Deferred("busy")
        bench.drain()
        assert bench.delivery(BO).confirmed is not None

    def test_one_after_the_other_is_a_target_that_is_down(self) -> None:
        bench = Bench()
        bench.take(*(pupil(f"user{number}") for number in range(20)))
        bench.target.about = {person_id(f"user{number}"): Deferred("busy") for number in range(20)}
        bench.deliver()
        assert len(bench.target.reached) == 5
        assert bench.target_state().pause_reason == "many_deferred"
        assert [bench.delivery(c.id).in_doubt for c in bench.target.batches[0]].count(True) <= 6

    def test_keeps_a_paused_target_paused_and_costs_one_attempt_a_try(self) -> None:
        bench = Bench()
        bench.take(*(pupil(f"user{number}") for number in range(20)))
        bench.target.about = {person_id(f"user{number}"): Deferred("busy") for number in range(20)}
        bench.deliver()
        bench.clock.forward(seconds=5)
        assert bench.deliver() == 1
        assert bench.deliver() == 0
        assert bench.target_state().failures == 2
        assert sum(bench.delivery(person_id(f"user{number}")).attempts for number in range(20)) == 6


class TestUnchanged:
    def test_confirms_as_delivered_does(self, bench: Bench) -> None:
        bench.target.about[ANE] = Unchanged("remote-9", "etag-9")
        bench.drain()
        row = bench.delivery(ANE)
        assert (row.is_due, row.remote_id, row.etag) == (False, "remote-9", "etag-9")

    def test_of_a_deletion_ends_it(self, settled: Bench) -> None:
        settled.target.about[ANE] = Unchanged()
        later(settled, group("1A"), pupil("bo"))
        settled.drain()
        row = settled.delivery(ANE)
        assert (row.is_due, row.remote_id, row.confirmed_body) == (False, None, None)


# ---------------------------------------------------------------- the target as a whole


class TestUnauthorised:
    def test_pauses_the_target_at_the_first_command(self, bench: Bench) -> None:
        bench.target.script = [TargetUnauthorised("401")]
        bench.deliver()
        assert bench.deliver() == 0
        assert len(bench.target.reached) == 1
        assert bench.target_state().pause_reason == "unauthorised"

    def test_spends_no_attempt_and_rejects_nobody(self, bench: Bench) -> None:
        bench.target.script = [TargetUnauthorised("401")]
        bench.deliver()
        assert [(bench.delivery(i).attempts, bench.delivery(i).state) for i in (ANE, BO)] == [(0, "pending")] * 2

    def test_is_over_when_one_command_gets_through(self, bench: Bench) -> None:
        bench.target.script = [TargetUnauthorised("401")]
        bench.deliver()
        bench.clock.forward(hours=2)
        bench.drain()
        assert (bench.target_state().failures, len(bench.diary.resumptions)) == (0, 1)


class TestUnavailableInTheMiddle:
    @pytest.fixture
    def bench(self) -> Bench:
        """Four pupils of whom the first is delivered and the second fails."""
        bench = Bench()
        bench.take(*map(pupil, ["ane", "bo", "carl", "dorte"]))
        bench.target.script = [Delivered("remote-1"), AWAY]
        bench.deliver()
        return bench

    def rows(self, bench: Bench) -> list[Delivery]:
        return [bench.delivery(command.id) for command in bench.target.batches[0]]

    def test_keeps_the_outcomes_before_it(self, bench: Bench) -> None:
        assert [row.confirmed is not None for row in self.rows(bench)] == [True, False, False, False]

    def test_spends_no_attempt(self, bench: Bench) -> None:
        assert {row.attempts for row in self.rows(bench)} == {0}

    def test_leaves_in_doubt_only_what_it_failed_at(self, bench: Bench) -> None:
        assert [row.in_doubt for row in self.rows(bench)] == [False, True, False, False]

    def test_leaves_everything_in_doubt_that_a_bulk_target_may_have_got(self) -> None:
        bench = Bench(capabilities=Capabilities(in_order=False))
        bench.take(*map(pupil, ["ane", "bo", "carl", "dorte"]))
        bench.target.script = [Delivered("remote-1"), AWAY]
        bench.deliver()
        assert [row.in_doubt for row in self.rows(bench)] == [False, True, True, True]

    def test_pauses_the_target(self, bench: Bench) -> None:
        assert bench.deliver() == 0
        state = bench.target_state()
        assert (state.failures, state.pause_reason) == (1, "status_503")
        assert state.paused_until is not None and state.paused_until > bench.clock.at

    def test_is_followed_by_one_single_command(self, bench: Bench) -> None:
        bench.clock.forward(hours=1)
        bench.drain()
        assert [len(batch) for batch in bench.target.batches[1:3]] == [1, 2]

    def test_pauses_again_and_longer_when_that_one_fails(self, bench: Bench) -> None:
        first = bench.target_state().paused_until
        assert first is not None
        bench.clock.forward(hours=1)
        bench.target.script = [AWAY]
        bench.deliver()
        again = bench.target_state().paused_until
        assert again is not None and again - bench.clock.at > first - MORNING

    def test_waits_as_long_as_the_target_asks_up_to_a_cap(self, bench: Bench) -> None:
        for asked, waited in [
            (timedelta(minutes=3), timedelta(minutes=3)),
            (timedelta(days=99), timedelta(hours=1)),
        ]:
            bench.clock.forward(hours=2)
            bench.target.script = [TargetUnavailable("status_429", asked)]
            bench.deliver()
            assert bench.target_state().paused_until == bench.clock.at + waited

    def test_waits_a_second_at_least_though_the_target_asks_for_none(self, bench: Bench) -> None:
        bench.clock.forward(hours=2)
        bench.target.script = [TargetUnavailable("status_503", timedelta(0))]
        bench.deliver()
        assert bench.deliver() == 0

    def test_loses_nothing(self, bench: Bench) -> None:
        bench.clock.forward(hours=1)
        bench.drain()
        bench.clock.forward(hours=1)
        bench.drain()
        assert {bench.delivery(command.id).is_due for command in bench.target.commands} == {False}


class TestOneEntityAtWhichTheTargetFailsEachTime:
    """As where a proxy answers 502 because the platform crashes on it, or a filter answers 403 to what it says."""

    @pytest.fixture(params=[AWAY, TargetUnauthorised("401"), ContractBroken("redirects")])
    def bench(self, request: pytest.FixtureRequest) -> Bench:
        made = Bench()
        made.take(group("1A"), *map(pupil, USERS))
        made.target.about[STUCK] = request.param
        return made

    def turn(self, bench: Bench, number: int = 30) -> None:
        for _ in range(number):
            bench.deliver()
            bench.clock.forward(hours=2)

    def test_does_not_stop_the_others(self, bench: Bench) -> None:
        self.turn(bench)
        assert {person_id(user) for user in USERS} - bench.target.documents.keys() == {STUCK}
        row = bench.delivery(STUCK)
        assert (row.is_due, row.in_doubt, row.state) == (True, True, "pending")

    def test_is_tried_on_and_arrives_when_it_is_taken(self, bench: Bench) -> None:
        self.turn(bench)
        bench.target.about.clear()
        self.turn(bench)
        assert STUCK in bench.target.documents
        assert bench.target_state().pause_reason is None

    def test_is_not_blamed_for_a_target_that_does_not_answer(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away() -> None:
            raise AWAY

        monkeypatch.setattr(bench.target, "probe", away)
        self.turn(bench)
        assert bench.delivery(STUCK).attempts == 0


class TestAConnectorThatBreaks:
    def test_sets_the_entity_aside_on_which_it_broke(self, bench: Bench) -> None:
        bench.target.about[ANE] = KeyError("a bug")
        bench.drain()
        assert (bench.delivery(ANE).state, bench.delivery(ANE).reason) == ("rejected", "connector_error")
        assert not bench.delivery(BO).is_due
        assert len(bench.diary.crashes) == 1

    def test_leaves_no_intent_open(self, bench: Bench) -> None:
        bench.target.about[ANE] = KeyError("a bug")
        bench.drain()
        with bench.store.read() as reader:
            assert reader.open_intents() == []

    def test_is_named_as_the_reason_for_what_was_not_sent(self, bench: Bench) -> None:
        bench.target.script = [KeyError("a bug")]
        bench.deliver()
        outcomes = [(r["outcome"], r["reason"]) for r in bench.audit() if "outcome" in r]
        assert outcomes == [("rejected", "connector_error"), ("not_sent", "connector_error")]

    def test_by_too_few_outcomes_is_not_called_without_end(self, bench: Bench) -> None:
        class Silent(FakeTarget):
            def apply(self, batch: Sequence[Command]) -> list[Outcome]:  # type: ignore[override]
                self.batches.append(list(batch))
                return []

        bench.target = Silent()
        for _ in range(20):
            bench.deliver()
        assert len(bench.target.batches) <= 3

    def test_by_its_protocol_pauses_the_target(self, bench: Bench) -> None:
        bench.target.script = [ContractBroken("no id")]
        bench.deliver()
        assert bench.target_state().pause_reason == "contract_broken"


# ---------------------------------------------------------------- doubt


class TestDoubt:
    def test_remains_when_the_process_dies_between_sending_and_knowing(self, bench: Bench) -> None:
        def die(batch: Sequence[Command]) -> None:
            raise KeyboardInterrupt

        bench.target.before = die
        with pytest.raises(KeyboardInterrupt):
            bench.deliver()
        assert bench.delivery(ANE).in_doubt and bench.delivery(ANE).is_due

    def test_makes_an_entity_due_though_it_should_be_as_it_was_confirmed(self, settled: Bench) -> None:
        later(settled, group("1A"), pupil("ane", given_name="Anne"), pupil("bo"))
        settled.target.script = [AWAY]
        settled.deliver()
        later(settled, group("1A"), pupil("ane"), pupil("bo"))
        assert settled.delivery(ANE).desired == settled.delivery(ANE).confirmed
        (again,) = settled.drain()
        assert (again.operation, again.in_doubt) == (Operation.UPDATED, True)
        assert again.document is not None and again.document["givenName"] == "Ane"

    def test_of_a_creation_makes_its_deletion_due(self, bench: Bench) -> None:
        bench.target.script = [AWAY]
        bench.deliver()
        doubtful = bench.target.reached[0]
        later(bench, group("1A"), pupil("carl"))
        sent = {c.id: c for c in bench.drain()}
        assert sent[doubtful.id].operation is Operation.DELETED
        assert len([c for c in sent.values() if c.operation is Operation.DELETED]) == 1

    def test_ends_with_any_outcome(self, bench: Bench) -> None:
        bench.target.script = [AWAY]
        bench.deliver()
        bench.clock.forward(hours=1)
        bench.drain()
        assert not any(bench.delivery(i).in_doubt for i in (ANE, BO, CLASS))
