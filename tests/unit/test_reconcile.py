"""What a target has otherwise is found, told, and set right within policy and guard; nothing else is touched."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.adapters.store_sql import open_sqlite
from bridge.connector import Capabilities, Command, Remote
from bridge.domain.entities import Kind
from bridge.domain.errors import ConfigError, TargetUnavailable
from bridge.domain.ids import CanonicalId
from bridge.domain.outcomes import Delivered, Outcome
from bridge.domain.sameness import differing_fields
from bridge.engine.asking import Stopped
from bridge.engine.reconcile import Reconciler, Repair, Report, reconcile, shown
from bridge.engine.reconcile_mend import resync, unpark
from bridge.ports import Delivery, Desired, Drift, TargetState
from tests.support.engine import (
    TARGET,
    Bench,
    FakeTarget,
    group,
    group_id,
    person_id,
    pupil,
    teacher,
)

ANE, BO = person_id("ane"), person_id("bo")


@dataclass
class Held:
    """One thing that the platform has."""

    resource: str
    id: str | None
    document: dict[str, Any] = field(default_factory=dict)


class Platform(FakeTarget):
    """Keeps what it is sent under ids of its own, finds what is in doubt by our id, and can be read back.

    `habit` is done to every document that is stored. `looks_first`: before each creation, too. `fails_after` so
    many things the reading breaks.
    """

    def __init__(self) -> None:
        super().__init__(Capabilities(references="remote", idempotent_create=False))
        self.holds: dict[str, Held] = {}
        self.habit: Callable[[dict[str, Any]], dict[str, Any]] = dict
        self.looks_first = False
        self.fails_after: int | None = None
        self.readings = 0
        self.while_read: Callable[[], None] = lambda: None

    def _answer(self, command: Command) -> Outcome:
        answer = super()._answer(command)
        if not isinstance(answer, Delivered):
            return answer
        place = self._place(command)
        if command.document is None:
            self.holds.pop(place or "", None)
            return Delivered()
        place = place or f"remote-{next(self._numbers)}"
        self.holds[place] = Held(command.resource, command.id, self.habit(dict(command.document)))
        return Delivered(place)

    def _place(self, command: Command) -> str | None:
        if command.remote_id in self.holds:
            return command.remote_id
        looks = self.looks_first or command.in_doubt or command.remote_id is not None
        return next((p for p, held in self.holds.items() if held.id == command.id and looks), None)

    def read_back(self, resources: Collection[str]) -> Iterator[Remote]:
        self.readings += 1
        left = self.fails_after
        for place, held in list(self.holds.items()):
            if held.resource not in resources:
                continue
            if left == 0:
                raise TargetUnavailable("read_back_incomplete")
            left = None if left is None else left - 1
            yield Remote(
                held.resource, place, CanonicalId(held.id) if held.id else None, copy.deepcopy(held.document)
            )
        self.while_read()

    # ------------------------------------------------------------ by hand

    def place_of(self, identity: str) -> str:
        return next(place for place, held in self.holds.items() if held.id == identity)

    def document(self, identity: str) -> dict[str, Any]:
        return self.holds[self.place_of(identity)].document

    def lose(self, identity: str) -> None:
        del self.holds[self.place_of(identity)]

    def move(self, identity: str) -> str:
        """Give something another id of its own, as an import does."""
        held = self.holds.pop(self.place_of(identity))
        place = f"remote-{next(self._numbers)}"
        self.holds[place] = held
        return place


class Notes:
    """A witness of readings."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.unread_for: list[str] = []

    def reconciled(self, before: TargetState, report: Report) -> None:
        self.reports.append(report)

    def unread(self, target: str, reason: str) -> None:
        self.unread_for.append(reason)


