"""A protection never waits: not for a held snapshot, a broken record, or another school that says nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.domain.entities import Kind, Phone
from bridge.domain.privacy import WITHHELD_NAME, Protection, exposes
from bridge.domain.records import Header, ImportSource, Quarantined
from bridge.engine.guard import GuardPolicy
from tests.support.engine import (
    OTHER_SCHOOL,
    PLATFORM,
    SCHOOL,
    Bench,
    header,
    human,
    mapping_of,
    person_id,
    pupil,
    teacher,
)

PHONES = mapping_of(
    PLATFORM.replace("email: {from: email}", "email: {from: email}\n      phone: {from: mobile_phone.number}")
)
OPEN, HIDDEN = Phone("12345678"), Phone("12345678", protected=True)


def head_at(bench: Bench, school: str = SCHOOL, year: str | None = None) -> Header:
    """The head of the next hour's snapshot, of another school year where one is named."""
    bench.clock.forward(hours=1)
    made = header(school, at=bench.clock.at)
    return made if year is None else replace(made, sources=(ImportSource("KMD", bench.clock.at, year),))


def take(bench: Bench, *records: Any, school: str = SCHOOL, year: str | None = None) -> tuple[str, str | None]:
    return bench.take(*records, head=head_at(bench, school, year), expected=school)


def names_at_target(bench: Bench, user: str) -> tuple[str, str]:
    document = bench.target.documents[person_id(user)]
    return document["givenName"], document["familyName"]


@pytest.fixture
def bench() -> Bench:
    """Ane is a pupil of both schools, bo of the first, carl of the second; the target knows them."""
    bench = Bench(mapping=PHONES)
    take(bench, pupil("ane", mobile_phone=OPEN), pupil("bo"))
    take(bench, pupil("ane", mobile_phone=OPEN), pupil("carl", mobile_phone=OPEN), school=OTHER_SCHOOL)
    bench.drain()
    return bench


class TestOfAHeldSnapshot:
    def test_reaches_the_target_while_the_rest_waits(self, bench: Bench) -> None:
        renamed = pupil("bo", family_name="Nygift")
        assert take(bench, pupil("ane", protected=True), renamed, year="2027/2028") == ("held", "school_year")
        commands = bench.drain()
        assert [command.id for command in commands] == [person_id("ane")]
        assert names_at_target(bench, "ane") == WITHHELD_NAME

    def test_of_one_number_hides_it_though_another_school_shows_it(self, bench: Bench) -> None:
        take(bench, pupil("ane", mobile_phone=HIDDEN), pupil("bo"), year="2027/2028")
        bench.drain()
        assert "phone" not in bench.target.documents[person_id("ane")]

    @pytest.mark.parametrize("fields", [{"protected": True}, {"mobile_phone": HIDDEN}])
    def test_holds_for_somebody_whom_only_another_school_knows(self, bench: Bench, fields: dict[str, Any]) -> None:
        take(bench, pupil("ane"), pupil("bo"), pupil("carl", **fields), year="2027/2028")
        bench.drain()
        document = bench.target.documents[person_id("carl")]
        assert "phone" not in document
        views = bench.entities(Kind.AFFILIATION)
        assert (SCHOOL, "carl", "student") not in views

    def test_goes_on_when_the_other_school_says_once_more_that_there_is_none(self, bench: Bench) -> None:
        take(bench, pupil("ane"), pupil("bo"), pupil("carl", protected=True), year="2027/2028")
        take(bench, pupil("ane"), pupil("carl", email="c@x.example"), school=OTHER_SCHOOL)
        bench.drain()
        assert names_at_target(bench, "carl") == WITHHELD_NAME

    def test_ends_with_a_good_snapshot_that_states_none(self, bench: Bench) -> None:
        take(bench, pupil("ane", protected=True), pupil("bo"), pupil("carl", protected=True), year="2027/2028")
        assert take(bench, pupil("ane"), pupil("bo")) == ("recorded", None)
        bench.drain()
        assert names_at_target(bench, "ane") == ("Ane", "Holm")
        assert names_at_target(bench, "carl") == ("Carl", "Holm")
        assert bench.holds("open") == []

    def test_says_nothing_when_it_is_of_another_time(self, bench: Bench) -> None:
        old = header(at=bench.clock.at - timedelta(days=30))
        assert bench.take(pupil("ane", protected=True), pupil("bo"), head=old) == ("held", "older")
        assert bench.drain() == []

    def test_is_doubted_when_it_is_of_everybody(self) -> None:
        bench = Bench()
        everyone = [f"p{number}" for number in range(60)]
        take(bench, *map(pupil, everyone))
        bench.drain()
        masked = [pupil(user, protected=True) for user in everyone]
        assert take(bench, *masked) == ("held", "many_updated")
        assert bench.drain() == []


