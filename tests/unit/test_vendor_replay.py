"""A vendor may have its own told again, and by that passes nothing that a limit, a hold or a person stops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bridge.connector import Capabilities, Command, Deferred, Rejected
from bridge.domain.changes import Operation
from bridge.domain.errors import TargetUnavailable
from bridge.domain.ids import CanonicalId, TargetId
from bridge.engine.breaker import switch_off
from bridge.engine.reconcile_mend import resync
from bridge.engine.vendor_feed_cursor import AtLog
from bridge.engine.vendor_log import VendorLog
from bridge.engine.vendor_replay import MOST, NotYours, Replayed, Stopped, UnderWay, VendorReplay
from bridge.ports import GONE, GRACE, RETIRED, SHADOW
from tests.support.engine import MORNING, TARGET, Bench, mapping_of, person_id, pupil
from tests.support.vendors import body_of, log_and_replays, vendor_feed

PEOPLE = """
mapping: test/people
purpose: Books
resources:
  person:
    entity: person
    when: {kinds: student}
    fields:
      name: {from: given_name, purpose: shown}
      email: {from: email, purpose: messages}
"""
ANNA, BO = CanonicalId(person_id("anna")), CanonicalId(person_id("bo"))


class World:
    """A vendor's target, which confirms what it is sent, and the vendor that asks for it once more."""

    def __init__(self, **how: Any) -> None:
        self.bench = Bench(
            mapping=mapping_of(PEOPLE), capabilities=Capabilities(references="canonical", max_batch=50), **how
        )
        self.bench.vendor = "books"
        self.bench.policy = replace(self.bench.policy, deletion_grace=timedelta(0))

    def replays(self, vendor: str = "books", per_minute: int = 60) -> VendorReplay:
        _, replays = log_and_replays(vendor_feed(self.bench), [self.bench.rendering], per_minute)
        return replace(replays, vendor=vendor)

    def replay(self, since: datetime | AtLog = MORNING, until: datetime | None = None) -> Replayed:
        return self.replays().replay(TARGET, since, until or self.bench.clock.at)

    def take(self, *pupils: Any) -> list[Command]:
        """One day of the school, told and confirmed."""
        self.bench.take(*pupils)
        told = self.bench.drain()
        self.bench.clock.forward(days=1)
        return told

    def drain(self) -> list[tuple[CanonicalId, Operation]]:
        """What goes out in the next day."""
        before = len(self.bench.target.commands)
        for _ in range(48):
            self.bench.drain()
            self.bench.clock.forward(minutes=30)
        return [(one.id, one.operation) for one in self.bench.target.commands[before:]]

    def replayed(self) -> list[dict[str, Any]]:
        return [one for one in self.bench.audit() if one["kind"] == "deliveries.replayed"]


@pytest.fixture
def world() -> World:
    return World()


