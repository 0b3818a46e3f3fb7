"""Who is protected now is masked at a target that knows them, whatever their account waits for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.connector import Command
from bridge.domain.changes import Operation
from bridge.domain.entities import Kind
from bridge.domain.ids import CanonicalId, TargetId
from bridge.engine.guard import GuardPolicy, Limits
from bridge.engine.leavers import Leaving
from bridge.engine.plan import plan
from bridge.ports import HELD
from tests.support.deliveries import AWAY
from tests.support.engine import (
    OTHER_SCHOOL,
    PLATFORM,
    SCHOOL,
    TARGET,
    Bench,
    external,
    group,
    header,
    key_id,
    mapping_of,
    parent,
    person_id,
    pupil,
    teacher,
)

ANE = person_id("ane")
OTHERS = tuple(f"p{number}" for number in range(8))
REAL = {"family_name": "Rigtig", "email": "ane@x.example"}
ALIAS = {**REAL, "alias_given_name": "Rose", "alias_family_name": "Have"}
STAFF_ONLY = PLATFORM.replace("[student, employee]", "[employee]")
EMAIL = next(line.strip() for line in PLATFORM.splitlines() if "email:" in line)
SCHOOL_SHOWS = """
institutions:
  "{school}":
    resources:
      User: {{fields: {{nick: {{from: given_name, purpose: x}}}}}}
"""
STAFF = """
  Post:
    entity: affiliation
    when: {kind: employee}
    fields:
      person: {from: person, purpose: x}
      initials: {from: short_name, purpose: x}
