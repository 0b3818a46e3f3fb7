"""What is fetched from a target is all there is of its schools, and stays open whatever changes in them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.domain.ids import TargetId
from bridge.engine.breaker import resume, switch_off
from bridge.engine.handover import may_be_fetched
from bridge.engine.shelf import WHOLE
from bridge.engine.views import Scope
from bridge.engine.whole import forget_whole, is_whole, narrow_whole, note_whole
from bridge.ports import RETIRED
from tests.support.engine import (
    MORNING,
    OTHER_SCHOOL,
    SCHOOL,
    TARGET,
    TOWN,
    Bench,
    group,
    header,
    pupil,
)

ONE, BOTH, ALL = Scope(TOWN, frozenset({SCHOOL})), Scope(TOWN, frozenset({SCHOOL, OTHER_SCHOOL})), Scope(TOWN)


def bench_of(scope: Scope) -> Bench:
    """A target that was told all of one school, which others may fetch."""
    bench = Bench()
    bench.rendering = replace(bench.rendering, scope=scope)
    bench.take(group("1A"), pupil("ane"))
    bench.drain()
    return bench


def rescope(bench: Bench, scope: Scope) -> None:
    """What a start with another configuration does."""
    bench.rendering = replace(bench.rendering, scope=scope)
    with bench.store.write() as uow:
        narrow_whole(uow, TARGET, scope, bench.clock.now())
    bench.refresh()


def hear_the_other(bench: Bench) -> None:
    bench.clock.forward(hours=1)
    head = header(OTHER_SCHOOL, at=bench.clock.at)
    bench.take(group("2B"), pupil("zoe", "2B"), head=head, expected=OTHER_SCHOOL)


@pytest.mark.parametrize("wider", [BOTH, ALL])
def test_a_wider_scope_is_away_until_every_school_in_it_has_been_heard_and_told(wider: Scope) -> None:
    bench = bench_of(ONE)
    assert may_be_fetched(bench.lane)
    bench.rendering = replace(bench.rendering, scope=wider)
    assert not may_be_fetched(bench.lane), "it is not even rendered for it"
    hear_the_other(bench)
    rescope(bench, wider)
    assert not may_be_fetched(bench.lane), "nobody of the other school has been told yet"
    bench.drain()
    assert may_be_fetched(bench.lane)
    bench.take(group("1A"), pupil("ane"), pupil("bo"), head=header(at=bench.clock.at))
    assert may_be_fetched(bench.lane), "a change on its way is no gap"


def test_a_school_that_is_new_in_scope_and_silent_is_waited_for() -> None:
    bench = bench_of(ONE)
    assert may_be_fetched(bench.lane)
    rescope(bench, BOTH)
    bench.drain()
    assert not may_be_fetched(bench.lane)


def test_it_is_away_while_a_pass_is_under_way_that_may_bring_more_schools() -> None:
    bench = bench_of(ALL)
    assert not may_be_fetched(replace(bench.lane, may_delete=lambda: False))
    assert may_be_fetched(bench.lane)
    assert may_be_fetched(replace(bench.lane, may_delete=lambda: False)), "and a pass later on closes nothing"


@pytest.mark.parametrize("before", [BOTH, ALL])
def test_a_narrower_scope_stays_open_all_the_time(before: Scope) -> None:
    bench = bench_of(before)
    hear_the_other(bench)
    bench.drain()
    assert may_be_fetched(bench.lane)
    rescope(bench, ONE)
    assert may_be_fetched(bench.lane)
    bench.drain()
    assert may_be_fetched(bench.lane)


@pytest.mark.parametrize("scope", [BOTH, ALL])
def test_a_school_that_was_out_of_scope_for_a_while_is_told_again_first(scope: Scope) -> None:
    bench = bench_of(scope)
    hear_the_other(bench)
    bench.drain()
    assert may_be_fetched(bench.lane)
    rescope(bench, ONE)
    bench.drain()
    rescope(bench, scope)
    assert not may_be_fetched(bench.lane)
    bench.drain()
    assert may_be_fetched(bench.lane)


def test_a_target_that_was_retired_is_away_until_it_has_caught_up() -> None:
    bench = bench_of(ONE)
    assert may_be_fetched(bench.lane)
    with bench.store.write() as uow:
        switch_off(uow, TARGET, RETIRED)
    bench.clock.forward(days=200)
    bench.take(group("1A"), pupil("bo"), head=header(at=bench.clock.at))
    with bench.store.write() as uow:
        resume(uow, TARGET)
    assert not may_be_fetched(bench.lane)
    bench.drain()
    assert may_be_fetched(bench.lane)


def test_a_target_that_was_not_configured_is_away_until_it_is_rendered_anew() -> None:
    bench = bench_of(ONE)
    assert may_be_fetched(bench.lane)
    here = bench.rendering
    with bench.store.write() as uow:
        forget_whole(uow, TARGET)
    bench.rendering = replace(here, target=TargetId(f"{TOWN}/other"))
    bench.clock.forward(hours=1)
    bench.take(group("1A"), pupil("bo"), head=header(at=bench.clock.at))
    bench.rendering = here
    assert not may_be_fetched(bench.lane), "nothing is due there, for nobody has looked"
    bench.refresh()
    bench.drain()
    assert may_be_fetched(bench.lane)


def test_a_note_that_does_not_say_of_what_says_nothing() -> None:
    bench = Bench()
    with bench.store.write() as uow:
        uow.set_shelf_note(TARGET, WHOLE, MORNING.isoformat())
        assert not is_whole(uow, TARGET, ONE)
        narrow_whole(uow, TARGET, ONE, MORNING)
        assert not is_whole(uow, TARGET, ONE)
        note_whole(uow, TARGET, ALL, MORNING)
        assert is_whole(uow, TARGET, ONE)
