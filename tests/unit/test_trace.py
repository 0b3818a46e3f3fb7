"""Why a pupil is at a platform, or is not: one sentence for each way it can have come about."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.connector import Capabilities
from bridge.domain.entities import Address, Contribution, Kind, Person, Phone, Role
from bridge.domain.errors import TargetUnavailable
from bridge.domain.ids import Key, TargetId
from bridge.domain.outcomes import Deferred, Delivered, Rejected
from bridge.domain.records import Quarantined
from bridge.engine.merge import merge
from bridge.engine.trace import Trace, note_look_up, other_spelling, people_by_number, trace
from bridge.engine.trace_merge import decide
from bridge.engine.trace_target import AtTarget, Whereabouts
from bridge.engine.trace_words import REASONS
from bridge.engine.views import Scope
from bridge.ports import Approval, Drift, Hold, KeptPerson
from tests.support.engine import (
    MORNING,
    OTHER_SCHOOL,
    SCHOOL,
    STEADY,
    TARGET,
    TOWN,
    Bench,
    external,
    header,
    key_id,
    mapping_of,
    parent,
    person_id,
    pupil,
    teacher,
)

ANE = person_id("ane")
EVERYTHING = mapping_of("""
mapping: test/everything
purpose: Tests
resources:
  person:
    entity: person
    fields: {user_id: {from: user_id, required: true}, name: {from: given_name}}
  affiliation:
    entity: affiliation
    fields: {user_id: {from: user_id, required: true}, who: {from: person, required: true}}
  membership:
    entity: membership
    fields: {group: {from: group_id, required: true}, who: {from: person, required: true}}