class TestWhatIsToldAgain:
    def test_what_was_confirmed_comes_once_more_as_a_new_version_with_an_id_of_its_own(self, world: World) -> None:
        first = world.take(pupil("anna"), pupil("bo"))
        done = world.replay()
        assert (done.entities, done.deletions, done.at) == (2, 0, None)
        world.drain()
        again = world.bench.target.commands[len(first) :]
        assert {one.id for one in again} == {ANNA, BO}
        for old, new in zip(sorted(first, key=lambda c: c.id), sorted(again, key=lambda c: c.id), strict=True):
            assert new.version > old.version
            assert new.delivery_key != old.delivery_key
            assert new.document == old.document
        assert world.drain() == [], "once"

    def test_only_the_span_that_was_asked_for(self, world: World) -> None:
        world.take(pupil("anna"))
        world.take(pupil("anna"), pupil("bo"))
        world.take(pupil("anna"), pupil("bo"), pupil("carl"))
        done = world.replay(MORNING + timedelta(hours=20), MORNING + timedelta(hours=30))
        assert done.entities == 1
        assert [identity for identity, _ in world.drain()] == [BO]

    def test_what_was_confirmed_later_is_not_of_the_span_in_which_it_failed(self, world: World) -> None:
        world.bench.target.script = [Deferred("server_error_500")]
        world.take(pupil("anna"))
        world.drain()
        assert world.bench.delivery(ANNA).confirmed is not None
        assert world.replay(MORNING, MORNING + timedelta(hours=12)).entities == 0

    def test_what_another_target_of_the_vendor_confirmed_is_not_of_this_one(self, world: World) -> None:
        world.take(pupil("anna"))
        before = world.bench.rendering
        world.bench.rendering = replace(before, target=TargetId("101/other"))
        world.bench.refresh()
        assert len(world.bench.drain()) == 1
        world.bench.rendering = before
        world.bench.clock.forward(hours=1)
        assert world.replay(MORNING + timedelta(hours=12)).entities == 0

    def test_it_shows_what_may_be_shown_now(self, world: World) -> None:
        world.take(pupil("anna", given_name="Hemmelig", email="hemmelig@x.dk"))
        world.take(pupil("anna", given_name="Hemmelig", email="hemmelig@x.dk", protected=True))
        before = len(world.bench.target.commands)
        world.replay()
        world.drain()
        (again,) = world.bench.target.commands[before:]
        assert "emmelig" not in str((again.document, again.previous))

    def test_who_became_protected_after_the_replay_was_asked_for_is_masked(self, world: World) -> None:
        world.take(pupil("anna", given_name="Hemmelig"))
        before = len(world.bench.target.commands)
        world.replay()
        world.bench.take(pupil("anna", given_name="Hemmelig", protected=True))
        world.drain()
        assert not any("emmelig" in str((c.document, c.previous)) for c in world.bench.target.commands[before:])

    def test_a_changed_mapping_counts(self, world: World) -> None:
        world.take(pupil("anna"))
        world.bench.refresh(mapping_of(PEOPLE.replace("      email: {from: email, purpose: messages}\n", "")))
        world.drain()
        before = len(world.bench.target.commands)
        world.replay()
        world.drain()
        assert [set(one.document or {}) for one in world.bench.target.commands[before:]] == [{"name"}]

    def test_who_is_still_gone_is_told_as_gone_once_more(self, world: World) -> None:
        world.take(pupil("anna"), pupil("bo"))
        gone = world.take(pupil("bo"))
        assert [one.operation for one in gone] == [Operation.DELETED]
        done = world.replay()
        assert (done.entities, done.deletions) == (2, 1)
        assert [identity for identity, _ in world.drain()] == [BO, ANNA], "deletions come last"
        again = [one for one in world.bench.target.commands if one.operation is Operation.DELETED]
        assert [one.id for one in again] == [ANNA, ANNA]
        assert again[1].version > again[0].version
        assert again[1].delivery_key != again[0].delivery_key

    def test_who_came_back_is_told_as_there(self, world: World) -> None:
        world.take(pupil("anna"), pupil("bo"))
        world.take(pupil("bo"))
        world.take(pupil("anna"), pupil("bo"))
        done = world.replay()
        assert (done.entities, done.deletions) == (2, 0)
        assert Operation.DELETED not in [operation for _, operation in world.drain()]

    def test_who_comes_back_before_the_deletion_is_repeated_is_not_deleted(self, world: World) -> None:
        world.take(pupil("anna"), pupil("bo"))
        world.take(pupil("bo"))
        world.replay()
        world.bench.take(pupil("anna"), pupil("bo"))
        assert (ANNA, Operation.DELETED) not in world.drain()
        assert world.bench.target.documents.keys() == {ANNA, BO}

    def test_a_deletion_that_the_target_was_never_told_is_none(self, world: World) -> None:
        world.bench.take(pupil("anna"), pupil("bo"))
        world.bench.take(pupil("bo"))
        world.bench.drain()
        assert world.replay().deletions == 0

    def test_it_goes_out_little_by_little(self, world: World) -> None:
        world.take(*(pupil(f"p{n}") for n in range(30)))
        done = world.replays(per_minute=10).replay(TARGET, MORNING, world.bench.clock.at)
        assert done.ends == world.bench.clock.at + timedelta(minutes=3)
        before = len(world.bench.target.commands)
        counts = []
        for _ in range(4):
            world.bench.drain()
            counts.append(len(world.bench.target.commands) - before)
            world.bench.clock.forward(minutes=1)
        assert counts == [1, 11, 21, 30]

    def test_what_changes_meanwhile_does_not_wait_for_it(self, world: World) -> None:
        pupils = [pupil(f"p{n}") for n in range(30)]
        world.take(*pupils)
        world.replays(per_minute=1).replay(TARGET, MORNING, world.bench.clock.at)
        world.bench.take(*pupils, pupil("anna"))
        assert ANNA in [one.id for one in world.bench.drain()]

    def test_a_range_longer_than_one_replay_goes_on_where_it_ended(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert MOST == 5_000
        monkeypatch.setattr("bridge.engine.vendor_replay.MOST", 4)
        world.take(*(pupil(f"p{n}") for n in range(6)))
        first = world.replay()
        assert first.entities == 4
        assert first.at is not None
        world.drain()
        second = world.replay(first.at, MORNING + timedelta(hours=1))
        assert (second.entities, second.at) == (2, None)


class TestWhatItNeverPasses:
    def test_a_target_of_somebody_else_is_as_one_that_is_not_there(self, world: World) -> None:
        world.take(pupil("anna"))
        with pytest.raises(NotYours):
            world.replays().replay("101/other", MORNING, world.bench.clock.at)

    def test_what_the_target_confirmed_while_it_was_anothers_is_not_repeated(self, world: World) -> None:
        world.take(pupil("anna"))
        assert world.replays("films").replay(TARGET, MORNING, world.bench.clock.at).entities == 0

    @pytest.mark.parametrize(
        ("pause", "reason"),
        [(SHADOW, "shadow"), (RETIRED, "paused"), (GONE, "paused"), ("unauthorised", "paused")],
    )
    def test_a_target_that_gets_nothing(self, world: World, pause: str, reason: str) -> None:
        world.take(pupil("anna"))
        with world.bench.store.write() as uow:
            switch_off(uow, TARGET, pause)
        with pytest.raises(Stopped) as stopped:
            world.replay()
        assert stopped.value.reason == reason
        assert world.replayed() == []

    def test_a_target_whose_mapping_is_not_applied(self, world: World) -> None:
        world.take(pupil("anna"))
        world.bench.rendering = replace(
            world.bench.rendering, mapping=mapping_of(PEOPLE.replace("Books", "Other"))
        )
        with pytest.raises(Stopped, match="held"):
            world.replay()

    def test_a_target_at_which_a_person_is_asked(self, world: World) -> None:
        world.bench.target_policy = replace(world.bench.target_policy, min_deleted=1, max_deleted=2)
        world.take(*(pupil(f"p{n}") for n in range(10)))
        world.bench.policy = replace(world.bench.policy, min_deleted=100)
        world.bench.take(*(pupil(f"p{n}") for n in range(6)))
        world.bench.drain()
        assert [hold.state for hold in world.bench.holds()] == ["open"]
        with pytest.raises(Stopped, match="held"):
            world.replay()
        world.bench.decide(1, approve=False)
        assert world.replay().deletions == 0, "what a person said no to is not told"
        assert Operation.DELETED not in [operation for _, operation in world.drain()]

    def test_what_is_refused_or_on_its_way_stays_as_it_is(self, world: World) -> None:
        world.take(pupil("anna"), pupil("bo"), pupil("carl"))
        world.bench.target.about = {ANNA: Rejected("refused_422"), BO: Deferred("server_error_500")}
        world.take(pupil("anna", given_name="A"), pupil("bo", given_name="B"), pupil("carl"))
        rows = [world.bench.delivery(one) for one in (ANNA, BO)]
        assert world.replay().entities == 1
        assert [world.bench.delivery(one) for one in (ANNA, BO)] == rows

    def test_it_opens_no_hold_and_is_stopped_by_none(self, world: World) -> None:
        """What is repeated passed the limits when it was told first; it must not make others wait with it."""
        world.take(*(pupil(f"p{n}") for n in range(30)))
        world.bench.policy = replace(world.bench.policy, max_deleted_percent=None)
        world.bench.target_policy = replace(world.bench.target_policy, max_deleted_percent=None)
        world.take(*(pupil(f"p{n}") for n in range(3)))
        world.bench.target_policy = replace(
            world.bench.target_policy, max_deleted_percent=1.0, min_deleted=1, max_created=1, max_updated=1
        )
        assert world.replay().deletions == 27
        assert len(world.drain()) == 30
        assert world.bench.holds() == []

    @pytest.mark.parametrize("limits", [{"max_updated": 3}, {"max_updated": 3, "max_created": 3}])
    def test_what_changed_since_passes_every_limit_anew(self, world: World, limits: dict[str, int]) -> None:
        """It is an update, however the target was told of it last: no limit on creations lets it pass."""
        pupils = [pupil(f"p{n}") for n in range(6)]
        world.take(*pupils)
        world.bench.target_policy = replace(world.bench.target_policy, **limits)
        world.replay()
        world.bench.take(*(pupil(f"p{n}", given_name=f"New {n}") for n in range(6)))
        before = len(world.bench.target.commands)
        world.drain()
        assert world.bench.target.commands[before:] == []
        assert [hold.state for hold in world.bench.holds()] == ["open"]

    def test_no_limit_on_creations_stops_what_changed_since(self, world: World) -> None:
        world.take(*(pupil(f"p{n}") for n in range(6)))
        world.bench.target_policy = replace(world.bench.target_policy, max_created=3)
        world.replay()
        world.bench.take(*(pupil(f"p{n}", given_name=f"New {n}") for n in range(6)))
        assert {operation for _, operation in world.drain()} == {Operation.UPDATED}
        assert world.bench.holds() == []

    def test_it_is_told_as_an_update(self, world: World) -> None:
        world.take(pupil("anna"))
        world.replay()
        assert world.drain() == [(ANNA, Operation.UPDATED)]

    def test_what_leaves_meanwhile_does_not_wait_for_it(self, world: World) -> None:
        world.take(*(pupil(f"p{n}") for n in range(9)), pupil("anna"))
        world.replay()
        world.bench.clock.forward(minutes=30)
        world.bench.take(*(pupil(f"p{n}") for n in range(9)))
        assert world.drain()[0] == (ANNA, Operation.DELETED)

    def test_another_system_is_asked_about_while_all_is_told_again(self, world: World) -> None:
        world.take(pupil("anna"), pupil("bo"))
        world.replay()
        world.bench.rendering = replace(world.bench.rendering, system="elsewhere")
        assert not world.bench.refresh()
        assert world.drain() == []
        assert [hold.reasons for hold in world.bench.holds()] == [("other_system",)]


class TestWhatHappensWhileItIsOnItsWay:
    NAMES = tuple(f"p{n}" for n in range(30))

    def replayed(self, world: World, *, protected: bool = False, outcome: str = "unavailable") -> Command:
        """The first batch of a replay fails, and meanwhile the last one in it leaves, or becomes protected."""
        world.take(*(pupil(name, given_name="Hemmelig") for name in self.NAMES))
        world.replay()
        world.bench.clock.forward(minutes=5)
        sent: list[Command] = []

        def before(batch: Sequence[Command]) -> None:
            if sent:
                return
            sent.extend(batch)
            last = batch[-1].key[0]
            there = [name for name in self.NAMES if protected or name != last]
            world.bench.take(*(pupil(n, given_name="Hemmelig", protected=n == last) for n in there))
            if outcome == "unavailable":
                raise TargetUnavailable("server_error_503")
            world.bench.target.about = {one.id: Rejected("refused_422") for one in batch}

        world.bench.target.before = before
        world.bench.deliver()
        world.bench.target.about = {}
        return sent[-1]

    @pytest.mark.parametrize("outcome", ["unavailable", "rejected"])
    def test_who_leaves_meanwhile_is_deleted(self, world: World, outcome: str) -> None:
        gone = self.replayed(world, outcome=outcome)
        assert (gone.id, Operation.DELETED) in world.drain()
        assert gone.id not in world.bench.target.documents

    def test_who_becomes_protected_meanwhile_goes_before_all_others(self, world: World) -> None:
        hidden = self.replayed(world, protected=True)
        world.bench.clock.forward(hours=1)
        assert world.drain()[0] == (hidden.id, Operation.UPDATED)
        assert "Hemmelig" not in str(world.bench.target.documents[hidden.id])

    def test_who_becomes_protected_meanwhile_waits_for_no_mapping_that_is_held(self, world: World) -> None:
        hidden = self.replayed(world, protected=True)
        assert not world.bench.refresh(mapping_of(PEOPLE.replace("kinds: student", "kinds: employee")))
        world.bench.clock.forward(hours=1)
        assert world.drain() == [(hidden.id, Operation.UPDATED)]
        assert "Hemmelig" not in str(world.bench.target.documents[hidden.id])

    def test_why_somebody_waits_who_leaves_meanwhile_is_not_forgotten(self, world: World) -> None:
        world.bench.policy = replace(world.bench.policy, deletion_grace=timedelta(days=3))
        assert world.bench.delivery(self.replayed(world).id).reason == GRACE

    def test_a_protection_that_is_refused_is_told_to_a_person(self, world: World) -> None:
        world.take(pupil("anna"))
        world.replay()
        world.bench.target.about = {ANNA: Rejected("refused_422")}
        world.bench.take(pupil("anna", protected=True))
        world.drain()
        with world.bench.store.read() as reader:
            assert reader.delivery_counts(TARGET, world.bench.clock.at).exposed == 1

    def test_what_is_sent_again_later_passes_every_limit_anew(self, world: World) -> None:
        world.take(*(pupil(name) for name in self.NAMES))
        world.replay()
        world.drain()
        world.bench.target_policy = replace(world.bench.target_policy, max_updated=3)
        resync(world.bench.store, world.bench.book, TARGET, "eva", world.bench.clock.at)
        assert world.drain() == []
        assert [hold.state for hold in world.bench.holds()] == ["open"]


class TestOneAtATime:
    def test_another_waits_until_the_first_is_over(self, world: World) -> None:
        world.take(*(pupil(f"p{n}") for n in range(90)))
        first = world.replay()
        assert first.ends == world.bench.clock.at + timedelta(seconds=90)
        world.bench.clock.forward(seconds=89)
        with pytest.raises(UnderWay) as error:
            world.replay()
        assert error.value.ends == first.ends
        world.drain()
        assert world.replay().entities == 90

    def test_looking_for_nothing_takes_its_time_too(self, world: World) -> None:
        world.take(pupil("anna"))
        assert world.replay(world.bench.clock.at).entities == 0
        with pytest.raises(UnderWay):
            world.replay()

    def test_a_refusal_costs_no_turn(self, world: World) -> None:
        world.take(pupil("anna"))
        with pytest.raises(NotYours):
            world.replays().replay("101/other", MORNING, world.bench.clock.at)
        assert world.replay().entities == 1


class TestAudit:
    def test_it_is_written_down_who_asked_and_how_much_that_is(self, world: World) -> None:
        world.take(pupil("anna"), pupil("bo"))
        world.take(pupil("bo"))
        world.replay()
        (one,) = world.replayed()
        assert (one["vendor"], one["target"], one["entities"], one["deletions"]) == ("books", TARGET, 2, 1)
        assert person_id("anna") not in str(one)

    def test_it_is_in_the_log_and_so_is_what_it_sent(self, world: World) -> None:
        world.take(pupil("anna"))
        world.replay()
        world.drain()
        log = VendorLog("books", world.bench.store, world.bench.book)
        shown = body_of(log.page(AtLog(), 100))
        assert [one["kind"] for one in shown] == ["attempt", "replay", "attempt"]
        assert shown[1]["since"] == "2026-08-11T06:00:00Z"
        assert [one["entityversion"] for one in shown if one["kind"] == "attempt"] == [1, 2]

    def test_a_replay_of_nothing_is_none(self, world: World) -> None:
        world.take(pupil("anna"))
        world.replay(world.bench.clock.at)
        assert world.replayed() == []
