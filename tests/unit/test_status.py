"""The status tells what is there and asks for a person only where one is needed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bridge.adapters.store_sql import open_throwaway
from bridge.domain.entities import Kind
from bridge.domain.events import Event
from bridge.domain.ids import CanonicalId, TargetId
from bridge.engine.publish import publish_step
from bridge.engine.status import as_json, read_status
from bridge.observe import Metrics, Status
from bridge.ports import (
    AuditRow,
    Delivery,
    Desired,
    EntityRow,
    Hold,
    InstitutionState,
    QuarantineRow,
    Run,
    Sent,
    Store,
    TargetState,
)
from tests.support.stores import new_store

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
AULA = TargetId("101/aula")
SECRET_NAME = "canary.person"


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    store: Store = new_store() if request.param == "memory" else open_throwaway()
    yield store
    store.close()


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def state(institution: str, at: datetime) -> InstitutionState:
    return InstitutionState("101", institution, "digest", at, {}, at, "run")


def run(institution: str | None, result: str, at: datetime, reason: str | None = None) -> Run:
    return Run(f"{institution}{at}", "101", institution, at, result, reason, "folder", None)


def hold(number: str, subject: str = "snapshot", target: str | None = None) -> Hold:
    return Hold(
        id=0,
        municipality="101",
        institution=number,
        subject=subject,
        target=target,
        digest="d",
        reasons=("shrunken",),
        counts={"person.deleted": 4, "person.stored": 10},
        people=(SECRET_NAME,),
        state="open",
        opened_at=ago(hours=3),
        origin="folder",
    )


def desired(number: int, digest: bytes | None = b"wanted") -> Desired:
    return Desired(AULA, CanonicalId(f"id{number}"), Kind.PERSON, (f"user{number}",), "101001", "Users", 1, digest)


def status(store: Store, at: datetime = NOW) -> Status:
    return read_status(store, [AULA], at)


def settle(store: Store, *, rejected: bool = False) -> None:
    """Confirm (or reject) everything that is due."""
    with store.write() as uow:
        rows = uow.due(AULA, NOW, 100)
        uow.put_deliveries([_settled(row, rejected=rejected) for row in rows])


def _settled(row: Delivery, *, rejected: bool) -> Delivery:
    if rejected:
        return replace(row, state="rejected", reason="invalid", updated_at=NOW)
    return replace(row, confirmed=row.desired, confirmed_body=b"{}", in_doubt=False, updated_at=NOW)


class TestAllWell:
    def test_an_empty_bridge_needs_nobody(self, store: Store) -> None:
        seen = status(store)
        assert seen.is_well and seen.audit_head == f"0:{'00' * 32}"
        assert [t.target for t in seen.targets] == [AULA]

    def test_a_working_bridge_needs_nobody(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_institution_state(state("101001", ago(days=9)))
            uow.add_run(run("101001", "recorded", ago(days=9)))
            uow.add_run(run("101001", "unchanged", ago(minutes=5)))
            uow.put_desired([desired(1), desired(2)], ago(minutes=1))
        seen = status(store)
        assert seen.attention == ()
        assert seen.institutions[0].freshness_seconds == 300
        assert (seen.targets[0].due, seen.targets[0].oldest_due_at) == (2, ago(minutes=1))

    def test_a_source_that_fails_once_does_not_make_fresh_data_stale(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_institution_state(state("101001", ago(days=9)))
            uow.add_run(run("101001", "unchanged", ago(hours=1)))
            uow.add_run(run("101001", "failed", ago(minutes=5), "source_unavailable"))
            uow.add_run(run(None, "failed", ago(minutes=5), "source_unavailable"))
        seen = status(store)
        assert seen.is_well
        assert {i.institution: i.freshness_seconds for i in seen.institutions} == {None: None, "101001": 3600}

    def test_a_failure_of_the_whole_source_ends_with_the_next_good_snapshot(self, store: Store) -> None:
        with store.write() as uow:
            uow.add_run(run(None, "failed", ago(minutes=5), "source_unavailable"))
            uow.add_run(run("101001", "recorded", ago(minutes=1)))
        assert [i.institution for i in status(store).institutions] == ["101001"]

    def test_a_target_that_is_down_for_a_moment_mends_itself(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired(1)], ago(minutes=10))
            uow.put_target_state(TargetState(AULA, None, NOW + timedelta(minutes=1), "unavailable", 3))
        seen = status(store)
        assert seen.is_well and seen.targets[0].pause_reason == "unavailable"

    def test_a_pause_that_is_over_is_no_pause(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_target_state(TargetState(AULA, None, ago(minutes=1), "unavailable", 3))
        assert status(store).targets[0].paused_until is None


class TestWhatNeedsAPerson:
    def test_what_is_configured_and_was_never_heard_of(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_institution_state(state("101001", ago(hours=1)))
        expected = {"101": frozenset({"101001", "101002", "101009"}), "202": None}
        told = read_status(store, [], NOW, expected=expected).attention
        assert told == (
            "Institutions 101002, 101009: configured, but nothing has come in yet.",
            "Municipality 202: nothing has come in yet; `skolebro run` or `sync` asks for it. "
            "If it did, see whether the source has anything.",
        )

    def test_a_hold(self, store: Store) -> None:
        with store.write() as uow:
            number = uow.add_hold(hold("101001"), b"<xml/>")
            uow.add_hold(hold("", "target", AULA), None)
        seen = status(store)
        assert seen.attention[0].startswith(
            f"Hold {number}: approve or reject the snapshot of institution 101001."
        )
        assert "a change of what 101/aula gets" in seen.attention[1]
        assert seen.holds[0].counts == {"person.deleted": 4, "person.stored": 10}

    def test_rejected_deliveries(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired(1), desired(2)], NOW)
        settle(store, rejected=True)
        seen = status(store)
        assert seen.attention == (
            "101/aula rejected 2 deliveries: see the reason with `skolebro deliveries list --state rejected`, "
            "correct it, then `skolebro deliveries retry`.",
        )
        assert (seen.targets[0].rejected, seen.targets[0].due) == (2, 0)

    def test_a_protection_that_a_target_refuses_comes_before_what_else_it_refuses(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired(1)], NOW)
        settle(store)
        with store.write() as uow:
            uow.put_desired([replace(desired(1), hash=b"mask", is_urgent=True)], NOW)
        settle(store, rejected=True)
        first, second = status(store).attention
        assert first.startswith("101/aula refused to hide 1 person under protection")
        assert "rejected 1 delivery" in second

    def test_a_refused_credential(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_target_state(TargetState(AULA, None, NOW + timedelta(minutes=9), "unauthorised", 1))
        assert status(store).attention == (
            "101/aula refuses our credential: renew it, then run `skolebro deliveries retry`.",
        )

    def test_a_target_that_is_hours_behind(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired(1)], ago(hours=5))
        assert status(store).attention == ("101/aula is behind by 5 hours with 1 due: see whether it answers.",)

    def test_institutions_without_fresh_data_in_one_sentence(self, store: Store) -> None:
        with store.write() as uow:
            for number in range(101001, 101006):
                uow.put_institution_state(state(str(number), ago(days=2)))
        (sentence,) = status(store).attention
        assert sentence.startswith("Institutions 101001, 101002, 101003 and 2 more: no fresh")

    def test_a_refused_snapshot_and_a_missing_agreement(self, store: Store) -> None:
        with store.write() as uow:
            uow.add_run(run("101001", "refused", NOW, "truncated"))
            uow.add_run(run("101002", "failed", NOW, "agreement_missing"))
        agreement, refused = status(store).attention
        assert agreement.startswith("Institution 101002: the data agreement is missing")
        assert refused == (
            "Institution 101001: the last snapshot was refused: the document was cut off before its end; it is "
            "tried again (truncated); what is stored stays."
        )

    def test_a_source_that_never_answered(self, store: Store) -> None:
        with store.write() as uow:
            uow.add_run(run(None, "failed", NOW, "source_unavailable"))
        (sentence,) = status(store).attention
        assert sentence.startswith(
            "The source of municipality 101: nothing has come yet: the source does not answer"
        )

    def test_quarantined_records_but_not_what_was_only_noted(self, store: Store) -> None:
        rows = [
            QuarantineRow("101", "101001", "/p[1]", "no_user_id", SECRET_NAME, None, "quarantined", "run"),
            QuarantineRow("101", "101001", "/p[2]", "odd_level", None, None, "noted", "run"),
        ]
        with store.write() as uow:
            uow.replace_quarantine("101", "101001", rows)
        seen = status(store)
        assert seen.quarantined == 1 and seen.municipalities[0].quarantined == 1
        assert seen.attention == ("1 record is set aside: they have to be corrected at the school.",)


class TestWhatItIsFor:
    def fill(self, store: Store) -> None:
        with store.write() as uow:
            row = EntityRow(Kind.PERSON, (SECRET_NAME,), "", CanonicalId("p"), 1, b"h", b"{}", SECRET_NAME)
            uow.put_entities("101", [row])
            uow.add_hold(hold("101001"), b"<xml/>")
            uow.put_desired([desired(1)], ago(minutes=1))
            uow.append_audit([AuditRow(1, "{}", bytes(32), b"\x0a" * 32)])
            uow.append_events("101", [event(1), event(2)])

    def test_it_is_plain_json_without_any_person(self, store: Store) -> None:
        self.fill(store)
        text = json.dumps(as_json(status(store)))
        told = json.loads(text)
        assert told["well"] is False and told["at"] == "2026-03-02T12:00:00Z"
        assert told["audit_head"] == "1:" + "0a" * 32
        assert told["municipalities"] == [
            {
                "municipality": "101",
                "last_sequence": 2,
                "persons": 1,
                "quarantined": 0,
                "agreements": {},
                "publish": None,
            }
        ]
        assert SECRET_NAME not in text

    def test_the_gauges_show_it_and_forget_what_is_gone(self, store: Store) -> None:
        self.fill(store)
        metrics = Metrics("0")
        metrics.refresh(status(store))
        text = metrics.exposition().decode()
        assert 'bridge_outbox_pending{target="101/aula"} 1.0' in text
        assert 'bridge_approvals_pending{kind="snapshot"} 1.0' in text
        assert 'bridge_safety_stop_engaged{kind="shrunken",municipality="101"} 1.0' in text
        assert 'bridge_source_snapshot_persons{municipality="101"} 1.0' in text
        metrics.refresh(read_status(store, [], NOW))
        assert "101/aula" not in metrics.exposition().decode()


def event(number: int) -> Event:
    kind = "skolebro.person.created.v1"
    return Event(0, f"event{number}", kind, "101", "101001", "person/p", ("p",), 1, NOW, "run", b"{}")


class Broker:
    """Confirms at most `room` events a call."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.got: list[str] = []

    def publish(self, events: Sequence[Event]) -> Sent:
        self.got += [one.id for one in events]
        return Sent(min(self.room, len(events)))

    def close(self) -> None: ...


class TestPublishing:
    def test_the_cursor_passes_only_what_is_confirmed(self, store: Store) -> None:
        with store.write() as uow:
            uow.append_events("101", [event(n) for n in range(1, 6)])
        broker = Broker(room=2)
        assert [publish_step(store, broker, "101", 3) for _ in range(4)] == [2, 2, 1, 0]
        assert broker.got == ["event1", "event2", "event3", "event3", "event4", "event5", "event5"]

    def test_each_municipality_has_its_own_cursor(self, store: Store) -> None:
        with store.write() as uow:
            uow.append_events("101", [event(1)])
            uow.append_events("147", [event(2)])
        broker, metrics = Broker(room=9), Metrics("0")
        assert publish_step(store, broker, "101", 10, metrics) == 1
        assert publish_step(store, broker, "147", 10, metrics) == 1
        assert publish_step(store, broker, "147", 10, metrics) == 0
        assert b'bridge_publish_total{result="ack"} 2.0' in metrics.exposition()
