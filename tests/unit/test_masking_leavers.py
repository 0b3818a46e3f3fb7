"""Who is protected by now and leaves, is kept or comes back, stays at no target as they were."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.domain.changes import Operation
from bridge.domain.outcomes import Deferred, Rejected
from bridge.engine.guard import GuardPolicy
from bridge.engine.keep import keep
from bridge.engine.views import Scope
from bridge.ports import KEPT, KeptPerson
from tests.support.deliveries import AWAY
from tests.support.engine import (
    OTHER_SCHOOL,
    PLATFORM,
    SCHOOL,
    TOWN,
    Bench,
    external,
    group,
    mapping_of,
    parent,
    pupil,
    teacher,
)
from tests.unit.test_masking import (
    ALIAS,
    ANE,
    MASKED,
    OTHERS,
    REAL,
    STAFF,
    documents,
    say,
)


class TestSomebodyWhoIsKept:
    """Ane has left as a pupil, is kept, and is still the contact of a pupil at the other school."""

    def bench(self, scope: frozenset[str] | None = None) -> Bench:
        bench = Bench()
        bench.rendering = replace(bench.rendering, scope=Scope(TOWN, scope))
        say(bench, group("1A"), pupil("ane", **REAL), *map(pupil, OTHERS))
        self.other(bench, **REAL)
        keep(bench.store, bench.book, KeptPerson(TOWN, "ane", None, "anna", bench.clock.at))
        say(bench, group("1A"), *map(pupil, OTHERS))
        bench.drain()
        assert bench.delivery(ANE).reason == KEPT
        return bench

    def other(self, bench: Bench, **fields: Any) -> None:
        say(bench, pupil("carl", contacts=[parent("ane", **fields)]), school=OTHER_SCHOOL)
        bench.drain()

    def test_stays_and_is_masked_when_another_school_protects_them(self) -> None:
        bench = self.bench()
        before = len(bench.target.commands)
        self.other(bench, protected=True, **ALIAS)
        (command,) = (c for c in bench.target.commands[before:] if c.id == ANE)
        assert (command.operation, command.document, command.previous) == (Operation.UPDATED, MASKED, None)
        assert bench.delivery(ANE).reason == KEPT
        bench.clock.forward(days=3)
        assert bench.drain() == []
        assert bench.target.documents[ANE] == MASKED

    def test_is_masked_though_the_target_sees_nothing_of_the_school_that_says_so(self) -> None:
        bench = self.bench(frozenset({SCHOOL}))
        self.other(bench, protected=True, **ALIAS)
        assert bench.target.documents[ANE] == {"userName": "ane", "givenName": "Navn", "familyName": "Beskyttet"}

    def test_is_masked_though_the_first_try_failed(self) -> None:
        bench = self.bench()
        bench.target.about[ANE] = Deferred("busy")
        self.other(bench, protected=True, **ALIAS)
        bench.target.about.clear()
        bench.clock.forward(days=1)
        bench.drain()
        assert bench.target.documents[ANE] == MASKED

    def test_goes_when_nothing_is_stored_any_more_by_which_to_mask_them(self) -> None:
        """The target was away while ane was protected, and then left everywhere."""
        bench = Bench()
        say(bench, pupil("ane", **REAL), pupil("bo"))
        bench.drain()
        keep(bench.store, bench.book, KeptPerson(TOWN, "ane", None, "anna", bench.clock.at))
        bench.target.script = [AWAY]
        say(bench, pupil("ane", protected=True, **ALIAS), pupil("bo"))
        bench.drain()
        say(bench, pupil("bo"))
        bench.clock.forward(days=1)
        told = [(c.operation, c.previous) for c in bench.drain() if c.id == ANE]
        assert told == [(Operation.DELETED, None)]


def test_a_protection_that_never_arrived_does_not_leave_the_name_there_for_a_grace() -> None:
    bench = Bench(policy=GuardPolicy(deletion_grace=timedelta(hours=24)))
    say(bench, pupil("ane", **REAL), pupil("bo"))
    bench.drain()
    bench.target.script = [AWAY]
    say(bench, pupil("ane", protected=True, **ALIAS), pupil("bo"))
    bench.drain()
    say(bench, pupil("bo"))
    bench.clock.forward(hours=1)
    assert [c.operation for c in bench.drain() if c.id == ANE] == [Operation.DELETED]


def test_a_deletion_of_somebody_who_is_protected_tells_no_old_name() -> None:
    bench = Bench()
    say(bench, pupil("ane", **REAL), pupil("bo"))
    say(bench, pupil("carl", contacts=[parent("ane", **REAL)]), school=OTHER_SCHOOL)
    bench.drain()
    say(bench, pupil("bo"))
    say(bench, pupil("carl", contacts=[parent("ane", protected=True, **ALIAS)]), school=OTHER_SCHOOL)
    assert [(c.operation, c.previous) for c in bench.drain() if c.id == ANE] == [(Operation.DELETED, None)]


class TestSomebodyWhoIsInTheGrace:
    @pytest.fixture
    def bench(self) -> Bench:
        """Ane has left, and half a day later she is protected."""
        made = Bench(policy=GuardPolicy(deletion_grace=timedelta(hours=24)))
        say(made, pupil("ane", **REAL), pupil("bo"))
        say(made, pupil("carl", contacts=[parent("ane", **REAL)]), school=OTHER_SCHOOL)
        made.drain()
        say(made, pupil("bo"))
        made.drain()
        made.clock.forward(hours=12)
        return made

    def hear(self, bench: Bench) -> None:
        """Both schools speak, which takes two hours."""
        say(bench, pupil("bo"))
        say(bench, pupil("carl", contacts=[parent("ane", protected=True, **ALIAS)]), school=OTHER_SCHOOL)

    def has_gone(self, bench: Bench) -> bool:
        for _ in range(6):
            self.hear(bench)
            bench.drain()
        return ANE not in bench.target.documents

    def test_goes_when_it_ends_and_not_later_for_the_mask(self, bench: Bench) -> None:
        self.hear(bench)
        assert documents(bench.drain()) == [MASKED]
        assert self.has_gone(bench)

    @pytest.mark.parametrize(
        "answer",
        [Deferred("server_error_500"), Rejected("refused_400"), Rejected("line_break", has_changed=True)],
    )
    def test_does_not_go_sooner_or_never_where_the_mask_is_not_taken(self, bench: Bench, answer: Any) -> None:
        bench.target.script = [answer]
        self.hear(bench)
        bench.drain()
        bench.clock.forward(hours=1)
        assert documents(bench.drain()) == [MASKED]
        assert ANE in bench.target.documents
        assert self.has_gone(bench)


def test_initials_that_are_withheld_are_not_told_as_what_was() -> None:
    bench = Bench(mapping=mapping_of(PLATFORM + STAFF))
    say(bench, teacher("bo", short_name="BoHo"))
    bench.drain()
    say(bench, teacher("bo", short_name="BoHo", protected=True, **ALIAS))
    sent = bench.drain()
    assert [command.resource for command in sent] == ["User", "Post"]
    assert "BoHo" not in f"{documents(sent)} {[command.previous for command in sent]}"


def test_who_comes_back_within_the_grace_and_is_protected_by_now_does_not_stay_there_as_they_were() -> None:
    """As an external, whom this target is not told of."""
    bench = Bench(policy=GuardPolicy(deletion_grace=timedelta(hours=24)))
    say(bench, pupil("ane", **REAL), pupil("bo"))
    bench.drain()
    say(bench, pupil("bo"))
    say(bench, external("ane", protected=True, **ALIAS), pupil("bo"))
    assert [(c.operation, c.previous) for c in bench.drain() if c.id == ANE] == [(Operation.UPDATED, None)]
    assert bench.target.documents[ANE] == MASKED


def test_who_comes_back_protected_is_set_right_before_everything_else() -> None:
    bench = Bench(policy=GuardPolicy(deletion_grace=timedelta(hours=24)))
    say(bench, pupil("ane", **REAL), pupil("bo"))
    bench.drain()
    say(bench, pupil("bo"))
    say(bench, pupil("ane", protected=True, **ALIAS), pupil("bo", family_name="Nygift"))
    assert bench.drain()[0].id == ANE
    assert bench.target.documents[ANE] == MASKED
