"""Of subscriptions an operator is told what a person must do, in words, and nothing that mends itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.adapters.store_sql import open_throwaway
from bridge.engine.status import read_status
from bridge.observe import InstitutionStatus, Metrics, Status, as_json
from bridge.ports import PARTS, WHOLE, InstitutionState, Run, Store, Subscription
from tests.support.stores import new_store

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SOON = NOW + timedelta(minutes=30)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    store: Store = new_store() if request.param == "memory" else open_throwaway()
    yield store
    store.close()


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def state(institution: str, at: datetime, **years: str) -> InstitutionState:
    return InstitutionState("101", institution, "digest", at, {}, at, "run", years)


def run(
    institution: str | None, result: str, reason: str | None = None, at: datetime = NOW, origin: str = "stil"
) -> Run:
    return Run(f"{institution}{at}{reason}{origin}", "101", institution, at, result, reason, origin, None)


def subscribe(store: Store, *institutions: str, **fields: Any) -> None:
    with store.write() as uow:
        uow.put_subscriptions([Subscription("101", number, **fields) for number in institutions])


def record(store: Store, *states: InstitutionState) -> None:
    with store.write() as uow:
        for one in states:
            uow.put_institution_state(one)


def end(store: Store, *runs: Run) -> None:
    with store.write() as uow:
        for one in runs:
            uow.add_run(one)


def status(store: Store) -> Status:
    return read_status(store, [], NOW)


def only_row(store: Store) -> InstitutionStatus:
    (row,) = status(store).institutions
    return row


class TestAnAgreement:
    def test_that_ended_says_when_and_what_to_do(self, store: Store) -> None:
        record(store, state("101001", ago(days=9)))
        subscribe(store, "101001", agreement="withdrawn", agreement_at=ago(days=2))
        assert status(store).attention == (
            "Institution 101001: the data agreement ended on 2026-02-28: what is stored stays, nothing more is "
            "fetched; renew it, or have the data deleted at the targets.",
        )

    def test_that_is_missing_is_told_for_all_institutions_at_once(self, store: Store) -> None:
        subscribe(store, "101001", "101002", agreement="missing", agreement_at=ago(days=2))
        (sentence,) = status(store).attention
        assert sentence.startswith("Institutions 101001, 101002: the data agreement is missing")

    def test_that_nobody_uses_is_a_note_and_no_row(self, store: Store) -> None:
        subscribe(store, "101001", agreement="agreed")
        subscribe(store, "101002", "101003", agreement="unused")
        seen = status(store)
        assert seen.is_well and [row.institution for row in seen.institutions] == ["101001"]
        assert seen.notes == ("Institutions 101002, 101003: agreed, but not configured; nothing is fetched.",)

    def test_that_nobody_uses_any_more_leaves_data_that_somebody_has_to_decide_on(self, store: Store) -> None:
        record(store, state("101001", ago(days=9)))
        subscribe(store, "101001", agreement="unused")
        seen = status(store)
        assert seen.notes == ()
        assert seen.attention == (
            "Institution 101001: not configured any more: nothing is fetched, what is stored stays, also at the "
            "targets; configure it again, or have the data deleted.",
        )

    def test_that_is_listed_though_the_export_says_otherwise_is_told_at_once(self, store: Store) -> None:
        record(store, state("101001", ago(hours=1)))
        subscribe(store, "101001", agreement="agreed", failures=1, reason="agreement_missing")
        (sentence,) = status(store).attention
        assert "(agreement_missing), although the source lists one" in sentence

    def test_that_was_just_made_waits_for_the_first_snapshot_in_silence(self, store: Store) -> None:
        end(store, run("101001", "failed", "agreement_missing"))
        subscribe(store, "101001", agreement="agreed", agreement_at=NOW)
        subscribe(store, "101002", agreement="agreed")
        seen = status(store)
        assert seen.is_well and len(seen.institutions) == 2

    @pytest.mark.parametrize(
        ("reason", "words"),
        [
            ("agreement_missing", "the data agreement is missing"),
            ("agreement_withdrawn", "the data agreement ended:"),
        ],
    )
    def test_that_a_run_missed_is_told_before_a_list_was_ever_read(
        self, store: Store, reason: str, words: str
    ) -> None:
        end(store, run("101001", "failed", reason))
        assert words in status(store).attention[0]


class TestAFailure:
    def fail(self, store: Store, reason: str, failures: int, institution: str = "101001") -> tuple[str, ...]:
        """Let what was fresh an hour ago fail, and return what needs a person."""
        record(store, state("101001", ago(hours=1)))
        subscribe(store, institution, failures=failures, reason=reason, retry_at=SOON)
        if institution not in PARTS or institution == WHOLE:
            end(store, run(institution or None, "failed", reason))
        return status(store).attention

    def test_of_the_network_needs_nobody_at_first(self, store: Store) -> None:
        assert self.fail(store, "timeout", 2) == ()

    def test_of_the_network_needs_somebody_the_third_time(self, store: Store) -> None:
        assert self.fail(store, "http_503", 3) == (
            "Institution 101001: failing again and again: the source answered with HTTP status 503 (http_503); "
            "what is stored stays; next try 2026-03-02 12:30 UTC.",
        )

    def test_of_the_whole_source_needs_nobody_at_first_and_somebody_the_third_time(self, store: Store) -> None:
        assert self.fail(store, "connect_failed", 2, "") == ()
        (sentence,) = self.fail(store, "connect_failed", 3, "")
        assert sentence.startswith("The source of municipality 101: failing again and again: the source cannot")

    def test_that_a_person_must_mend_is_told_at_once_however_fresh_the_data_are(self, store: Store) -> None:
        assert self.fail(store, "signature_refused", 1, "") == (
            "The source of municipality 101: the source refuses our signature: register our certificate on the "
            "provider system that udbydersystem_id names (signature_refused); what is stored stays; next try "
            "2026-03-02 12:30 UTC.",
        )

    def test_of_the_whole_source_is_told_beside_a_message_of_the_feed_that_is_refused(self, store: Store) -> None:
        self.fail(store, "http_refused", 1, "")
        end(store, run(None, "refused", "unknown_message", NOW + timedelta(seconds=1), origin="amqp:queue"))
        told = {(row.part, row.reason) for row in status(store).institutions if row.institution is None}
        assert told == {("source", "http_refused"), ("feed", "unknown_message")}

    @pytest.mark.parametrize(
        ("part", "reason", "begins"),
        [
            ("feed", "broker_refused", "The feed of municipality 101: the broker refuses us"),
            ("register", "register_refused", "The register of institutions of municipality 101: the register"),
        ],
    )
    def test_of_what_is_beside_the_source_is_told_by_its_name(
        self, store: Store, part: str, reason: str, begins: str
    ) -> None:
        (sentence,) = self.fail(store, reason, 1, part)
        assert sentence.startswith(begins)

    def test_that_is_over_is_not_told(self, store: Store) -> None:
        record(store, state("101001", ago(hours=1)))
        end(store, run(None, "failed", "timeout", ago(hours=2)), run("101001", "unchanged", None, ago(minutes=5)))
        subscribe(store, "", failures=0)
        seen = status(store)
        assert seen.is_well and [row.institution for row in seen.institutions] == ["101001"]

    def test_says_why_data_are_stale(self, store: Store) -> None:
        record(store, state("101001", ago(days=3)))
        subscribe(store, "101001", agreement="agreed", failures=2, reason="timeout", retry_at=SOON)
        (sentence,) = status(store).attention
        assert sentence == (
            "Institution 101001: no fresh data for more than 72 hours; the source did not answer in time (timeout)"
            "; next try 2026-03-02 12:30 UTC."
        )

    def test_is_stale_when_its_schedule_says_so(self, store: Store) -> None:
        record(store, state("101001", ago(days=3)))
        due = [ago(hours=1), ago(hours=-1)]
        late, early = (read_status(store, [], NOW, lambda code, at, due=one: due) for one in due)
        assert (len(late.attention), early.attention) == (1, ())

    def test_whose_next_try_was_missed_names_no_time_that_is_over(self, store: Store) -> None:
        subscribe(store, "101001", failures=1, reason="timeout", retry_at=ago(hours=1))
        assert status(store).attention == (
            "Institution 101001: nothing has come yet: the source did not answer in time (timeout).",
        )

    def test_with_a_code_that_nobody_knows_shows_it_as_it_is(self, store: Store) -> None:
        end(store, run("101001", "refused", "some_new_code"))
        assert status(store).attention == (
            "Institution 101001: the last snapshot was refused: some_new_code; what is stored stays.",
        )


def only_source(seen: Status) -> InstitutionStatus:
    return next(row for row in seen.institutions if row.institution is None)


class TestARow:
    def test_tells_agreement_retry_and_how_old_the_data_are(self, store: Store) -> None:
        record(store, state("101001", ago(hours=1), KMD="2024/25", IST="2025/26"))
        fields = {"agreement": "agreed", "agreement_at": ago(days=30), "failures": 1, "retry_at": SOON}
        subscribe(store, "101001", reason="timeout", **fields)
        row = only_row(store)
        assert {name: getattr(row, name) for name in fields} == fields
        assert (row.export_time, row.school_year, row.reason) == (ago(hours=1), "2025/26", "timeout")

    def test_tells_a_school_year_rather_than_what_is_none(self, store: Store) -> None:
        record(store, state("101001", NOW, KMD="2026-2027", IST="ukendt"))
        assert only_row(store).school_year == "2026-2027"

    def test_of_refused_messages_tells_how_many_there_were_of_each_kind_within_a_day(self, store: Store) -> None:
        record(store, state("101001", NOW))
        reasons = ["unknown_message"] * 3 + ["too_large"]
        end(store, run(None, "refused", "too_large", ago(hours=30), "amqp:q"))
        end(store, *(run(None, "refused", r, ago(hours=n), "amqp:q") for n, r in enumerate(reasons)))
        assert status(store).attention == (
            "The feed of municipality 101: 1 refused within a day: the document is larger than is ever read; see "
            "whether it is of one institution (too_large).",
            "The feed of municipality 101: 3 refused within a day: a message is neither a document nor a nudge; "
            "it is among the dead letters: mend its sender (unknown_message).",
        )

    def test_of_a_file_that_names_no_institution_says_which_and_counts_it_once_however_often_it_is_read(
        self, store: Store
    ) -> None:
        record(store, state("101001", NOW))
        for hours in range(3):
            files = ("half.xml", "junk.xml")
            end(store, *(run(None, "refused", "incomplete", ago(hours=hours), origin=name) for name in files))
        seen = status(store)
        assert seen.attention == (
            "The source of municipality 101: 2 files refused within a day: the document is not whole; have the "
            "document made anew (incomplete); see half.xml, junk.xml.",
        )
        assert [(row.label, row.refused) for row in seen.institutions if row.part] == [("half.xml and 1 more", 2)]

    def test_of_a_file_that_was_mended_is_told_no_more(self, store: Store) -> None:
        record(store, state("101001", NOW))
        end(store, run(None, "refused", "incomplete", ago(hours=2), origin="junk.xml"))
        end(store, run("101001", "recorded", None, ago(hours=1), origin="junk.xml"))
        assert status(store).is_well

    def test_of_an_institution_whose_file_was_refused_names_the_file(self, store: Store) -> None:
        record(store, state("101001", ago(hours=2)))
        end(store, run("101001", "refused", "incomplete", ago(hours=1), origin="101001-new.xml"))
        (sentence,) = status(store).attention
        assert sentence.startswith("Institution 101001: the last snapshot was refused: the document is not whole")
        assert sentence.endswith("; what is stored stays; see 101001-new.xml.")

    def test_is_plain_json(self, store: Store) -> None:
        subscribe(store, "101001", agreement="missing", agreement_at=ago(days=2))
        subscribe(store, "101002", agreement="unused")
        told = json.loads(json.dumps(as_json(status(store))))
        assert told["institutions"][0]["agreement_at"] == "2026-02-28T12:00:00Z"
        assert told["municipalities"][0]["agreements"] == {"missing": 1, "unused": 1}
        assert len(told["notes"]) == 1


class TestTheGauges:
    def test_count_agreements_by_state_and_failures_in_a_row(self, store: Store) -> None:
        subscribe(store, "101001", agreement="withdrawn", agreement_at=NOW)
        subscribe(store, "101002", agreement="agreed", failures=4, reason="timeout")
        subscribe(store, "101003", agreement="unused")
        subscribe(store, "", failures=1, reason="timeout")
        metrics = Metrics("0")
        metrics.refresh(status(store))
        lines = metrics.exposition().decode().splitlines()
        for agreement, count in {"agreed": 1, "missing": 0, "unused": 1, "withdrawn": 1}.items():
            assert f'bridge_source_agreements{{municipality="101",state="{agreement}"}} {count}.0' in lines
        assert 'bridge_source_failures{institution="101002",municipality="101"} 4.0' in lines
        assert 'bridge_source_failures{institution="source",municipality="101"} 1.0' in lines

    def test_say_nothing_of_agreements_where_none_is_known(self, store: Store) -> None:
        record(store, state("101001", NOW))
        metrics = Metrics("0")
        metrics.refresh(status(store))
        assert "bridge_source_agreements{" not in metrics.exposition().decode()
