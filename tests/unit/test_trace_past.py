"""What happened to a person is told in order, from the snapshot to the platform's answer."""

from __future__ import annotations

from datetime import timedelta

from bridge.domain.errors import TargetUnavailable
from bridge.domain.outcomes import Deferred, Delivered, Rejected
from bridge.engine.trace import note_look_up, trace
from bridge.ports import KeptPerson
from tests.support.engine import MORNING, SCHOOL, TARGET, TOWN, Bench, header, pupil, teacher
from tests.support.trace import ANE, asked, filled, texts


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
