"""A document of a feed is forgotten only after its commit, and what nobody can use is set aside, not lost."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.errors import ConfigError, SnapshotInvalid
from bridge.engine.compact import compact
from bridge.engine.feed import Inlet
from bridge.testing.memory_bus import MemoryBus
from bridge.testing.memory_feed import MemoryFeed, MemoryQueue
from tests.support.anything import STEADY
from tests.support.engine import OTHER_SCHOOL, SCHOOL, TOWN, Bench, pupil
from tests.support.feed_step import JSON, XML, Letter, OneLetter, Refusing, SubscribedSource, Town, raising


@pytest.fixture
def town() -> Town:
    return Town()


class TestADocument:
    @pytest.mark.parametrize(
        ("institutions", "agreement", "end"),
        [
            (frozenset({SCHOOL}), "agreed", ("recorded", None)),
            (frozenset({SCHOOL}), None, ("recorded", None)),  # nothing is known yet
            (frozenset({SCHOOL}), "missing", ("refused", "institution_not_agreed")),
            (frozenset({SCHOOL}), "withdrawn", ("refused", "institution_not_agreed")),
            (None, "agreed", ("recorded", None)),
            (None, "withdrawn", ("refused", "institution_not_agreed")),
            (None, None, ("refused", "institution_not_agreed")),
            (frozenset({OTHER_SCHOOL}), "unused", ("held", "wrong_institution")),
        ],
    )
    def test_needs_an_agreement_where_the_source_knows_of_agreements(
        self, institutions: frozenset[str] | None, agreement: str | None, end: tuple[str, str | None]
    ) -> None:
        town = Town(SubscribedSource(), institutions)
        town.subscribe(agreement=agreement)
        assert town.took(town.document(pupil("ane"))) == end
        assert bool(town.users()) == (end[0] == "recorded")
        assert town.dead == ([end[1]] if end[0] == "refused" else [])

    def test_is_recorded_and_gone_from_the_queue(self, town: Town) -> None:
        assert town.took(town.document(pupil("ane"))) == ("recorded", None)
        assert town.users() == {"ane"}
        assert town.is_empty and not town.dead

    def test_is_acknowledged_only_after_the_commit(self, town: Town) -> None:
        seen: list[set[str]] = []
        letter = Letter(town.document(pupil("ane")), XML, on_end=lambda: seen.append(town.users()))
        town.inlet = town.connected(OneLetter(letter))
        town.step()
        assert (letter.end, seen) == ("done", [{"ane"}])

    def test_that_the_source_itself_brought_before_is_unchanged(self, town: Town) -> None:
        assert town.take(pupil("ane")) == ("recorded", None)
        assert town.took(town.document(pupil("ane"))) == ("unchanged", None)

    def test_that_is_held_is_gone_from_the_queue_and_kept_by_the_hold(self, town: Town) -> None:
        town.took(town.document(pupil("ane"), hours=2))
        older = town.document(pupil("bo"), hours=1)
        assert town.took(older) == ("held", "older")
        assert town.is_empty and not town.dead
        with town.store.read() as reader:
            assert reader.hold_body(town.holds("open")[0].id) == older

    def test_that_cannot_be_read_goes_to_the_dead_letters_with_the_code(self, town: Town) -> None:
        assert town.took(b"<broken") == ("refused", "not_well_formed")
        assert town.queue.dead == [(b"<broken", "not_well_formed")]

    def test_that_trips_over_a_bug_of_the_reader_stops_itself_only(self, town: Town) -> None:
        town.source.parse = raising(ZeroDivisionError)  # type: ignore[method-assign] - the bug
        assert town.took(town.document(pupil("ane"))) == ("refused", "reader_error")
        del town.source.parse  # type: ignore[method-assign]
        assert town.took(town.document(pupil("bo"))) == ("recorded", None)
        assert town.dead == ["reader_error"]

    def test_that_trips_over_a_bug_of_ours_is_kept_as_a_dead_letter(self, town: Town) -> None:
        assert town.took(town.document(pupil("ane", given_name="\udcff"))) == ("failed", "engine_error")
        assert town.dead == ["engine_error"]

    def test_of_another_institution_than_its_header_says_is_held(self, town: Town) -> None:
        body = town.document(pupil("ane"))
        assert town.took(body, institution=OTHER_SCHOOL) == ("held", "wrong_institution")

    def test_with_a_header_that_is_no_institution_is_dead(self, town: Town) -> None:
        assert town.took(town.document(pupil("ane")), institution="Østre Skole") == (
            "refused",
            "institution_unreadable",
        )
        assert town.dead == ["institution_unreadable"]

    @pytest.mark.parametrize("declared", ["application/xml", "text/xml", "Text/XML; charset=utf-8"])
    def test_is_known_by_its_type(self, town: Town, declared: str) -> None:
        assert town.took(town.document(pupil("ane")), declared) == ("recorded", None)

    @pytest.mark.parametrize("begin", [b"<x>", b"  \r\n<x>", b"\xef\xbb\xbf<x>", b"\xef\xbb\xbf\n <x>"])
    def test_is_known_by_how_it_begins_where_its_type_says_nothing(self, town: Town, begin: bytes) -> None:
        assert town.took(begin, "application/octet-stream") == ("refused", "not_well_formed")

    def test_does_not_keep_the_log_from_being_compacted(self, town: Town) -> None:
        town.took(town.document(pupil("ane"), pupil("bo")))
        last, later = town.clock.at, town.clock.at + timedelta(days=1)
        found = compact(town.store, TOWN, later - last, later)
        assert (found.held_by, found.floor > 1) == (None, True)

    def test_is_not_given_back_to_the_source_which_never_had_it(self, town: Town) -> None:
        town.took(town.document(pupil("ane")))
        assert town.source.taken_digests == []


class TestWhatNobodyCanUse:
    @pytest.mark.parametrize("body", [b"", b"hello", b"\x00\x01", b"%PDF-1.7"])
    def test_is_dead_and_leaves_a_run_that_says_so(self, town: Town, body: bytes) -> None:
        assert town.took(body, "application/octet-stream") == ("refused", "unknown_message")
        assert town.dead == ["unknown_message"]

    def test_is_told_too_when_the_feed_itself_refused_it(self, town: Town) -> None:
        town.inlet = town.connected(Refusing(SnapshotInvalid("too_large", "amqp:changes")))
        assert town.step() == 1
        (run,) = town.diary.runs
        assert (run.result, run.reason, run.origin) == ("refused", "too_large", "amqp:changes")

    @STEADY
    @given(body=st.binary(max_size=200), declared=st.sampled_from(["", XML, JSON, "text/plain", ";", "*/*"]))
    def test_ends_once_and_only_a_code_is_told_of_it(self, body: bytes, declared: str) -> None:
        town = Town(SubscribedSource(), frozenset({SCHOOL}))
        town.send(b"\x00" + body, declared)
        assert town.step() == 1 and town.is_empty
        codes = {"unknown_message", "not_well_formed", "nudge_unreadable"}
        assert set(town.dead) <= codes and len(town.dead) == 1


def test_a_source_that_cannot_read_documents_takes_no_feed() -> None:
    bench = Bench()
    with pytest.raises(ConfigError, match="cannot read export documents"):
        Inlet(MemoryFeed(MemoryQueue()), bench.intake, MemoryBus())
