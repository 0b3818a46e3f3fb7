"""Ways in which a protected name or number once stayed at a target, or came to it: each stays closed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.connector import Command
from bridge.domain.changes import Operation
from bridge.domain.entities import Phone
from bridge.domain.outcomes import Deferred, Outcome, Rejected
from bridge.domain.privacy import WITHHELD_NAME
from bridge.domain.records import Quarantined
from bridge.engine.guard import GuardPolicy
from bridge.engine.keep import keep
from bridge.engine.leavers import Leaving
from bridge.engine.views import Scope
from bridge.ports import KeptPerson
from tests.support.engine import (
    MORNING,
    OTHER_SCHOOL,
    PLATFORM,
    SCHOOL,
    TOWN,
    Bench,
    FakeTarget,
    group,
    header,
    mapping_of,
    parent,
    person_id,
    pupil,
    teacher,
)

ANE = person_id("ane")
REAL = {"family_name": "Rigtig", "email": "ane@x.example"}
OTHERS = tuple(f"p{number}" for number in range(8))
HOME = mapping_of(
    PLATFORM.replace("email: {from: email}", "email: {from: email}\n      home: {from: home_phone.number}")
)
STAFF_ONLY = mapping_of(PLATFORM.replace("[student, employee]", "[employee]"))
OPEN, HIDDEN = Phone("12345678"), Phone("12345678", protected=True)
SLEEPS = Leaving(timedelta(days=30), {"User": {"active": False}})


def say(bench: Bench, *records: Any, school: str = SCHOOL) -> tuple[str, str | None]:
    bench.clock.forward(hours=1)
    return bench.take(*records, head=header(school, at=bench.clock.at), expected=school)


def at_school(bench: Bench, *records: Any) -> tuple[str, str | None]:
    return say(bench, group("1A"), *records, *map(pupil, OTHERS))


def known(leaving: Leaving | None = None, **options: Any) -> Bench:
    """A bench whose target knows ane under her real name."""
    bench = Bench(**options)
    bench.leaving = leaving or Leaving()
    at_school(bench, pupil("ane", **REAL, home_phone=OPEN))
    bench.drain()
    return bench


def shown(bench: Bench) -> set[str]:
    """What of ane's the target still has that is protected."""
    bench.drain()
    document = bench.target.documents.get(ANE, {})
    return {*REAL.values(), "Ane", OPEN.number} & {str(value) for value in document.values()}


class Unheard(FakeTarget):
    """It takes what is about ane, and its answer is lost on the way."""

    is_silent = True

    def _answer(self, command: Command) -> Outcome:
        told = super()._answer(command)
        return Deferred("timeout") if self.is_silent and command.id == ANE else told


class TestWhoHasLeft:
    @pytest.mark.parametrize("leaving", [Leaving(), SLEEPS], ids=["in grace", "asleep"])
    @pytest.mark.parametrize("how", ["recorded", "held", "quarantined"])
    def test_does_not_stay_under_the_name_when_another_school_says_that_it_is_protected(
        self, leaving: Leaving, how: str
    ) -> None:
        grace = timedelta(0) if leaving is SLEEPS else timedelta(days=14)
        bench = known(leaving, policy=GuardPolicy(deletion_grace=grace, max_created_percent=10, min_created=3))
        say(bench, pupil("carl"), school=OTHER_SCHOOL)
        at_school(bench)
        assert shown(bench)
        stating = pupil("carl", contacts=[parent("ane", protected=True, **REAL)])
        new = [pupil(f"new{number}") for number in range(9)] if how == "held" else []
        broken = Quarantined("P[1]", "missing_main_group", "KMD", "L-ane", "ane", protected=True)
        told = [pupil("carl"), broken] if how == "quarantined" else [stating, *new]
        assert say(bench, *told, school=OTHER_SCHOOL)[0] == ("held" if how == "held" else "recorded")
        assert shown(bench) == set()

    @pytest.mark.parametrize("leaving", [Leaving(), SLEEPS], ids=["in grace", "asleep"])
    def test_is_not_sent_anew_when_the_target_has_refused_the_protection(self, leaving: Leaving) -> None:
        grace = timedelta(0) if leaving is SLEEPS else timedelta(days=14)
        bench = known(leaving, policy=GuardPolicy(deletion_grace=grace))
        bench.target.about[ANE] = Rejected("bad_value")
        at_school(bench, pupil("ane", protected=True, **REAL))
        bench.drain()
        bench.target.about.clear()
        at_school(bench)
        assert shown(bench) == set()

    def test_is_deleted_after_all_when_the_target_had_refused_that(self) -> None:
        bench = known()
        bench.target.about[ANE] = Rejected("locked")
        at_school(bench)
        bench.drain()
        bench.target.about.clear()
        say(bench, pupil("carl", contacts=[parent("ane", protected=True, **REAL)]), school=OTHER_SCHOOL)
        assert shown(bench) == set()


