"""A user id that stands for another human than before stops that person only; a corrected record goes through."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.entities import Contribution, Kind
from bridge.domain.humans import are_two
from bridge.domain.ids import Key
from bridge.domain.records import Quarantined, Record
from bridge.engine.identity import ANOTHER_PERSON, TWO_PEOPLE, conflicts, set_conflicts_aside
from bridge.engine.normalise import Normalised
from tests.support.anything import STEADY
from tests.support.engine import (
    MORNING,
    OTHER_SCHOOL,
    SCHOOL,
    TOWN,
    Bench,
    found,
    header,
    human,
    parent,
    pupil,
    teacher,
)

ANE: dict[str, Any] = {
    "given_name": "Ane",
    "civil_registration_number": "010117KAN2",
    "birth_date": "2017-01-01",
    "gender": "K",
}
BO: dict[str, Any] = {
    "given_name": "Bo",
    "civil_registration_number": "020216KBO1",
    "birth_date": "2016-02-02",
    "gender": "M",
}
NEW_NUMBER = "010117KAN4"
LATER = header(at=MORNING + timedelta(hours=1))


def ane(local: str | None = "L-1", **changed: Any) -> Record:
    return pupil("ane1", local=local, **{**ANE, **changed})


def stranger(local: str | None = "L-2", **changed: Any) -> Record:
    """Another pupil who comes under Ane's user id."""
    return pupil("ane1", local=local, **{**BO, **changed})


@pytest.fixture
def bench() -> Bench:
    """A school where Ane goes."""
    bench = Bench()
    assert bench.take(ane(), pupil("carl")) == ("recorded", None)
    return bench


def aside(bench: Bench, *records: Record, school: str = SCHOOL) -> tuple[Quarantined, ...]:
    with bench.store.read() as reader:
        return conflicts(reader, TOWN, found(*records, head=header(school)))


def left(bench: Bench, *records: Record) -> Normalised:
    with bench.store.read() as reader:
        return set_conflicts_aside(reader, TOWN, found(*records))


def keys(made: Normalised) -> set[tuple[Kind, Key]]:
    return {(kind, key) for kind, entities in made.entities.items() for key in entities}


class TestAnotherHuman:
    def test_under_a_known_user_id_is_set_aside(self, bench: Bench) -> None:
        (one,) = aside(bench, stranger(), pupil("carl"))
        assert (one.reason, one.user_id, one.local_person_id) == (ANOTHER_PERSON, "ane1", "L-2")

    def test_is_told_by_place_without_any_value(self, bench: Bench) -> None:
        (one,) = aside(bench, stranger())
        assert one.path == "Person[ane1]"
        for secret in (ANE["civil_registration_number"], BO["civil_registration_number"], "Ane", "Bo", "Holm"):
            assert secret not in repr(one)

    def test_who_is_protected_raises_protection_all_the_same(self, bench: Bench) -> None:
        (one,) = aside(bench, stranger(protected=True))
        assert one.protected

    def test_is_told_by_the_day_of_birth_where_no_number_is_known(self, bench: Bench) -> None:
        assert bench.take(ane(civil_registration_number=None), pupil("carl"), head=LATER)[0] == "recorded"
        (one,) = aside(bench, stranger(civil_registration_number=None))
        assert one.reason == ANOTHER_PERSON

    def test_as_a_contact_is_set_aside_as_well(self, bench: Bench) -> None:
        (one,) = aside(bench, ane(), pupil("carl", contacts=[parent("ane1", **BO)]))
        assert (one.reason, one.user_id) == (TWO_PEOPLE, "ane1")

    def test_is_set_aside_again_and_again(self, bench: Bench) -> None:
        assert aside(bench, stranger()) == aside(bench, stranger())


