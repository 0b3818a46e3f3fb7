"""A snapshot that cannot be believed is held, once, until a person decides or a good one comes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.domain.entities import Kind
from tests.support.engine import MORNING, OTHER_SCHOOL, SCHOOL, Bench, group, header, pupil
from tests.support.fetch import FIVE, at, exported, held, pupils, school_of_five, users


@pytest.fixture
def bench() -> Bench:
    """A school of five pupils."""
    return school_of_five()


class TestAHold:
    def test_is_opened_for_an_older_snapshot(self, bench: Bench) -> None:
        assert bench.take(*pupils(*FIVE, "frida"), head=at(-1)) == ("held", "older")

    def test_is_opened_for_an_empty_snapshot(self, bench: Bench) -> None:
        assert bench.take(group("1A"), head=at(1)) == ("held", "empty")

    def test_is_opened_for_a_mass_deletion(self, bench: Bench) -> None:
        assert bench.take(*pupils("ane", "bo"), head=at(1)) == ("held", "shrunken")

    def test_is_opened_for_another_institution_under_the_number_that_was_asked_for(self, bench: Bench) -> None:
        assert bench.take(pupil("x"), head=at(1, OTHER_SCHOOL)) == ("held", "wrong_institution")
        (hold,) = bench.holds()
        assert hold.institution == SCHOOL

    def test_is_opened_for_an_institution_that_is_not_configured(self) -> None:
        bench = Bench(institutions=frozenset({OTHER_SCHOOL}))
        assert bench.take(pupil("x"), expected=None) == ("held", "wrong_institution")

    def test_leaves_everything_as_it_was(self, bench: Bench) -> None:
        held(bench, group("1A"))
        assert users(bench) == set(FIVE)
        with bench.store.read() as reader:
            assert reader.institution_state("101", SCHOOL).export_time == MORNING  # type: ignore[union-attr]

    def test_of_deletions_lets_everything_else_go_on(self, bench: Bench) -> None:
        held(bench, pupil("ane", email="ny@x.example"), pupil("frida"))
        assert users(bench) == {*FIVE, "frida"}
        assert "ny@x.example" in str(bench.entities(Kind.PERSON)["ane",])
        assert {key[2] for key in bench.entities(Kind.MEMBERSHIP)} == {*FIVE, "frida"}

    def test_says_how_much_would_go_and_of_whom_by_user_id(self, bench: Bench) -> None:
        held(bench, pupil("ane"))
        (hold,) = bench.holds()
        assert hold.people == FIVE[1:]
        assert hold.counts["person.deleted"] == 4
        assert hold.counts["affiliation.student.stored"] == 5

    def test_is_one_hold_however_often_the_snapshot_comes(self, bench: Bench) -> None:
        held(bench, group("1A"))
        assert bench.fetch() == [("held", "empty")]
        assert len(bench.holds()) == 1

    def test_of_deletions_is_one_hold_however_many_snapshots_lack_the_same_people(self, bench: Bench) -> None:
        held(bench, pupil("ane"))
        assert bench.fetch() == [("unchanged", None)]
        assert bench.take(pupil("ane", email="ny@x.example"), head=at(2)) == ("held", "shrunken")
        (hold,) = bench.holds()
        assert (hold.state, hold.people) == ("open", FIVE[1:])

    def test_of_deletions_makes_room_for_one_of_other_people(self, bench: Bench) -> None:
        first = held(bench, pupil("ane"), pupil("bo"))
        second = held(bench, pupil("ane"), head=at(2))
        assert [(hold.id, hold.state) for hold in bench.holds()] == [(first, "superseded"), (second, "open")]

    def test_of_a_snapshot_makes_room_for_the_next_one(self, bench: Bench) -> None:
        first = held(bench, group("1A"))
        second = held(bench, group("1B"), head=at(2))
        assert [(hold.id, hold.state) for hold in bench.holds()] == [(first, "superseded"), (second, "open")]

    def test_of_an_older_snapshot_does_not_hide_that_of_the_newest(self, bench: Bench) -> None:
        empty = held(bench, group("1A"))
        held(bench, *pupils(*FIVE, "gerda"), head=at(-1))
        assert empty in [hold.id for hold in bench.holds("open")]

    def test_that_people_were_told_of_does_not_tell_them_again_tomorrow(self, bench: Bench) -> None:
        number = held(bench, group("1A"))
        with bench.store.write() as uow:
            uow.put_hold(replace(bench.holds("open")[0], notified_at=MORNING))
        assert held(bench, group("1B"), head=at(2)) != number
        assert bench.holds("open")[0].notified_at == MORNING

    def test_is_written_into_the_audit_with_its_reasons(self, bench: Bench) -> None:
        number = held(bench, pupil("ane"))
        (told,) = [row for row in bench.audit() if row["kind"] == "hold.opened"]
        assert (told["hold"], told["reasons"]) == (number, ["shrunken"])

    def test_for_the_wrong_institution_does_not_stop_the_right_one(self, bench: Bench) -> None:
        """The source mixes two institutions up once; the one whose document it was must still be taken."""
        bench.source.offered.clear()
        mixed = bench.source.offer(pupil("x"), head=at(1, OTHER_SCHOOL), expected=SCHOOL)
        bench.source.offer(pupil("x"), head=at(1, OTHER_SCHOOL), expected=OTHER_SCHOOL, digest=mixed.digest)
        assert bench.fetch() == [("held", "wrong_institution"), ("recorded", None)]

    def test_for_its_time_only_lets_the_same_content_pass_at_a_good_time(self, bench: Bench) -> None:
        late = exported(timedelta(days=1200))
        assert bench.take(*pupils(*FIVE), pupil("new"), head=late) == ("held", "from_future")
        good = exported(timedelta(days=1))
        assert bench.take(*pupils(*FIVE), pupil("new"), head=good) == ("recorded", None)
        assert bench.holds("open") == []

    @pytest.mark.parametrize("decided", [None, False])
    def test_for_its_time_only_is_one_hold_however_often_the_snapshot_comes(
        self, bench: Bench, decided: bool | None
    ) -> None:
        late = exported(timedelta(days=1200))
        bench.take(*pupils(*FIVE), pupil("new"), head=late)
        if decided is not None:
            bench.decide(bench.holds("open")[0].id, approve=decided)
        ends = [bench.take(*pupils(*FIVE), pupil("new"), head=late) for _ in range(3)]
        assert set(ends) == ({("held", "from_future")} if decided is None else {("refused", "rejected")})
        assert len(bench.holds()) == 1

    def test_is_opened_for_an_import_source_from_the_future(self, bench: Bench) -> None:
        times = {"KMD": MORNING + timedelta(days=20_000)}
        assert bench.take(*pupils(*FIVE), head=header(at=MORNING + timedelta(days=1), times=times)) == (
            "held",
            "from_future",
        )


class TestASupersededHold:
    def test_comes_of_a_good_snapshot_of_the_institution(self, bench: Bench) -> None:
        number = held(bench, pupil("ane"))
        bench.take(*pupils(*FIVE, "frida"), head=at(2))
        assert [(hold.id, hold.state) for hold in bench.holds()] == [(number, "superseded")]

    def test_comes_of_the_recorded_snapshot_seen_again(self, bench: Bench) -> None:
        """A glitch is over when the source shows again what it showed before."""
        held(bench, group("1A"))
        assert bench.take(*pupils(*FIVE), head=at(0)) == ("unchanged", None)
        assert bench.holds("open") == []

    def test_does_not_come_of_another_institutions_snapshot(self, bench: Bench) -> None:
        held(bench, pupil("ane"))
        bench.take(pupil("x"), head=at(2, OTHER_SCHOOL), expected=OTHER_SCHOOL)
        assert len(bench.holds("open")) == 1

    def test_is_opened_anew_when_its_snapshot_comes_back(self, bench: Bench) -> None:
        held(bench, group("1A"), head=at(1))
        bench.take(*pupils(*FIVE, "frida"), head=at(2))
        assert bench.take(group("1A"), head=at(3)) == ("held", "empty")
        assert len(bench.holds("open")) == 1
