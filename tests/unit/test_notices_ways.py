"""A way to tell people that fails is tried later, and neither delays nor repeats another."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest

from bridge.ports import NoticeFailed
from tests.support.engine import OTHER_SCHOOL, TOWN
from tests.support.notices import DOWN, Town


@pytest.fixture
def town() -> Town:
    return Town()


def logged(stream: io.StringIO) -> list[str]:
    return [json.loads(line)["event"] for line in stream.getvalue().splitlines()]


def test_a_mail_server_that_is_down_is_tried_again_later_and_then_told(town: Town) -> None:
    number = town.open()
    town.mail.failure = DOWN
    assert town.tell() == 0
    assert town.hold(number).notified_at is None
    town.mail.failure = None
    assert town.tell() == 0  # not at once
    town.clock.forward(minutes=1)
    assert town.tell() == 1
    assert town.mail.told == [("opened", TOWN, [number])]
    assert (town.count("opened", "failed"), town.count("opened", "sent")) == (1, 1)


def test_a_server_that_stays_down_is_asked_less_and_less_often(town: Town) -> None:
    town.open()
    town.mail.failure = DOWN
    for _ in range(24 * 60):
        town.tell()
        town.clock.forward(minutes=1)
    assert 20 < town.mail.attempts < 50


def test_failing_and_recovering_are_a_line_each(town: Town, stream: io.StringIO) -> None:
    town.open()
    town.mail.failure = DOWN
    for _ in range(3):
        town.tell()
        town.clock.forward(hours=2)
    town.mail.failure = None
    town.tell()
    assert logged(stream) == ["notice.failed", "notice.recovered", "notice.sent"]


def test_no_municipality_is_tried_at_a_server_that_has_just_failed(town: Town) -> None:
    town.open()
    town.open(municipality="102")
    town.mail.failure = DOWN
    town.tell()
    assert town.mail.attempts == 1


def test_the_receivers_own_wish_to_wait_is_heeded(town: Town) -> None:
    town.open()
    town.mail.failure = NoticeFailed("status_429", "too much", timedelta(minutes=20))
    town.tell()
    town.mail.failure = None
    town.clock.forward(minutes=19)
    assert town.tell() == 0
    town.clock.forward(minutes=1)
    assert town.tell() == 1


def test_with_two_ways_one_that_fails_neither_delays_nor_repeats_the_other(town: Town) -> None:
    town.restarted(both=True)
    first = town.open()
    town.webhook.failure = DOWN
    assert town.tell() == 1
    second = town.open(institution=OTHER_SCHOOL)
    town.clock.forward(seconds=30)
    assert town.tell() == 1
    town.webhook.failure = None
    town.clock.forward(hours=1)
    assert town.tell() == 0
    assert town.mail.told == [("opened", TOWN, [first]), ("opened", TOWN, [second])]
    assert town.webhook.told == [("opened", TOWN, [first, second])]
    assert [way.owed for way in town.notices.ways] == [set(), set()]


def test_a_way_that_recovers_is_not_told_of_what_was_decided_meanwhile(town: Town) -> None:
    town.restarted(both=True)
    number = town.open()
    town.webhook.failure = DOWN
    town.tell()
    town.bench.decide(number, approve=False)
    town.webhook.failure = None
    town.clock.forward(hours=1)
    town.tell()
    assert town.webhook.sent == []
    assert town.notices.ways[1].owed == set()


def test_a_stop_is_heeded_before_the_next_message(town: Town) -> None:
    town.open()
    town.notices.go_on = lambda: False
    assert town.tell() == 0
    assert town.mail.attempts == 0