class TestAnAttemptInDoubt:
    """The target may know more than it confirmed."""

    def bench(self, **options: Any) -> tuple[Bench, Unheard]:
        bench, target = Bench(**options), Unheard()
        bench.target = target
        at_school(bench, pupil("ane", **REAL))
        bench.drain()
        return bench, target

    def test_of_a_creation_is_ended_by_a_protection_though_the_mapping_waits(self) -> None:
        bench, target = self.bench()
        assert not bench.refresh(STAFF_ONLY)
        target.is_silent = False
        at_school(bench, pupil("ane", protected=True, **REAL))
        assert shown(bench) == set()

    def test_of_a_creation_is_ended_by_a_protection_though_the_person_is_kept(self) -> None:
        bench, target = self.bench()
        keep(bench.store, bench.book, KeptPerson(TOWN, "ane", None, "anna", bench.clock.at))
        target.is_silent = False
        at_school(bench)
        say(bench, pupil("carl", contacts=[parent("ane", protected=True, **REAL)]), school=OTHER_SCHOOL)
        assert shown(bench) == set()

    def test_of_a_creation_is_masked_though_too_many_are_created(self) -> None:
        bench, target = self.bench()
        bench.target_policy = GuardPolicy(max_created=1, max_updated_percent=None)
        target.is_silent = False
        new = [pupil(f"new{number}") for number in range(5)]
        at_school(bench, pupil("ane", protected=True, **REAL), *new)
        assert shown(bench) == set()
        assert [hold.reasons for hold in bench.holds("open")] == [("target_grows",)]

    def test_of_a_name_given_back_is_masked_again_though_the_mapping_waits(self) -> None:
        bench = Bench()
        at_school(bench, pupil("ane", protected=True, **REAL))
        bench.drain()
        masked, target = bench.target.documents, Unheard()
        bench.target, target.documents = target, masked
        at_school(bench, pupil("ane", **REAL))
        bench.drain()
        assert target.documents[ANE]["familyName"] == "Rigtig"
        assert not bench.refresh(STAFF_ONLY)
        target.is_silent = False
        at_school(bench, pupil("ane", protected=True, **REAL))
        assert shown(bench) == set()


class TestARecordThatBecomesUnusable:
    def test_takes_no_protection_with_it_where_another_record_says_nothing_of_it(self) -> None:
        bench = Bench()
        twin = pupil("ane", source="TEA", local="T-ane", **REAL)
        at_school(bench, pupil("ane", protected=True, **REAL), twin)
        at_school(bench, Quarantined("P[1]", "missing_person", "KMD", "L-ane"), twin)
        assert shown(bench) == set()

    def test_takes_no_protection_of_a_contact_with_it(self) -> None:
        bench = Bench()
        open_word = pupil("k2", contacts=[parent("ane", **REAL)])
        at_school(bench, pupil("k1", contacts=[parent("ane", protected=True, **REAL)]), open_word, teacher("ane"))
        at_school(bench, Quarantined("P[1]", "missing_main_group", "KMD", "L-k1", "k1"), open_word, teacher("ane"))
        assert shown(bench) == set()


