"""A target in shadow computes and shows, and sends nothing; switched on it is sent what it should have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.connector import TargetUnavailable
from bridge.domain.ids import TargetId
from bridge.engine.breaker import hurry, resume, switch_off, unpause
from bridge.engine.compare import compare
from bridge.engine.handover import may_be_fetched
from bridge.engine.plan import plan
from bridge.engine.refresh import forget_target, refresh
from bridge.mapping import load_mapping
from bridge.ports import RETIRED, SHADOW
from tests.support.engine import PLATFORM, TARGET, Bench, group, mapping_of, parent, pupil, teacher


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.rendering = replace(bench.rendering, in_shadow=True)
    settle(bench)
    bench.take(group("1A"), pupil("anna"), pupil("bo"))
    return bench


def settle(bench: Bench) -> None:
    refresh(bench.store, bench.rendering, bench.policy, bench.book, bench.clock.now)


def switch_on(bench: Bench) -> str | None:
    with bench.store.write() as uow:
        return resume(uow, TARGET)


def retire(bench: Bench) -> None:
    with bench.store.write() as uow:
        switch_off(uow, TARGET, RETIRED)


def users(bench: Bench) -> set[str]:
    return {one["userName"] for one in bench.target.documents.values() if "userName" in one}


def test_nothing_is_sent_in_shadow_whatever_is_tried(bench: Bench) -> None:
    for hurrying in (unpause, lambda uow: hurry(uow, TARGET)):
        with bench.store.write() as uow:
            hurrying(uow)
        bench.clock.forward(days=365)
        assert bench.drain() == []
    assert bench.target_state().pause_reason == SHADOW
    assert bench.target_state().failures == 0


def test_what_it_should_have_is_computed_all_the_while_and_sent_when_it_is_switched_on(bench: Bench) -> None:
    bench.take(group("1A"), pupil("anna"), pupil("carl"))
    assert switch_on(bench) == SHADOW
    bench.drain()
    assert users(bench) == {"anna", "carl"}, "who had left in the meantime was never told of"


def test_it_stays_on_through_a_restart(bench: Bench) -> None:
    switch_on(bench)
    settle(bench)
    bench.drain()
    settle(bench)
    assert bench.target_state().paused_until is None


def test_a_target_that_was_sent_to_before_does_not_fall_into_shadow() -> None:
    bench = Bench()
    bench.take(pupil("anna"))
    bench.drain()
    bench.rendering = replace(
        bench.rendering, in_shadow=True, mapping=mapping_of(PLATFORM.replace("Teaching", "X"))
    )
    with bench.store.write() as uow:  # it was taken out of the configuration, and has come back
        uow.put_target_state(replace(uow.target_state(TARGET), rendering=None))
    settle(bench)
    assert bench.target_state().paused_until is None


def test_a_plan_tells_what_switching_on_would_send_and_that_nothing_is(bench: Bench) -> None:
    found = plan(bench.store, [bench.intake], [bench.lane])
    assert found.paused == {TARGET: SHADOW}
    assert {step.resource for step in found.targets[TARGET]} == {"User", "Group"}
    assert bench.target_state().pause_reason == SHADOW, "and nothing was changed by asking"
    assert bench.drain() == []


def test_retired_it_keeps_what_it_has_and_going_back_sends_only_what_differs(
    bench: Bench,
) -> None:
    switch_on(bench)
    bench.drain()
    retire(bench)
    bench.take(group("1A"), pupil("anna", given_name="Anna Maria"), pupil("bo"), pupil("carl"))
    assert bench.drain() == []
    assert users(bench) == {"anna", "bo"}
    assert switch_on(bench) == RETIRED
    sent = [(one.operation.value, one.identity.get("user_id", "")) for one in bench.drain()]
    assert sorted(sent) == [("created", "carl"), ("updated", ""), ("updated", "anna")]


def test_what_is_under_way_when_it_is_retired_does_not_switch_it_on_again(bench: Bench) -> None:
    switch_on(bench)

    def meanwhile(_: object) -> None:
        retire(bench)

    bench.target.before = meanwhile
    bench.drain()
    assert bench.target_state().pause_reason == RETIRED
    assert len(bench.target.batches) == 1


def test_a_failure_under_way_when_it_is_retired_does_not_end_that_either(bench: Bench) -> None:
    switch_on(bench)
    bench.target.script.append(TargetUnavailable("timeout"))
    bench.target.before = lambda _: retire(bench)
    bench.drain()
    assert bench.target_state().pause_reason == RETIRED
    bench.clock.forward(days=1)
    assert bench.drain() == []


def test_it_is_fetched_from_only_when_it_is_on_and_was_whole_once(bench: Bench) -> None:
    assert not may_be_fetched(bench.lane)
    switch_on(bench)
    assert not may_be_fetched(bench.lane), "nothing has been told to it yet"
    bench.drain()
    assert may_be_fetched(bench.lane)
    bench.take(group("1A"), pupil("anna"), pupil("bo"), pupil("carl"))
    assert may_be_fetched(bench.lane), "a change on its way is no beginning"
    retire(bench)
    assert not may_be_fetched(bench.lane)


# ---------------------------------------------------------------- comparing


def test_comparing_counts_who_would_go_where_and_says_why_not() -> None:
    bench = Bench()
    bench.take(group("1A"), pupil("anna", contacts=[parent("mor")]), teacher("tea", ["1A"]))
    old = bench.rendering
    narrow = PLATFORM.replace("[student, employee]", "[student]").replace(
        "      email: {from: email}\n", "      born: {from: birth_date}\n"
    )
    new = replace(old, target=TargetId(f"{old.scope.municipality}/new"), mapping=mapping_of(narrow))
    refresh(bench.store, new, bench.policy, bench.book, bench.clock.now)
    with bench.store.read() as reader:
        found = compare(reader, new, old)
    by_kind = {one.kind.value: (one.both, one.only_new, one.only_old) for one in found.kinds}
    assert by_kind == {"group": (1, (), ()), "person": (1, (), (("tea",),))}
    assert {kind.value: dict(told) for kind, told in found.reasons.items()} == {
        "person": {"User is not for these (kinds)": 1}
    }
    assert {kind.value: names for kind, names in found.fields_only_new.items()} == {"person": ("birth_date",)}
    assert {kind.value: names for kind, names in found.fields_only_old.items()} == {"person": ("email",)}
    assert found.to_send == {"created": 2, "updated": 0, "deleted": 0}
    assert list(found.schools.values()) == [(2, 0, 1)]


def test_comparing_with_another_kind_of_platform_goes_by_entity() -> None:
    bench = Bench()
    bench.take(group("1A"), pupil("anna"))
    new = replace(
        bench.rendering,
        target=TargetId(f"{bench.rendering.scope.municipality}/new"),
        mapping=load_mapping("webhook/events"),
    )
    refresh(bench.store, new, bench.policy, bench.book, bench.clock.now)
    with bench.store.read() as reader:
        found = compare(reader, new, bench.rendering)
    both = {one.kind.value: one.both for one in found.kinds}
    assert (both["person"], both["group"], both["membership"]) == (1, 1, 0)


def test_a_target_that_was_forgotten_is_told_all_of_it_before_anybody_fetches_it(bench: Bench) -> None:
    switch_on(bench)
    bench.drain()
    retire(bench)
    with bench.store.write() as uow:
        assert forget_target(uow, TARGET) == 3
    bench.target.documents.clear()
    settle(bench)
    assert bench.target_state().pause_reason == RETIRED
    switch_on(bench)
    assert not may_be_fetched(bench.lane), "an empty roster would be taken for all there is"
    bench.drain()
    assert users(bench) == {"anna", "bo"}
    assert may_be_fetched(bench.lane)
