"""A vendor that takes the snapshot and follows the feed ends with what it may see, whatever happens meanwhile."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.records import PersonRecord, Record
from bridge.engine.guard import GuardPolicy
from tests.support.anything import STEADY, schools
from tests.support.engine import (
    OTHER_SCHOOL,
    SCHOOL,
    Bench,
    external,
    group,
    header,
    human,
    parent,
    pupil,
    teacher,
)
from tests.support.naughty import NAUGHTY
from tests.support.vendors import Consumer, reference, vendor_feed

FREE = GuardPolicy(
    max_deleted_percent=None, max_created_percent=None, max_updated_percent=None, max_unprotected=None
)
USERS = [f"user{number}" for number in range(8)]
GROUPS = ["1A", "1B", "SFO"]
SCOPES = [None, frozenset({SCHOOL}), frozenset({OTHER_SCHOOL})]
Day = tuple[str, list[Record]]
DAYS = st.lists(st.tuples(st.sampled_from([SCHOOL, OTHER_SCHOOL]), schools()), max_size=5)
TEXTS = [one for one in NAUGHTY if one.isprintable() and one.strip()]
SECRET = "Hemmelighed"


class Town:
    """Two schools that say something else each time; who is protected has a name that nobody may see."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.bench = Bench(policy=FREE)
        self.days = 6
        self.hidden = {user for user in USERS if self.chance.random() < 0.3}

    def live(self) -> None:
        """One school's next snapshot."""
        self.bench.clock.forward(hours=self.chance.randint(1, 30))
        school = self.chance.choice([SCHOOL, OTHER_SCHOOL])
        head = header(school, at=self.bench.clock.at, name=self.chance.choice(["Skolen", "Ny Skole"]))
        result, reason = self.bench.take(*self._records(), head=head, expected=school)
        if (result, reason) == ("held", "empty"):
            self.bench.decide(self.bench.holds("open")[0].id, approve=True)
            self.bench.apply_approved()

    def perhaps(self) -> None:
        """Between two answers the town may go on, until its days are used up."""
        if self.days and self.chance.random() < 0.4:
            self.days -= 1
            self.live()

    def _records(self) -> list[Record]:
        some = self.chance.sample(USERS, self.chance.randint(0, len(USERS)))
        told = self.chance.sample(GROUPS, self.chance.randint(0, len(GROUPS)))
        return [*(group(one) for one in told), *map(self._person, some)]

    def _person(self, user: str) -> PersonRecord:
        is_hidden = user in self.hidden
        fields = {
            "given_name": SECRET if is_hidden else self.chance.choice(["Ane", "Bo", *NAUGHTY[:30]]),
            "family_name": SECRET if is_hidden else "Holm",
            "email": self.chance.choice([None, f"{SECRET if is_hidden else user}@skole.example"]),
            "protected": is_hidden,
            "source": self.chance.choice(["KMD", "TEA"]),
        }
        groups = self.chance.sample(GROUPS, self.chance.randint(0, 2))
        match self.chance.choice(["pupil", "pupil", "teacher", "external"]):
            case "pupil":
                others = [one for one in USERS if one != user and one not in self.hidden]
                contacts = [
                    parent(one) for one in self.chance.sample(others, min(len(others), self.chance.randint(0, 2)))
                ]
                return pupil(user, self.chance.choice(GROUPS), groups, contacts=contacts, **fields)
            case "teacher":
                initials = SECRET if is_hidden else user.upper()
                return teacher(user, groups, short_name=initials, **fields)
            case _:
                return external(user, groups, **fields)


@pytest.mark.parametrize("seed", range(100))
def test_whoever_starts_from_the_snapshot_and_follows_ends_with_the_state(seed: int) -> None:
    town = Town(seed)
    for _ in range(town.chance.randint(0, 3)):
        town.live()
    feed = vendor_feed(town.bench, institutions=SCOPES[seed % 3])
    consumer = Consumer(feed, limit=town.chance.randint(1, 6))
    late = Consumer(feed, limit=50)
    consumer.start(town.perhaps)
    for _ in range(town.chance.randint(1, 5)):
        consumer.follow(town.perhaps)
        late.page()
        town.live()
    consumer.follow()
    late.follow()
    assert consumer.held == reference(town.bench, feed)
    assert late.held == consumer.held, "who reads the feed from its beginning needs no snapshot"
    assert not any(SECRET.encode() in page for page in (*consumer.seen, *late.seen))


@STEADY
@given(DAYS, st.sampled_from(SCOPES))
def test_any_schools_are_followed_to_the_state(days: list[Day], scope: frozenset[str] | None) -> None:
    bench = Bench(policy=FREE)
    feed = vendor_feed(bench, institutions=scope)
    consumer = Consumer(feed, limit=50)
    consumer.start()
    for school, records in days:
        bench.clock.forward(hours=1)
        bench.take(*records, head=header(school, at=bench.clock.at), expected=school)
        consumer.follow()
        assert consumer.held == reference(bench, feed)


@pytest.mark.parametrize("text", TEXTS)
def test_awkward_texts_arrive_as_they_are(text: str) -> None:
    bench = Bench(policy=FREE)
    bench.take(group("1A"), pupil("anna", given_name=text))
    consumer = Consumer(vendor_feed(bench), limit=50)
    consumer.follow()
    (person,) = [one for name, one in consumer.held.items() if name.startswith("person/")]
    assert person["name"] == human("anna", given_name=text).given_name