class TestANumber:
    def test_is_hidden_from_a_target_whose_schools_do_not_say_that_it_is_protected(self) -> None:
        bench = Bench(mapping=HOME)
        bench.rendering = replace(bench.rendering, scope=Scope(TOWN, frozenset({SCHOOL})))
        at_school(bench, teacher("ane", home_phone=OPEN))
        say(bench, pupil("ane"), school=OTHER_SCHOOL)
        bench.drain()
        say(bench, pupil("kid", contacts=[parent("ane", home_phone=HIDDEN)]), pupil("ane"), school=OTHER_SCHOOL)
        bench.drain()
        assert OPEN.number not in bench.target.documents[ANE].values()

    def test_that_a_held_snapshot_protects_is_hidden_though_another_stood_in_its_place(self) -> None:
        bench = Bench(mapping=HOME, policy=GuardPolicy(max_created_percent=10, min_created=3))
        at_school(bench, teacher("ane", home_phone=OPEN))
        say(bench, teacher("ane", home_phone=Phone("99999999")), pupil("carl"), school=OTHER_SCHOOL)
        new = [pupil(f"new{number}") for number in range(9)]
        stating = teacher("ane", home_phone=HIDDEN)
        assert say(bench, stating, pupil("carl"), *new, school=OTHER_SCHOOL)[0] == "held"
        bench.drain()
        assert OPEN.number not in bench.target.documents[ANE].values()

    def test_that_a_second_record_protects_goes_though_the_mapping_waits(self) -> None:
        bench = known(mapping=HOME)
        assert not bench.refresh(STAFF_ONLY)
        child = pupil("kid", contacts=[parent("ane", home_phone=HIDDEN)])
        at_school(bench, pupil("ane", **REAL), child)
        bench.drain()
        assert OPEN.number not in bench.target.documents[ANE].values()


def test_a_target_that_sees_some_schools_gets_the_newest_word_of_them() -> None:
    """What the snapshot says ranks by its own source times, not by those of the one before."""
    bench = Bench()
    bench.rendering = replace(bench.rendering, scope=Scope(TOWN, frozenset({SCHOOL, OTHER_SCHOOL})))
    for school in (SCHOOL, OTHER_SCHOOL, SCHOOL):
        say(bench, pupil("ane", family_name="Gammel"), pupil("bo"), school=school)
    bench.drain()
    say(bench, pupil("ane", family_name="Nygift"), pupil("bo"), school=OTHER_SCHOOL)
    bench.drain()
    assert bench.target.documents[ANE]["familyName"] == "Nygift"


def test_protections_that_a_first_snapshot_stated_while_it_was_held_are_not_withdrawn_by_the_dozen() -> None:
    bench, everyone = Bench(), [f"a{number}" for number in range(60)]
    say(bench, *map(teacher, everyone))
    strangers = [pupil(user, family_name="Fremmed", protected=number < 10) for number, user in enumerate(everyone)]
    assert say(bench, *strangers, school=OTHER_SCHOOL) == ("held", "many_updated")
    bench.drain()
    masked = [document["familyName"] for document in bench.target.documents.values() if "familyName" in document]
    assert masked.count(WITHHELD_NAME[1]) == 10
    assert say(bench, *map(pupil, everyone), school=OTHER_SCHOOL) == ("held", "unprotected")


def test_who_is_set_aside_at_the_new_school_is_not_deleted_and_created_again() -> None:
    bench = known(policy=GuardPolicy(deletion_grace=timedelta(hours=24)))
    say(bench, pupil("carl"), school=OTHER_SCHOOL)
    at_school(bench)
    bench.clock.forward(hours=20)
    at_school(bench)
    say(
        bench, pupil("carl"), Quarantined("P[1]", "missing_main_group", "KMD", "L-ane", "ane"), school=OTHER_SCHOOL
    )
    bench.clock.forward(hours=10)
    bench.drain()
    say(bench, pupil("carl"), pupil("ane", **REAL), school=OTHER_SCHOOL)
    bench.drain()
    assert [c.operation for c in bench.target.commands if c.id == ANE].count(Operation.DELETED) == 0


