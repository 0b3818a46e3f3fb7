"""A vendor is told what was disclosed to it, all of it and in order, and nothing of anybody else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from bridge.connector import Deferred, Rejected, TargetUnavailable
from bridge.engine.audit import verify
from bridge.engine.vendor_feed_cursor import AtFeed, AtLog, CursorPast, CursorUnknown, feed_cursor, log_cursor
from bridge.engine.vendor_log import VendorLog
from tests.support.engine import MORNING, TARGET, Bench, group, person_id, pupil
from tests.support.vendors import body_of, vendor_feed

ANNA = f"person/{person_id('anna')}"


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.vendor = "books"
    return bench


def log_of(bench: Bench, vendor: str = "books") -> VendorLog:
    return VendorLog(vendor, bench.store, bench.book)


def told(bench: Bench, *, limit: int = 1_000, vendor: str = "books") -> list[dict[str, Any]]:
    """All that the log says, page by page."""
    log, found, at = log_of(bench, vendor), [], AtLog()
    while some := body_of(page := log.page(at, limit)):
        assert isinstance(page.at, AtLog)
        found += some
        at = page.at
    return found


def attempts(bench: Bench) -> list[dict[str, Any]]:
    """What it says of attempts to send people."""
    return [one for one in told(bench) if one.get("subject", "").startswith("person/")]


def test_an_attempt_is_told_by_the_ids_of_its_event(bench: Bench) -> None:
    bench.take(pupil("anna"))
    command = bench.drain()[0]
    (one,) = attempts(bench)
    assert one == {
        "kind": "attempt",
        "time": "2026-08-11T06:00:00Z",
        "target": TARGET,
        "id": command.delivery_key,
        "type": "skolebro.person.created.v1",
        "subject": ANNA,
        "entityversion": command.version,
        "mapping": bench.rendering.mapping.digest,
        "ended": "2026-08-11T06:00:00Z",
        "outcome": "delivered",
        "trace": command.traceparent.split("-")[1],
    }


def test_what_failed_says_why_and_when_it_is_tried_again(bench: Bench) -> None:
    bench.target.script = [
        Deferred("server_error_500", timedelta(hours=1), 500),
        Rejected("refused_422", status=422),
    ]
    bench.take(pupil("anna"), pupil("bo"))
    bench.deliver()
    later, never = attempts(bench)
    assert (later["outcome"], later["status"], later["reason"]) == ("deferred", 500, "server_error_500")
    assert later["next_attempt"] > later["ended"]
    assert (never["outcome"], never["status"]) == ("rejected", 422)
    assert "next_attempt" not in never


def test_a_repeat_has_the_id_of_what_it_repeats(bench: Bench) -> None:
    bench.target.script = [Deferred("server_error_500")]
    bench.take(pupil("anna"))
    bench.deliver()
    bench.clock.forward(hours=7)
    bench.deliver()
    first, second = attempts(bench)
    assert (first["id"], first["entityversion"]) == (second["id"], second["entityversion"])
    assert (first["outcome"], second["outcome"]) == ("deferred", "delivered")
    assert "next_attempt" not in first, "it was tried since"


def test_a_deletion_is_told_by_the_id_of_who_is_gone(bench: Bench) -> None:
    bench.take(pupil("anna"), pupil("bo"))
    bench.drain()
    bench.take(pupil("bo"))
    bench.clock.forward(days=3)
    bench.fetch()
    bench.drain()
    assert [one["subject"] for one in attempts(bench) if one["type"] == "skolebro.person.deleted.v1"] == [ANNA]


def test_fetches_and_attempts_stand_in_the_order_of_the_chain(bench: Bench) -> None:
    bench.take(pupil("anna", protected=True))
    feed = vendor_feed(bench)
    feed.events(AtFeed(), 100)
    bench.drain()
    feed.snapshot(None, 100)
    first, *others, third = told(bench)
    assert (first["kind"], first["what"], first["from"], first["masked"]) == ("fetch", "events", 1, 2)
    assert {one["kind"] for one in others} == {"attempt"}
    assert (third["what"], third["count"]) == ("snapshot", sum(third["entities"].values()))


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_pages_of_any_size_tell_the_same(bench: Bench, limit: int) -> None:
    bench.take(group("1A"), *(pupil(name, "1A") for name in "abcdefgh"))
    bench.drain()
    vendor_feed(bench).events(AtFeed(), 5)
    assert told(bench, limit=limit) == told(bench)
    assert len(told(bench)) == 10


def test_what_is_still_under_way_is_told_when_it_has_ended_and_what_follows_waits_for_it(bench: Bench) -> None:
    seen: list[list[dict[str, Any]]] = []
    bench.take(pupil("anna"))
    apply = bench.target.apply

    def looking(batch: Any) -> Any:
        vendor_feed(bench).events(AtFeed(), 100)
        seen.append(told(bench))
        return apply(batch)

    bench.target.apply = looking  # type: ignore[method-assign]  # the vendor looks in the middle
    bench.drain()
    assert [one["kind"] for one in seen[0]] == []
    assert [one["kind"] for one in told(bench)][:2] == ["attempt", "fetch"]


def test_what_a_crash_left_open_is_unknown_when_it_is_closed(bench: Bench) -> None:
    bench.take(pupil("anna"))
    with pytest.raises(KeyboardInterrupt):
        interrupted(bench)
    assert told(bench) == []
    with bench.store.write() as uow:
        bench.book.close_open(uow)
    (one,) = attempts(bench)
    assert (one["outcome"], one["reason"], "next_attempt" in one) == ("unknown", "interrupted", True)


def interrupted(bench: Bench) -> None:
    def broken(_: Any) -> Any:
        raise KeyboardInterrupt

    bench.target.apply = broken  # type: ignore[method-assign]
    bench.deliver()


def test_a_target_that_is_away_is_in_the_log(bench: Bench) -> None:
    bench.target.script = [TargetUnavailable("status_503")]
    bench.take(pupil("anna"))
    bench.deliver()
    (one,) = attempts(bench)
    assert (one["outcome"], one["status"], one["reason"]) == ("unknown", 503, "TargetUnavailable")


class TestWhatItDoesNotTell:
    def test_nothing_of_another_vendor_or_of_no_vendor(self, bench: Bench) -> None:
        bench.take(pupil("anna"))
        bench.drain()
        vendor_feed(bench).events(AtFeed(), 100)
        assert told(bench, vendor="book") == told(bench, vendor="books2") == []
        alone = Bench()
        alone.take(pupil("anna"))
        alone.drain()
        assert told(alone, vendor="") == told(alone) == []

    def test_what_a_target_was_sent_while_it_was_anothers_stays_with_that_one(self, bench: Bench) -> None:
        bench.take(pupil("anna"))
        bench.drain()
        bench.vendor = "films"
        bench.take(pupil("anna", given_name="Ane"))
        bench.drain()
        assert {one["entityversion"] for one in told(bench, vendor="books")} == {1}
        assert [one["entityversion"] for one in told(bench, vendor="films")] == [2]

    def test_no_value_of_any_field(self, bench: Bench) -> None:
        bench.take(pupil("anna", given_name="Hemmelig", email="hemmelig@x.dk"), group("1A", name="Hemmelig"))
        bench.drain()
        vendor_feed(bench).events(AtFeed(), 100)
        assert "emmelig" not in str(told(bench)).lower()
        assert "user_id" not in str(told(bench))

    def test_the_chain_itself_names_nobody(self, bench: Bench) -> None:
        bench.take(pupil("anna"))
        command = bench.drain()[0]
        text = str(bench.audit())
        assert bench.audit()
        for name in (person_id("anna"), command.delivery_key, person_id("anna").replace("-", "")):
            assert name not in text
        sealed = [one["sealed"] for one in bench.audit() if "sealed" in one]
        assert len(set(sealed)) == len(sealed) == 2
        with bench.store.read() as reader:
            assert verify(reader).ok

    def test_the_same_person_is_sealed_otherwise_each_time(self, bench: Bench) -> None:
        bench.take(pupil("anna"))
        bench.drain()
        bench.take(pupil("anna", given_name="Ane"))
        bench.drain()
        sealed = [one["sealed"] for one in bench.audit() if one.get("entity") == "person"]
        assert len({one[32:] for one in sealed}) == len(sealed) == 2
        assert {one["subject"] for one in attempts(bench)} == {ANNA}

    def test_other_words_about_a_vendor_are_none_of_its_log(self, bench: Bench) -> None:
        with bench.store.write() as uow:
            bench.book.write(uow, [{"kind": "something.else", "vendor": "books"}])
        assert told(bench) == []


class TestReading:
    def test_what_the_vendor_has_is_not_told_again(self, bench: Bench) -> None:
        bench.take(pupil("anna"))
        bench.drain()
        page = log_of(bench).page(AtLog(), 10)
        assert log_of(bench).page(AtLog(), 10, (page.etag,)).body is None

    def test_reading_writes_nothing(self, bench: Bench) -> None:
        bench.take(pupil("anna"))
        bench.drain()
        before = bench.audit()
        told(bench)
        assert bench.audit() == before

    def test_it_is_read_from_a_time_on(self, bench: Bench) -> None:
        for number in range(20):
            bench.take(pupil("anna", given_name=f"Anna {number}"))
            bench.drain()
            bench.clock.forward(minutes=1)
        for number in (0, 1, 7, 19):
            at = log_of(bench).at_time(MORNING + timedelta(minutes=number))
            shown = body_of(log_of(bench).page(at, 1_000))
            people = [one["entityversion"] for one in shown if one["subject"] == ANNA]
            assert people == list(range(max(0, number - 10) + 1, 21)), "what is ten minutes older may come too"
        later = log_of(bench).at_time(MORNING + timedelta(days=1))
        assert body_of(log_of(bench).page(later, 10)) == []
        assert body_of(log_of(bench).page(log_of(bench).at_time(MORNING - timedelta(days=1)), 100))

    @pytest.mark.parametrize("number", [1, 3, 90, 1_000])
    def test_its_last_entries_are_found_behind_any_number_of_others(self, bench: Bench, number: int) -> None:
        for day in range(100):
            bench.take(pupil("anna", given_name=f"Anna {day}"))
            bench.drain()
        with bench.store.write() as uow:
            bench.book.write(uow, ({"kind": "filler", "number": n} for n in range(700)))
        assert log_of(bench).newest(number) == told(bench)[-number:]

    @pytest.mark.parametrize("slow", range(1, 12))
    def test_a_machine_whose_clock_is_slow_hides_nothing_of_the_others(self, bench: Bench, slow: int) -> None:
        for number in range(12):
            back = timedelta(minutes=9 if number == slow else 0)
            bench.clock.at -= back
            bench.take(pupil("anna", given_name=f"Anna {number}"))
            assert bench.drain()
            bench.clock.at += back + timedelta(minutes=1)
        for number in range(12):
            moment = MORNING + timedelta(minutes=number)
            wanted = {one["entityversion"] for one in attempts(bench) if _at(one["time"]) >= moment}
            shown = body_of(log_of(bench).page(log_of(bench).at_time(moment), 1_000))
            assert wanted <= {one["entityversion"] for one in shown if one["subject"] == ANNA}

    def test_what_is_from_before_there_were_traces_has_none(self, bench: Bench) -> None:
        bench.take(pupil("anna"))
        bench.drain()
        intent = next(one for one in bench.audit() if one.get("entity") == "person")
        again = {name: value for name, value in intent.items() if name not in ("seq", "ts", "actor", "trace")}
        with bench.store.write() as uow:
            closing = {"kind": "disclosure.outcome", "closes": intent["intent"], "outcome": "delivered"}
            bench.book.write(uow, [again, closing])
        assert [one.get("trace") for one in attempts(bench)] == [intent["trace"], None]

    def test_a_cursor_of_something_else_is_none_of_the_log(self) -> None:
        assert log_cursor(None) == AtLog() == log_cursor(AtLog().text())
        for text in (AtFeed({"101": 1}).text(), "WyJkIiwtMV0", "WyJkIiwiMSJd", "x"):
            with pytest.raises(CursorUnknown):
                log_cursor(text)
        with pytest.raises(CursorUnknown):
            feed_cursor(AtLog(3).text(), ["101"])


class TestSinceOfTheFeed:
    def lived(self, days: int = 10) -> tuple[Bench, Any]:
        bench = Bench()
        feed = vendor_feed(bench, retention=timedelta(days=3))
        for number in range(days):
            names = [pupil("anna", given_name=f"Anna {number}")] + [pupil(f"p{n}") for n in range(number % 3)]
            bench.take(*names)
            feed.events(AtFeed(), 1_000)
            bench.clock.forward(days=1)
        return bench, feed

    def test_from_a_time_on_everything_that_changed_then_or_later_is_told(self) -> None:
        bench, feed = self.lived()
        everything = body_of(feed.events(AtFeed(), 1_000))
        for hours in (1, 12, 24, 25, 48, 71):
            since = bench.clock.at - timedelta(hours=hours)
            wanted = [one["subject"] for one in everything if _at(one["time"]) >= since]
            shown = [one["subject"] for one in body_of(feed.events(feed.at_time(since), 1_000))]
            assert shown == wanted

    def test_where_nothing_happened_since_nothing_is_told(self) -> None:
        bench, feed = self.lived()
        assert body_of(feed.events(feed.at_time(bench.clock.at), 100)) == []

    def test_before_the_retention_only_the_snapshot_helps(self) -> None:
        bench, feed = self.lived(12)
        with pytest.raises(CursorPast):
            feed.at_time(bench.clock.at - timedelta(days=9))

    def test_a_feed_that_nobody_has_read_begins_at_its_beginning(self) -> None:
        bench = Bench()
        bench.take(pupil("anna"))
        feed = vendor_feed(bench)
        assert body_of(feed.events(feed.at_time(MORNING), 100))


def _at(text: str) -> Any:
    return msgspec.convert(text, type=type(MORNING))
