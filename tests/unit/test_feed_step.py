"""A message of a feed is forgotten only after what it brought is committed, and none is lost or waits for ever."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.connector import Snapshot
from bridge.domain.entities import Kind
from bridge.domain.errors import ConfigError, SnapshotInvalid, SourceUnavailable, StoreUnavailable
from bridge.domain.records import Record
from bridge.engine.compact import compact
from bridge.engine.feed import Inlet, feed_step
from bridge.engine.guard import GuardPolicy
from bridge.ports import FEED, WHOLE, Feed, FeedMessage, Reader, Store, Subscription, UnitOfWork
from bridge.testing.memory_bus import MemoryBus
from bridge.testing.memory_feed import MemoryFeed, MemoryQueue
from tests.support.engine import MORNING, OTHER_SCHOOL, SCHOOL, STEADY, TOWN, Bench, FakeSource, header, pupil

XML, JSON = "application/xml", "application/json"
TOPIC = f"intake/{TOWN}"
AT_ONCE = 0.0


class ReadingSource(FakeSource):
    """A source by script that also reads its own documents when they come on another way."""

    def document(self, body: bytes, origin: str) -> Snapshot:
        known = {snapshot.body: snapshot.digest for snapshot in self.offered if isinstance(snapshot, Snapshot)}
        return Snapshot(body, known.get(body, "unknown"), origin)

    def parse(self, snapshot: Snapshot) -> Iterator[Record]:
        if snapshot.body not in self._documents:
            raise SnapshotInvalid("not_well_formed")
        return super().parse(snapshot)


class SubscribedSource(ReadingSource):
    """The same, asked institution by institution."""

    concurrency = 1

    def agreements(self) -> frozenset[str]:
        return frozenset()

    def fetch(self, institution: str) -> Snapshot:
        raise SourceUnavailable("never asked here")


class Town(Bench):
    """A municipality with a queue, and a bus that somebody listens to."""

    def __init__(self, source: ReadingSource | None = None, institutions: frozenset[str] | None = None) -> None:
        super().__init__(institutions=institutions, policy=GuardPolicy(max_deleted_percent=100.0))
        self.source: ReadingSource = source or ReadingSource()
        self.queue, self.bus = MemoryQueue(), MemoryBus()
        self.bus.wait(TOPIC, AT_ONCE)
        self.inlet = self.connected()

    def connected(self, feed: Feed | None = None) -> Inlet:
        return Inlet(feed or MemoryFeed(self.queue), self.intake, self.bus)

    def document(self, *records: Record, hours: int = 0, number: str = SCHOOL, **options: Any) -> bytes:
        """A document that the source can read."""
        at = MORNING + timedelta(hours=hours)
        return self.source.offer(*records, head=header(number, at=at), **options).body

    def send(self, body: bytes | dict[str, Any], content_type: str = XML, institution: str | None = None) -> None:
        whole = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.queue.send(whole, content_type if isinstance(body, bytes) else JSON, institution)

    def step(self) -> int:
        return feed_step(self.inlet, self.diary, AT_ONCE)

    def took(self, *message: Any, **options: Any) -> tuple[str, str | None]:
        """Send, take, and say how it ended."""
        self.send(*message, **options)
        assert self.step() == 1
        return self.diary.ends[-1]

    @property
    def dead(self) -> list[str]:
        return [reason for _, reason in self.queue.dead]

    @property
    def is_empty(self) -> bool:
        return self.step() == 0

    @property
    def is_nudged(self) -> bool:
        return self.bus.wait(TOPIC, AT_ONCE)

    def users(self) -> set[str]:
        return {key[0] for key in self.entities(Kind.PERSON)}

    def subscription(self, institution: str = SCHOOL) -> Subscription | None:
        with self.store.read() as reader:
            return next((row for row in reader.subscriptions(TOWN) if row.institution == institution), None)

    def subscribe(self, institution: str = SCHOOL, **fields: Any) -> None:
        with self.store.write() as uow:
            uow.put_subscriptions([Subscription(TOWN, institution, **fields)])


@pytest.fixture
def town() -> Town:
    return Town()


@pytest.fixture
def subscribed() -> Town:
    return Town(SubscribedSource(), frozenset({SCHOOL, OTHER_SCHOOL}))


class TestADocument:
    @pytest.mark.parametrize(
        ("institutions", "agreement", "end"),
        [
            (frozenset({SCHOOL}), "agreed", ("recorded", None)),
            (frozenset({SCHOOL}), None, ("recorded", None)),  # nothing is known yet
            (frozenset({SCHOOL}), "missing", ("refused", "institution_not_agreed")),
            (frozenset({SCHOOL}), "withdrawn", ("refused", "institution_not_agreed")),
            (None, "agreed", ("recorded", None)),
            (None, "withdrawn", ("refused", "institution_not_agreed")),
            (None, None, ("refused", "institution_not_agreed")),
            (frozenset({OTHER_SCHOOL}), "unused", ("held", "wrong_institution")),
        ],
    )
    def test_needs_an_agreement_where_the_source_knows_of_agreements(
        self, institutions: frozenset[str] | None, agreement: str | None, end: tuple[str, str | None]
    ) -> None:
        town = Town(SubscribedSource(), institutions)
        town.subscribe(agreement=agreement)
        assert town.took(town.document(pupil("ane"))) == end
        assert bool(town.users()) == (end[0] == "recorded")
        assert town.dead == ([end[1]] if end[0] == "refused" else [])

    def test_is_recorded_and_gone_from_the_queue(self, town: Town) -> None:
        assert town.took(town.document(pupil("ane"))) == ("recorded", None)
        assert town.users() == {"ane"}
        assert town.is_empty and not town.dead

    def test_is_acknowledged_only_after_the_commit(self, town: Town) -> None:
        seen: list[set[str]] = []
        letter = Letter(town.document(pupil("ane")), XML, on_end=lambda: seen.append(town.users()))
        town.inlet = town.connected(OneLetter(letter))
        town.step()
        assert (letter.end, seen) == ("done", [{"ane"}])

    def test_that_the_source_itself_brought_before_is_unchanged(self, town: Town) -> None:
        assert town.take(pupil("ane")) == ("recorded", None)
        assert town.took(town.document(pupil("ane"))) == ("unchanged", None)

    def test_that_is_held_is_gone_from_the_queue_and_kept_by_the_hold(self, town: Town) -> None:
        town.took(town.document(pupil("ane"), hours=2))
        older = town.document(pupil("bo"), hours=1)
        assert town.took(older) == ("held", "older")
        assert town.is_empty and not town.dead
        with town.store.read() as reader:
            assert reader.hold_body(town.holds("open")[0].id) == older

    def test_that_cannot_be_read_goes_to_the_dead_letters_with_the_code(self, town: Town) -> None:
        assert town.took(b"<broken") == ("refused", "not_well_formed")
        assert town.queue.dead == [(b"<broken", "not_well_formed")]

    def test_that_trips_over_a_bug_of_the_reader_stops_itself_only(self, town: Town) -> None:
        town.source.parse = _raise(ZeroDivisionError)  # type: ignore[method-assign] - the bug
        assert town.took(town.document(pupil("ane"))) == ("refused", "reader_error")
        del town.source.parse  # type: ignore[method-assign]
        assert town.took(town.document(pupil("bo"))) == ("recorded", None)
        assert town.dead == ["reader_error"]

    def test_that_trips_over_a_bug_of_ours_is_kept_as_a_dead_letter(self, town: Town) -> None:
        assert town.took(town.document(pupil("ane", given_name="\udcff"))) == ("failed", "engine_error")
        assert town.dead == ["engine_error"]

    def test_of_another_institution_than_its_header_says_is_held(self, town: Town) -> None:
        body = town.document(pupil("ane"))
        assert town.took(body, institution=OTHER_SCHOOL) == ("held", "wrong_institution")

    def test_with_a_header_that_is_no_institution_is_dead(self, town: Town) -> None:
        assert town.took(town.document(pupil("ane")), institution="Østre Skole") == (
            "refused",
            "institution_unreadable",
        )
        assert town.dead == ["institution_unreadable"]

    @pytest.mark.parametrize("declared", ["application/xml", "text/xml", "Text/XML; charset=utf-8"])
    def test_is_known_by_its_type(self, town: Town, declared: str) -> None:
        assert town.took(town.document(pupil("ane")), declared) == ("recorded", None)

    @pytest.mark.parametrize("begin", [b"<x>", b"  \r\n<x>", b"\xef\xbb\xbf<x>", b"\xef\xbb\xbf\n <x>"])
    def test_is_known_by_how_it_begins_where_its_type_says_nothing(self, town: Town, begin: bytes) -> None:
        assert town.took(begin, "application/octet-stream") == ("refused", "not_well_formed")

    def test_does_not_keep_the_log_from_being_compacted(self, town: Town) -> None:
        town.took(town.document(pupil("ane"), pupil("bo")))
        last, later = town.clock.at, town.clock.at + timedelta(days=1)
        found = compact(town.store, TOWN, later - last, later)
        assert (found.held_by, found.floor > 1) == (None, True)

    def test_is_not_given_back_to_the_source_which_never_had_it(self, town: Town) -> None:
        town.took(town.document(pupil("ane")))
        assert town.source.taken_digests == []


class TestANudge:
    @pytest.mark.parametrize(
        "told",
        [
            {"institution": SCHOOL},
            {"specversion": "1.0", "type": "changed", "source": "/x", "id": "1", "data": {"institution": SCHOOL}},
        ],
    )
    def test_makes_the_institution_wanted_and_wakes_the_intake(
        self, subscribed: Town, told: dict[str, Any]
    ) -> None:
        subscribed.send(told)
        subscribed.step()
        assert subscribed.subscription() == Subscription(TOWN, SCHOOL, wanted_at=MORNING)
        assert subscribed.is_nudged and subscribed.is_empty and not subscribed.dead

    def test_leaves_the_rest_of_the_subscription_as_it_is(self, subscribed: Town) -> None:
        subscribed.subscribe(agreement="agreed", failures=3, reason="timeout")
        subscribed.send({"institution": SCHOOL})
        subscribed.step()
        wanted = Subscription(TOWN, SCHOOL, agreement="agreed", failures=3, reason="timeout", wanted_at=MORNING)
        assert subscribed.subscription() == wanted

    def test_is_acknowledged_only_once_it_is_written_down(self, subscribed: Town) -> None:
        seen: list[Subscription | None] = []
        letter = Letter(b'{"institution":"101001"}', on_end=lambda: seen.append(subscribed.subscription()))
        subscribed.inlet = subscribed.connected(OneLetter(letter))
        subscribed.step()
        assert (letter.end, seen) == ("done", [Subscription(TOWN, SCHOOL, wanted_at=MORNING)])

    def test_that_comes_again_moves_the_wish_to_now(self, subscribed: Town) -> None:
        for _ in range(2):
            subscribed.clock.forward(minutes=1)
            subscribed.send({"institution": SCHOOL})
            subscribed.step()
        row = subscribed.subscription()
        assert row is not None and row.wanted_at == MORNING + timedelta(minutes=2)

    def test_for_an_institution_that_is_not_configured_is_dead(self, subscribed: Town) -> None:
        assert subscribed.took({"institution": "999999"}) == ("refused", "institution_not_configured")
        assert subscribed.dead == ["institution_not_configured"]
        assert subscribed.subscription("999999") is None and not subscribed.is_nudged

    @pytest.mark.parametrize(("agreement", "dead"), [("agreed", []), (None, ["institution_not_agreed"])])
    def test_where_all_are_configured_needs_an_agreement(self, agreement: str | None, dead: list[str]) -> None:
        town = Town(SubscribedSource())
        town.subscribe(WHOLE, asked_at=MORNING)
        town.subscribe(agreement=agreement)
        town.send({"institution": SCHOOL})
        town.step()
        assert town.dead == dead

    def test_before_anything_is_known_of_agreements_waits_for_the_first_pass(self) -> None:
        town = Town(SubscribedSource())
        town.send({"institution": SCHOOL})
        town.step()
        row = town.subscription()
        assert not town.dead and row is not None and row.wanted_at is not None

    @pytest.mark.parametrize("agreement", ["withdrawn", "missing"])
    def test_for_an_institution_whose_agreement_ended_is_dead(self, subscribed: Town, agreement: str) -> None:
        subscribed.subscribe(agreement=agreement)
        assert subscribed.took({"institution": SCHOOL}) == ("refused", "institution_not_agreed")
        assert subscribed.dead == ["institution_not_agreed"]

    def test_for_a_source_that_is_read_as_a_whole_just_wakes_the_intake(self, town: Town) -> None:
        town.send({"institution": SCHOOL})
        town.step()
        assert town.is_nudged and town.is_empty and not town.dead
        assert town.inlet.must_prove is False

    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"{}",
            b"[]",
            b"null",
            b'{"institution": 101001}',
            b'{"institution": "1010011"}',
            b'{"institution": "10 001"}',
            b'{"institution": ""}',
            b'{"data": "101001"}',
            b'{"institution": "\xff"}',
            b"[" * 60_000,
            b'{"institution": "101001", "filler": "' + b"x" * 70_000 + b'"}',
        ],
    )
    def test_that_names_no_institution_is_dead(self, subscribed: Town, body: bytes) -> None:
        assert subscribed.took(body, JSON) == ("refused", "nudge_unreadable")
        assert subscribed.dead == ["nudge_unreadable"]

    def test_is_known_by_how_it_begins_where_its_type_says_nothing(self, subscribed: Town) -> None:
        subscribed.send(b'\xef\xbb\xbf {"institution": "101001"}', "")
        subscribed.step()
        assert subscribed.is_nudged


class TestWhatNobodyCanUse:
    @pytest.mark.parametrize("body", [b"", b"hello", b"\x00\x01", b"%PDF-1.7"])
    def test_is_dead_and_leaves_a_run_that_says_so(self, town: Town, body: bytes) -> None:
        assert town.took(body, "application/octet-stream") == ("refused", "unknown_message")
        assert town.dead == ["unknown_message"]

    def test_is_told_too_when_the_feed_itself_refused_it(self, town: Town) -> None:
        town.inlet = town.connected(Refusing(SnapshotInvalid("too_large", "amqp:changes")))
        assert town.step() == 1
        (run,) = town.diary.runs
        assert (run.result, run.reason, run.origin) == ("refused", "too_large", "amqp:changes")

    @STEADY
    @given(body=st.binary(max_size=200), declared=st.sampled_from(["", XML, JSON, "text/plain", ";", "*/*"]))
    def test_ends_once_and_only_a_code_is_told_of_it(self, body: bytes, declared: str) -> None:
        town = Town(SubscribedSource(), frozenset({SCHOOL}))
        town.send(b"\x00" + body, declared)
        assert town.step() == 1 and town.is_empty
        codes = {"unknown_message", "not_well_formed", "nudge_unreadable"}
        assert set(town.dead) <= codes and len(town.dead) == 1


class TestTrouble:
    def test_with_the_store_puts_the_message_off_and_goes_on_to_the_loop(self, town: Town) -> None:
        faults = Faults(town.store, [None, "before"])  # the first writing is the proof
        town.store = faults
        town.inlet = town.connected()
        town.send(town.document(pupil("ane")))
        with pytest.raises(StoreUnavailable):
            town.step()
        assert town.step() == 1
        assert town.users() == {"ane"} and town.is_empty and not town.dead

    def test_with_the_store_never_spends_the_life_of_a_message(self, town: Town) -> None:
        """An outage of the store is longer than the number of times that a message may come back."""
        town.store = Faults(town.store, [None, *["before"] * 20])
        town.inlet = town.connected()
        town.send(town.document(pupil("ane")))
        for _ in range(20):
            with pytest.raises(StoreUnavailable):
                town.step()
        assert town.step() == 1
        assert town.users() == {"ane"} and not town.dead

    def test_after_the_commit_records_nothing_twice(self, town: Town) -> None:
        town.store = Faults(town.store, [None, None, "after"])  # the proof, the look for a digest, the record
        town.inlet = town.connected()
        town.send(town.document(pupil("ane")))
        with pytest.raises(StoreUnavailable):
            town.step()
        before = events(town)
        assert before and town.users() == {"ane"}
        assert town.step() == 1
        assert town.diary.ends[-1] == ("unchanged", None)
        assert events(town) == before and town.is_empty

    def test_with_the_broker_is_written_down_until_it_answers_again(self, town: Town) -> None:
        feed = town.inlet.feed
        town.inlet.feed = Refusing(SourceUnavailable("broker_refused: no"))
        for _ in range(3):
            with pytest.raises(SourceUnavailable):
                town.step()
        row = town.subscription(FEED)
        assert row is not None and (row.failures, row.reason) == (3, "broker_refused")
        town.inlet.feed = feed
        assert town.took(town.document(pupil("ane"))) == ("recorded", None)
        assert town.subscription(FEED) == Subscription(TOWN, FEED)

    def test_with_ending_a_message_gives_it_back(self, town: Town) -> None:
        letter = Clumsy(b"nonsense", "x/y")
        with pytest.raises(TypeError):
            feed_step(town.connected(OneLetter(letter)), town.diary, AT_ONCE)
        assert letter.ends == ["dead", "later"]

    def test_of_our_own_making_is_tried_again_and_set_aside_at_last(self, town: Town) -> None:
        town.source.document = _raise(ZeroDivisionError)  # type: ignore[method-assign] - the bug
        town.send(town.document(pupil("ane")))
        for _ in range(5):
            with pytest.raises(ZeroDivisionError):
                town.step()
        assert town.step() == 1
        assert town.dead == ["poison_message"]
        assert town.diary.ends == [("refused", "poison_message")]

    def test_with_the_broker_goes_on_to_the_loop(self, town: Town) -> None:
        town.inlet = town.connected(Refusing(SourceUnavailable("broker_unreachable: away")))
        with pytest.raises(SourceUnavailable):
            town.step()

    @STEADY
    @given(
        st.lists(
            st.tuples(st.integers(0, 4), st.lists(st.sampled_from([None, "before", "after"]), max_size=4)),
            max_size=6,
        )
    )
    def test_at_any_moment_ends_as_if_there_had_been_none(self, plan: list[tuple[int, list[str | None]]]) -> None:
        calm, rough = Town(), Town()
        peace = rough.store
        for hours, (pupils, faults) in enumerate(plan):
            people = [pupil(f"user{number}") for number in range(pupils + 1)]
            calm.took(calm.document(*people, hours=hours))
            rough.store = Faults(peace, faults.copy())
            rough.inlet = rough.connected()
            rough.send(rough.document(*people, hours=hours))
            settle(rough)
        assert rough.users() == calm.users()
        assert [event.type for event in events(rough)] == [event.type for event in events(calm)]
        assert not rough.dead


def test_a_source_that_cannot_read_documents_takes_no_feed() -> None:
    bench = Bench()
    with pytest.raises(ConfigError, match="cannot read export documents"):
        Inlet(MemoryFeed(MemoryQueue()), bench.intake, MemoryBus())


# ---------------------------------------------------------------- by hand


@dataclass
class Clumsy:
    """A message that cannot be put to the dead letters."""

    body: bytes
    content_type: str = ""
    origin: str = "by hand"
    ends: list[str] = field(default_factory=list)

    def done(self) -> None:
        self.ends.append("done")

    def dead(self, reason: str) -> None:
        self.ends.append("dead")
        raise TypeError

    def later(self) -> None:
        self.ends.append("later")


@dataclass
class Letter:
    """A message that remembers how it ended, and lets somebody look around at that moment."""

    body: bytes
    content_type: str = ""
    origin: str = "by hand"
    on_end: Callable[[], None] = lambda: None
    end: str | None = None

    def done(self) -> None:
        self._ended("done")

    def dead(self, reason: str) -> None:
        self._ended(reason)

    def later(self) -> None:
        self._ended("later")

    def _ended(self, how: str) -> None:
        assert self.end is None
        self.end = how
        self.on_end()


@dataclass
class OneLetter:
    """A feed of one message."""

    letter: Letter | None

    def receive(self, seconds: float) -> FeedMessage | None:
        letter, self.letter = self.letter, None
        return letter

    def close(self) -> None: ...


@dataclass
class Refusing:
    """A feed that has only errors."""

    error: Exception

    def receive(self, seconds: float) -> FeedMessage | None:
        raise self.error

    def close(self) -> None: ...


@dataclass
class Faults:
    """A store that is away before, or cut off after, the writings that its script says; then it is well."""

    inner: Store
    script: list[str | None] = field(default_factory=list)

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        fault = self.script.pop(0) if self.script else None
        if fault == "before":
            raise StoreUnavailable("away")
        with self.inner.write() as uow:
            yield uow
        if fault == "after":
            raise StoreUnavailable("cut off")

    @contextmanager
    def read(self) -> Iterator[Reader]:
        with self.inner.read() as reader:
            yield reader

    def check(self) -> None: ...

    def close(self) -> None: ...


def _raise(error: type[Exception]) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise error

    return fail


def settle(town: Town) -> None:
    """Step until the queue is empty, as the loop does."""
    for _ in range(20):
        try:
            if town.step() == 0:
                return
        except StoreUnavailable:
            continue
    raise AssertionError("the queue never empties")


def events(town: Town) -> list[Any]:
    with town.store.read() as reader:
        return reader.events(TOWN, 0, 10_000)