def test_a_record_that_is_broken_in_another_way_the_next_day_takes_no_protection_with_it() -> None:
    """First it has no class, then not even a user id: it is known by its LocalPersonId."""
    bench = known()
    broken = Quarantined("P[1]", "missing_main_group", "KMD", "L-far", "ane", protected=True)
    say(bench, pupil("carl"), broken, school=OTHER_SCHOOL)
    assert shown(bench) == set()
    nameless = Quarantined("P[1]", "missing_person", "KMD", "L-far", protected=True)
    say(bench, pupil("carl"), nameless, school=OTHER_SCHOOL)
    assert shown(bench) == set()


@pytest.mark.parametrize("how", ["held", "quarantined"])
def test_a_mover_who_was_masked_already_keeps_the_account(how: str) -> None:
    policy = GuardPolicy(deletion_grace=timedelta(hours=24), max_created_percent=10, min_created=3)
    bench = Bench(policy=policy)
    at_school(bench, pupil("ane", protected=True, **REAL))
    say(bench, pupil("carl"), school=OTHER_SCHOOL)
    bench.drain()
    at_school(bench)
    broken = Quarantined("P[1]", "missing_main_group", "KMD", "L-ane", "ane", protected=True)
    new = [pupil(f"new{number}") for number in range(9)]
    told = [broken] if how == "quarantined" else [pupil("ane", protected=True, **REAL), *new]
    say(bench, pupil("carl"), *told, school=OTHER_SCHOOL)
    assert shown(bench) == set()
    assert ANE in bench.target.documents
    assert [c.operation for c in bench.target.commands if c.id == ANE] == [Operation.CREATED]


def test_a_sleeper_who_is_protected_by_now_sleeps_on_under_the_mask() -> None:
    bench = known(SLEEPS)
    at_school(bench)
    bench.drain()
    say(bench, pupil("carl", contacts=[parent("ane", protected=True, **REAL)]), school=OTHER_SCHOOL)
    assert shown(bench) == set()
    assert bench.target.documents[ANE]["active"] is False
    at_school(bench, pupil("ane", protected=True, **REAL))
    bench.drain()
    operations = [c.operation for c in bench.target.commands if c.id == ANE]
    assert operations.count(Operation.CREATED) == 1 and Operation.DELETED not in operations


def test_what_a_held_snapshot_hid_is_open_again_when_the_source_says_the_old_once_more() -> None:
    bench = Bench(policy=GuardPolicy(max_created_percent=10, min_created=3))

    def again(*records: Any) -> tuple[str, str | None]:
        bench.clock.forward(hours=1)
        return bench.take(group("1A"), *records, head=header(at=bench.clock.at, times={"KMD": MORNING}))

    again(pupil("ane", **REAL), *map(pupil, OTHERS))
    new = [pupil(f"new{number}") for number in range(9)]
    assert again(pupil("ane", protected=True, **REAL), *map(pupil, OTHERS), *new)[0] == "held"
    assert shown(bench) == set()
    assert again(pupil("ane", **REAL), *map(pupil, OTHERS)) == ("recorded", None)
    assert shown(bench)
    assert again(pupil("ane", **REAL), *map(pupil, OTHERS)) == ("unchanged", None)


def test_a_school_whose_records_are_all_set_aside_has_nobody_to_lose() -> None:
    bench = Bench()
    broken = [Quarantined(f"P[{n}]", "missing_name", "KMD", f"L-{n}", f"u{n}", protected=True) for n in range(4)]
    assert say(bench, *broken) == ("recorded", None)
    assert say(bench, group("1A"), *broken) == ("recorded", None)


def test_the_initials_of_a_protected_teacher_are_not_told() -> None:
    mapping = mapping_of(
        PLATFORM.replace("email: {from: email}", "initials: {from: affiliations.short_name, join: ' '}")
        + "  Employment:\n    entity: affiliation\n    fields:\n      initials: {from: short_name}\n"
    )
    bench = Bench(mapping=mapping)
    at_school(bench, teacher("ane", short_name="ARI", **REAL))
    bench.drain()
    assert str(bench.target.documents).count("ARI") == 2
    at_school(bench, teacher("ane", short_name="ARI", protected=True, **REAL))
    bench.drain()
    assert "ARI" not in str(bench.target.documents)
