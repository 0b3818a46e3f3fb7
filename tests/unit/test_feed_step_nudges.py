"""A nudge makes an institution wanted, and is forgotten only once that is written down."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bridge.ports import WHOLE, Subscription
from tests.support.engine import MORNING, OTHER_SCHOOL, SCHOOL, TOWN
from tests.support.feed_step import JSON, Letter, OneLetter, SubscribedSource, Town


@pytest.fixture
def town() -> Town:
    return Town()


@pytest.fixture
def subscribed() -> Town:
    return Town(SubscribedSource(), frozenset({SCHOOL, OTHER_SCHOOL}))


class TestANudge:
    @pytest.mark.parametrize(
        "told",
        [
            {"institution": SCHOOL},
            {"specversion": "1.0", "type": "changed", "source": "/x", "id": "1", "data": {"institution": SCHOOL}},
        ],
    )
    def test_makes_the_institution_wanted_and_wakes_the_intake(
        self, subscribed: Town, told: dict[str, Any]
    ) -> None:
        subscribed.send(told)
        subscribed.step()
        assert subscribed.subscription() == Subscription(TOWN, SCHOOL, wanted_at=MORNING)
        assert subscribed.is_nudged and subscribed.is_empty and not subscribed.dead

    def test_leaves_the_rest_of_the_subscription_as_it_is(self, subscribed: Town) -> None:
        subscribed.subscribe(agreement="agreed", failures=3, reason="timeout")
        subscribed.send({"institution": SCHOOL})
        subscribed.step()
        wanted = Subscription(TOWN, SCHOOL, agreement="agreed", failures=3, reason="timeout", wanted_at=MORNING)
        assert subscribed.subscription() == wanted

    def test_is_acknowledged_only_once_it_is_written_down(self, subscribed: Town) -> None:
        seen: list[Subscription | None] = []
        letter = Letter(b'{"institution":"101001"}', on_end=lambda: seen.append(subscribed.subscription()))
        subscribed.inlet = subscribed.connected(OneLetter(letter))
        subscribed.step()
        assert (letter.end, seen) == ("done", [Subscription(TOWN, SCHOOL, wanted_at=MORNING)])

    def test_that_comes_again_moves_the_wish_to_now(self, subscribed: Town) -> None:
        for _ in range(2):
            subscribed.clock.forward(minutes=1)
            subscribed.send({"institution": SCHOOL})
            subscribed.step()
        row = subscribed.subscription()
        assert row is not None and row.wanted_at == MORNING + timedelta(minutes=2)

    def test_for_an_institution_that_is_not_configured_is_dead(self, subscribed: Town) -> None:
        assert subscribed.took({"institution": "999999"}) == ("refused", "institution_not_configured")
        assert subscribed.dead == ["institution_not_configured"]
        assert subscribed.subscription("999999") is None and not subscribed.is_nudged

    @pytest.mark.parametrize(("agreement", "dead"), [("agreed", []), (None, ["institution_not_agreed"])])
    def test_where_all_are_configured_needs_an_agreement(self, agreement: str | None, dead: list[str]) -> None:
        town = Town(SubscribedSource())
        town.subscribe(WHOLE, asked_at=MORNING)
        town.subscribe(agreement=agreement)
        town.send({"institution": SCHOOL})
        town.step()
        assert town.dead == dead

    def test_before_anything_is_known_of_agreements_waits_for_the_first_pass(self) -> None:
        town = Town(SubscribedSource())
        town.send({"institution": SCHOOL})
        town.step()
        row = town.subscription()
        assert not town.dead and row is not None and row.wanted_at is not None

    @pytest.mark.parametrize("agreement", ["withdrawn", "missing"])
    def test_for_an_institution_whose_agreement_ended_is_dead(self, subscribed: Town, agreement: str) -> None:
        subscribed.subscribe(agreement=agreement)
        assert subscribed.took({"institution": SCHOOL}) == ("refused", "institution_not_agreed")
        assert subscribed.dead == ["institution_not_agreed"]

    def test_for_a_source_that_is_read_as_a_whole_just_wakes_the_intake(self, town: Town) -> None:
        town.send({"institution": SCHOOL})
        town.step()
        assert town.is_nudged and town.is_empty and not town.dead
        assert town.inlet.must_prove is False

    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"{}",
            b"[]",
            b"null",
            b'{"institution": 101001}',
            b'{"institution": "1010011"}',
            b'{"institution": "10 001"}',
            b'{"institution": ""}',
            b'{"data": "101001"}',
            b'{"institution": "\xff"}',
            b"[" * 60_000,
            b'{"institution": "101001", "filler": "' + b"x" * 70_000 + b'"}',
        ],
    )
    def test_that_names_no_institution_is_dead(self, subscribed: Town, body: bytes) -> None:
        assert subscribed.took(body, JSON) == ("refused", "nudge_unreadable")
        assert subscribed.dead == ["nudge_unreadable"]

    def test_is_known_by_how_it_begins_where_its_type_says_nothing(self, subscribed: Town) -> None:
        subscribed.send(b'\xef\xbb\xbf {"institution": "101001"}', "")
        subscribed.step()
        assert subscribed.is_nudged