class TestOfARecordThatIsSetAside:
    BROKEN = Quarantined("Person[9]", "missing_main_group", "KMD", "L-carl", "carl", protected=True)

    def test_holds_at_a_school_that_did_not_know_the_person(self, bench: Bench) -> None:
        assert take(bench, pupil("ane"), pupil("bo"), self.BROKEN) == ("recorded", None)
        (command,) = (each for each in bench.drain() if each.id == person_id("carl"))
        assert WITHHELD_NAME[1] in str(command.document)

    def test_brings_nobody_into_being(self, bench: Bench) -> None:
        broken = replace(self.BROKEN, user_id="dora", local_person_id="L-dora")
        take(bench, pupil("ane"), pupil("bo"), broken)
        assert ("dora",) not in bench.entities(Kind.PERSON)
        assert person_id("dora") not in {command.id for command in bench.drain()}

    def test_meets_who_comes_later_by_another_school(self, bench: Bench) -> None:
        broken = replace(self.BROKEN, user_id="dora", local_person_id="L-dora")
        take(bench, pupil("ane"), pupil("bo"), broken)
        take(bench, pupil("ane"), pupil("carl"), pupil("dora"), school=OTHER_SCHOOL)
        bench.drain()
        assert names_at_target(bench, "dora") == WITHHELD_NAME

    def test_ends_with_the_record(self, bench: Bench) -> None:
        take(bench, pupil("ane"), pupil("bo"), self.BROKEN)
        take(bench, pupil("ane"), pupil("bo"))
        bench.drain()
        assert names_at_target(bench, "carl") == ("Carl", "Holm")


class TestProtectionsThatAreLost:
    POLICY = GuardPolicy(max_unprotected=2, max_deleted_percent=None)

    def guarded(self, *, hidden: dict[str, Any], users: int = 4) -> tuple[Bench, list[str]]:
        """People of two schools, whom only the first states to be protected."""
        bench, everyone = Bench(policy=self.POLICY), [f"p{number}" for number in range(users)]
        take(bench, *(pupil(user, **hidden) for user in everyone), pupil("bo"))
        take(bench, *(pupil(user, mobile_phone=OPEN) for user in everyone), school=OTHER_SCHOOL)
        return bench, everyone

    def test_by_leaving_the_school_that_stated_them_count(self) -> None:
        bench, _ = self.guarded(hidden={"protected": True})
        assert take(bench, pupil("bo")) == ("held", "unprotected")

    def test_of_single_numbers_count(self) -> None:
        bench, everyone = self.guarded(hidden={"mobile_phone": HIDDEN})
        shown = [pupil(user, mobile_phone=OPEN) for user in everyone]
        assert take(bench, *shown, pupil("bo")) == ("held", "unprotected")

    def test_in_small_steps_count_together(self) -> None:
        bench, everyone = self.guarded(hidden={"protected": True})
        two = [pupil(user, protected=user not in everyone[:2]) for user in everyone]
        four = [pupil(user) for user in everyone]
        assert take(bench, *two, pupil("bo")) == ("recorded", None)
        assert take(bench, *four, pupil("bo")) == ("held", "unprotected")

    def test_by_going_altogether_do_not_count(self) -> None:
        bench = Bench(policy=self.POLICY)
        take(bench, *(pupil(f"p{number}", protected=True) for number in range(4)), pupil("bo"))
        assert take(bench, pupil("bo")) == ("recorded", None)


@pytest.mark.parametrize(
    ("before", "after", "is_shown"),
    [
        ({"protected": True}, {}, True),
        ({"protected": True}, {"protected": True}, False),
        ({"mobile_phone": HIDDEN}, {"mobile_phone": OPEN}, True),
        ({"mobile_phone": HIDDEN}, {"work_phone": OPEN}, True),
        ({"mobile_phone": HIDDEN}, {"work_phone": Phone("+45 12 34 56 78")}, True),
        ({"mobile_phone": HIDDEN}, {}, False),
        ({"mobile_phone": HIDDEN}, {"mobile_phone": OPEN, "protected": True}, False),
        ({"mobile_phone": OPEN}, {"mobile_phone": OPEN}, False),
    ],
)
def test_what_is_shown_that_was_hidden(before: dict[str, Any], after: dict[str, Any], *, is_shown: bool) -> None:
    assert exposes(Protection.of([human("ane", **before)]), human("ane", **after)) is is_shown


def test_the_first_snapshot_of_a_school_cannot_rewrite_the_people_of_the_others() -> None:
    """Its own people are new and need nobody's leave; what it says anew of known ones is counted."""
    everyone = [f"p{number}" for number in range(60)]
    bench = Bench()
    take(bench, *map(teacher, everyone))
    bench.drain()
    strangers = [pupil(user, family_name="Fremmed") for user in everyone]
    assert take(bench, *strangers, school=OTHER_SCHOOL) == ("held", "many_updated")
    assert bench.drain() == []
    new = [pupil(f"q{number}") for number in range(200)]
    assert take(bench, *strangers[:20], *new, school=OTHER_SCHOOL) == ("recorded", None)