class Town(Bench):
    """A bench whose target can be read back."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.platform = Platform()
        self.target = self.platform
        self.notes = Notes()

    def read(self, policy: Repair = "report") -> Report:
        """Reconcile an hour later, and deliver what is due then."""
        self.clock.forward(hours=1)
        report = reconcile(self.lane, policy, self.notes)
        assert report is not None
        self.clock.forward(minutes=1)
        self.drain()
        return report

    def drift(self) -> dict[str, Drift]:
        with self.store.read() as reader:
            return {row.id: row for row in reader.drift(TARGET)}


@pytest.fixture
def town() -> Town:
    """A class with two pupils and a teacher, all delivered."""
    town = Town()
    town.take(group("1A"), pupil("ane", email="ane@skole.example"), pupil("bo"), teacher("tea"))
    town.drain()
    return town


@pytest.fixture
def large() -> Town:
    """A school of a hundred pupils, all delivered."""
    town = Town()
    town.take(group("1A"), *(pupil(f"user{n:03}") for n in range(100)))
    town.drain()
    return town


def users(numbers: range) -> list[str]:
    return [person_id(f"user{n:03}") for n in numbers]


# ---------------------------------------------------------------- comparing


class TestSameness:
    @pytest.mark.parametrize(
        ("sent", "found"),
        [
            ({"name": "Bj\u00f8rn \u00c5se"}, {"name": "Bj\u00f8rn A\u030ase"}),
            ({"members": [{"value": "1"}, {"value": "2"}]}, {"members": [{"value": "2"}, {"value": "1"}]}),
            ({"members": []}, {}),
            ({"members": []}, {"members": None}),
            ({"email": ""}, {"email": None}),
            ({"name": {"given": "Ane"}}, {"name": {"given": "Ane", "formatted": "Ane Holm"}}),
            ({"members": [{"value": "1"}]}, {"members": [{"value": "1", "$ref": "x", "type": "User"}]}),
            ({"name": {"given": ""}}, {}),
            ({"active": True}, {"active": True, "meta": {"version": "2"}}),
            (
                {"mails": [{"value": "a"}, {"value": "b", "type": "work"}]},
                {"mails": [{"value": "b", "type": "work"}, {"value": "a", "type": "other"}]},
            ),
        ],
    )
    def test_what_makes_no_difference_is_none(self, sent: dict[str, Any], found: dict[str, Any]) -> None:
        assert differing_fields(sent, found) == ()

    @pytest.mark.parametrize(
        ("sent", "found"),
        [
            ({"name": "Ane "}, {"name": "Ane"}),
            ({"name": "Ane"}, {"name": "ANE"}),
            ({"name": "Ane"}, {}),
            ({"active": False}, {}),
            ({"name": {"given": "Ane"}}, {"name": {"given": "Bo"}}),
            ({"name": {"given": "Ane"}}, {"name": "Ane"}),
            ({"name": [{"value": "1"}]}, {"name": "1"}),
            ({"name": [{"value": "1"}]}, {"name": [{"value": "1"}, {"value": "2"}]}),
            ({"name": [{"value": "1"}, {"value": "1"}]}, {"name": [{"value": "1"}, {"value": "2"}]}),
            ({"name": [], "active": True}, {"name": [{"value": "1"}], "active": True}),
        ],
    )
    def test_what_makes_one_names_the_field(self, sent: dict[str, Any], found: dict[str, Any]) -> None:
        assert differing_fields(sent, found) == (next(iter(sent)),)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.text(max_size=4),
            lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.sampled_from("abc"), inside),
            max_leaves=8,
        )
    )
    def test_everything_is_the_same_as_itself(self, value: Any) -> None:
        assert differing_fields({"field": value}, {"field": copy.deepcopy(value), "more": 1}) == ()


# ---------------------------------------------------------------- finding


class TestReading:
    def test_finds_nothing_where_all_is_as_it_was_sent(self, town: Town) -> None:
        report = town.read("restore")
        assert (report.read, report.foreign, report.drift) == (4, 0, ())
        assert town.target_state().reconciled_at == report.at

    def test_tells_in_which_way_each_differs_and_changes_nothing(self, town: Town) -> None:
        town.platform.document(ANE)["familyName"] = "By Hand"
        town.platform.lose(BO)
        before = len(town.target.commands)
        report = town.read()
        assert shown(report.drift) == {"changed": 1, "missing": 1}
        assert town.drift()[ANE].fields == ("familyName",)
        assert (report.left, town.target_state().drifted) == (2, 2)
        assert len(town.target.commands) == before

    def test_counts_what_is_not_ours_and_never_touches_it(self, town: Town) -> None:
        hand_made = Held("User", None, dict(town.platform.document(ANE)))
        other = Held("User", "0f0e7a2b-5d0c-5b8e-9a3c-6f1f0a4d6b11", {"userName": "ane"})
        town.platform.holds |= {"by-hand": hand_made, "of-another": other}
        report = town.read("restore")
        assert (report.foreign, report.drift) == (2, ())
        assert {"by-hand", "of-another"} <= town.platform.holds.keys()

    def test_that_breaks_off_concludes_nothing(self, town: Town) -> None:
        town.platform.fails_after = 2
        with pytest.raises(TargetUnavailable):
            town.read("restore")
        assert (town.drift(), town.target_state().reconciled_at) == ({}, None)
        assert len(town.platform.holds) == 4

    def test_leaves_what_is_on_its_way(self, town: Town) -> None:
        town.platform.document(ANE)["familyName"] = "By Hand"
        town.take(group("1A"), pupil("ane", given_name="New"), pupil("bo"), teacher("tea"))
        report = reconcile(town.lane, "restore", town.notes)
        assert report is not None
        assert report.drift == ()

    def test_leaves_what_changed_here_meanwhile(self, town: Town) -> None:
        town.platform.lose(ANE)
        town.platform.while_read = lambda: town.take(
            group("1A"), pupil("ane", given_name="New"), pupil("bo"), teacher("tea")
        )
        report = reconcile(town.lane, "restore", town.notes)
        assert report is not None
        assert ANE not in {row.id for row in report.drift}

    def test_waits_for_a_mapping_that_is_not_applied(self, town: Town) -> None:
        town.rendering = replace(town.rendering, system="https://other.example")
        assert reconcile(town.lane, "restore", town.notes) is None
        assert town.platform.readings == 0

    def test_of_a_target_that_cannot_is_refused_in_words(self) -> None:
        with pytest.raises(ConfigError, match="cannot be read back"):
            reconcile(Bench().lane, "report", Notes())

    def test_can_be_stopped(self, town: Town) -> None:
        with pytest.raises(Stopped):
            reconcile(town.lane, "restore", town.notes, lambda: False)


# ---------------------------------------------------------------- row 46


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


# ---------------------------------------------------------------- row 45


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


# ---------------------------------------------------------------- row 47 and the guard


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


class TestGuard:
    def test_much_that_is_missing_is_not_made_again_unasked(self, large: Town) -> None:
        for identity in users(range(30)):
            large.platform.lose(identity)
        assert large.read("restore").hold == 1
        assert large.read("restore").hold == 1
        assert len(large.holds()) == 1
        assert len(large.platform.holds) == 71

    def test_little_is(self, large: Town) -> None:
        for identity in users(range(20)):
            large.platform.lose(identity)
        assert len(large.read("restore").mended) == 20
        assert (len(large.platform.holds), large.holds()) == (101, [])

    def test_an_approval_is_carried_out_once_though_more_has_drifted_since(self, large: Town) -> None:
        for identity in users(range(30)):
            large.platform.lose(identity)
        large.read("restore")
        large.decide(1, approve=True)
        large.platform.lose(users(range(31))[30])
        report = large.read("restore")
        assert len(report.mended) == 31, "one alone is not too much"
        assert len(large.platform.holds) == 101

    def test_one_persons_approval_sets_nothing_right_where_two_are_needed_by_now(self, large: Town) -> None:
        for identity in users(range(30)):
            large.platform.lose(identity)
        large.read("restore")
        large.decide(1, approve=True, by="anna")
        large.target_policy = replace(large.target_policy, people_needed=2)
        assert large.read("restore").mended == frozenset()
        assert [(hold.state, [one.by for one in hold.approvals]) for hold in large.holds()] == [("open", ["anna"])]

    def test_a_rejection_is_not_asked_for_again(self, large: Town) -> None:
        for identity in users(range(30)):
            large.platform.lose(identity)
        large.read("restore")
        large.decide(1, approve=False)
        for _ in range(2):
            report = large.read("restore")
            assert (report.hold, report.mended, report.left) == (None, frozenset(), 31 - 1)
        assert [hold.state for hold in large.holds()] == ["rejected"]

    def test_a_question_is_over_when_nothing_differs_any_more(self, large: Town) -> None:
        kept = copy.deepcopy(large.platform.holds)
        for identity in users(range(30)):
            large.platform.lose(identity)
        large.read("restore")
        large.platform.holds = kept
        large.read("restore")
        assert [hold.state for hold in large.holds()] == ["superseded"]

    def test_a_report_takes_no_question_back(self, large: Town) -> None:
        for identity in users(range(30)):
            large.platform.lose(identity)
        large.read("restore")
        large.read("report")
        assert [hold.state for hold in large.holds()] == ["open"]

    def test_a_small_school_that_is_gone_as_a_whole_is_not_believed(self, town: Town) -> None:
        for identity in (ANE, BO, person_id("tea")):
            town.platform.lose(identity)
        assert (town.read("restore").hold, len(town.platform.holds)) == (1, 1)

    def test_an_empty_answer_deletes_and_makes_nothing(self, large: Town) -> None:
        large.platform.holds.clear()
        assert (large.read("restore").hold, large.platform.holds) == (1, {})


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


# ---------------------------------------------------------------- asked for, and in the daemon


class TestResync:
    def test_forgets_nobody_who_leaves_before_it_is_sent(self, town: Town) -> None:
        resync(town.store, town.book, TARGET, "anna", town.clock.at)
        gone = next(iter(key for key in town.entities(Kind.PERSON)))
        with town.store.write() as uow:
            identity = town.rendering.scope.id(Kind.PERSON, gone)
            row = uow.delivery(TARGET, identity)
            assert row is not None
            uow.put_desired([replace_hash(row)], town.clock.at)
            after = uow.delivery(TARGET, identity)
        assert after is not None and after.is_due

    def test_sends_everything_again_to_where_it_is(self, town: Town) -> None:
        places = set(town.platform.holds)
        assert resync(town.store, town.book, TARGET, "anna", town.clock.now()) == 4
        commands = town.drain()
        assert {command.id for command in commands} >= {ANE, BO}
        assert set(town.platform.holds) == places
        record = next(record for record in town.audit() if record["kind"] == "target.resync")
        assert (record["target"], record["by"], record["number"]) == (TARGET, "anna", 4)


class TestReconciler:
    @pytest.fixture
    def daily(self, town: Town) -> Reconciler:
        return Reconciler(town.lane, "restore", timedelta(hours=24))

    def test_reads_in_its_turn_and_not_after_each_start(self, town: Town, daily: Reconciler) -> None:
        assert [daily.step(town.notes) for _ in range(3)] == [1, 0, 0]
        assert Reconciler(town.lane, "restore", timedelta(hours=24)).step(town.notes) == 0
        town.clock.forward(hours=24)
        assert daily.step(town.notes) == 1

    def test_leaves_a_target_alone_that_pauses(self, town: Town, daily: Reconciler) -> None:
        with town.store.write() as uow:
            state = uow.target_state(TARGET)
            uow.put_target_state(replace(state, paused_until=town.clock.now() + timedelta(minutes=5)))
        assert daily.step(town.notes) == 0
        town.clock.forward(minutes=6)
        assert daily.step(town.notes) == 1

    def test_lets_deliveries_go_first(self, town: Town, daily: Reconciler) -> None:
        town.take(group("1A"), pupil("ane", given_name="New"), pupil("bo"), teacher("tea"))
        assert daily.step(town.notes) == 0
        town.drain()
        assert daily.step(town.notes) == 1

    def test_tells_a_failure_once_and_tries_later(self, town: Town, daily: Reconciler) -> None:
        town.platform.fails_after = 1
        for _ in range(10):
            daily.step(town.notes)
        assert (town.platform.readings, town.notes.unread_for) == (1, ["read_back_incomplete"])
        town.clock.forward(hours=1)
        daily.step(town.notes)
        assert (town.platform.readings, len(town.notes.unread_for)) == (2, 1)
        assert town.target_state().paused_until is None, "deliveries go on"
        town.platform.fails_after = None
        town.clock.forward(hours=1)
        assert daily.step(town.notes) == 1

    def test_reads_when_a_person_has_decided_though_it_never_reads_by_itself(self, large: Town) -> None:
        never = Reconciler(large.lane, "report", None)
        for identity in users(range(30)):
            large.platform.lose(identity)
        assert never.step(large.notes) == 0
        large.read("restore")
        large.decide(1, approve=True)
        large.clock.forward(minutes=10)
        assert never.step(large.notes) == 1
        large.drain()
        assert len(large.platform.holds) == 101


def replace_hash(row: Delivery) -> Desired:
    """The row as it should be when its entity goes away."""
    return Desired(row.target, row.id, row.kind, row.key, row.institution, row.resource, row.rank, None)
