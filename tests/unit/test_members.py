"""Several processes on one state: who is there, who has been put out, and what is whose."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from bridge.domain.errors import StaleLease, StoreUnavailable
from bridge.engine.audit import AuditBook
from bridge.engine.members import Crew, Fenced, Passes, join, members, vacancies
from bridge.ports import Lease, Store, UnitOfWork
from bridge.testing.memory import MemoryStore
from tests.support.engine import TARGET, TOWN, Bench, group, person_id, pupil

TTL = timedelta(seconds=15)
INTAKES = {f"intake/{number}": "ingest" for number in range(6)}


@dataclass
class Town:
    """A store with processes that beat only when they are told to."""

    store: MemoryStore = field(default_factory=MemoryStore)
    seconds: float = 0.0

    def book(self, member: str = "") -> AuditBook:
        return AuditBook(b"key", "tests", lambda: datetime.fromisoformat("2026-08-11T06:00+00:00"), member=member)

    def crew(self, name: str, *roles: str, singles: dict[str, str] | None = None) -> Crew:
        member = join(self.store, name, roles or ("ingest",), TTL, self.book())
        crew = Crew(self.store, member, TTL, self.book(name), lambda: self.seconds, singles or INTAKES)
        crew.beat()
        return crew

    def silence(self, crew: Crew) -> None:
        """Let a process not have been heard of for longer than its lease."""
        with self.store.write() as uow:
            now = uow.store_time()
            uow.put_leases([Lease(crew.member.lease, crew.member.holder, crew.member.number, now - TTL)])


def owned(store: Store) -> dict[str, str]:
    with store.read() as reader:
        return {one.name.removeprefix("single/"): one.holder for one in reader.leases("single/") if one.holder}


def mine(crew: Crew) -> set[str]:
    return {name for name, holder in owned(crew.store).items() if holder == crew.member.id}


def may(crew: Crew, name: str) -> bool:
    with crew.single(name) as told:
        return told


class TestARoleThatNobodyHas:
    NEEDED = ("ingest", "deliver")

    def told(self, town: Town) -> list[str]:
        with town.store.read() as reader:
            return list(vacancies(reader, self.NEEDED))

    def test_is_told_with_what_is_not_done(self) -> None:
        town = Town()
        town.crew("a", "ingest", "web")
        (told,) = self.told(town)
        assert told.startswith("No process with the role deliver is there: nothing is sent to any target.")
        assert "skolebro run --role deliver" in told

    def test_is_told_as_soon_as_its_only_process_has_been_silent_for_too_long(self) -> None:
        town = Town()
        town.crew("a", "ingest")
        deliver = town.crew("b", "deliver")
        assert self.told(town) == []
        town.silence(deliver)
        assert len(self.told(town)) == 1

    def test_is_not_missed_where_another_has_it_or_nobody_needs_it(self) -> None:
        town = Town()
        town.crew("a", "ingest", "deliver")
        town.silence(town.crew("b", "publish", "deliver"))
        assert self.told(town) == []

    def test_is_one_word_where_all_processes_died(self) -> None:
        town = Town()
        town.silence(town.crew("a", "ingest", "deliver"))
        (told,) = self.told(town)
        assert told.startswith("No process of the bridge is there any more")

    def test_is_nobodys_trouble_where_none_was_started_or_all_left_in_good_order(self) -> None:
        town = Town()
        assert self.told(town) == []
        town.crew("a", "ingest").leave()
        assert self.told(town) == []


class TestWhatMustBeSingle:
    def test_the_first_has_all_of_its_roles(self) -> None:
        crew = Town().crew("a")
        assert crew.tend() == len(INTAKES)
        assert mine(crew) == set(INTAKES)
        assert all(may(crew, name) for name in INTAKES)

    def test_is_shared_fairly_with_who_comes_later(self) -> None:
        town = Town()
        first = town.crew("a")
        first.tend()
        second = town.crew("b")
        second.tend()
        first.tend()
        second.tend()
        assert (len(mine(first)), len(mine(second))) == (3, 3)
        assert not mine(first) & mine(second)
        assert not any(may(first, name) for name in mine(second))

    def test_is_not_taken_by_who_does_something_else(self) -> None:
        town = Town()
        other = town.crew("b", "deliver")
        assert other.tend() == 0
        assert town.crew("a").tend() == len(INTAKES), "a share is of those with the role"

    def test_is_not_let_go_in_the_middle_of_it(self) -> None:
        town = Town()
        first = town.crew("a")
        first.tend()
        last = max(INTAKES)
        with first.single(last):
            second = town.crew("b")
            first.tend()
            second.tend()
            assert last in mine(first)
        first.tend()
        second.tend()
        assert last in mine(second)

    def test_has_a_number_that_grows_with_each_hand(self) -> None:
        town = Town()
        first = town.crew("a")
        first.tend()
        first.leave()
        town.crew("b").tend()
        with town.store.read() as reader:
            assert {one.number for one in reader.leases("single/")} == {3}

    def test_is_free_at_once_when_somebody_leaves_in_good_order(self) -> None:
        town = Town()
        first, second = town.crew("a"), town.crew("b")
        first.tend()
        first.leave()
        second.tend()
        assert mine(second) == set(INTAKES)


class TestWhoIsSilent:
    def test_is_put_out_and_what_it_had_is_anothers(self) -> None:
        town = Town()
        first, second = town.crew("a"), town.crew("b")
        first.tend()
        Passes(Fenced(town.store, first.member), first.member).add(TOWN)
        assert TOWN in Passes(town.store, second.member)
        town.silence(first)
        second.tend()
        assert mine(second) == set(INTAKES)
        assert TOWN not in Passes(town.store, second.member)
        with town.store.read() as reader:
            assert [one.id for one in members(reader)] == ["b"]

    def test_finds_every_write_refused_before_it_is_done(self) -> None:
        town = Town()
        first, second = town.crew("a"), town.crew("b")
        town.silence(first)
        second.tend()
        entered: list[UnitOfWork] = []
        with pytest.raises(StaleLease, match="taken over"), Fenced(town.store, first.member).write() as uow:
            entered.append(uow)
        assert not entered
        for refused in (first.beat, first.tend, first.leave):
            with pytest.raises(StaleLease):
                refused()

    def test_is_no_member_again_under_its_old_name(self) -> None:
        town = Town()
        first = town.crew("a")
        town.silence(first)
        again = town.crew("a")
        assert again.member.number > first.member.number
        with pytest.raises(StaleLease), Fenced(town.store, first.member).write():
            pass
        with Fenced(town.store, again.member).write() as uow:
            uow.set_cursor("here", 1)

    def test_sends_nothing_once_its_time_is_over_whoever_noticed(self) -> None:
        town = Town()
        crew = town.crew("a")
        crew.require()
        town.seconds = TTL.total_seconds()
        with pytest.raises(StoreUnavailable, match="nothing was sent"):
            crew.require()
        crew.beat()
        crew.require()


def process(bench: Bench, name: str) -> Bench:
    """Another process beside a bench, on the same store and to the same target."""
    other = Bench(member=name)
    other.store, other.target, other.clock = bench.store, bench.target, bench.clock
    other.rendering = bench.rendering
    return other


class TestDeliveries:
    def test_are_claimed_by_one_and_sent_once(self) -> None:
        bench = Bench()
        bench.take(group("1A"), *(pupil(f"p{number}") for number in range(4)))
        one, two = process(bench, "one"), process(bench, "two")
        seen: list[int] = []
        bench.target.before = lambda batch: seen.append(two.deliver())
        one.deliver()
        assert seen == [0], "what one has claimed, and the lane after it, is nobody else's"
        bench.target.before = lambda batch: None
        two.drain()
        created = [command.id for command in bench.target.commands]
        assert len(created) == len(set(created))
        with bench.store.read() as reader:
            assert reader.delivery_counts(TARGET, bench.clock.at).due == 0

    def test_of_who_is_gone_are_tried_again_and_their_intents_closed(self) -> None:
        bench = Bench()
        bench.take(group("1A"), pupil("ane"))
        one, two = process(bench, "one"), process(bench, "two")
        with bench.store.write() as uow:
            uow.begin_attempts(TARGET, [person_id("ane")])
            uow.claim(TARGET, [person_id("ane")], "one")
            one.lane.book.write(uow, [{"kind": "disclosure.intent", "intent": "i-1"}])
        assert two.drain() == []
        with bench.store.write() as uow:
            uow.release_claims("one")
            assert two.book.close_open(uow, "two") == 0
            assert two.book.close_open(uow, "one") == 1
        assert person_id("ane") in {command.id for command in two.drain()}
