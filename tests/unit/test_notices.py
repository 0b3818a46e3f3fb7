"""Whoever has to decide is told once, and reminded once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.engine.guard import REASON_TEXTS, GuardPolicy
from bridge.ports import Notice
from tests.support.engine import MORNING, OTHER_SCHOOL, TOWN, group, pupil
from tests.support.notices import DAY, FakeNotifier, Town, a_hold


@pytest.fixture
def town() -> Town:
    return Town()


def test_a_new_hold_is_told_and_the_time_is_written_down(town: Town) -> None:
    number = town.open()
    assert town.tell() == 1
    assert town.mail.told == [("opened", TOWN, [number])]
    assert town.hold(number) == replace(a_hold(), id=number, notified_at=MORNING)
    assert town.count("opened", "sent") == 1


def test_nobody_is_told_twice_not_after_a_restart_either(town: Town) -> None:
    town.open()
    town.tell()
    town.clock.forward(hours=1)
    assert town.tell() == 0
    town.restarted()
    assert town.tell() == 0
    assert len(town.mail.sent) == 1


def test_a_crash_between_sending_and_writing_repeats_the_very_same_notice(town: Town) -> None:
    number = town.open()
    town.tell()
    with town.bench.store.write() as uow:
        uow.put_hold(replace(town.hold(number), notified_at=None))
    town.restarted()
    town.clock.forward(minutes=5)
    town.tell()
    first, second = town.mail.sent
    assert first.id == second.id


def test_thirty_schools_are_told_in_one_notice(town: Town) -> None:
    numbers = [town.open(institution=f"1010{n:02}") for n in range(30)]
    assert town.tell() == 30
    assert town.mail.told == [("opened", TOWN, numbers)]
    assert "30 holds wait" in town.mail.sent[0].subject
    assert all(f"skolebro holds show {number}" in town.mail.sent[0].text for number in numbers)


def test_a_very_long_list_is_cut_and_says_so(town: Town) -> None:
    for number in range(50):
        town.open(institution=f"1010{number:02}")
    town.tell()
    assert "And 10 more: skolebro holds list" in town.mail.sent[0].text
    assert "Hold 40:" in town.mail.sent[0].text and "Hold 41:" not in town.mail.sent[0].text
    assert len(town.mail.sent[0].holds) == 50


def test_each_municipality_is_told_of_its_own_holds(town: Town) -> None:
    here, there = town.open(), town.open(municipality="102")
    assert town.tell() == 2
    assert town.mail.told == [("opened", TOWN, [here]), ("opened", "102", [there])]
    assert "Naboby" not in town.mail.sent[0].text + town.mail.sent[0].subject


def test_holds_of_a_municipality_that_is_not_configured_any_more_are_told_to_nobody(town: Town) -> None:
    town.open(municipality="999")
    assert town.tell() == 0


@pytest.mark.parametrize("state", ["approved", "applied", "rejected", "superseded"])
def test_nothing_is_told_of_a_decided_hold(town: Town, state: str) -> None:
    town.open(state=state)
    town.clock.forward(days=3)
    assert town.tell() == 0
    assert town.mail.attempts == 0


def test_a_hold_whose_trouble_was_told_before_is_not_told(town: Town) -> None:
    town.open(notified_at=MORNING)
    assert town.tell() == 0


def test_a_hold_that_was_decided_while_its_notice_was_under_way_stays_decided(town: Town) -> None:
    number = town.open()

    class Approving(FakeNotifier):
        def send(self, notice: Notice) -> None:
            super().send(notice)
            town.bench.decide(number, approve=False)

    town.notices.ways[0].notifier = Approving()
    town.tell()
    hold = town.hold(number)
    assert (hold.state, hold.decided_by, hold.notified_at) == ("rejected", "anna", MORNING)


def test_a_real_hold_is_told(town: Town) -> None:
    town.bench.policy = GuardPolicy()
    town.bench.take(group("1A"), *(pupil(f"user{n}") for n in range(10)))
    town.bench.take(group("1A"), pupil("user0"))
    assert town.tell() == 1
    assert REASON_TEXTS["shrunken"] in town.mail.sent[0].text


def test_holds_of_a_pass_are_told_at_its_end(town: Town) -> None:
    busy = {TOWN}
    town.notices.is_busy = lambda code: code in busy
    first = town.open()
    assert town.tell() == 0
    second = town.open(institution=OTHER_SCHOOL)
    busy.clear()
    assert town.tell() == 2
    assert town.mail.told == [("opened", TOWN, [first, second])]


def test_a_pass_without_end_delays_a_notice_by_a_quarter_of_an_hour_at_most(town: Town) -> None:
    town.notices.is_busy = lambda code: True
    town.open()
    town.clock.forward(minutes=14)
    assert town.tell() == 0
    town.clock.forward(minutes=1)
    assert town.tell() == 1


def test_holds_that_follow_soon_are_told_together(town: Town) -> None:
    town.notices.pace = timedelta(minutes=10)
    first = town.open()
    town.tell()
    later = []
    for _ in range(3):
        town.clock.forward(minutes=3)
        later.append(town.open())
        assert town.tell() == 0
    town.clock.forward(minutes=1)
    assert town.tell() == 3
    assert town.mail.told == [("opened", TOWN, [first]), ("opened", TOWN, later)]


def test_one_reminder_follows_after_a_day(town: Town) -> None:
    number = town.open()
    town.tell()
    town.clock.forward(hours=23, minutes=59)
    assert town.tell() == 0
    town.clock.forward(minutes=1)
    assert town.tell() == 1
    town.clock.forward(days=30)
    town.restarted()
    assert town.tell() == 0
    assert town.mail.told == [("opened", TOWN, [number]), ("reminder", TOWN, [number])]
    assert town.hold(number).reminded_at == MORNING + DAY
    assert town.mail.sent[1].subject == "Skolebro: Reminder: 1 hold waits for a decision in Prøveby (101)"
    assert "24 hours ago" in town.mail.sent[1].text


def test_without_remind_after_nobody_is_reminded(town: Town) -> None:
    town.notices.remind_after = None
    town.open()
    town.tell()
    town.clock.forward(days=30)
    assert town.tell() == 0


def test_a_decided_hold_needs_no_reminder(town: Town) -> None:
    number = town.open()
    town.tell()
    town.bench.decide(number, approve=False)
    town.clock.forward(days=2)
    assert town.tell() == 0


def test_a_trouble_that_is_held_anew_every_hour_is_reminded_of_once(town: Town) -> None:
    number = town.open()
    town.tell()
    for _ in range(72):
        town.clock.forward(hours=1)
        with town.bench.store.write() as uow:
            uow.set_hold_state(number, "superseded", None, town.clock.now())
        number = town.open(notified_at=MORNING, digest=f"{town.clock.now()}")
        town.tell()
    assert [kind for kind, _, _ in town.mail.told] == ["opened", "reminder"]
