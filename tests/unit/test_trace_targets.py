"""Why a pupil is at a platform, or is not: one sentence for each way it can have come about."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from bridge.connector import Capabilities
from bridge.domain.entities import Kind
from bridge.domain.errors import TargetUnavailable
from bridge.domain.ids import TargetId
from bridge.domain.outcomes import Deferred, Rejected
from bridge.engine.trace import trace
from bridge.engine.trace_words import REASONS
from bridge.mapping import load_mapping
from bridge.ports import Drift, KeptPerson
from tests.support.engine import (
    MORNING,
    SCHOOL,
    TARGET,
    TOWN,
    Bench,
    group,
    header,
    key_id,
    parent,
    pupil,
    teacher,
)
from tests.support.trace import ANE, EVERYTHING, asked, filled, person_of, target_of


def put(bench: Bench, **changes: Any) -> None:
    """Let the delivery of Ane be as another part of the bridge would leave it."""
    with bench.store.write() as uow:
        row = uow.delivery(TARGET, ANE)
        assert row is not None
        uow.put_deliveries([replace(row, **changes)])


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

    @pytest.mark.parametrize("reason", ["grace", "kept_alive"])
    def test_who_is_kept_is_said_to_be_kept_during_the_grace_too(self, reason: str) -> None:
        bench = filled()
        bench.drain()
        bench.take(teacher("bo"), head=header(at=MORNING + timedelta(days=1)))
        with bench.store.write() as uow:
            uow.put_kept_person(KeptPerson(TOWN, "ane", MORNING + timedelta(days=9), "anna", MORNING))
        put(bench, reason=reason, next_attempt_at=MORNING + timedelta(days=7))
        told = target_of(bench).sentence
        kept = "anna decided that no platform loses the person until 2026-08-20 06:00 UTC"
        assert told.startswith(f"The person stays at {TARGET}: {kept}. Without that it would go, because")
        assert ("(grace)" in told) == (reason == "grace")

    def test_who_was_kept_until_yesterday_goes(self) -> None:
        bench = filled()
        bench.drain()
        bench.take(teacher("bo"), head=header(at=MORNING + timedelta(days=1)))
        with bench.store.write() as uow:
            uow.put_kept_person(KeptPerson(TOWN, "ane", MORNING - timedelta(days=1), "anna", MORNING))
        put(bench, reason="grace", next_attempt_at=MORNING + timedelta(days=7))
        assert "is still at" in target_of(bench).sentence

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


def test_a_target_that_is_not_configured_any_more_is_told() -> None:
    bench = filled()
    bench.drain()
    other = TargetId(f"{TOWN}/new")
    with bench.store.read() as reader:
        rendering = replace(bench.rendering, target=other)
        found = trace(reader, bench.book, TOWN, "ane", [rendering], bench.clock.now())
    assert f"The person is at {TARGET} too." in found.notes


class TestTheTeachingOfAGroup:
    @pytest.fixture
    def school(self) -> Bench:
        bench = Bench(mapping=load_mapping("egil/ss12000"))
        bench.take(group("1A"), pupil("ane"), teacher("bo", ["1A"]))
        bench.drain()
        return bench

    def test_is_told_of_who_teaches(self, school: Bench) -> None:
        told = {one.what: one.sentence for one in target_of(school, "bo").others}
        assert told[f"the teaching of group 1A at {SCHOOL}"].endswith("The person is named in it.")
        assert told[f"group 1A at {SCHOOL}"].endswith("The mapping does not name this person in it.")

    def test_is_not_told_of_a_pupil(self, school: Bench) -> None:
        told = {one.what: one.sentence for one in target_of(school, "ane").others}
        assert f"the teaching of group 1A at {SCHOOL}" not in told
        assert told[f"group 1A at {SCHOOL}"].endswith("The person is named in it.")
