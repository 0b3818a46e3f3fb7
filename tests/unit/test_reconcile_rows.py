"""What a platform lost, changed or went back on is set right, and no more: rows 30 and 45 to 47 of the matrix."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import pytest

from bridge.adapters.store_sql import open_sqlite
from bridge.domain.errors import TargetUnavailable
from bridge.engine.reconcile import reconcile, shown
from bridge.engine.reconcile_mend import unpark
from tests.support.engine import TARGET, group, group_id, person_id, pupil, teacher
from tests.support.reconcile import ANE, BO, Held, Town, large_school, small_school, users


@pytest.fixture
def town() -> Town:
    return small_school()


@pytest.fixture
def large() -> Town:
    return large_school()


class TestRow46:
    def test_an_edit_by_hand_is_set_right(self, town: Town) -> None:
        town.platform.document(ANE)["familyName"] = "By Hand"
        assert len(town.read("restore").mended) == 1
        assert town.platform.document(ANE)["familyName"] == "Holm"
        assert (town.read("restore").drift, town.drift()) == ((), {})

    def test_one_who_was_deleted_there_is_made_again_and_put_back_into_the_class(self, town: Town) -> None:
        town.platform.lose(ANE)
        town.read("restore")
        members = town.platform.document(group_id("1A"))["members"]
        assert {"value": town.platform.place_of(ANE)} in members
        assert town.read("restore").drift == ()

    def test_one_who_was_only_taken_for_missing_is_not_doubled(self, town: Town) -> None:
        place, held = town.platform.place_of(ANE), town.platform.holds.pop(town.platform.place_of(ANE))
        town.clock.forward(hours=1)
        reconcile(town.lane, "restore", town.notes)
        town.platform.holds[place] = held
        town.drain()
        assert [h.id for h in town.platform.holds.values()].count(ANE) == 1

    def test_a_member_that_was_added_by_hand_goes_again(self, town: Town) -> None:
        town.platform.document(group_id("1A"))["members"].append({"value": "by-hand"})
        assert shown(town.read("restore").drift) == {"changed": 1}
        assert {"value": "by-hand"} not in town.platform.document(group_id("1A"))["members"]

    def test_one_whom_we_deleted_and_who_is_back_is_deleted_again(self, town: Town) -> None:
        gone = copy.deepcopy(town.platform.holds[town.platform.place_of(BO)])
        town.take(group("1A"), pupil("ane", email="ane@skole.example"), teacher("tea"))
        town.clock.forward(days=2)
        town.drain()
        town.platform.holds["restored"] = gone
        assert shown(town.read("restore").drift) == {"leftover": 1}
        assert "restored" not in town.platform.holds
        assert town.read("restore").drift == ()

    def test_one_of_ours_whom_we_never_brought_there_is_only_told(self, town: Town) -> None:
        town.target.about[person_id("new")] = TargetUnavailable("status_503")
        town.take(group("1A"), pupil("ane", email="ane@skole.example"), pupil("bo"), teacher("tea"), pupil("new"))
        town.deliver()
        town.take(group("1A"), pupil("ane", email="ane@skole.example"), pupil("bo"), teacher("tea"))
        town.target.about.clear()
        town.clock.forward(days=2)
        town.drain()
        town.platform.holds["by-hand"] = Held("User", person_id("new"), {"userName": "new"})
        report = town.read("restore")
        assert (shown(report.drift), report.mended) == ({"leftover": 1}, frozenset())
        assert "by-hand" in town.platform.holds

    def test_between_two_that_carry_one_id_nobody_guesses(self, town: Town) -> None:
        town.platform.holds["copy"] = Held("User", ANE, dict(town.platform.document(ANE)))
        report = town.read("restore")
        assert (shown(report.drift), report.left) == ({"leftover": 1}, 1)
        assert [h.id for h in town.platform.holds.values()].count(ANE) == 2


class TestRow45:
    def rounds(self, town: Town, number: int) -> list[int]:
        """How many commands each of so many readings led to."""
        counts = []
        for _ in range(number):
            before = len(town.target.commands)
            town.read("restore")
            counts.append(len(town.target.commands) - before)
        return counts

    @pytest.fixture
    def stubborn(self, town: Town) -> Town:
        """A platform that drops e-mail addresses."""
        town.platform.habit = lambda document: {k: v for k, v in document.items() if k != "email"}
        town.platform.document(ANE).pop("email")
        return town

    def test_a_field_that_is_dropped_is_set_right_three_times_and_then_parked(self, stubborn: Town) -> None:
        assert self.rounds(stubborn, 6) == [1, 1, 1, 0, 0, 0]
        row = stubborn.drift()[ANE]
        assert (row.state, row.fields, row.rounds) == ("parked", ("email",), 3)
        assert [report.parked for report in stubborn.notes.reports] == [0, 0, 0, 1, 0, 0]
        assert stubborn.target_state().drifted == 1

    def test_a_repair_that_does_not_arrive_is_no_round(self, stubborn: Town) -> None:
        stubborn.target.about[ANE] = TargetUnavailable("status_503")
        self.rounds(stubborn, 6)
        assert stubborn.drift()[ANE].rounds == 0
        del stubborn.target.about[ANE]
        stubborn.clock.forward(days=1)
        stubborn.drain()
        assert self.rounds(stubborn, 4) == [1, 1, 0, 0]

    def test_reports_alone_are_no_rounds(self, stubborn: Town) -> None:
        for _ in range(6):
            stubborn.read("report")
        assert (stubborn.drift()[ANE].rounds, stubborn.drift()[ANE].state) == (0, "open")

    def test_it_begins_anew_when_something_else_is_to_be_there(self, stubborn: Town) -> None:
        self.rounds(stubborn, 4)
        stubborn.take(group("1A"), pupil("ane", email="new@skole.example"), pupil("bo"), teacher("tea"))
        stubborn.drain()
        assert self.rounds(stubborn, 5) == [1, 1, 1, 0, 0]

    def test_it_begins_anew_when_a_person_asks_for_it(self, stubborn: Town) -> None:
        self.rounds(stubborn, 4)
        assert unpark(stubborn.store, stubborn.book, [TARGET], "anna") == 1
        assert self.rounds(stubborn, 5) == [1, 1, 1, 0, 0]
        assert stubborn.audit()[-1]["kind"] != "drift.retried"
        assert any(record["kind"] == "drift.retried" for record in stubborn.audit())

    def test_it_is_over_when_the_platform_has_it_after_all(self, stubborn: Town) -> None:
        self.rounds(stubborn, 4)
        stubborn.platform.document(ANE)["email"] = "ane@skole.example"
        stubborn.read("restore")
        assert (stubborn.drift(), stubborn.target_state().drifted) == ({}, 0)

    def test_another_field_of_a_parked_entity_is_still_set_right(self, stubborn: Town) -> None:
        self.rounds(stubborn, 4)
        stubborn.platform.document(ANE)["familyName"] = "By Hand"
        assert self.rounds(stubborn, 3) == [1, 0, 0]
        assert stubborn.platform.document(ANE)["familyName"] == "Holm"
        assert stubborn.drift()[ANE].fields == ("email",)

    def test_names_that_are_trimmed_are_parked_and_composed_ones_are_no_drift(self, town: Town) -> None:
        town.take(group("1A"), pupil("ane", given_name="A\u030ase "), pupil("bo"), teacher("tea"))
        town.drain()
        document = town.platform.document(ANE)
        document["givenName"] = "\u00c5se "
        assert town.read("restore").drift == ()
        town.platform.habit = lambda document: {**document, "givenName": document["givenName"].strip()}
        document["givenName"] = "\u00c5se"
        assert self.rounds(town, 5) == [1, 1, 1, 0, 0]

    def test_one_who_is_deleted_again_and_again_is_parked(self, town: Town) -> None:
        town.take(group("1A"), pupil("ane"), pupil("bo"), teacher("tea"))
        town.drain()
        for _ in range(5):
            if any(held.id == BO for held in town.platform.holds.values()):
                town.platform.lose(BO)
            town.read("restore")
        assert town.drift()[BO].state == "parked"
        assert BO not in {held.id for held in town.platform.holds.values()}


class TestRow47:
    def test_other_ids_of_the_platform_are_learned_again(self, town: Town) -> None:
        place = town.platform.move(ANE)
        assert shown(town.read("restore").drift)["moved"] == 1
        assert town.delivery(ANE).remote_id == place
        assert {"value": place} in town.platform.document(group_id("1A"))["members"]
        assert town.read("restore").drift == ()
        assert [held.id for held in town.platform.holds.values()].count(ANE) == 1

    def test_a_restored_platform_waits_for_a_person(self, large: Town) -> None:
        for identity in users(range(100)):
            large.platform.move(identity)
        before = len(large.target.commands)
        report = large.read("restore")
        assert (report.hold, report.mended) == (1, frozenset())
        assert len(large.target.commands) == before
        (hold,) = large.holds("open")
        assert (hold.subject, hold.target, hold.reasons) == ("drift", TARGET, ("target_drifted",))
        assert (hold.counts["person.moved"], len(hold.people)) == (100, 100)
        large.decide(1, approve=True)
        assert len(large.read("restore").mended) == 100
        large.read("restore")
        assert large.read("restore").drift == ()
        assert len(large.platform.holds) == 101
        assert [hold.state for hold in large.holds()] == ["applied"]


class TestRow30:
    def test_after_yesterdays_state_is_back_nothing_is_deleted_and_nobody_doubled(self, tmp_path: Path) -> None:
        town = Town()
        town.platform.looks_first = True
        state, backup = tmp_path / "skolebro.db", tmp_path / "backup.db"
        town.store = open_sqlite(state)
        town.take(group("1A"), *(pupil(f"user{n:03}") for n in range(100)))
        town.drain()
        town.store.close()
        shutil.copyfile(state, backup)

        town.store = open_sqlite(state)
        today = [pupil(f"user{n:03}", given_name="New") for n in range(5, 50)]
        today += [pupil(f"user{n:03}") for n in range(50, 140)]
        assert town.take(group("1A"), *today) == ("recorded", None)
        town.clock.forward(days=2)
        town.drain()
        there = copy.deepcopy(town.platform.holds)
        town.store.close()

        shutil.copyfile(backup, state)
        town.store = open_sqlite(state)
        before = len(town.target.commands)
        report = town.read("restore")
        assert (report.foreign, report.hold) == (40, 1)
        assert town.platform.holds == there, "much is otherwise, so a person decides first"
        assert len(town.target.commands) == before

        town.take(group("1A"), *today)
        town.clock.forward(days=2)
        town.drain()
        assert {held.id for held in town.platform.holds.values()} == {held.id for held in there.values()}
        assert len(town.platform.holds) == len(there)
        town.store.close()