class TestTheSameHuman:
    @pytest.mark.parametrize(
        "changed",
        [
            {"civil_registration_number": NEW_NUMBER},
            {"civil_registration_number": NEW_NUMBER, "given_name": "Anna", "family_name": "Lund"},
            {"civil_registration_number": "010117KAN1", "gender": "M"},
            {"civil_registration_number": "110117KAN2", "birth_date": "2017-01-11"},
            {"civil_registration_number": None, "given_name": "Anna", "birth_date": None},
            {"civil_registration_number": "010117-KAN2", "given_name": "Anna", "birth_date": "2017-02-01"},
        ],
        ids=["number", "name and number", "gender", "day of birth", "number not told", "hyphen"],
    )
    def test_may_be_corrected_though_the_system_changes(self, bench: Bench, changed: dict[str, Any]) -> None:
        assert aside(bench, ane(local="L-9", **changed), pupil("carl")) == ()

    def test_is_known_by_its_local_id_whatever_else_changes(self, bench: Bench) -> None:
        assert aside(bench, stranger(local="L-1")) == ()

    def test_is_not_known_by_the_local_id_of_another_source(self, bench: Bench) -> None:
        elsewhere = pupil("ane1", local="L-1", source="TEA", **BO)
        assert [one.reason for one in aside(bench, elsewhere)] == [ANOTHER_PERSON]

    def test_is_known_though_the_name_is_spelt_in_another_normal_form(self, bench: Bench) -> None:
        assert bench.take(ane(given_name="Åse"), pupil("carl"), head=LATER)[0] == "recorded"
        assert aside(bench, ane(local="L-9", given_name="A\u030ase", birth_date="2016-02-02")) == ()

    def test_comes_back_after_the_stranger(self, bench: Bench) -> None:
        assert aside(bench, ane(), pupil("carl")) == ()

    def test_twice_in_one_file_is_one(self, bench: Bench) -> None:
        assert aside(bench, ane(), teacher("ane1", **ANE), pupil("carl", contacts=[parent("ane1", **ANE)])) == ()


def test_a_user_id_that_is_free_goes_to_anybody(bench: Bench) -> None:
    assert bench.take(pupil("carl"), head=LATER)[0] == "recorded"
    assert aside(bench, stranger(), pupil("carl")) == ()


class TestTwoInstitutions:
    def test_that_disagree_stop_who_comes_last(self, bench: Bench) -> None:
        (one,) = aside(bench, stranger(), school=OTHER_SCHOOL)
        assert (one.reason, one.user_id) == (ANOTHER_PERSON, "ane1")

    def test_never_know_each_other_by_local_ids(self, bench: Bench) -> None:
        assert [one.reason for one in aside(bench, stranger(local="L-1"), school=OTHER_SCHOOL)] == [ANOTHER_PERSON]

    def test_that_agree_share_the_person(self, bench: Bench) -> None:
        assert aside(bench, ane(local="L-7"), school=OTHER_SCHOOL) == ()

    def test_may_correct_a_number_on_different_days(self, bench: Bench) -> None:
        assert bench.take(ane(local="L-7"), head=header(OTHER_SCHOOL), expected=OTHER_SCHOOL)[0] == "recorded"
        new = {"civil_registration_number": "010117KAN1", "gender": "M", "given_name": "Arne"}
        assert aside(bench, ane(**new)) == ()
        assert bench.take(ane(**new), pupil("carl"), head=LATER)[0] == "recorded"
        assert aside(bench, ane(local="L-7", **new), school=OTHER_SCHOOL) == ()
        assert aside(bench, ane(local="L-7"), school=OTHER_SCHOOL) == ()


class TestTwoInOneFile:
    def test_stop_each_other_though_nothing_is_stored(self) -> None:
        (one,) = aside(Bench(), ane(), stranger(), pupil("carl"))
        assert (one.reason, one.user_id) == (TWO_PEOPLE, "ane1")

    def test_leave_nothing_of_either(self) -> None:
        made = left(Bench(), ane(), stranger(), pupil("carl"))
        assert not [key for kind, key in keys(made) if "ane1" in key]
        assert (SCHOOL, "carl") in made.entities[Kind.CONTRIBUTION]


