"""What a body holds when it is sent: its references, its protection, its mapping, and the audit of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.connector import Command
from bridge.domain.changes import Operation
from bridge.domain.entities import Kind, Person
from bridge.domain.errors import StoreUnavailable
from bridge.domain.outcomes import Deferred, Delivered, Rejected
from bridge.engine.codec import encode_entity, hash_bytes
from bridge.engine.confirm import WAITING
from bridge.engine.desire import Early
from bridge.engine.guard import GuardPolicy
from bridge.engine.keep import keep
from bridge.engine.views import Scope
from bridge.ports import KeptPerson
from bridge.testing.memory import MemoryStore
from tests.support.deliveries import ANE, AWAY, BO, CANONICAL, CLASS, later, members, told
from tests.support.engine import (
    OTHER_SCHOOL,
    PLATFORM,
    SCHOOL,
    TARGET,
    TOWN,
    Bench,
    external,
    group,
    header,
    key_id,
    mapping_of,
    pupil,
    rows_of,
    teacher,
)

# ---------------------------------------------------------------- references


class TestAGroupAndItsMembers:
    def test_goes_with_the_members_that_are_there(self, bench: Bench) -> None:
        bench.target.about[ANE] = Deferred("busy")
        sent = bench.drain()[-1]
        assert (sent.resource, members(sent)) == ("Group", [bench.delivery(BO).remote_id])
        assert (bench.delivery(CLASS).is_due, bench.delivery(CLASS).reason) == (True, WAITING)

    def test_is_not_sent_again_while_nobody_has_arrived(self, bench: Bench) -> None:
        bench.target.about[ANE] = Rejected("invalid")
        bench.drain()
        bench.clock.forward(days=1)
        assert bench.drain() == []

    def test_is_completed_when_the_member_arrives(self, bench: Bench) -> None:
        bench.target.about[ANE] = Deferred("busy")
        bench.drain()
        bench.target.about.clear()
        bench.clock.forward(minutes=1)
        sent = bench.drain()
        assert told(sent) == [("created", "User", "ane"), ("updated", "Group", "1A")]
        assert set(members(sent[1])) == {bench.delivery(ANE).remote_id, bench.delivery(BO).remote_id}
        assert (bench.delivery(CLASS).is_due, bench.delivery(CLASS).reason) == (False, None)

    def test_has_another_delivery_key_when_it_is_completed(self, bench: Bench) -> None:
        bench.target.about[ANE] = Deferred("busy")
        (partial,) = [c for c in bench.drain() if c.resource == "Group"]
        bench.target.about.clear()
        bench.clock.forward(minutes=1)
        (whole,) = [c for c in bench.drain() if c.resource == "Group"]
        assert partial.delivery_key != whole.delivery_key

    def test_waits_for_nobody_where_our_own_ids_are_used(self) -> None:
        bench = Bench(capabilities=CANONICAL)
        bench.take(group("1A"), pupil("ane"), pupil("bo"))
        bench.target.about[ANE] = Deferred("busy")
        sent = bench.drain()[-1]
        assert set(members(sent)) == {ANE, BO}
        assert not bench.delivery(CLASS).is_due

    def test_leaves_out_who_does_not_go_to_the_target(self) -> None:
        bench = Bench(capabilities=CANONICAL)
        bench.take(group("1A"), pupil("ane"), external("bo", ["1A"]))
        assert members(bench.drain()[-1]) == [ANE]

    def test_gains_a_member_who_begins_to_go_to_the_target(self) -> None:
        bench = Bench()
        bench.take(group("1A"), pupil("ane"), external("bo", ["1A"]))
        bench.drain()
        later(bench, group("1A"), pupil("ane"), external("bo", ["1A"]), teacher("bo"))
        assert told(bench.drain()) == [("created", "User", "bo"), ("updated", "Group", "1A")]

    def test_gains_a_member_though_the_mapping_names_groups_before_persons(self) -> None:
        top, _, rest = PLATFORM.partition("  User:\n")
        user, _, groups = rest.partition("  Group:\n")
        bench = Bench(mapping=mapping_of(f"{top}  Group:\n{groups.rstrip()}\n  User:\n{user}"))
        bench.take(group("1A"), pupil("ane"))
        bench.drain()
        later(bench, group("1A"), pupil("ane"), pupil("bo"))
        bench.drain()
        assert len(bench.target.documents[CLASS]["members"]) == 2

    def test_is_due_again_when_a_member_is_created_anew_under_another_id(self, settled: Bench) -> None:
        settled.target.about[ANE] = Delivered("remote-99")
        later(settled, group("1A"), pupil("ane", given_name="Anne"), pupil("bo"))
        sent = settled.drain()
        assert told(sent) == [("updated", "User", "ane"), ("updated", "Group", "1A")]
        assert "remote-99" in members(sent[1])

    def test_loses_a_member_who_leaves_the_town(self, settled: Bench) -> None:
        later(settled, group("1A"), pupil("bo"))
        sent = settled.drain()
        assert told(sent) == [("updated", "Group", "1A"), ("deleted", "User", "ane")]
        assert members(sent[0]) == [settled.delivery(BO).remote_id]


ENROLMENTS = (
    PLATFORM
    + """
  Enrolment:
    entity: membership
    fields:
      id: {from: id}
      user: {from: person, required: true}
      class: {from: group, required: true}
