"""A phone number that anybody states to be protected is shown nowhere, however many numbers there are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.domain.entities import Contribution, Phone, Role
from bridge.domain.privacy import Protection
from bridge.domain.records import Quarantined
from bridge.engine.codec import decode_entity, encode_entity
from bridge.engine.guard import GuardPolicy
from bridge.engine.words import protection, raised
from tests.support.engine import (
    OTHER_SCHOOL,
    PLATFORM,
    SCHOOL,
    Bench,
    group,
    header,
    human,
    mapping_of,
    parent,
    person_id,
    pupil,
    teacher,
)

ANE = person_id("ane")
HOME = mapping_of(PLATFORM.replace("{from: email}", "{from: email}\n      home: {from: home_phone.number}"))
FIRST, SECOND, THIRD = "11111111", "22222222", "33333333"


def hidden(number: str) -> Phone:
    return Phone(number, protected=True)


def say(bench: Bench, *records: Any, school: str = SCHOOL, states: bool = True) -> str:
    bench.clock.forward(hours=1)
    head = replace(header(school, at=bench.clock.at), states_protection=states)
    return bench.take(*records, head=head, expected=school)[0]


def home(bench: Bench) -> object:
    bench.drain()
    return bench.target.documents[ANE].get("home")


@pytest.fixture
def bench() -> Bench:
    """The first school shows ane's second number openly; the other school is yet to speak."""
    bench = Bench(mapping=HOME, policy=GuardPolicy(max_created_percent=10, min_created=3))
    say(bench, group("1A"), pupil("ane", home_phone=Phone(SECOND)))
    assert home(bench) == SECOND
    return bench


def test_a_second_word_of_one_document_hides_its_number_though_the_first_has_another(bench: Bench) -> None:
    child = pupil("carl", contacts=[parent("ane", home_phone=hidden(SECOND))])
    say(bench, teacher("ane", home_phone=Phone(FIRST)), child, school=OTHER_SCHOOL)
    assert home(bench) is None


def test_two_words_of_one_document_hide_a_number_each(bench: Bench) -> None:
    child = pupil("carl", contacts=[parent("ane", home_phone=hidden(SECOND))])
    say(bench, teacher("ane", home_phone=hidden(THIRD)), child, school=OTHER_SCHOOL)
    assert home(bench) is None


class TestWhatWasHidden:
    @pytest.fixture(autouse=True)
    def stored(self, bench: Bench) -> None:
        say(bench, teacher("ane", home_phone=hidden(SECOND)), pupil("carl"), school=OTHER_SCHOOL)
        assert home(bench) is None

    def test_is_not_shown_by_a_held_snapshot_that_hides_another(self, bench: Bench) -> None:
        new = [pupil(f"new{number}") for number in range(9)]
        stating = teacher("ane", home_phone=hidden(THIRD))
        assert say(bench, stating, pupil("carl"), *new, school=OTHER_SCHOOL) == "held"
        assert home(bench) is None

    def test_is_not_shown_by_a_record_set_aside_that_hides_another(self, bench: Bench) -> None:
        stating = (("ane", Protection(numbers=frozenset({THIRD}))),)
        broken = Quarantined("E[1]", "missing_name", "KMD", "L-ane", "ane", stating=stating)
        say(bench, broken, pupil("carl"), school=OTHER_SCHOOL)
        assert home(bench) is None

    def test_is_not_shown_by_a_document_that_cannot_say_what_is_protected(self, bench: Bench) -> None:
        say(bench, teacher("ane"), pupil("carl"), school=OTHER_SCHOOL, states=False)
        say(bench, teacher("ane", home_phone=Phone(SECOND)), pupil("carl"), school=OTHER_SCHOOL, states=False)
        assert home(bench) is None

    def test_is_shown_again_when_a_good_snapshot_says_so(self, bench: Bench) -> None:
        say(bench, teacher("ane", home_phone=Phone(SECOND)), pupil("carl"), school=OTHER_SCHOOL)
        assert home(bench) == SECOND


def test_a_word_without_further_numbers_has_the_bytes_that_it_always_had() -> None:
    one = Contribution("1", "ane", Role.STUDENT, "KMD", human("ane"), (("KMD", "L"),))
    assert b"hidden_numbers" not in encode_entity(one)
    more = raised(one, Protection(numbers=frozenset({FIRST, SECOND})))
    for each in (one, more):
        assert decode_entity(each.kind, encode_entity(each)) == each
    assert protection([more]).numbers == {FIRST, SECOND}
