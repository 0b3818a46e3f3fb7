"""A new school year is one step: held as one, shown in a school's words, carried out as a whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bridge.cli import show
from bridge.cli.expected import moment_in
from bridge.domain.entities import Affiliation, Kind, Membership
from bridge.domain.records import Header, ImportSource, Record
from bridge.engine.decide import NotAllowed, Rule
from bridge.engine.desire import Early
from bridge.engine.expect import as_proposed, expect_roll, unexpect_roll, windows
from bridge.engine.guard import SCHOOL_YEAR
from bridge.engine.plan import foresee
from bridge.engine.refresh import announce
from bridge.ports import ExpectedRoll, Hold
from bridge.web.hold_page import hold_page
from tests.support.engine import SCHOOL, TARGET, TOWN, Bench, group, group_id, pupil, teacher

MONTH = timedelta(days=30)
OLD, NEW = "2026-2027", "2027-2028"
LAST_YEAR: tuple[Record, ...] = (
    *(group(name, level=name[0], line="A") for name in ("1A", "2A", "3A")),
    *(pupil(f"one{n}", "1A") for n in range(4)),
    *(pupil(f"two{n}", "2A") for n in range(4)),
    *(pupil(f"three{n}", "3A") for n in range(4)),
    teacher("tove", ["1A"]),
)
# The ids are used again for other children: 2A is now who was 1A.
REUSED: tuple[Record, ...] = (
    *(group(name, level=name[0], line="A") for name in ("1A", "2A", "3A")),
    *(pupil(f"new{n}", "1A") for n in range(4)),
    *(pupil(f"one{n}", "2A") for n in range(4)),
    *(pupil(f"two{n}", "3A") for n in range(4)),
    teacher("tove", ["1A"]),
)
FRESH: tuple[Record, ...] = (
    *(group(f"{name}-27", level=name[0], line="A") for name in ("1A", "2A", "3A")),
    *(pupil(f"new{n}", "1A-27") for n in range(4)),
    *(pupil(f"one{n}", "2A-27") for n in range(4)),
    *(pupil(f"two{n}", "3A-27") for n in range(4)),
    teacher("tove", ["1A-27"]),
)


def head(bench: Bench, **years: str) -> Header:
    bench.clock.forward(hours=12)
    at = bench.clock.at
    return Header(SCHOOL, "Skolen", at, tuple(ImportSource(name, at, year) for name, year in years.items()))


def bench_of(**years: str) -> Bench:
    bench = Bench()
    assert bench.take(*LAST_YEAR, head=head(bench, **(years or {"KMD": OLD}))) == ("recorded", None)
    bench.drain()
    return bench


def only_hold(bench: Bench) -> Hold:
    (hold,) = bench.holds("open")
    return hold


def main_groups(bench: Bench) -> dict[str, str | None]:
    found = bench.entities(Kind.AFFILIATION).values()
    return {one.user_id: one.main_group for one in found if isinstance(one, Affiliation) and one.main_group}


class TestARoll:
    def test_changes_nothing_before_a_person_has_seen_it(self) -> None:
        bench = bench_of()
        assert bench.take(*REUSED, head=head(bench, KMD=NEW)) == ("held", SCHOOL_YEAR)
        assert main_groups(bench)["one0"] == "1A"
        assert bench.drain() == []

    def test_is_told_as_classes_that_move_up_and_who_leaves_and_starts(self) -> None:
        bench = bench_of()
        bench.take(*REUSED, head=head(bench, KMD=NEW))
        told = only_hold(bench).summary
        assert told["classes"] == ("Klasse 1A -> Klasse 2A: 4", "Klasse 2A -> Klasse 3A: 4")
        assert told["leavers"] == tuple(f"three{n}" for n in range(4))
        assert told["starters"] == tuple(f"new{n}" for n in range(4))
        assert (told["new_groups"], told["closed_groups"]) == ((), ())

    def test_with_new_group_ids_names_the_groups_that_come_and_go(self) -> None:
        bench = bench_of()
        bench.take(*FRESH, head=head(bench, KMD=NEW))
        told = only_hold(bench).summary
        assert told["classes"] == ("Klasse 1A -> Klasse 2A-27: 4", "Klasse 2A -> Klasse 3A-27: 4")
        assert told["new_groups"] == tuple(f"Klasse {name}-27" for name in ("1A", "2A", "3A"))
        assert told["closed_groups"] == tuple(f"Klasse {name}" for name in ("1A", "2A", "3A"))

    def test_names_a_group_with_its_id_only_where_two_share_a_name(self) -> None:
        bench = bench_of()
        same = (group("X1", "4A"), group("X2", "4A"), group("X3", "Klasse 3A"))
        moved = (pupil("one0", "X1"), pupil("two0", "X2"), pupil("two1", "X2"), pupil("three0", "X3"))
        rest = [pupil(f"{name}{n}", f"{i}A") for i, name in enumerate(("one", "two", "three"), 1) for n in (2, 3)]
        bench.take(*LAST_YEAR[:3], *same, *moved, *rest, head=head(bench, KMD=NEW))
        told = only_hold(bench).summary
        assert told["classes"] == (
            "Klasse 1A -> 4A (X1): 1",
            "Klasse 2A -> 4A (X2): 2",
            "Klasse 3A (3A) -> Klasse 3A (X3): 1",
        )
        assert told["new_groups"] == ("4A (X1)", "4A (X2)", "Klasse 3A")

    def test_is_shown_with_a_line_for_each_move_and_every_leaver_once(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        bench = bench_of()
        bench.take(*REUSED, head=head(bench, KMD=NEW))
        show.hold(only_hold(bench), False, Rule(), bench.clock.at)
        told = capsys.readouterr().out
        assert "  classes (2):\n    Klasse 1A -> Klasse 2A: 4\n    Klasse 2A -> Klasse 3A: 4\n" in told
        assert "leavers (4): 4 of those who would go\n" in told
        assert told.count("three0") == 1
        assert hold_page(only_hold(bench), {}).count("three0") == 1

    def test_is_carried_out_as_a_whole(self) -> None:
        bench = bench_of()
        bench.take(*REUSED, head=head(bench, KMD=NEW))
        bench.decide(only_hold(bench).id, approve=True)
        bench.apply_approved()
        assert main_groups(bench) == {
            **{f"new{n}": "1A" for n in range(4)},
            **{f"one{n}": "2A" for n in range(4)},
            **{f"two{n}": "3A" for n in range(4)},
        }
        bench.drain()
        assert len(bench.target.documents[group_id("2A")]["members"]) == 4
        assert bench.holds("open") == []

    def test_of_tomorrow_takes_the_place_of_todays(self) -> None:
        bench = bench_of()
        bench.take(*REUSED, head=head(bench, KMD=NEW))
        first = only_hold(bench)
        bench.take(*REUSED, pupil("late", "1A"), head=head(bench, KMD=NEW))
        assert only_hold(bench).id != first.id
        assert "late" in only_hold(bench).summary["starters"]

    def test_says_what_it_will_do_at_each_target_before_anyone_approves_it(self) -> None:
        bench = bench_of()
        bench.take(*REUSED, head=head(bench, KMD=NEW))
        told = foresee(bench.store, [bench.intake], [bench.lane], only_hold(bench).id).targets[TARGET]
        assert {(step.operation, step.resource) for step in told} == {
            ("created", "User"),
            ("updated", "Group"),
            ("deleted", "User"),
        }
        bench.decide(only_hold(bench).id, approve=True)
        bench.apply_approved()
        assert sorted((c.operation.value, c.key) for c in bench.drain()) == sorted(
            (s.operation, s.key) for s in told
        )

    def test_of_a_second_source_on_a_later_day_is_a_roll_of_its_own(self) -> None:
        bench = bench_of(KMD=OLD, TEA=OLD)
        for years in ({"KMD": NEW, "TEA": OLD}, {"KMD": NEW, "TEA": NEW}):
            assert bench.take(*REUSED, pupil(years["TEA"], "1A"), head=head(bench, **years)) == (
                "held",
                SCHOOL_YEAR,
            )
            bench.decide(only_hold(bench).id, approve=True)
            bench.apply_approved()
        assert bench.take(*REUSED, pupil("late", "1A"), head=head(bench, KMD=NEW, TEA=NEW)) == ("recorded", None)

    def test_within_an_expected_window_passes_by_itself(self) -> None:
        bench = bench_of()
        at = bench.clock.at
        window = ExpectedRoll(TOWN, "", at, at + timedelta(days=30), "anna", at)
        expect_roll(bench.store, bench.book, window)
        assert bench.take(*FRESH, head=head(bench, KMD=NEW)) == ("recorded", None)
        assert {
            one.group_id for one in bench.entities(Kind.MEMBERSHIP).values() if isinstance(one, Membership)
        } == {
            "1A-27",
            "2A-27",
            "3A-27",
        }
        assert bench.audit()[-2]["kind"] == "roll.expected" or "roll.expected" in [
            r["kind"] for r in bench.audit()
        ]

    def test_within_an_expected_window_still_waits_when_too_many_leave(self) -> None:
        bench = bench_of()
        at = bench.clock.at
        expect_roll(bench.store, bench.book, ExpectedRoll(TOWN, "", at, at + timedelta(days=30), "anna", at))
        few = [group("2A"), *(pupil(f"one{n}", "2A") for n in range(4)), teacher("tove")]
        assert bench.take(*few, head=head(bench, KMD=NEW)) == ("held", SCHOOL_YEAR)


class TestAWindowWhereTwoPeopleDecide:
    """Without it a roll waits, and nobody opens it alone."""

    def bench(self) -> Bench:
        bench = bench_of()
        bench.policy = replace(bench.policy, people_needed=2)
        return bench

    def expect(self, bench: Bench, by: str, until: datetime, *, institution: str = "") -> bool:
        at = bench.clock.at
        roll = ExpectedRoll(TOWN, institution, at, until, by, at)
        return expect_roll(bench.store, bench.book, roll, bench.policy)

    def roll(self, bench: Bench) -> tuple[str, str | None]:
        return bench.take(*FRESH, head=head(bench, KMD=NEW))

    def test_is_not_opened_by_one_person(self) -> None:
        bench = self.bench()
        assert not self.expect(bench, "anna", bench.clock.at + MONTH)
        assert bench.audit()[-1]["kind"] == "roll.proposed"
        assert self.roll(bench) == ("held", SCHOOL_YEAR)

    def test_is_opened_by_a_second_person_who_says_the_same(self) -> None:
        bench = self.bench()
        self.expect(bench, "anna", bench.clock.at + MONTH)
        assert self.expect(bench, "bent", bench.clock.at + MONTH)
        assert bench.audit()[-1]["kind"] == "roll.expected"
        assert self.roll(bench) == ("recorded", None)

    def test_begins_as_the_first_person_said_where_the_second_names_only_its_end(self) -> None:
        bench = self.bench()
        until = bench.clock.at + MONTH
        self.expect(bench, "anna", until)
        first = bench.clock.at
        bench.clock.forward(hours=2)
        later = ExpectedRoll(TOWN, "", bench.clock.at, until, "bent", bench.clock.at)
        with bench.store.read() as reader:
            joined = as_proposed(reader, later, bench.policy)
        assert (joined.opens_at, joined.opened_by, joined.opened_at) == (first, "bent", bench.clock.at)
        assert expect_roll(bench.store, bench.book, joined, bench.policy)

    @pytest.mark.parametrize(("days", "institution"), [(29, ""), (30, SCHOOL)])
    def test_is_not_opened_by_a_second_person_who_says_something_else(self, days: int, institution: str) -> None:
        bench = self.bench()
        self.expect(bench, "anna", bench.clock.at + MONTH)
        assert not self.expect(bench, "bent", bench.clock.at + timedelta(days=days), institution=institution)
        assert self.roll(bench) == ("held", SCHOOL_YEAR)

    def test_is_not_opened_by_one_person_twice(self) -> None:
        bench = self.bench()
        until = bench.clock.at + MONTH
        self.expect(bench, "anna", until)
        with pytest.raises(NotAllowed, match="2 different people"):
            self.expect(bench, "anna", until)
        assert self.roll(bench) == ("held", SCHOOL_YEAR)

    def test_is_not_opened_by_somebody_who_comes_too_late(self) -> None:
        bench = self.bench()
        window = ExpectedRoll(TOWN, "", bench.clock.at, bench.clock.at + MONTH, "anna", bench.clock.at)
        expect_roll(bench.store, bench.book, window, bench.policy)
        bench.clock.forward(hours=25)
        late = replace(window, opened_by="bent", opened_at=bench.clock.at)
        assert not expect_roll(bench.store, bench.book, late, bench.policy)
        assert self.roll(bench) == ("held", SCHOOL_YEAR)

    def test_stays_open_though_it_was_opened_long_ago(self) -> None:
        bench = self.bench()
        until = bench.clock.at + MONTH
        for person in ("anna", "bent"):
            self.expect(bench, person, until)
        bench.clock.forward(days=20)
        assert self.roll(bench) == ("recorded", None)

    def test_is_shut_that_one_person_opened_while_one_was_enough(self) -> None:
        bench = bench_of()
        self.expect(bench, "anna", bench.clock.at + MONTH)
        bench.policy = replace(bench.policy, people_needed=2)
        assert self.roll(bench) == ("held", SCHOOL_YEAR)


class TestAWindowThatIsLookedAt:
    def bench(self, needed: int) -> Bench:
        bench = bench_of()
        bench.policy = replace(bench.policy, people_needed=needed)
        at = bench.clock.at
        window = ExpectedRoll(TOWN, "", at, at + MONTH, "anna", at)
        expect_roll(bench.store, bench.book, window, bench.policy)
        return bench

    def seen(self, bench: Bench) -> list[tuple[tuple[str, ...], bool]]:
        with bench.store.read() as reader:
            found = windows(reader.expected_rolls(TOWN), bench.policy, bench.clock.at)
        return [(one.people, one.is_open) for one in found]

    def test_is_open_until_it_is_over(self) -> None:
        bench = self.bench(1)
        assert self.seen(bench) == [(("anna",), True)]
        bench.clock.forward(days=31)
        assert self.seen(bench) == []

    def test_waits_for_a_second_person_as_long_as_one_may_come(self) -> None:
        bench = self.bench(2)
        assert self.seen(bench) == [(("anna",), False)]
        bench.clock.forward(hours=25)
        assert self.seen(bench) == []

    def test_lets_no_roll_pass_once_it_is_withdrawn(self) -> None:
        bench = self.bench(1)
        assert unexpect_roll(bench.store, bench.book, TOWN, "", None, bench.clock.at) == 1
        assert bench.audit()[-1]["kind"] == "roll.withdrawn"
        assert self.seen(bench) == []
        assert bench.take(*FRESH, head=head(bench, KMD=NEW)) == ("held", SCHOOL_YEAR)

    def test_is_not_withdrawn_by_the_name_or_the_end_of_another(self) -> None:
        bench = self.bench(1)
        assert unexpect_roll(bench.store, bench.book, TOWN, SCHOOL, None, bench.clock.at) == 0
        assert unexpect_roll(bench.store, bench.book, TOWN, "", bench.clock.at + 2 * MONTH, bench.clock.at) == 0
        assert self.seen(bench) == [(("anna",), True)]


@pytest.mark.parametrize(
    ("text", "is_end", "meant"),
    [
        ("2027-08-31", True, "2027-08-31T21:59:59+00:00"),
        ("2027-08-31", False, "2027-08-30T22:00:00+00:00"),
        ("2027-08-31T08:00", True, "2027-08-31T06:00:00+00:00"),
        ("2027-12-31T08:00Z", True, "2027-12-31T08:00:00+00:00"),
    ],
)
def test_the_last_day_of_a_window_counts_to_its_end_where_the_school_is(
    text: str, meant: str, *, is_end: bool
) -> None:
    assert moment_in(ZoneInfo("Europe/Copenhagen"), text, "--until", is_end=is_end).isoformat() == meant


def test_a_window_of_more_than_sixty_days_is_refused() -> None:
    bench = bench_of()
    at = bench.clock.at
    with pytest.raises(NotAllowed, match="60 days"):
        expect_roll(bench.store, bench.book, ExpectedRoll(TOWN, "", at, at + timedelta(days=61), "anna", at))
    assert bench.take(*FRESH, head=head(bench, KMD=NEW)) == ("held", SCHOOL_YEAR)


class TestAGroupThatBeginsLater:
    def bench(self, days: int | None) -> Bench:
        bench = Bench()
        early = None if days is None else Early(timedelta(days=days), bench.clock.now)
        bench.rendering = replace(bench.rendering, early=early)
        bench.take(group("1A"), group("0NEXT", from_date="2027-08-01"), pupil("ane", "1A", ["0NEXT"]))
        return bench

    def names(self, bench: Bench) -> set[str]:
        bench.drain()
        return {c.key[1] for c in bench.target.commands if c.kind == "group"}

    def test_goes_at_once_where_nobody_says_otherwise(self) -> None:
        assert self.names(self.bench(None)) == {"1A", "0NEXT"}

    def test_waits_until_so_many_days_before(self) -> None:
        bench = self.bench(60)
        assert self.names(bench) == {"1A"}
        bench.clock.forward(days=295)  # from 11 August 2026: 2 June 2027
        assert announce(bench.store, bench.rendering, bench.clock.now) == 1
        assert self.names(bench) == {"1A", "0NEXT"}
        assert len(bench.target.documents[group_id("0NEXT")]["members"]) == 1

    def test_is_looked_for_once_a_day(self) -> None:
        bench = self.bench(60)
        assert announce(bench.store, bench.rendering, bench.clock.now) == 0
        assert bench.target_state().announced_at == bench.clock.at
        first = bench.clock.at
        bench.clock.forward(hours=1)
        announce(bench.store, bench.rendering, bench.clock.now)
        assert bench.target_state().announced_at == first
        bench.clock.forward(days=1)
        announce(bench.store, bench.rendering, bench.clock.now)
        assert bench.target_state().announced_at == bench.clock.at

    def test_is_looked_for_by_no_reader_for_whom_the_log_would_stay_as_it_is_for_ever(self) -> None:
        bench = self.bench(60)
        announce(bench.store, bench.rendering, bench.clock.now)
        with bench.store.read() as reader:
            assert reader.cursors() == {}