"""
)
PLACES = """
  School:
    entity: institution
    fields: {name: {from: name, required: true}}
  Place:
    entity: affiliation
    fields:
      id: {from: id}
      school: {from: institution, required: true}
"""


class TestABodyThatIsNothingWithoutItsReference:
    @pytest.fixture
    def bench(self) -> Bench:
        return Bench(mapping=mapping_of(ENROLMENTS))

    def test_waits_and_is_never_mistaken_for_a_deletion(self, bench: Bench) -> None:
        bench.take(group("1A"), pupil("ane"))
        bench.target.about[ANE] = Deferred("busy")
        assert "Enrolment" not in {c.resource for c in bench.drain()}

    def test_goes_when_what_it_refers_to_has_arrived(self, bench: Bench) -> None:
        bench.take(group("1A"), pupil("ane"))
        bench.target.about[ANE] = Deferred("busy")
        bench.drain()
        bench.target.about.clear()
        bench.clock.forward(minutes=1)
        sent = bench.drain()[-1]
        assert (sent.operation, sent.resource) == (Operation.CREATED, "Enrolment")
        document = {"user": bench.delivery(ANE).remote_id, "class": bench.delivery(CLASS).remote_id}
        assert sent.document == {"id": key_id(Kind.MEMBERSHIP, SCHOOL, "1A", "ane"), **document}

    def test_does_not_go_when_what_it_refers_to_does_not(self, bench: Bench) -> None:
        bench.take(group("1A"), external("bo", ["1A"]))
        assert told(bench.drain()) == [("created", "Group", "1A")]

    def test_goes_when_what_it_refers_to_begins_to_go(self, bench: Bench) -> None:
        bench.take(group("1A"), external("bo", ["1A"]))
        bench.drain()
        later(bench, group("1A"), external("bo", ["1A"]), teacher("bo"))
        assert [c.resource for c in bench.drain()] == ["User", "Group", "Enrolment"]

    def test_goes_away_when_the_group_leaves_the_target_and_comes_back_with_it(self, bench: Bench) -> None:
        """The membership stayed desired at the target, of a group that was not there any more."""
        bench.rendering = replace(bench.rendering, early=Early(timedelta(days=7), bench.clock.now))
        bench.take(group("1A"), pupil("ane"))
        bench.drain()
        next_year = (bench.clock.at + timedelta(days=90)).date().isoformat()
        later(bench, group("1A", from_date=next_year), pupil("ane"))
        assert told(bench.drain()) == [("deleted", "Enrolment", "ane"), ("deleted", "Group", "1A")]
        later(bench, group("1A"), pupil("ane"))
        assert told(bench.drain()) == [("created", "Group", "1A"), ("created", "Enrolment", "ane")]

    def test_goes_away_when_the_mapping_takes_the_group_no_more(self) -> None:
        typed = ENROLMENTS.replace("entity: group", "entity: group\n    when: {level: ['1']}")
        bench = Bench(mapping=mapping_of(typed))
        bench.take(group("1A", level="1"), pupil("ane"))
        bench.drain()
        later(bench, group("1A", level="2"), pupil("ane"))
        assert told(bench.drain()) == [("deleted", "Enrolment", "ane"), ("deleted", "Group", "1A")]
        later(bench, group("1A", level="1"), pupil("ane"))
        assert told(bench.drain()) == [("created", "Group", "1A"), ("created", "Enrolment", "ane")]

    def test_goes_when_the_institution_that_it_refers_to_begins_to_go(self) -> None:
        placed = PLATFORM.partition("  Group:")[0] + PLACES
        bench = Bench(mapping=mapping_of(placed))
        bench.take(pupil("ane"), head=header(name=None))
        assert told(bench.drain()) == [("created", "User", "ane")]
        bench.clock.forward(hours=1)
        bench.take(pupil("ane"), head=header(at=bench.clock.at))
        assert [c.resource for c in bench.drain()] == ["School", "Place"]

    def test_is_sent_again_when_its_group_has_another_id(self, bench: Bench) -> None:
        bench.take(group("1A"), pupil("ane"))
        bench.drain()
        bench.target.about[CLASS] = Delivered("remote-99")
        later(bench, group("1A", "Ny"), pupil("ane"))
        sent = bench.drain()[-1]
        assert sent.resource == "Enrolment"
        assert sent.document is not None and sent.document["class"] == "remote-99"

    def test_is_sent_again_when_what_it_refers_to_has_another_id(self, bench: Bench) -> None:
        bench.take(group("1A"), pupil("ane"))
        bench.drain()
        bench.target.about[ANE] = Delivered("remote-99")
        later(bench, group("1A"), pupil("ane", given_name="Anne"))
        sent = bench.drain()[-1]
        assert sent.resource == "Enrolment"
        assert sent.document is not None and sent.document["user"] == "remote-99"


ROLES = """
mapping: test/roles
purpose: Teaching
resources:
  Student: {entity: person, when: {kind: student}, fields: {userName: {from: user_id}}}
  Teacher: {entity: person, when: {kind: employee}, fields: {userName: {from: user_id}}}
