"""A source is asked in its turn: by interval or cron, put off by jitter, never in quiet hours."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.errors import ConfigError
from bridge.engine.schedule import Schedule

COPENHAGEN = ZoneInfo("Europe/Copenhagen")
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 8, 11, 12, 0, tzinfo=UTC)
MOMENTS = st.integers(0, 3 * 365 * 24 * 60).map(
    lambda minutes: datetime(2025, 1, 1, tzinfo=UTC) + minutes * MINUTE
)


def schedule(
    *,
    interval: timedelta = 6 * HOUR,
    cron: str | None = None,
    zone: str = "Europe/Copenhagen",
    jitter: timedelta = timedelta(0),
    quiet: tuple[str, ...] = (),
) -> Schedule:
    return Schedule.read("0751", interval=interval, cron=cron, zone=zone, jitter=jitter, quiet_hours=quiet)


def local(moment: datetime) -> str:
    return moment.astimezone(COPENHAGEN).strftime("%a %H:%M")


def test_what_was_never_asked_is_due_now() -> None:
    assert schedule().due_after(None, NOON) == NOON


def test_an_interval_counts_from_the_last_time() -> None:
    assert schedule().due_after(NOON - HOUR, NOON) == NOON + 5 * HOUR


def test_a_last_time_that_is_yet_to_come_was_written_by_a_wrong_clock() -> None:
    assert schedule().due_after(NOON + 400 * 24 * HOUR, NOON) == NOON


@pytest.mark.parametrize(
    "spans", [("00:00-12:00", "12:00-00:00"), ("22:00-10:00", "09:00-22:00"), ("00:00-23:00", "22:30-00:00")]
)
def test_quiet_hours_that_leave_no_minute_are_refused(spans: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="no minute of the day is left"):
        schedule(quiet=spans)


def test_quiet_hours_that_leave_a_minute_are_taken() -> None:
    assert schedule(quiet=("00:00-12:00", "12:01-00:00")).is_quiet(NOON)


def test_cron_is_read_by_the_clock_on_the_wall() -> None:
    weekdays = schedule(cron="30 5 * * 1-5")
    friday = datetime(2026, 8, 14, 9, 0, tzinfo=UTC)
    assert local(weekdays.due_after(friday, friday)) == "Mon 05:30"


@pytest.mark.parametrize(("day", "hours"), [("2026-03-28T03:00Z", 23), ("2026-10-24T02:00Z", 25)])
def test_a_daily_turn_keeps_its_hour_when_the_clocks_change(day: datetime, hours: int) -> None:
    last = datetime.fromisoformat(day)
    turn = schedule(cron="0 4 * * *").due_after(last, last)
    assert (turn - last, local(turn)[4:]) == (hours * HOUR, "04:00")


@pytest.mark.parametrize(
    ("cron", "fresh", "stale"),
    [
        ("30 5 * * 1-5", "2026-08-14T04:00Z", "Mon 11:30"),  # over a weekend nobody is woken
        ("30 5 * * 1-5", "2026-08-12T04:00Z", "Thu 11:30"),
        (None, "2026-08-12T04:00Z", "Thu 06:00"),  # every six hours: a day all the same
    ],
)
def test_data_are_stale_some_hours_after_their_next_turn(cron: str | None, fresh: str, stale: str) -> None:
    assert local(schedule(cron=cron).stale_at(datetime.fromisoformat(fresh))) == stale


def test_a_turn_in_quiet_hours_waits_for_their_end() -> None:
    night = datetime(2026, 8, 11, 23, 0, tzinfo=COPENHAGEN)
    assert local(schedule(quiet=("22:00-05:30",)).due_after(None, night)) == "Wed 05:30"


def test_quiet_hours_that_follow_each_other_are_waited_out_together() -> None:
    night = datetime(2026, 8, 11, 23, 0, tzinfo=COPENHAGEN)
    assert local(schedule(quiet=("22:00-05:30", "05:00-07:00")).due_after(None, night)) == "Wed 07:00"


@given(MOMENTS)
def test_nothing_is_ever_due_in_quiet_hours(last: datetime) -> None:
    plan = schedule(interval=7 * HOUR, jitter=30 * MINUTE, quiet=("22:00-05:30", "12:00-12:30"))
    turn = plan.due_after(last, last)
    assert not plan.is_quiet(turn)
    assert turn >= last + 7 * HOUR


@given(MOMENTS)
def test_jitter_puts_a_turn_off_by_the_same_part_whenever_it_is_asked(last: datetime) -> None:
    plan = schedule(jitter=30 * MINUTE)
    turns = {plan.due_after(last, last + late * HOUR) for late in range(3)}
    assert len(turns) == 1
    assert timedelta(0) <= turns.pop() - last - 6 * HOUR < 30 * MINUTE


@given(st.times(), st.times(), MOMENTS)
def test_a_span_of_quiet_hours_ends_at_its_end(begins: time, ends: time, moment: datetime) -> None:
    if f"{begins:%H:%M}" == f"{ends:%H:%M}":
        return
    plan = schedule(zone="UTC", quiet=(f"{begins:%H:%M}-{ends:%H:%M}",))
    turn = plan.due_after(None, moment)
    assert turn == moment or f"{turn:%H:%M}" == f"{ends:%H:%M}"
    assert turn - moment <= timedelta(days=1)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"cron": "every day"}, "cron: 'every day'"),
        ({"cron": "0 0 31 2 *"}, "cron: "),
        ({"zone": "Denmark/Odense"}, "zone: 'Denmark/Odense'"),
        ({"quiet": ("at night",)}, "quiet_hours: 'at night'"),
        ({"quiet": ("25:00-26:00",)}, "quiet_hours: "),
        ({"quiet": ("05:00-05:00",)}, "begins when it ends"),
    ],
)
def test_a_mistake_names_its_key(told: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says.replace("(", r"\(")):
        schedule(**told)  # type: ignore[arg-type]  # wrong on purpose
