"""What a target has otherwise is found and told, in its turn; nothing else is touched."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.domain.entities import Kind
from bridge.domain.errors import ConfigError, TargetUnavailable
from bridge.engine.asking import Stopped
from bridge.engine.reconcile import Reconciler, reconcile, shown
from bridge.engine.reconcile_mend import resync, to_resync
from bridge.ports import Delivery, Desired
from tests.support.engine import TARGET, Bench, group, pupil, teacher
from tests.support.reconcile import ANE, BO, Held, Notes, Town, large_school, small_school, users


@pytest.fixture
def town() -> Town:
    return small_school()


@pytest.fixture
def large() -> Town:
    return large_school()


class TestReading:
    def test_finds_nothing_where_all_is_as_it_was_sent(self, town: Town) -> None:
        report = town.read("restore")
        assert (report.read, report.foreign, report.drift) == (4, 0, ())
        assert town.target_state().reconciled_at == report.at

    def test_tells_in_which_way_each_differs_and_changes_nothing(self, town: Town) -> None:
        town.platform.document(ANE)["familyName"] = "By Hand"
        town.platform.lose(BO)
        before = len(town.target.commands)
        report = town.read()
        assert shown(report.drift) == {"changed": 1, "missing": 1}
        assert town.drift()[ANE].fields == ("familyName",)
        assert (report.left, town.target_state().drifted) == (2, 2)
        assert len(town.target.commands) == before

    def test_counts_what_is_not_ours_and_never_touches_it(self, town: Town) -> None:
        hand_made = Held("User", None, dict(town.platform.document(ANE)))
        other = Held("User", "0f0e7a2b-5d0c-5b8e-9a3c-6f1f0a4d6b11", {"userName": "ane"})
        town.platform.holds |= {"by-hand": hand_made, "of-another": other}
        report = town.read("restore")
        assert (report.foreign, report.drift) == (2, ())
        assert {"by-hand", "of-another"} <= town.platform.holds.keys()

    def test_that_breaks_off_concludes_nothing(self, town: Town) -> None:
        town.platform.fails_after = 2
        with pytest.raises(TargetUnavailable):
            town.read("restore")
        assert (town.drift(), town.target_state().reconciled_at) == ({}, None)
        assert len(town.platform.holds) == 4

    def test_leaves_what_is_on_its_way(self, town: Town) -> None:
        town.platform.document(ANE)["familyName"] = "By Hand"
        town.take(group("1A"), pupil("ane", given_name="New"), pupil("bo"), teacher("tea"))
        report = reconcile(town.lane, "restore", town.notes)
        assert report is not None
        assert report.drift == ()

    def test_leaves_what_changed_here_meanwhile(self, town: Town) -> None:
        town.platform.lose(ANE)
        town.platform.while_read = lambda: town.take(
            group("1A"), pupil("ane", given_name="New"), pupil("bo"), teacher("tea")
        )
        report = reconcile(town.lane, "restore", town.notes)
        assert report is not None
        assert ANE not in {row.id for row in report.drift}

    def test_waits_for_a_mapping_that_is_not_applied(self, town: Town) -> None:
        town.rendering = replace(town.rendering, system="https://other.example")
        assert reconcile(town.lane, "restore", town.notes) is None
        assert town.platform.readings == 0

    def test_of_a_target_that_cannot_is_refused_in_words(self) -> None:
        with pytest.raises(ConfigError, match="cannot be read back"):
            reconcile(Bench().lane, "report", Notes())

    def test_can_be_stopped(self, town: Town) -> None:
        with pytest.raises(Stopped):
            reconcile(town.lane, "restore", town.notes, lambda: False)


class TestResync:
    def test_tells_all_and_says_so(self, town: Town) -> None:
        """A target that is sent only what differs must not take what was confirmed for what is there."""
        resync(town.store, town.book, TARGET, "anna", town.clock.at)
        assert {command.is_resent for command in town.drain()} == {True}
        town.take(group("1A"), pupil("ane", given_name="Ny"), pupil("bo"), teacher("tea"))
        assert {command.is_resent for command in town.drain()} == {False}

    def test_is_no_repeat_that_a_receiver_of_events_would_drop(self, town: Town) -> None:
        def keys() -> set[str]:
            resync(town.store, town.book, TARGET, "anna", town.clock.at)
            return {command.delivery_key for command in town.drain()}

        first, second = keys(), keys()
        assert len(first) == len(second) == 4
        assert first.isdisjoint(second)

    def test_forgets_nobody_who_leaves_before_it_is_sent(self, town: Town) -> None:
        resync(town.store, town.book, TARGET, "anna", town.clock.at)
        gone = next(iter(key for key in town.entities(Kind.PERSON)))
        with town.store.write() as uow:
            identity = town.rendering.scope.id(Kind.PERSON, gone)
            row = uow.delivery(TARGET, identity)
            assert row is not None
            uow.put_desired([replace_hash(row)], town.clock.at)
            after = uow.delivery(TARGET, identity)
        assert after is not None and after.is_due

    def test_announces_what_it_sends_though_something_was_never_confirmed(self, town: Town) -> None:
        town.take(group("1A"), pupil("ane"), pupil("bo"), pupil("new"), teacher("tea"))
        with town.store.read() as reader:
            announced = len(to_resync(reader, TARGET))
        assert announced == resync(town.store, town.book, TARGET, "anna", town.clock.now()) == 5
        assert len({command.id for command in town.drain()}) == announced

    def test_sends_everything_again_to_where_it_is(self, town: Town) -> None:
        places = set(town.platform.holds)
        assert resync(town.store, town.book, TARGET, "anna", town.clock.now()) == 4
        commands = town.drain()
        assert {command.id for command in commands} >= {ANE, BO}
        assert set(town.platform.holds) == places
        record = next(record for record in town.audit() if record["kind"] == "target.resync")
        assert (record["target"], record["by"], record["number"]) == (TARGET, "anna", 4)


def replace_hash(row: Delivery) -> Desired:
    """The row as it should be when its entity goes away."""
    return Desired(row.target, row.id, row.kind, row.key, row.institution, row.resource, row.rank, None)


class TestReconciler:
    @pytest.fixture
    def daily(self, town: Town) -> Reconciler:
        return Reconciler(town.lane, "restore", timedelta(hours=24))

    def test_reads_in_its_turn_and_not_after_each_start(self, town: Town, daily: Reconciler) -> None:
        assert [daily.step(town.notes) for _ in range(3)] == [1, 0, 0]
        assert Reconciler(town.lane, "restore", timedelta(hours=24)).step(town.notes) == 0
        town.clock.forward(hours=24)
        assert daily.step(town.notes) == 1

    def test_leaves_a_target_alone_that_pauses(self, town: Town, daily: Reconciler) -> None:
        with town.store.write() as uow:
            state = uow.target_state(TARGET)
            uow.put_target_state(replace(state, paused_until=town.clock.now() + timedelta(minutes=5)))
        assert daily.step(town.notes) == 0
        town.clock.forward(minutes=6)
        assert daily.step(town.notes) == 1

    def test_lets_deliveries_go_first(self, town: Town, daily: Reconciler) -> None:
        town.take(group("1A"), pupil("ane", given_name="New"), pupil("bo"), teacher("tea"))
        assert daily.step(town.notes) == 0
        town.drain()
        assert daily.step(town.notes) == 1

    def test_tells_a_failure_once_and_tries_later(self, town: Town, daily: Reconciler) -> None:
        town.platform.fails_after = 1
        for _ in range(10):
            daily.step(town.notes)
        assert (town.platform.readings, town.notes.unread_for) == (1, ["read_back_incomplete"])
        town.clock.forward(hours=1)
        daily.step(town.notes)
        assert (town.platform.readings, len(town.notes.unread_for)) == (2, 1)
        assert town.target_state().paused_until is None, "deliveries go on"
        town.platform.fails_after = None
        town.clock.forward(hours=1)
        assert daily.step(town.notes) == 1

    def test_reads_when_a_person_has_decided_though_it_never_reads_by_itself(self, large: Town) -> None:
        never = Reconciler(large.lane, "report", None)
        for identity in users(range(30)):
            large.platform.lose(identity)
        assert never.step(large.notes) == 0
        large.read("restore")
        large.decide(1, approve=True)
        large.clock.forward(minutes=10)
        assert never.step(large.notes) == 1
        large.drain()
        assert len(large.platform.holds) == 101