"""


def test_a_deletion_goes_to_the_resource_under_which_the_target_knows_the_entity() -> None:
    bench = Bench(mapping=mapping_of(ROLES))
    bench.take(pupil("ane"), teacher("bo"))
    assert set(told(bench.drain())) == {("created", "Student", "ane"), ("created", "Teacher", "bo")}
    later(bench, pupil("ane"))
    assert told(bench.drain()) == [("deleted", "Teacher", "bo")]


# ---------------------------------------------------------------- rendered when it is sent


def store_person(bench: Bench, person: Person) -> None:
    """Change a person behind the back of everything that looks at changes."""
    row = rows_of(bench.store, Kind.PERSON)[person.key]
    body = encode_entity(person)
    with bench.store.write() as uow:
        uow.put_entities(TOWN, [replace(row, body=body, hash=hash_bytes(body), version=row.version + 1)])


class TestRenderingAtTheLastMoment:
    def test_a_protection_set_between_recording_and_sending_is_kept(self, bench: Bench) -> None:
        later(bench, group("1A"), pupil("ane", protected=True, alias_given_name="Alias"), pupil("bo"))
        documents = {c.id: c.document for c in bench.drain()}
        assert documents[ANE] == {"userName": "ane", "givenName": "Alias"}

    def test_a_protection_that_no_change_told_of_is_kept_all_the_same(self, bench: Bench) -> None:
        ane = bench.entities(Kind.PERSON)["ane",]
        assert isinstance(ane, Person)
        store_person(bench, replace(ane, protected=True, alias_given_name="Alias", alias_family_name="Navn"))
        documents = {c.id: c.document for c in bench.drain()}
        assert documents[ANE] == {"userName": "ane", "givenName": "Alias", "familyName": "Navn"}

    @pytest.mark.parametrize("is_kept", [True, False])
    def test_an_update_that_turns_out_to_be_a_deletion_passes_what_every_deletion_passes(
        self, *, is_kept: bool
    ) -> None:
        """It was deleted in the batch of updates: unasked by brake, kept list, grace and the end of the pass."""
        bench = Bench(mapping=mapping_of(PLATFORM.replace("{from: email}", "{from: email, required: true}")))
        bench.take(pupil("ane", email="a@x"))
        bench.drain()
        later(bench, pupil("ane", email="a@x", given_name="Anne"))
        person = bench.entities(Kind.PERSON)["ane",]
        assert isinstance(person, Person)
        store_person(bench, replace(person, email=None))
        if is_kept:
            keep(bench.store, bench.book, KeptPerson(TOWN, "ane", None, "anna", bench.clock.at))
        assert told(bench.drain()) == ([] if is_kept else [("deleted", "User", "ane")])
        assert (ANE in bench.target.documents) is is_kept

    def test_what_was_rendered_anew_is_confirmed_as_it_was_sent(self, bench: Bench) -> None:
        ane = bench.entities(Kind.PERSON)["ane",]
        assert isinstance(ane, Person)
        store_person(bench, replace(ane, given_name="Anne"))
        bench.drain()
        row = bench.delivery(ANE)
        assert (row.is_due, row.reason) == (False, None)

    def test_what_was_rendered_anew_has_a_version_of_its_own(self, bench: Bench) -> None:
        """A receiver drops what is not newer; the body in doubt and this one must not share a version."""
        bench.target.script = [AWAY]
        bench.deliver()
        doubtful = bench.target.reached[0]
        person = bench.entities(Kind.PERSON)[doubtful.key]
        assert isinstance(person, Person)
        store_person(bench, replace(person, given_name="Anders"))
        bench.clock.forward(hours=1)
        again = next(c for c in bench.drain() if c.id == doubtful.id)
        assert again.document is not None and again.document["givenName"] == "Anders"
        assert again.version > doubtful.version

    def test_the_real_name_is_nowhere_in_a_command_once_a_person_is_protected(self, settled: Bench) -> None:
        """What the target confirmed last holds the real name; it must not be told again as the old value."""
        hidden = pupil("ane", protected=True, alias_given_name="Alias", alias_family_name="Navn", email="a@x")
        later(settled, group("1A"), hidden, pupil("bo"))
        (update,) = settled.drain()
        assert update.operation is Operation.UPDATED
        assert "Holm" not in str((update.document, update.previous))


# ---------------------------------------------------------------- mapping and scope


WITHOUT_NAMES = PLATFORM.replace("      givenName: {from: given_name}\n", "")
STAFF_ONLY = PLATFORM.replace("[student, employee]", "[employee]")


class TestAChangedMapping:
    @pytest.fixture
    def bench(self) -> Bench:
        """Five pupils, delivered."""
        bench = Bench()
        bench.take(group("1A"), *map(pupil, ["ane", "bo", "carl", "dorte", "erik"]))
        bench.drain()
        return bench

    def test_is_not_used_before_it_is_applied(self, bench: Bench) -> None:
        bench.rendering = replace(bench.rendering, mapping=mapping_of(WITHOUT_NAMES))
        assert bench.deliver() == 0

    def test_renders_everything_anew(self, bench: Bench) -> None:
        assert bench.refresh(mapping_of(WITHOUT_NAMES))
        sent = bench.drain()
        assert [(c.operation, c.resource) for c in sent] == [(Operation.UPDATED, "User")] * 5
        assert sent[0].document is not None and "givenName" not in sent[0].document

    def test_that_makes_the_same_bodies_sends_nothing(self, bench: Bench) -> None:
        assert bench.refresh(mapping_of(PLATFORM + "# a comment\n"))
        assert bench.drain() == []

    def test_that_names_a_kind_no_more_removes_it(self, bench: Bench) -> None:
        assert bench.refresh(mapping_of(PLATFORM.partition("  Group:")[0]))
        assert told(bench.drain()) == [("deleted", "Group", "1A")]

    def test_that_would_empty_the_target_is_held(self, bench: Bench) -> None:
        assert not bench.refresh(mapping_of(STAFF_ONLY))
        (hold,) = bench.holds("open")
        assert (hold.subject, hold.target, hold.reasons) == ("target", TARGET, ("mapping_removes",))
        assert hold.people == ("ane", "bo", "carl", "dorte", "erik")

    def test_that_is_held_is_one_hold_and_nothing_is_sent_meanwhile(self, bench: Bench) -> None:
        bench.refresh(mapping_of(STAFF_ONLY))
        later(bench, group("1A"), *map(pupil, ["ane", "bo", "carl", "dorte", "erik", "frida"]))
        assert bench.drain() == []
        assert len(bench.holds()) == 1

    def test_that_is_approved_goes_through(self, bench: Bench) -> None:
        bench.refresh(mapping_of(STAFF_ONLY))
        bench.decide(bench.holds("open")[0].id, approve=True)
        assert bench.refresh()
        assert [c.operation for c in bench.drain()].count(Operation.DELETED) == 5
        assert [hold.state for hold in bench.holds()] == ["applied"]

    def test_that_one_person_approved_waits_where_two_are_needed_by_now(self, bench: Bench) -> None:
        bench.refresh(mapping_of(STAFF_ONLY))
        bench.decide(bench.holds("open")[0].id, approve=True, by="anna")
        bench.policy = replace(bench.policy, people_needed=2)
        assert not bench.refresh()
        assert bench.drain() == []
        assert [[one.by for one in hold.approvals] for hold in bench.holds("open")] == [["anna"]]

    def test_that_is_rejected_stays_out(self, bench: Bench) -> None:
        bench.refresh(mapping_of(STAFF_ONLY))
        bench.decide(bench.holds("open")[0].id, approve=False)
        assert not bench.refresh()
        assert bench.drain() == []

    def test_that_is_taken_back_sends_nothing_and_leaves_nothing_to_decide(self, bench: Bench) -> None:
        bench.refresh(mapping_of(STAFF_ONLY))
        assert bench.refresh(mapping_of(PLATFORM))
        assert bench.drain() == []
        assert bench.holds("open") == []

    def test_that_was_approved_once_is_held_again_when_it_comes_again(self, bench: Bench) -> None:
        bench.refresh(mapping_of(STAFF_ONLY))
        bench.decide(bench.holds("open")[0].id, approve=True)
        bench.refresh()
        bench.drain()
        bench.refresh(mapping_of(PLATFORM))
        bench.drain()
        assert not bench.refresh(mapping_of(STAFF_ONLY))
        assert len(bench.holds("open")) == 1, "there must be something to approve"

    def test_catches_up_with_what_was_recorded_while_it_was_held(self, bench: Bench) -> None:
        bench.refresh(mapping_of(STAFF_ONLY))
        later(bench, group("1A"), *map(pupil, ["ane", "bo", "carl", "dorte", "frida"]))
        bench.refresh(mapping_of(WITHOUT_NAMES))
        sent = set(told(bench.drain()))
        assert {("created", "User", "frida"), ("deleted", "User", "erik"), ("updated", "User", "ane")} <= sent

    def test_of_scope_removes_who_is_out_of_it_and_keeps_the_rest(self, bench: Bench) -> None:
        bench.policy = GuardPolicy(100.0)
        bench.take(pupil("x", "9Z"), pupil("ane", "9Z"), head=header(OTHER_SCHOOL), expected=OTHER_SCHOOL)
        bench.drain()
        bench.rendering = replace(bench.rendering, scope=Scope(TOWN, frozenset({SCHOOL})))
        assert bench.refresh()
        assert set(told(bench.drain())) == {("deleted", "Group", "9Z"), ("deleted", "User", "x")}


# ---------------------------------------------------------------- audit


class TestTheAudit:
    def records(self, bench: Bench) -> list[dict[str, Any]]:
        return [record for record in bench.audit() if record["kind"].startswith("disclosure.")]

    def test_has_an_intent_before_and_an_outcome_after_each_command(self, bench: Bench) -> None:
        sent = bench.drain()
        records = self.records(bench)
        intents = {r["intent"]: r for r in records if r["kind"] == "disclosure.intent"}
        outcomes = {r["closes"]: r for r in records if r["kind"] == "disclosure.outcome"}
        assert len(sent) == len(intents) == len(outcomes) == 3
        assert all(outcomes[name]["seq"] > intent["seq"] for name, intent in intents.items())
        assert {r["outcome"] for r in outcomes.values()} == {"delivered"}

    def test_has_the_intent_committed_before_the_target_is_called(self, bench: Bench) -> None:
        seen: list[tuple[int, list[bool]]] = []

        def look(batch: Sequence[Command]) -> None:
            with bench.store.read() as reader:
                rows = [reader.delivery(TARGET, command.id) for command in batch]
                seen.append((len(reader.open_intents()), [row is not None and row.in_doubt for row in rows]))

        bench.target.before = look
        bench.drain()
        assert seen == [(2, [True, True]), (1, [True])]

    def test_holds_field_names_and_never_a_value(self, bench: Bench) -> None:
        bench.drain()
        (*_, intent) = [
            r for r in self.records(bench) if r["kind"] == "disclosure.intent" and r["resource"] == "User"
        ]
        assert intent["fields"] == ["familyName", "givenName", "userName"]
        assert intent["purpose"] == "Teaching"
        everything = str(self.records(bench))
        for secret in ("Holm", "Ane", "ane", ANE, "remote-1"):
            assert secret not in everything

    def test_names_the_same_person_by_the_same_reference(self, settled: Bench) -> None:
        later(settled, group("1A"), pupil("ane", given_name="Anne"), pupil("bo"))
        settled.drain()
        subjects = [r["subject"] for r in self.records(settled) if r["kind"] == "disclosure.intent"]
        assert subjects.count(settled.book.reference(ANE)) == 2

    def test_says_what_is_unknown_and_what_was_never_sent(self) -> None:
        bench = Bench()
        bench.take(*map(pupil, ["ane", "bo", "carl"]))
        bench.target.script = [Delivered("remote-1"), AWAY]
        bench.deliver()
        outcomes = [(r["outcome"], r.get("reason")) for r in self.records(bench) if "outcome" in r]
        assert outcomes == [
            ("delivered", None),
            ("unknown", "TargetUnavailable"),
            ("not_sent", "TargetUnavailable"),
        ]

    def test_says_why_something_was_rejected(self, bench: Bench) -> None:
        bench.target.about[ANE] = Rejected("invalid", "userName")
        bench.drain()
        outcomes = [(r["outcome"], r.get("reason")) for r in self.records(bench) if "outcome" in r]
        assert ("rejected", "invalid") in outcomes

    def test_says_nothing_of_what_only_waits(self, bench: Bench) -> None:
        bench.target.about[ANE] = Rejected("invalid")
        bench.drain()
        before = len(bench.audit())
        bench.clock.forward(days=1)
        bench.drain()
        assert len(bench.audit()) == before

    def test_names_the_institution_of_a_person_who_leaves(self, settled: Bench) -> None:
        later(settled, group("1A"), pupil("bo"))
        settled.drain()
        deletion = [r for r in self.records(settled) if r.get("operation") == "deleted"][-1]
        assert deletion["institution"] == SCHOOL


def test_without_a_store_that_takes_the_intent_nothing_leaves() -> None:
    bench = Bench()
    bench.store = MemoryStore(busy_timeout=timedelta(0))
    bench.take(pupil("ane"))
    with bench.store.write(), pytest.raises(StoreUnavailable):
        bench.deliver()
    assert bench.target.batches == []