""")


def asked(bench: Bench, user: str = "ane", **options: Any) -> Trace:
    with bench.store.read() as reader:
        return trace(reader, bench.book, TOWN, user, [bench.rendering], bench.clock.now(), **options)


def target_of(bench: Bench, user: str = "ane") -> AtTarget:
    (found,) = asked(bench, user).targets
    return found


def person_of(bench: Bench, user: str = "ane") -> Whereabouts:
    return target_of(bench, user).person


def texts(bench: Bench, user: str = "ane", **options: Any) -> list[str]:
    return [one.text for one in asked(bench, user, **options).timeline]


def filled(*, mapping: str | None = None, scope: set[str] | None = None, **fields: Any) -> Bench:
    """A school with Ane in it, of which nothing has been sent."""
    bench = Bench(mapping=mapping_of(mapping) if mapping else None)
    if scope is not None:
        bench.rendering = replace(bench.rendering, scope=Scope(TOWN, frozenset(scope)))
    bench.take(pupil("ane", **fields), teacher("bo"))
    return bench


def user_mapping(fields: str, when: str = "{}") -> str:
    return (
        f"mapping: test/one\npurpose: Tests\nresources:\n"
        f"  User: {{entity: person, when: {when}, fields: {fields}}}\n"
    )


def put(bench: Bench, **changes: Any) -> None:
    """Let the delivery of Ane be as another part of the bridge would leave it."""
    with bench.store.write() as uow:
        row = uow.delivery(TARGET, ANE)
        assert row is not None
        uow.put_deliveries([replace(row, **changes)])


# ---------------------------------------------------------------- the person is there, or is not


class TestTheSentenceAboutAPerson:
    def test_who_is_there(self) -> None:
        bench = filled()
        bench.drain()
        found = person_of(bench)
        assert found.sentence == f"The person is at {TARGET} as User, confirmed 2026-08-11 06:00 UTC."
        assert (found.state, found.version, found.attempts, found.remote_id) == ("there", 1, 0, "remote-1")
        assert found.confirmed_at == MORNING

    def test_whose_change_waits(self) -> None:
        bench = filled()
        bench.drain()
        bench.target.about[ANE] = Deferred("busy", timedelta(minutes=5))
        bench.take(pupil("ane", email="a@x.example"), teacher("bo"), head=header(at=MORNING + timedelta(days=1)))
        bench.drain()
        found = person_of(bench)
        assert found.state == "changing"
        assert found.sentence.endswith("a change waits: busy; next attempt 2026-08-11 06:05 UTC.")

    def test_who_waits_for_the_first_attempt(self) -> None:
        assert person_of(filled()).sentence == (
            f"The person is not at {TARGET} yet and waits: it has not been its turn yet; "
            "next attempt 2026-08-11 06:00 UTC."
        )

    def test_who_waits_because_the_platform_failed(self) -> None:
        bench = filled()
        bench.target.about[ANE] = Deferred("server_error_500", status=500)
        bench.drain()
        found = person_of(bench)
        assert "waits: the platform failed with it (server_error_500); next attempt" in found.sentence
        assert (found.attempts, found.next_attempt_at is not None) == (1, True)

    def test_who_was_rejected(self) -> None:
        bench = filled()
        bench.target.about[ANE] = Rejected("refused_409", "uniqueness", 409)
        bench.drain()
        assert person_of(bench).sentence == (
            f"The person was rejected by {TARGET}: the platform refuses it as it is, field uniqueness "
            "(refused_409). It is tried again only after a retry or a change."
        )

    def test_who_was_rejected_after_being_there(self) -> None:
        bench = filled()
        bench.drain()
        bench.target.about[ANE] = Rejected("refused_400")
        bench.take(pupil("ane", email="a@x.example"), teacher("bo"), head=header(at=MORNING + timedelta(days=1)))
        bench.drain()
        told = person_of(bench).sentence
        assert told.endswith("What it confirmed before (2026-08-11 06:00 UTC) stands.")

    def test_whom_nobody_ever_told_of(self) -> None:
        found = asked(filled(), "carl")
        assert not found.is_known
        (target,) = found.targets
        assert target.sentence == (
            f"The person is not at {TARGET}: no institution has told of anybody with this user id."
        )

    def test_who_was_deleted(self) -> None:
        bench = filled()
        bench.drain()
        bench.clock.forward(days=1)
        bench.take(teacher("bo"), head=header(at=MORNING + timedelta(days=1)))
        bench.drain()
        found = person_of(bench)
        assert found.state == "absent"
        run = asked(bench).timeline[-1]
        assert f"is not at {TARGET}: the person was deleted by {SCHOOL} (run " in found.sentence
        assert found.sentence.endswith("recorded, from fake://export), 2026-08-12 06:00 UTC.")
        assert run.text.endswith("the platform confirmed it")

    @pytest.mark.parametrize("reason", ["grace", "deactivated", "kept_alive", "deletions_held", "held"])
    def test_whose_deletion_is_put_off(self, reason: str) -> None:
        bench = filled()
        bench.drain()
        bench.take(teacher("bo"), head=header(at=MORNING + timedelta(days=1)))
        put(bench, reason=reason, next_attempt_at=MORNING + timedelta(days=7))
        found = person_of(bench)
        assert found.state == "leaving"
        assert f"is still at {TARGET} and shall go, because the person was deleted by" in found.sentence
        assert found.sentence.endswith(f": {REASONS[reason]} ({reason}); next attempt 2026-08-18 06:00 UTC.")

    def test_whose_deletion_was_rejected(self) -> None:
        bench = filled()
        bench.drain()
        bench.target.about[ANE] = Rejected("refused_403", status=403)
        bench.take(teacher("bo"), head=header(at=MORNING + timedelta(days=1)))
        bench.drain()
        assert person_of(bench).sentence.endswith(
            "the deletion was rejected: the platform refuses it as it is (refused_403)."
        )

    @pytest.mark.parametrize("state", ["pending", "rejected"])
    def test_whom_the_platform_keeps_changing_back(self, state: str) -> None:
        bench = filled()
        bench.drain()
        put(bench, reason="drift_parked", state=state)
        with bench.store.write() as uow:
            uow.put_drift([Drift(TARGET, ANE, Kind.PERSON, "changed", ("email",), 3, "parked", MORNING)])
        found = target_of(bench)
        assert found.person.state == "parked"
        assert "otherwise than it should be: the platform keeps changing it back" in found.sentence
        assert "it was found otherwise there than confirmed: changed (email), parked" in found.facts

    def test_at_a_target_that_pauses(self) -> None:
        bench = filled()
        bench.target.about[ANE] = TargetUnavailable("status_503", timedelta(minutes=9))
        bench.deliver()
        (fact,) = target_of(bench).facts
        assert fact == ("it pauses until 2026-08-11 06:09 UTC: the platform is away or asks to wait (status_503)")

    def test_at_a_target_that_only_observes(self) -> None:
        (found,) = asked(filled(), silent={TARGET}).targets
        assert found.sentence == f"{TARGET} only observes: nothing is sent to it."
        assert found.others == ()
        assert found.person.fields is not None


# ---------------------------------------------------------------- the rule that filtered


class TestTheRuleThatKeepsAPersonOut:
    def test_is_the_scope(self) -> None:
        found = target_of(filled(scope={OTHER_SCHOOL}))
        assert found.sentence == (
            f"The person is not at {TARGET}: out of scope: it gets {OTHER_SCHOOL} only, and none of these tells "
            "of it."
        )
        assert found.facts == (f"it gets the institutions {OTHER_SCHOOL} only",)

    def test_is_a_kind_that_the_mapping_does_not_send(self) -> None:
        mapping = "mapping: m\npurpose: T\nresources:\n  G: {entity: group, fields: {n: {from: name}}}\n"
        assert person_of(filled(mapping=mapping)).sentence.endswith(
            "the mapping m sends nothing of the kind person."
        )

    def test_is_a_condition(self) -> None:
        bench = filled(contacts=[parent("dorte")])
        assert person_of(bench, "dorte").sentence == (
            f"The person is not at {TARGET}: resource User takes only kinds: employee, student (there is contact)."
        )

    def test_is_a_condition_on_what_may_be_personal(self) -> None:
        bench = filled(mapping=user_mapping("{n: {from: user_id}}", "{email: [hemmelig@x.example]}"))
        told = person_of(bench).sentence
        assert told.endswith("what its rule for email allows (its values may be personal and are not shown).")

    def test_is_a_required_field_that_there_is_not(self) -> None:
        bench = filled(mapping=user_mapping("{mail: {from: email, required: true}}"))
        assert person_of(bench).sentence.endswith("resource User requires mail (from email), which there is not.")

    def test_is_a_required_field_that_protection_withholds(self) -> None:
        bench = filled(
            mapping=user_mapping("{mail: {from: email, required: true}}"), protected=True, email="a@x.example"
        )
        told = person_of(bench).sentence
        assert told.endswith("requires mail (from email), which there is not, and protection withholds it.")

    def test_is_a_required_code_that_is_not_known(self) -> None:
        bench = filled(mapping=user_mapping("{t: {from: kind, required: true, codes: {employee: E}}}"))
        told = person_of(bench).sentence
        assert told.endswith("resource User requires t (from kind), whose codes do not know student.")

    def test_is_every_resource_in_turn(self) -> None:
        mapping = (
            "mapping: m\npurpose: T\nresources:\n"
            "  A: {entity: person, when: {kind: employee}, fields: {n: {from: user_id}}}\n"
            "  B: {entity: person, fields: {n: {from: email, required: true}}}\n"
        )
        told = person_of(filled(mapping=mapping)).sentence
        assert "resource A takes only kind: employee (there is student); resource B requires n" in told

    def test_is_no_rule_where_a_changed_mapping_is_not_applied_yet(self) -> None:
        bench = filled(mapping=user_mapping("{n: {from: user_id}}", "{kind: employee}"))
        bench.rendering = replace(bench.rendering, mapping=mapping_of())
        found = target_of(bench)
        assert "by the rules of now it should go there, and it has not been planned yet" in found.sentence
        assert any("is not applied yet" in fact for fact in found.facts)

    def test_is_told_of_somebody_whom_a_changed_mapping_will_take_away(self) -> None:
        bench = filled()
        bench.drain()
        bench.rendering = replace(
            bench.rendering, mapping=mapping_of(user_mapping("{n: {from: user_id}}", "{kind: employee}"))
        )
        told = person_of(bench).sentence
        assert told.startswith(f"The person is at {TARGET} as User, confirmed")
        assert told.endswith(
            "By the rules of now it would not go: resource User takes only kind: employee (there is student)."
        )


class TestTheFieldsOfAPerson:
    def test_that_go_and_that_stay(self) -> None:
        fields = person_of(filled(civil_registration_number="1111111118")).fields
        assert fields is not None
        assert fields.sent == ("userName", "givenName", "familyName")
        assert fields.not_sent == ("email: empty: no institution tells it",)
        assert {"civil_registration_number", "address", "mobile_phone", "birth_date"} <= set(fields.unnamed)
        assert "given_name" not in fields.unnamed

    def test_that_protection_withholds_or_replaces(self) -> None:
        bench = filled(
            mapping=user_mapping(
                "{n: {from: user_id}, g: {from: given_name}, m: {from: email}, "
                "s: {from: address.street}, p: {from: mobile_phone.number}}"
            ),
            protected=True,
            email="a@x.example",
            address=Address(street="Vej 1"),
            mobile_phone=Phone("12345678"),
            alias_given_name="Alma",
        )
        fields = person_of(bench).fields
        assert fields is not None
        assert fields.sent == ("n", "g")
        assert fields.withheld == ("address", "email", "given_name", "mobile_phone")
        assert fields.not_sent == (
            "g: protection puts what may be seen in the place of given_name",
            "m: withheld, because it is protected",
            "s: withheld, because it is protected",
            "p: withheld, because it is protected",
        )
        assert asked(bench).now.protection == (
            f"Name and address are protected: {SCHOOL} says so, and that holds everywhere."
        )

    def test_a_single_number_that_is_protected(self) -> None:
        bench = filled(
            mapping=user_mapping("{n: {from: user_id}, p: {from: mobile_phone.number}}"),
            mobile_phone=Phone("12345678", protected=True),
        )
        fields = person_of(bench).fields
        assert fields is not None
        assert fields.not_sent == ("p: withheld, because it is protected",)
        assert asked(bench).now.protection == f"Protected are single numbers only: mobile_phone by {SCHOOL}."

    def test_that_a_condition_or_a_table_leaves_out(self) -> None:
        bench = filled(
            mapping=user_mapping(
                "{n: {from: user_id}, a: {from: given_name, when: {kind: employee}}, "
                "b: {from: kind, codes: {x: y}}, c: {from: email, default: none}, d: {k: {const: 1}}}"
            )
        )
        fields = person_of(bench).fields
        assert fields is not None
        assert fields.not_sent == (
            "a: sent only for kind: employee (there is student)",
            "b: its codes do not know student",
            "c: the mapping's default is sent, because there is no value that it knows",
            "d.k: a constant, not sent because nothing beside it is",
        )


# ---------------------------------------------------------------- ties and groups


class TestTiesAndGroups:
    def test_a_group_names_the_person(self) -> None:
        bench = filled()
        bench.drain()
        (group,) = target_of(bench).others
        assert group.sentence == f"Group 1A at {SCHOOL} is at {TARGET} as Group. The person is named in it."

    def test_a_group_does_not_name_a_person_who_does_not_go_there(self) -> None:
        mapping = (
            "mapping: m\npurpose: T\nresources:\n"
            "  User: {entity: person, when: {kind: employee}, fields: {n: {from: user_id}}}\n"
            "  Group: {entity: group, fields: {n: {from: name, required: true}, m: [{value: {from: members}}]}}\n"
        )
        bench = filled(mapping=mapping)
        bench.drain()
        (group,) = target_of(bench).others
        assert group.sentence.endswith("The person is not named: they do not go there.")

    def test_each_tie_has_its_own_state(self) -> None:
        bench = Bench(mapping=EVERYTHING, capabilities=Capabilities(references="canonical"))
        bench.take(pupil("ane", "1A"), pupil("bo", "1A"))
        bench.target.about[key_id(Kind.MEMBERSHIP, SCHOOL, "1A", "ane")] = Rejected("refused_400")
        bench.drain()
        others = {one.what: one.state for one in target_of(bench).others}
        assert others == {
            f"the affiliation as student at {SCHOOL}": "there",
            f"the membership of group 1A at {SCHOOL}": "rejected",
        }

    def test_a_tie_that_shall_go_is_told_as_long_as_it_is_there(self) -> None:
        bench = Bench(mapping=EVERYTHING, capabilities=Capabilities(references="canonical"))
        bench.take(pupil("ane", "1A", ["HOLD"]))
        bench.drain()
        bench.take(pupil("ane", "1A"), head=header(at=MORNING + timedelta(days=1)))
        leaving = [one for one in target_of(bench).others if one.state == "leaving"]
        assert [one.what for one in leaving] == [f"the membership of group HOLD at {SCHOOL}"]
        assert "because no institution tells of it any more" in leaving[0].sentence

    def test_whom_a_tie_leads_to_is_not_told(self) -> None:
        bench = filled(contacts=[parent("dorte")])
        assert "dorte" not in repr(msgspec.to_builtins(asked(bench)))
        assert f"the tie to a contact at {SCHOOL}" in [tie.what for tie in asked(bench).now.ties]
        assert f"the tie to a child at {SCHOOL}" in [tie.what for tie in asked(bench, "dorte").now.ties]


# ---------------------------------------------------------------- whose word counts


class TestWhoseWordCounts:
    def two_schools(self, here: Any, there: Any, times_there: Any = None) -> Bench:
        bench = Bench()
        bench.take(here)
        bench.take(there, head=header(OTHER_SCHOOL, times=times_there), expected=OTHER_SCHOOL)
        return bench

    def decision(self, bench: Bench) -> tuple[str, str, str]:
        found = asked(bench).now.decision
        assert found is not None
        return found.institution, found.tie, found.sentence

    def test_the_only_one_that_speaks(self) -> None:
        assert self.decision(filled()) == (SCHOOL, "only", f"Only {SCHOOL} tells of the person.")

    def test_the_better_role(self) -> None:
        bench = self.two_schools(teacher("ane"), pupil("ane"))
        told = f"The word of {OTHER_SCHOOL} counts: student goes before employee."
        assert self.decision(bench) == (OTHER_SCHOOL, "role", told)

    def test_the_newer_source(self) -> None:
        later = {"KMD": MORNING + timedelta(hours=1)}
        bench = self.two_schools(pupil("ane"), pupil("ane"), later)
        institution, tie, sentence = self.decision(bench)
        assert (institution, tie) == (OTHER_SCHOOL, "source_time")
        assert sentence.endswith("its import source was read last (KMD, 2026-08-11 07:00 UTC).")

    def test_the_lowest_number(self) -> None:
        institution, tie, sentence = self.decision(self.two_schools(pupil("ane"), pupil("ane")))
        assert (institution, tie) == (SCHOOL, "institution_number")
        assert "lowest institution number" in sentence

    def test_a_narrower_target_hears_its_own_schools_only(self) -> None:
        bench = self.two_schools(pupil("ane"), teacher("ane"))
        bench.rendering = replace(bench.rendering, scope=Scope(TOWN, frozenset({OTHER_SCHOOL})))
        assert f"of these: Only {OTHER_SCHOOL} tells of the person." in target_of(bench).facts
        whole = asked(bench).now.decision
        assert whole is not None
        assert whole.institution == SCHOOL

    def test_what_each_says_and_how_old_that_is(self) -> None:
        bench = self.two_schools(pupil("ane"), external("ane"))
        (here, there) = asked(bench).now.words
        assert (here.institution, here.role, here.source, here.source_time) == (SCHOOL, "student", "KMD", MORNING)
        assert (here.school_year, here.recorded_at, here.last_run) == ("2026/2027", MORNING, None)
        assert (there.institution, there.role) == (OTHER_SCHOOL, "external")

    @STEADY
    @given(
        st.lists(
            st.tuples(
                st.sampled_from([SCHOOL, OTHER_SCHOOL, "101003"]), st.sampled_from(list(Role)), st.booleans()
            ),
            min_size=1,
            max_size=3,
            unique_by=lambda one: one[0],
        )
    )
    def test_is_told_as_the_merge_decides_it(self, said: list[tuple[str, Role, bool]]) -> None:
        heard = [
            Contribution(number, "ane", role, "KMD", Person("ane", number, "Holm")) for number, role, _ in said
        ]
        times = {number: {"KMD": MORNING + timedelta(hours=is_late)} for number, _, is_late in said}
        merged, found = merge(heard, times), decide(heard, times)
        assert merged is not None
        assert found is not None
        assert found.institution == merged.given_name


# ---------------------------------------------------------------- the timeline


class TestTheTimeline:
    def test_leads_from_the_snapshot_to_the_confirmation(self) -> None:
        bench = filled(email="a@x.example")
        bench.drain()
        told = texts(bench)
        assert told[0] == f"the person was created by {SCHOOL} (run id-1, recorded, from fake://export)"
        assert told[1].startswith(f"the affiliation as student at {SCHOOL} was created")
        assert told[2].startswith(f"the membership of group 1A at {SCHOOL} was created")
        assert told[3] == f"{TARGET}: creation of the person as User with 4 fields: the platform confirmed it"

    def test_names_the_fields_that_changed_and_no_value(self) -> None:
        bench = filled()
        bench.clock.forward(days=1)
        bench.take(pupil("ane", email="a@x.example"), teacher("bo"), head=header(at=MORNING + timedelta(days=1)))
        assert texts(bench)[-1].endswith("from fake://export): email")
        assert "a@x.example" not in repr(asked(bench))

    def test_holds_the_status_of_every_attempt(self) -> None:
        bench = filled()
        bench.target.about[ANE] = Deferred("server_error_500", status=500)
        bench.drain()
        bench.clock.forward(hours=7)
        bench.target.about[ANE] = Delivered("r", status=201)
        bench.drain()
        ends = [
            (one.facts["outcome"], one.facts["status"])
            for one in asked(bench).timeline
            if one.what == "delivery.attempted"
        ]
        assert ends == [("deferred", 500), ("delivered", 201)]
        assert texts(bench)[-2].endswith("put off: the platform failed with it (server_error_500), HTTP 500")
        assert texts(bench)[-1].endswith("the platform confirmed it, HTTP 201")

    def test_holds_the_status_that_made_the_whole_target_fail(self) -> None:
        bench = filled()
        bench.target.about[ANE] = TargetUnavailable("status_503")
        bench.deliver()
        (attempt,) = [one for one in asked(bench).timeline if one.what == "delivery.attempted"]
        assert attempt.text.endswith(
            "no answer came that tells what became of it: the platform is away or asks to wait "
            "(TargetUnavailable), HTTP 503"
        )

    def test_a_connector_that_tells_no_status_has_the_one_of_its_reason_or_none(self) -> None:
        bench = filled()
        bench.target.about[ANE] = Rejected("refused_418")
        bench.drain()
        ends = [row for row in bench.audit() if row["kind"] == "disclosure.outcome"]
        assert [row.get("status") for row in ends if row["outcome"] == "rejected"] == [418]
        assert [row for row in ends if row["outcome"] == "delivered" and "status" in row] == []

    def test_an_attempt_that_was_interrupted(self) -> None:
        bench = filled()
        with bench.store.write() as uow:
            bench.book.write(
                uow,
                [
                    {
                        "kind": "disclosure.intent",
                        "intent": "i",
                        "target": TARGET,
                        "subject": bench.book.reference(ANE),
                        "resource": "User",
                        "operation": "created",
                        "fields": ["userName"],
                        "mapping": "m",
                    }
                ],
            )
        assert texts(bench)[-1].endswith("no end is written: it is under way, or was interrupted")

    def test_a_group_left_long_ago_is_still_told(self) -> None:
        bench = Bench()
        bench.take(pupil("ane", "1A", ["HOLD"]), pupil("bo"))
        bench.clock.forward(days=1)
        bench.take(pupil("ane", "1A"), pupil("bo"), head=header(at=MORNING + timedelta(days=1)))
        assert any(f"membership of group HOLD at {SCHOOL} was deleted" in text for text in texts(bench))

    def test_says_where_the_log_is_compacted_and_tells_the_rest(self) -> None:
        bench = filled()
        bench.clock.forward(days=1)
        bench.take(pupil("ane", email="x"), teacher("bo"), head=header(at=MORNING + timedelta(days=1)))
        with bench.store.write() as uow:
            last = uow.last_sequence(TOWN)
            uow.compact_events(TOWN, last)
        found = asked(bench)
        assert f"The event log is compacted up to {last}" in found.notes[-1]
        assert {one.what for one in found.timeline} == {
            "person.updated",
            "affiliation.created",
            "membership.created",
        }

    def test_is_in_order_and_may_begin_later(self) -> None:
        bench = filled()
        bench.drain()
        bench.clock.forward(days=1)
        bench.take(pupil("ane", email="x"), teacher("bo"), head=header(at=MORNING + timedelta(days=1)))
        bench.drain()
        moments = asked(bench).timeline
        assert [one.at for one in moments] == sorted(one.at for one in moments)
        late = asked(bench, since=MORNING + timedelta(hours=1)).timeline
        assert late == moments[-len(late) :]
        assert len(late) == 2

    def test_leaves_out_the_attempts_at_targets_that_were_not_asked_about(self) -> None:
        bench = filled()
        bench.drain()
        with bench.store.read() as reader:
            found = trace(reader, bench.book, TOWN, "ane", [], bench.clock.now())
        assert "delivery.attempted" not in [one.what for one in found.timeline]
        assert found.notes == (f"The person is at {TARGET} too.",)

    def test_holds_the_decision_to_keep_somebody(self) -> None:
        bench = filled()
        with bench.store.write() as uow:
            uow.put_kept_person(KeptPerson(TOWN, "ane", None, "anna", MORNING))
        assert texts(bench)[-1] == "anna decided that no platform loses the person for good"
        assert any("no platform loses this person" in note for note in asked(bench).notes)

    def test_holds_earlier_look_ups(self) -> None:
        bench = filled()
        note_look_up(bench.store, bench.book, TOWN, "ane")
        assert texts(bench)[-1] == "tests looked the person up"


# ---------------------------------------------------------------- holds, quarantine, nobody


def hold_of(**changes: Any) -> Hold:
    made = Hold(
        id=0,
        municipality=TOWN,
        institution=SCHOOL,
        subject="snapshot",
        target=None,
        digest="d",
        reasons=("shrunken",),
        counts={},
        people=("ane", "bo"),
        state="open",
        opened_at=MORNING,
        origin="fake://export",
    )
    return replace(made, **changes)


def with_hold(bench: Bench, **changes: Any) -> Bench:
    with bench.store.write() as uow:
        uow.add_hold(hold_of(**changes), None)
    return bench


class TestHolds:
    def test_a_hold_that_would_take_the_person_along(self) -> None:
        bench = with_hold(filled())
        (hold,) = asked(bench).now.holds
        assert (hold.number, hold.state, hold.reasons) == (1, "open", ("shrunken",))
        assert (
            f"hold 1 of {SCHOOL} was opened (more would be deleted than the threshold allows); "
            "the person would go with it"
        ) in texts(bench)
        assert "bo" not in repr(msgspec.to_builtins(asked(bench).now.holds))

    def test_a_hold_that_keeps_a_deletion_back(self) -> None:
        withheld: tuple[tuple[Kind, Key], ...] = (
            (Kind.MEMBERSHIP, (SCHOOL, "1A", "ane")),
            (Kind.MEMBERSHIP, (SCHOOL, "1A", "bo")),
        )
        bench = with_hold(filled(), subject="deletions", people=(), withheld=withheld)
        assert asked(bench).now.holds[0].withheld == (f"the membership of group 1A at {SCHOOL}",)
        assert any("it keeps back the membership of group 1A" in text for text in texts(bench))
        assert asked(bench).notes == (
            f"Hold 1 of {SCHOOL} names the person and keeps back the membership of group 1A at {SCHOOL}; "
            "it is open: `skolebro holds show 1`.",
        )

    def test_a_hold_that_was_approved_for_others_only(self) -> None:
        approvals = (Approval("eva", MORNING, ("bo",)), Approval("anna", MORNING, ("ane",)))
        told = texts(with_hold(filled(), approvals=approvals))
        assert f"eva said yes to hold 1 of {SCHOOL}, for others only, not for this person" in told
        assert f"anna said yes to hold 1 of {SCHOOL}" in told

    def test_a_hold_that_was_decided(self) -> None:
        bench = with_hold(filled())
        bench.clock.forward(hours=1)
        with bench.store.write() as uow:
            uow.set_hold_state(1, "rejected", "anna", bench.clock.now())
        assert texts(bench)[-1] == f"hold 1 of {SCHOOL} became rejected by anna"

    def test_a_hold_of_others_is_not_told(self) -> None:
        assert asked(with_hold(filled(), people=("bo",))).now.holds == ()

    def test_a_held_snapshot_may_hold_whom_nobody_knows(self) -> None:
        notes = asked(with_hold(filled(), people=()), "carl").notes
        assert any(
            note.startswith(f"Hold 1 keeps a whole snapshot of institution {SCHOOL} back") for note in notes
        )

    def test_a_hold_of_the_target_is_a_fact(self) -> None:
        bench = with_hold(filled(), subject="target", target=TARGET, institution="")
        assert "hold 1 (target) of it is open: `skolebro holds show 1`" in target_of(bench).facts


class TestWhatIsSetAside:
    def test_a_record_that_names_the_user_id(self) -> None:
        bench = Bench()
        bench.take(teacher("bo"), Quarantined("InstitutionPerson[2]", "missing_name", user_id="ane"))
        found = asked(bench)
        (row,) = found.now.set_aside
        assert (row.institution, row.path, row.reason, row.by) == (
            SCHOOL,
            "InstitutionPerson[2]",
            "missing_name",
            "user_id",
        )
        assert found.is_known

    def test_a_record_without_user_id_that_is_like_one_of_theirs(self) -> None:
        bench = filled()
        bench.take(
            teacher("bo"),
            Quarantined("InstitutionPerson[2]", "missing_user_id", source="KMD", local_person_id="L-ane"),
            head=header(at=MORNING + timedelta(days=1)),
        )
        (row,) = asked(bench).now.set_aside
        assert (row.reason, row.by) == ("missing_user_id", "local_person_id")

    def test_a_record_of_somebody_else_is_not_told(self) -> None:
        bench = Bench()
        bench.take(pupil("ane"), Quarantined("InstitutionPerson[2]", "missing_name", user_id="carl"))
        assert asked(bench).now.set_aside == ()


class TestLookingSomebodyUp:
    def test_by_number_however_it_is_written(self) -> None:
        bench = filled(civil_registration_number="111111-1118")
        with bench.store.read() as reader:
            assert people_by_number(reader, TOWN, "1111111118") == ["ane"]
            assert people_by_number(reader, TOWN, "111111-1118") == ["ane"]
            assert people_by_number(reader, TOWN, "2222222228") == []
            assert people_by_number(reader, TOWN, "") == []

    def test_another_spelling_is_found(self) -> None:
        bench = filled()
        with bench.store.read() as reader:
            assert other_spelling(reader, TOWN, "ANE") == "ane"
            assert other_spelling(reader, TOWN, " ane") == "ane"
            assert other_spelling(reader, TOWN, "ane") is None
            assert other_spelling(reader, TOWN, "carl") is None

    def test_is_written_down_with_a_reference_and_no_name(self) -> None:
        bench = filled()
        note_look_up(bench.store, bench.book, TOWN, "ane")
        note_look_up(bench.store, bench.book, TOWN, None)
        found, lost = bench.audit()[-2:]
        assert (found["kind"], found["actor"], found["subject"]) == (
            "trace.read",
            "tests",
            bench.book.reference(ANE),
        )
        assert (lost["kind"], lost["found"]) == ("trace.read", 0)
        assert "ane" not in repr(found)


# ---------------------------------------------------------------- nothing personal


PERSONAL: dict[str, Any] = {
    "given_name": "Kanarina",
    "family_name": "Fuglekvidder",
    "alias_given_name": "Skjalina",
    "alias_family_name": "Daeknavn",
    "civil_registration_number": "3112994987",
    "email": "kanarie@postkasse.example",
    "birth_date": "1999-12-31",
    "photo_id": "foto-kanarie",
    "address": Address("Kanariestraede 117", "9999", "Fjerkraeby"),
    "home_phone": Phone("71829304"),
    "work_phone": Phone("60718293", protected=True),
}
CANARIES = (
    "kanar",
    "fuglekvidder",
    "skjalina",
    "daeknavn",
    "3112994987",
    "1999-12-31",
    "fjerkrae",
    "71829304",
    "60718293",
)


class TestNothingPersonal:
    @pytest.mark.parametrize("protected", [False, True])
    def test_stands_in_an_answer(self, protected: bool) -> None:
        bench = Bench(mapping=EVERYTHING if protected else None)
        personal = {**PERSONAL, "protected": protected}
        bench.take(pupil("ane", contacts=[parent("dorte", **personal)], **personal), teacher("bo", **personal))
        bench.target.about[ANE] = Rejected("Kanarina Fuglekvidder is refused", "Kanarina")
        bench.drain()
        bench.take(
            pupil("ane", **{**personal, "given_name": "Kanarine"}), head=header(at=MORNING + timedelta(days=1))
        )
        bench.drain()
        told = "".join(repr(msgspec.to_builtins(asked(bench, user))) for user in ("ane", "bo", "dorte"))
        assert [canary for canary in CANARIES if canary in told.casefold()] == []

    @pytest.mark.parametrize(
        ("remote_id", "shown"),
        [
            ("8b7f0d1e-93a4-4c7b-9f3e-000000000001", True),
            ("ane", True),
            (ANE, True),
            ("u-4711", True),
            ("Kanarina-1", False),
            ("3112994987", False),
            ("x311299-4987", False),
            ("kanarie@postkasse.example", False),
            ("user 1", False),
        ],
    )
    def test_stands_in_a_remote_id_that_is_shown(self, remote_id: str, shown: bool) -> None:
        bench = filled(**PERSONAL)
        bench.target.about[ANE] = Delivered(remote_id)
        bench.drain()
        assert (person_of(bench).remote_id == remote_id) == shown

    def test_the_remote_id_of_somebody_who_is_gone_is_shown_only_if_it_can_be_nobodys(self) -> None:
        bench = filled(**PERSONAL)
        bench.target.about[ANE] = Delivered("u-4711")
        bench.drain()
        bench.target.about[ANE] = Deferred("busy")
        bench.take(teacher("bo"), head=header(at=MORNING + timedelta(days=1)))
        bench.drain()
        assert str(person_of(bench).remote_id).startswith("(not shown")


def test_a_target_that_is_not_configured_any_more_is_told() -> None:
    bench = filled()
    bench.drain()
    other = TargetId(f"{TOWN}/new")
    with bench.store.read() as reader:
        rendering = replace(bench.rendering, target=other)
        found = trace(reader, bench.book, TOWN, "ane", [rendering], bench.clock.now())
    assert f"The person is at {TARGET} too." in found.notes
