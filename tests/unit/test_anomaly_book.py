"""What was found is kept while nothing changes; one CPR number twice is found across schools, and kept nowhere."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from bridge.domain.anomalies import Anomaly, AnomalyCode
from bridge.domain.entities import Kind
from bridge.domain.records import Quarantined, Record
from bridge.engine.anomalies import AnomalyBook, with_anomalies
from bridge.engine.anomalies.numbers import Numbers, shared_numbers
from bridge.engine.status import read_status
from bridge.observe import Metrics
from bridge.ports import Reader
from tests.support.engine import MORNING, OTHER_SCHOOL, SCHOOL, TOWN, Bench, group, header, parent, pupil, teacher

TODAY = "2026-08-11"
THIRD_SCHOOL = "101003"
ONE, TWO = "0101101234", "0202101234"
CPR = "civil_registration_number"
TWICE = AnomalyCode.CPR_OF_SEVERAL_USERS


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def book() -> AnomalyBook:
    return AnomalyBook(b"key")


def found(book: AnomalyBook, bench: Bench, code: AnomalyCode | None = None) -> dict[str, list[Anomaly]]:
    """By institution what a look finds now, of one code where it is given."""
    book.look(bench.store, TOWN, TODAY)
    return {
        one.institution: kept
        for one in book.found[TOWN]
        if (kept := [each for each in one.anomalies if code in (None, each.code)])
    }


def at(bench: Bench, school: str, *records: Record) -> None:
    bench.clock.forward(minutes=1)
    bench.take(*records, head=header(school, at=bench.clock.at, times={"KMD": MORNING}), expected=school)


def with_number(user: str, number: str | None, **more: Any) -> Record:
    return pupil(user, "1A", level="1", **{CPR: number}, **more)


class TestOneNumberTwice:
    def test_is_found_at_one_school(self, bench: Bench, book: AnomalyBook) -> None:
        at(bench, SCHOOL, group("1A"), with_number("ane", ONE), with_number("bo", ONE), with_number("carl", TWO))
        assert found(book, bench, TWICE) == {SCHOOL: [Anomaly(TWICE, users=("ane", "bo"))]}

    def test_is_found_at_two_schools_each_told_of_its_own_user(self, bench: Bench, book: AnomalyBook) -> None:
        at(bench, SCHOOL, group("1A"), with_number("ane", ONE))
        at(bench, OTHER_SCHOOL, group("1A"), with_number("bo", ONE))
        assert found(book, bench, TWICE) == {
            SCHOOL: [Anomaly(TWICE, users=("ane",), also_at=(OTHER_SCHOOL,))],
            OTHER_SCHOOL: [Anomaly(TWICE, users=("bo",), also_at=(SCHOOL,))],
        }

    def test_is_no_person_who_is_at_both_schools(self, bench: Bench, book: AnomalyBook) -> None:
        for school in (SCHOOL, OTHER_SCHOOL):
            at(bench, school, group("1A"), with_number("ane", ONE))
        assert found(book, bench, TWICE) == {}

    def test_of_a_person_at_both_schools_names_the_school_with_the_other_user(
        self, bench: Bench, book: AnomalyBook
    ) -> None:
        at(bench, SCHOOL, group("1A"), with_number("ane", ONE))
        at(bench, OTHER_SCHOOL, group("1A"), with_number("ane", ONE), with_number("bo", ONE))
        assert found(book, bench, TWICE) == {
            SCHOOL: [Anomaly(TWICE, users=("ane",), also_at=(OTHER_SCHOOL,))],
            OTHER_SCHOOL: [Anomaly(TWICE, users=("ane", "bo"))],
        }

    @pytest.mark.parametrize("hidden", ["ane", "bo"])
    def test_of_somebody_protected_tells_no_school_of_another(
        self, bench: Bench, book: AnomalyBook, hidden: str
    ) -> None:
        at(bench, SCHOOL, group("1A"), with_number("ane", ONE, protected=hidden == "ane"))
        at(bench, OTHER_SCHOOL, group("1A"), with_number("bo", ONE, protected=hidden == "bo"))
        assert found(book, bench, TWICE) == {
            SCHOOL: [Anomaly(TWICE, users=("ane",))],
            OTHER_SCHOOL: [Anomaly(TWICE, users=("bo",))],
        }

    def test_is_hidden_by_the_word_of_a_third_school_that_does_not_know_the_number_and_as_long_as_it_says_so(
        self, bench: Bench, book: AnomalyBook
    ) -> None:
        at(bench, SCHOOL, group("1A"), with_number("ane", ONE), with_number("carl", TWO))
        at(bench, OTHER_SCHOOL, group("1A"), with_number("bo", ONE), with_number("dan", TWO))
        at(bench, THIRD_SCHOOL, group("1A"), with_number("ane", None, protected=True))
        of_ane, of_carl = Anomaly(TWICE, users=("ane",)), Anomaly(TWICE, users=("carl",), also_at=(OTHER_SCHOOL,))
        assert found(book, bench, TWICE)[SCHOOL] == [of_ane, of_carl], "of others it is still told"
        at(bench, THIRD_SCHOOL, group("1A"), with_number("ane", None))
        assert found(book, bench, TWICE)[SCHOOL] == [
            Anomaly(TWICE, users=("ane",), also_at=(OTHER_SCHOOL,)),
            of_carl,
        ]

    def test_is_found_between_a_pupil_and_a_contact(self, bench: Bench, book: AnomalyBook) -> None:
        mother = parent("mor", **{CPR: ONE})
        at(bench, SCHOOL, group("1A"), with_number("ane", TWO, contacts=[mother]), with_number("bo", ONE))
        assert found(book, bench, TWICE) == {SCHOOL: [Anomaly(TWICE, users=("bo", "mor"))]}

    def test_is_none_where_there_are_no_numbers(self, bench: Bench, book: AnomalyBook) -> None:
        at(bench, SCHOOL, group("1A"), with_number("ane", None), with_number("bo", ""))
        assert found(book, bench, TWICE) == {}

    def test_ends_when_one_of_them_is_corrected(self, bench: Bench, book: AnomalyBook) -> None:
        at(bench, SCHOOL, group("1A"), with_number("ane", ONE))
        at(bench, OTHER_SCHOOL, group("1A"), with_number("bo", ONE))
        found(book, bench)
        at(bench, OTHER_SCHOOL, group("1A"), with_number("bo", TWO))
        assert found(book, bench, TWICE) == {}

    def test_says_nothing_of_another_municipality(self) -> None:
        told = {SCHOOL: Numbers.of({"ane": ONE}, b"key"), OTHER_SCHOOL: Numbers.of({"bo": TWO}, b"key")}
        assert shared_numbers(told) == {}

    def test_keeps_no_number_and_nothing_that_it_can_be_tried_against_without_the_key(
        self, bench: Bench, book: AnomalyBook
    ) -> None:
        at(bench, SCHOOL, group("1A"), with_number("ane", ONE), with_number("bo", ONE, protected=True))
        found(book, bench)
        kept = pickle.dumps([book.found, book._looks])
        assert ONE.encode() not in kept and b"Holm" not in kept
        assert list(Numbers.of({"ane": ONE}, b"key").marks) != list(Numbers.of({"ane": ONE}, b"other").marks)


class TestTheBook:
    def test_tells_a_pupil_whose_record_is_set_aside_for_having_no_class(
        self, bench: Bench, book: AnomalyBook
    ) -> None:
        aside = Quarantined("Institution/InstitutionPerson[2]", "missing_main_group", user_id="bo")
        at(bench, SCHOOL, group("1A"), with_number("ane", ONE), aside)
        assert found(book, bench) == {SCHOOL: [Anomaly(AnomalyCode.PUPIL_IN_NO_CLASS, users=("bo",))]}

    def test_looks_at_an_institution_again_only_after_it_was_recorded(
        self, bench: Bench, book: AnomalyBook
    ) -> None:
        at(bench, SCHOOL, group("1A"), with_number("ane", ONE))
        at(bench, OTHER_SCHOOL, group("1A"), with_number("bo", TWO))
        assert book.look(bench.store, TOWN, TODAY) == 2
        assert book.look(bench.store, TOWN, TODAY) == 0
        at(bench, SCHOOL, group("1A"), with_number("ane", ONE))  # unchanged
        assert book.look(bench.store, TOWN, TODAY) == 0
        at(bench, SCHOOL, group("1A"), group("1B"), with_number("ane", ONE))
        assert book.look(bench.store, TOWN, TODAY) == 1
        assert found(book, bench) == {SCHOOL: [Anomaly(AnomalyCode.CLASS_WITHOUT_PUPILS, ("1B",))]}

    def test_looks_again_when_a_snapshot_is_recorded_in_part(self, bench: Bench, book: AnomalyBook) -> None:
        everybody = [with_number(f"user{number}", None) for number in range(8)]
        at(bench, SCHOOL, group("1A"), *everybody)
        assert found(book, bench) == {}
        at(bench, SCHOOL, group("1A"), group("1B"), *everybody[4:])
        assert [hold.subject for hold in bench.holds("open")] == ["deletions"]
        assert found(book, bench) == {SCHOOL: [Anomaly(AnomalyCode.CLASS_WITHOUT_PUPILS, ("1B",))]}

    def test_looks_again_when_deletions_that_were_held_are_carried_out(
        self, bench: Bench, book: AnomalyBook
    ) -> None:
        others = [with_number(f"user{number}", None) for number in range(8)]
        twins = [with_number("ane", ONE), with_number("bo", ONE)]
        at(bench, SCHOOL, group("1A"), *twins, *others)
        at(bench, SCHOOL, group("1A"), twins[0], *others[:4])
        (hold,) = bench.holds("open")
        assert found(book, bench, TWICE) == {SCHOOL: [Anomaly(TWICE, users=("ane", "bo"))]}
        bench.decide(hold.id, approve=True)
        assert bench.apply_approved()
        assert found(book, bench) == {}

    def test_forgets_an_institution_of_which_nothing_is_stored_any_more(
        self, bench: Bench, book: AnomalyBook
    ) -> None:
        at(bench, SCHOOL, group("1A"), with_number("ane", ONE))
        at(bench, OTHER_SCHOOL, group("1A"), with_number("bo", ONE))
        assert len(found(book, bench)) == 2
        without = Bench()
        at(without, SCHOOL, group("1A"), with_number("ane", ONE))
        book.look(without.store, TOWN, TODAY)
        assert [(one.institution, one.anomalies) for one in book.found[TOWN]] == [(SCHOOL, ())]

    def test_looks_again_on_the_next_day(self, bench: Bench, book: AnomalyBook) -> None:
        at(bench, SCHOOL, group("1A", to_date=TODAY), with_number("ane", ONE))
        assert found(book, bench) == {}
        book.look(bench.store, TOWN, "2026-08-12")
        (one,) = book.found[TOWN]
        assert one.anomalies == (Anomaly(AnomalyCode.ENDED_GROUP_WITH_MEMBERS, ("1A",), ("ane",)),)

    def test_forgets_nothing_when_it_is_stopped_half_way(self, bench: Bench, book: AnomalyBook) -> None:
        at(bench, SCHOOL, group("1A"), group("1B"), with_number("ane", ONE))
        at(bench, OTHER_SCHOOL, group("1A"), with_number("bo", TWO))
        answers = iter([True, False])
        assert book.look(bench.store, TOWN, TODAY, lambda: next(answers)) == 0
        assert book.look(bench.store, TOWN, TODAY) == 1, "the other one only"
        assert list(found(book, bench)) == [SCHOOL]

    def test_reads_nothing_but_what_tells_of_changes_where_there_are_none(
        self, bench: Bench, book: AnomalyBook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        at(bench, SCHOOL, group("1A"), with_number("ane", ONE))
        book.look(bench.store, TOWN, TODAY)
        opened: list[Reader] = []
        kind = type(bench.store)
        read: Callable[..., Any] = kind.read
        monkeypatch.setattr(kind, "read", lambda store: opened.append(read(store)) or read(store))
        book.look(bench.store, TOWN, TODAY)
        assert len(opened) == 1

    def test_orders_what_it_found_by_code_and_leaves_out_what_is_off(
        self, bench: Bench, book: AnomalyBook
    ) -> None:
        at(bench, SCHOOL, group("1A"), pupil("ane"), teacher("tue"), group("1B"))
        book.look(bench.store, TOWN, TODAY)
        (one,) = book.found[TOWN]
        assert one.counts == {"pupil_without_level": 1, "teacher_in_no_group": 1, "class_without_pupils": 1}
        rest = one.but([AnomalyCode.TEACHER_IN_NO_GROUP])
        assert list(rest.counts) == ["pupil_without_level", "class_without_pupils"]


class TestTheStatus:
    def test_counts_them_in_a_note_and_alarms_nobody(self, bench: Bench, book: AnomalyBook) -> None:
        at(bench, SCHOOL, group("1A"), pupil("ane"), group("1B"))
        at(bench, OTHER_SCHOOL, group("1A"), with_number("bo", TWO))
        book.look(bench.store, TOWN, TODAY)
        before = read_status(bench.store, [], MORNING)
        status = with_anomalies(before, book.found[TOWN])
        assert status.attention == before.attention
        assert status.notes == ("2 anomalies at 1 institution for the schools to mend: `skolebro anomalies`.",)
        assert [(row.institution, row.number) for row in status.anomalies] == [(SCHOOL, 2)]

    def test_is_as_before_where_nothing_was_found(self, bench: Bench) -> None:
        before = read_status(bench.store, [], MORNING)
        assert with_anomalies(before, []) is before

    def test_is_shown_as_a_gauge_by_institution_and_code(self, bench: Bench, book: AnomalyBook) -> None:
        at(bench, SCHOOL, group("1A"), pupil("ane"))
        book.look(bench.store, TOWN, TODAY)
        metrics = Metrics("0")
        metrics.refresh(with_anomalies(read_status(bench.store, [], MORNING), book.found[TOWN]))
        labels = f'code="pupil_without_level",institution="{SCHOOL}",municipality="{TOWN}"'
        assert f"bridge_anomalies{{{labels}}} 1.0" in metrics.exposition().decode()
        assert bench.entities(Kind.PERSON).keys() == {("ane",)}
