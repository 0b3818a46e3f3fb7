"""Whatever fails in the middle of a message, none is lost, taken twice or waits for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.errors import SourceUnavailable, StoreUnavailable
from bridge.engine.feed import feed_step
from bridge.ports import FEED, Reader, Store, Subscription, UnitOfWork
from tests.support.anything import STEADY
from tests.support.engine import TOWN, pupil
from tests.support.feed_step import AT_ONCE, OneLetter, Refusing, Town, raising


@pytest.fixture
def town() -> Town:
    return Town()


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
        town.source.document = raising(ZeroDivisionError)  # type: ignore[method-assign] - the bug
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