class TestWhatIsLeft:
    def test_is_all_where_nothing_conflicts(self, bench: Bench) -> None:
        told = found(ane(), pupil("carl"))
        with bench.store.read() as reader:
            assert set_conflicts_aside(reader, TOWN, told) is told

    def test_is_everybody_else(self, bench: Bench) -> None:
        made = left(bench, stranger(), pupil("carl"))
        assert keys(made) == keys(found(pupil("carl")))
        assert [one.user_id for one in made.quarantined] == ["ane1"]

    def test_holds_no_contact_who_came_with_the_stranger_only(self, bench: Bench) -> None:
        came = pupil("ane1", local="L-2", contacts=[parent("far"), parent("mor")], **BO)
        made = left(bench, came, pupil("carl", contacts=[parent("mor")]))
        assert made.entities[Kind.GUARDIANSHIP].keys() == {(SCHOOL, "carl", "mor")}
        assert made.entities[Kind.CONTRIBUTION].keys() == {(SCHOOL, "carl"), (SCHOOL, "mor")}

    def test_keeps_who_came_with_the_stranger_and_has_a_role(self, bench: Bench) -> None:
        came = pupil("ane1", local="L-2", contacts=[parent("lise")], **BO)
        made = left(bench, came, teacher("lise"))
        assert made.entities[Kind.CONTRIBUTION].keys() == {(SCHOOL, "lise")}

    def test_keeps_a_stored_tie_to_a_contact_who_is_set_aside_as_it_is(self) -> None:
        bench = Bench()
        bench.take(pupil("carl", contacts=[parent("mor", **ANE)]))
        told = pupil("carl", contacts=[parent("mor", custody=False, **BO)])
        (tie,) = left(bench, told).entities[Kind.GUARDIANSHIP].values()
        assert tie == bench.entities(Kind.GUARDIANSHIP)[tie.key]

    def test_holds_no_new_tie_to_a_contact_who_is_set_aside(self) -> None:
        bench = Bench()
        bench.take(pupil("carl", contacts=[parent("mor", **ANE)]), pupil("dorte"))
        told = left(bench, pupil("carl"), pupil("dorte", contacts=[parent("mor", **BO)]))
        assert told.entities[Kind.GUARDIANSHIP] == {}


# ---------------------------------------------------------------- properties


WORDS = st.fixed_dictionaries(
    {
        "given_name": st.sampled_from(["Ane", "Bo"]),
        "civil_registration_number": st.none() | st.sampled_from(["010117KAN2", "020216KBO1"]),
        "birth_date": st.none() | st.sampled_from(["2017-01-01", "2016-02-02"]),
        "gender": st.none() | st.sampled_from(["K", "M"]),
    }
)


@STEADY
@given(WORDS, WORDS)
def test_two_words_are_of_two_humans_whichever_is_heard_first(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = human("ane1", **one), human("ane1", **other)
    assert are_two(first, second) == are_two(second, first)
    assert not are_two(first, first)


@STEADY
@given(WORDS, WORDS)
def test_nobody_but_the_one_whose_user_id_it_is_is_ever_set_aside(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    bench = Bench()
    bench.take(pupil("ane1", **before), pupil("carl"), pupil("dorte"))
    told = found(pupil("ane1", local="L-2", **after), pupil("carl"), pupil("dorte"))
    with bench.store.read() as reader:
        made = set_conflicts_aside(reader, TOWN, told)
    assert {one.user_id for one in made.quarantined} <= {"ane1"}
    others = [each for each in told.entities[Kind.CONTRIBUTION].values() if isinstance(each, Contribution)]
    assert {each.key for each in others if each.user_id != "ane1"} <= made.entities[Kind.CONTRIBUTION].keys()