"""
MASKED = {"userName": "ane", "givenName": "Rose", "familyName": "Have"}


def bench_of(**options: Any) -> Bench:
    """A class that the target knows under its real names."""
    bench = Bench(**options)
    bench.take(group("1A"), pupil("ane", **REAL), *map(pupil, OTHERS), head=header(at=bench.clock.at))
    bench.drain()
    return bench


def say(bench: Bench, *records: Any, school: str = SCHOOL) -> None:
    bench.clock.forward(hours=1)
    assert bench.take(*records, head=header(school, at=bench.clock.at), expected=school)[0] == "recorded"


def protect(bench: Bench, **fields: Any) -> None:
    say(bench, group("1A"), pupil("ane", protected=True, **{**ALIAS, **fields}), *map(pupil, OTHERS))


def documents(commands: list[Command]) -> list[Any]:
    return [command.document for command in commands]


def people(bench: Bench) -> dict[str, Any]:
    return {key: one for key, one in bench.target.documents.items() if "userName" in one}


class TestWhileAMappingWaits:
    def held(self, text: str = STAFF_ONLY) -> Bench:
        bench = bench_of()
        assert not bench.refresh(mapping_of(text))
        return bench

    @pytest.mark.parametrize("is_rejected", [False, True])
    def test_a_protection_reaches_the_target_and_nothing_else_does(self, *, is_rejected: bool) -> None:
        bench = self.held()
        if is_rejected:
            bench.decide(bench.holds("open")[0].id, approve=False)
        say(
            bench,
            group("1A", "Ny"),
            pupil("ane", protected=True, **ALIAS),
            *(pupil(user, given_name="Ny") for user in OTHERS),
        )
        (command,) = bench.drain()
        assert (command.operation, command.document, command.previous) == (Operation.UPDATED, MASKED, None)
        assert bench.drain() == []

    def test_a_protection_is_found_behind_any_number_of_those_with_nothing_to_hide(self) -> None:
        many = [f"m{number}" for number in range(510)]
        bench = Bench(policy=GuardPolicy(max_updated_percent=None))
        say(bench, group("1A"), pupil("ane", **REAL), *map(pupil, many))
        bench.drain()
        hidden = [pupil(user, protected=True) for user in many]
        say(bench, group("1A"), pupil("ane", **REAL), *hidden)
        bench.drain()
        with bench.store.write() as uow:
            uow.forget_confirmed(TARGET, [CanonicalId(person_id(user)) for user in many])
        assert not bench.refresh(mapping_of(STAFF_ONLY))
        say(bench, group("1A"), pupil("ane", protected=True, **ALIAS), *hidden)
        assert documents(bench.drain()) == [MASKED]

    def test_no_field_is_told_that_was_not_told_before(self) -> None:
        bench = self.held(STAFF_ONLY.replace("      email:", "      born: {from: birth_date}\n      email:"))
        protect(bench, birth_date="2015-01-01")
        assert documents(bench.drain()) == [MASKED]

    def test_a_field_that_the_new_mapping_does_not_name_is_taken_away(self) -> None:
        """Nobody can say any more what it was made of."""
        bench = self.held(STAFF_ONLY.replace("familyName:", "surname:"))
        protect(bench)
        assert documents(bench.drain()) == [{"userName": "ane", "givenName": "Rose"}]

    def test_an_account_of_which_the_mapping_says_nothing_goes(self) -> None:
        bench = self.held(PLATFORM[: PLATFORM.index("  User:")] + PLATFORM[PLATFORM.index("  Group:") :])
        protect(bench)
        assert [(c.operation, c.previous) for c in bench.drain()] == [(Operation.DELETED, None)]

    def test_a_name_goes_from_a_field_that_the_new_mapping_makes_of_something_else(self) -> None:
        bench = bench_of(mapping=mapping_of(PLATFORM.replace(EMAIL, "nick: {from: given_name, purpose: x}")))
        assert not bench.refresh(mapping_of(STAFF_ONLY.replace(EMAIL, "nick: {from: gender, purpose: x}")))
        protect(bench, gender="F")
        assert documents(bench.drain()) == [MASKED]

    def left_by_an_earlier_mapping(self) -> Bench:
        """Somebody who leaves has what the mapping before this one made of the name."""
        bench = bench_of(
            mapping=mapping_of(PLATFORM.replace(EMAIL, "nick: {from: given_name, purpose: x}")),
            policy=GuardPolicy(deletion_grace=timedelta(days=30)),
        )
        bench.leaving = Leaving(inactive={"User": {"active": False}})
        say(bench, group("1A"), *map(pupil, OTHERS))
        assert bench.refresh(mapping_of(PLATFORM.replace(EMAIL, "nick: {from: user_id, purpose: x}")))
        return bench

    def test_a_name_goes_that_a_mapping_before_the_last_one_left_with_somebody_who_leaves(self) -> None:
        bench = self.left_by_an_earlier_mapping()
        bench.drain()
        say(bench, external("ane", protected=True, **ALIAS), school=OTHER_SCHOOL)
        bench.drain()
        assert bench.target.documents[ANE]["nick"] == "ane"

    def test_what_a_database_of_before_does_not_say_of_earlier_mappings_is_taken_for_a_name(self) -> None:
        bench = self.left_by_an_earlier_mapping()
        with bench.store.write() as uow:
            uow.put_target_state(replace(uow.target_state(TARGET), told=None))
        assert bench.refresh()
        say(bench, external("ane", protected=True, **ALIAS), school=OTHER_SCHOOL)
        bench.drain()
        assert bench.target.documents[ANE]["nick"] == "ane"

    def test_who_became_protected_while_the_target_was_not_configured_does_not_wait(self) -> None:
        bench = bench_of()
        here = bench.rendering
        bench.rendering = replace(here, target=TargetId("101/other"))
        protect(bench)
        bench.rendering = here
        assert not bench.refresh(mapping_of(STAFF_ONLY))
        assert documents(bench.drain()) == [MASKED]
        assert not bench.refresh()
        assert bench.drain() == []

    def test_nor_do_the_initials_where_nothing_else_is_told_of_people(self) -> None:
        at = PLATFORM.index("  User:"), PLATFORM.index("  Group:")
        told = PLATFORM[: at[0]] + PLATFORM[at[1] :] + STAFF.replace("{from: person,", "{from: user_id,")
        bench = Bench(mapping=mapping_of(told))
        posts = [teacher(user, short_name=f"{user.title()}Ho") for user in ("bo", "ib", "ea")]
        say(bench, *posts)
        bench.drain()
        here = bench.rendering
        bench.rendering = replace(here, target=TargetId("101/other"))
        say(bench, teacher("bo", short_name="BoHo", protected=True, **ALIAS), *posts[1:])
        bench.rendering, bench.policy = here, GuardPolicy(min_deleted=1)
        assert not bench.refresh(mapping_of(told.replace("{kind: employee}", "{kind: external}")))
        assert [command.operation for command in bench.drain()] == [Operation.UPDATED]
        assert "BoHo" not in str(bench.target.documents)

    def test_an_account_goes_when_what_it_must_have_showed_the_name_and_is_now_made_of_something_else(
        self,
    ) -> None:
        by_name = "nick: {from: family_name, required: true, purpose: x}"
        bench = bench_of(mapping=mapping_of(PLATFORM.replace(EMAIL, by_name)))
        assert not bench.refresh(mapping_of(STAFF_ONLY.replace(EMAIL, by_name.replace("family_name", "user_id"))))
        protect(bench)
        assert [(c.operation, c.previous) for c in bench.drain()] == [(Operation.DELETED, None)]

    def test_a_name_goes_that_only_the_school_shows_that_is_left(self) -> None:
        """What the school is told that the pupil belonged to says what the account may show."""
        at_one = PLATFORM + SCHOOL_SHOWS.format(school=SCHOOL)
        bench = bench_of(mapping=mapping_of(at_one))
        assert bench.target.documents[ANE]["nick"] == "Ane"
        assert not bench.refresh(mapping_of(STAFF_ONLY + SCHOOL_SHOWS.format(school=SCHOOL)))
        say(bench, group("1A"), *map(pupil, OTHERS))
        say(bench, group("1A"), pupil("ane", protected=True, **ALIAS), school=OTHER_SCHOOL)
        bench.drain()
        assert "Ane" not in str(bench.target.documents.get(ANE))

    def test_initials_go_too(self) -> None:
        bench = Bench(mapping=mapping_of(PLATFORM + STAFF))
        records = [group("1A"), *map(pupil, OTHERS)]
        bench.take(*records, teacher("bo", short_name="BoHo"), head=header(at=bench.clock.at))
        bench.drain()
        post = key_id(Kind.AFFILIATION, SCHOOL, "bo", "employee")
        assert bench.target.documents[post]["initials"] == "BoHo"
        assert not bench.refresh(mapping_of(PLATFORM.replace("[student, employee]", "[employee]") + STAFF))
        say(bench, *records, teacher("bo", short_name="BoHo", protected=True, **ALIAS))
        bench.drain()
        assert "initials" not in bench.target.documents[post]
        assert "BoHo" not in str(bench.target.documents)

    def test_nothing_is_sent_to_another_system(self) -> None:
        bench = bench_of()
        bench.rendering = replace(bench.rendering, system="https://new.example")
        assert not bench.refresh()
        protect(bench)
        assert bench.drain() == []

    def test_a_target_that_is_away_gets_it_when_it_is_back(self) -> None:
        bench = self.held()
        bench.target.script = [AWAY]
        protect(bench)
        bench.drain()
        bench.clock.forward(hours=2)
        assert documents(bench.drain()) == [MASKED]

    def test_a_protection_that_ended_before_it_was_sent_gives_nothing_away(self) -> None:
        bench = self.held()
        protect(bench)
        say(bench, group("1A"), pupil("ane", given_name="Ny", **REAL), *map(pupil, OTHERS))
        assert bench.drain() == []

    @pytest.mark.parametrize("is_sent", [True, False])
    def test_a_mapping_that_is_taken_back_leaves_what_would_have_been(self, *, is_sent: bool) -> None:
        """What was recorded meanwhile was rendered for nobody, and stayed lost."""
        bench, same = self.held(), bench_of()
        for one in (bench, same):
            say(
                one,
                group("1A", "Ny"),
                pupil("ane", protected=True, **ALIAS),
                *map(pupil, OTHERS[1:]),
                teacher("ny"),
            )
            if is_sent or one is same:
                one.drain()
        assert bench.refresh(mapping_of())
        bench.drain()
        assert bench.target.documents.keys() == same.target.documents.keys()
        assert people(bench) == people(same)
        assert bench.target.documents[ANE] == MASKED
        with bench.store.read() as reader:
            ledger = reader.ledger(TARGET)
        assert (ledger.unapplied, ledger.pending, ledger.imbalance) == (0, 0, 0)

    def test_a_mapping_that_is_approved_removes_who_was_masked_too(self) -> None:
        bench = self.held()
        protect(bench)
        bench.drain()
        bench.decide(bench.holds("open")[0].id, approve=True)
        assert bench.refresh()
        bench.drain()
        assert ANE not in bench.target.documents
        with bench.store.read() as reader:
            assert reader.ledger(TARGET).imbalance == 0

    def test_a_plan_tells_of_it(self) -> None:
        bench = self.held()
        protect(bench)
        (step,) = plan(bench.store, [], [bench.lane]).targets[TARGET]
        assert (step.operation, step.key, step.fields) == (
            "updated",
            ("ane",),
            ("email", "familyName", "givenName"),
        )


class TestTheBrake:
    FEW = GuardPolicy(min_deleted=3, max_updated=3)

    def renamed(self, *users: str) -> list[Any]:
        return [pupil(user, given_name="Ny") for user in users]

    def test_does_not_stop_a_protection_among_many_updates(self) -> None:
        bench = bench_of()
        bench.target_policy = self.FEW
        say(bench, group("1A"), pupil("ane", protected=True, **ALIAS), *self.renamed(*OTHERS))
        assert [c.document for c in bench.drain() if c.kind == "person"] == [MASKED]
        (hold,) = bench.holds("open")
        assert hold.people == OTHERS

    def test_does_not_count_protections(self) -> None:
        bench = bench_of()
        bench.target_policy = self.FEW
        say(bench, group("1A"), pupil("ane", **REAL), *(pupil(user, protected=True) for user in OTHERS))
        assert len([c for c in bench.drain() if c.kind == "person"]) == len(OTHERS)
        assert bench.holds() == []

    def test_stops_names_that_are_given_back(self) -> None:
        bench = bench_of(policy=GuardPolicy(max_unprotected=None))
        say(bench, group("1A"), pupil("ane", **REAL), *(pupil(user, protected=True) for user in OTHERS))
        bench.drain()
        bench.target_policy = self.FEW
        say(bench, group("1A"), pupil("ane", **REAL), *map(pupil, OTHERS))
        assert [c for c in bench.drain() if c.kind == "person"] == []

    def test_lets_through_a_protection_of_who_was_held_before(self) -> None:
        bench = bench_of()
        bench.target_policy = self.FEW
        say(bench, group("1A"), pupil("ane", **{**REAL, "given_name": "Ny"}), *self.renamed(*OTHERS))
        bench.drain()
        assert bench.delivery(ANE).reason == HELD
        protect(bench)
        assert documents([c for c in bench.drain() if c.id == ANE]) == [MASKED]

    def test_masks_a_leaver_whose_deletion_waits(self) -> None:
        """The deletion waited for a person, and the real name stayed with it."""
        bench = bench_of(policy=GuardPolicy(kinds={"affiliation": Limits(max_deleted_percent=None)}))
        bench.policy = GuardPolicy(max_deleted_percent=None)
        bench.target_policy = self.FEW
        child = pupil("carl", contacts=[parent("ane", **REAL)])
        say(bench, child, school=OTHER_SCHOOL)
        bench.drain()
        say(bench, group("1A"), pupil("bo"))
        bench.drain()
        assert bench.delivery(ANE).reason == HELD
        say(bench, pupil("carl", contacts=[parent("ane", protected=True, **ALIAS)]), school=OTHER_SCHOOL)
        (command,) = (c for c in bench.drain() if c.id == ANE)
        assert (command.operation, command.document, command.previous) == (Operation.UPDATED, MASKED, None)
        assert bench.delivery(ANE).reason == HELD
        bench.clock.forward(hours=5)
        assert bench.drain() == []
        (hold,) = bench.holds("open")
        assert "ane" in hold.people
