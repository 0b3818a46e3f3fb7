"""What was approved of a hold stays on record: who was meant, who said yes, and when it was carried out."""

from __future__ import annotations

import pytest

from bridge.cli import show
from bridge.cli.trace import show_trace
from bridge.engine.decide import NotOpen, Rule
from bridge.engine.guard import REASON_TEXTS
from bridge.engine.holding import parts_of
from bridge.engine.status import read_status
from bridge.web.hold_page import hold_page
from tests.support.engine import SCHOOL, Bench, group, pupil
from tests.support.fetch import FIVE, at, held, school_of_five, users
from tests.support.trace import asked, texts


@pytest.fixture
def bench() -> Bench:
    """Four of five pupils leave, and somebody said yes to two of them, which is carried out."""
    bench = school_of_five()
    bench.clock.forward(hours=1)
    number = held(bench, pupil("ane"))
    bench.clock.forward(hours=1)
    bench.decide(number, approve=True, only=["bo", "carl"])
    bench.clock.forward(hours=1)
    bench.apply_approved()
    return bench


class TestThePartThatWasCarriedOut:
    def test_is_traced_with_who_said_yes_to_one_of_them(self, bench: Bench) -> None:
        (found,) = asked(bench, "bo").now.holds
        assert (found.number, found.state, found.part) == (1, "applied", 2)
        assert [(yes.by, yes.includes) for yes in found.approvals] == [("anna", True)]
        told = [text for text in texts(bench, "bo") if "hold 1" in text]
        assert told[0].startswith(f"hold 1 of {SCHOOL} was opened (more would be deleted than the threshold")
        assert told[1] == f"anna said yes to hold 1 of {SCHOOL}"
        assert f"what was approved of hold 1 of {SCHOOL} was carried out; it stays on record as hold 2" in told

    def test_is_traced_for_who_was_left_out_in_the_order_in_which_it_happened(self, bench: Bench) -> None:
        told = [text for text in texts(bench, "dorte") if "hold 1" in text]
        assert [text.split(" (")[0] for text in told] == [
            f"hold 1 of {SCHOOL} was opened",
            f"anna said yes to hold 1 of {SCHOOL}, for others only, not for this person",
        ]
        assert "another part" not in " ".join(told)

    def test_names_nobody_whom_the_rest_names(self, bench: Bench) -> None:
        (part,) = bench.holds("applied")
        (rest,) = bench.holds("open")
        assert (part.people, rest.people) == (("bo", "carl"), ("dorte", "erik"))
        assert not set(part.withheld) & set(rest.withheld)
        assert part.counts["affiliation.deleted"] == rest.counts["affiliation.deleted"] == 2

    def test_is_shown_with_the_hold(self, bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
        with bench.store.read() as reader:
            parts = parts_of(reader, 1)
        show.hold(bench.holds("open")[0], False, Rule(), bench.clock.at, parts)
        told = " ".join(capsys.readouterr().out.split())
        assert "2 of it (bo, carl): approved by anna at 2026-08-11T08:00:00+00:00; carried out at" in told
        assert "2 of it, approved by anna: hold 2" in hold_page(bench.holds("open")[0], REASON_TEXTS, parts)

    def test_is_followed_by_another_part_of_the_same_hold(self, bench: Bench) -> None:
        bench.decide(1, approve=True, only=["dorte"])
        bench.apply_approved()
        with bench.store.read() as reader:
            assert [part.people for part in parts_of(reader, 1)] == [("bo", "carl"), ("dorte",)]
        assert users(bench) == {"ane", "erik"}
        says = [yes.includes for yes in asked(bench, "erik").now.holds[0].approvals]
        assert says == [False, False]


def test_a_hold_of_which_all_goes_is_no_part(bench: Bench) -> None:
    bench.decide(1, approve=True)
    bench.apply_approved()
    assert [(hold.id, hold.people) for hold in bench.holds("applied")] == [
        (1, ("dorte", "erik")),
        (2, ("bo", "carl")),
    ]


def test_a_rejected_hold_shows_who_rejected_it_and_when(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.decide(1, approve=False)
    show.hold(bench.holds("rejected")[0], False, Rule(), bench.clock.at)
    assert "rejected by anna at 2026-08-11T09:00:00+00:00" in capsys.readouterr().out
    assert "Rejected by anna, 2026-08-11 09:00 UTC" in hold_page(bench.holds("rejected")[0], REASON_TEXTS)


class TestAPartThatIsApprovedAndNotCarriedOutYet:
    @pytest.fixture
    def waiting(self, bench: Bench) -> Bench:
        bench.decide(1, approve=True, only=["dorte"])
        return bench

    def test_is_no_all_well(self, waiting: Bench) -> None:
        told = read_status(waiting.store, [], waiting.clock.at)
        assert told.attention[0] == (
            "Hold 1 is approved by anna for 1 of 2, and the running daemon or the next `skolebro sync` carries "
            "that out. Of the other 1 nothing is decided yet."
        )

    def test_cannot_be_rejected_and_is_told_what_to_do(self, waiting: Bench) -> None:
        with pytest.raises(NotOpen, match=r"`skolebro sync`.* then the rest waits under number 1 and can be"):
            waiting.decide(1, approve=False)
        waiting.apply_approved()
        waiting.decide(1, approve=False)
        assert waiting.holds("rejected")[0].people == ("erik",)


def test_a_hold_that_is_approved_as_a_whole_is_noted_until_it_is_carried_out(bench: Bench) -> None:
    bench.decide(1, approve=True)
    told = read_status(bench.store, [], bench.clock.at)
    assert "Hold 1 is approved by anna, and the running daemon" in told.notes[0]
    bench.apply_approved()
    assert read_status(bench.store, [], bench.clock.at).notes == ()


def test_who_is_kept_by_a_rejection_is_traced_as_kept_and_as_not_named_by_the_last_export(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.decide(1, approve=False)
    found = asked(bench, "dorte")
    assert found.notes[0].startswith(
        f"Kept by the rejection of hold 1 of {SCHOOL} (by anna, 2026-08-11 09:00 UTC): "
    )
    assert f"what {SCHOOL} says of the person" in found.notes[0]
    assert found.notes[0].endswith("`skolebro holds approve 1` lets it go after all.")
    (word,) = found.now.words
    assert (word.is_named, word.source_time, word.recorded_at) == (False, None, None)
    show_trace(found)
    told = " ".join(capsys.readouterr().out.split())
    assert f"{SCHOOL}: student, stored from an earlier export; the last one does not name the person" in told
    assert asked(bench, "ane").now.words[0].is_named


def test_who_was_left_out_of_an_approved_snapshot_does_not_go_with_the_next_one() -> None:
    bench = school_of_five()
    bench.decide(held(bench, group("1A")), approve=True, only=list(FIVE[:4]))
    bench.apply_approved()
    assert users(bench) == {"erik"}
    bench.take(pupil("frida"), head=at(30))
    assert "erik" in users(bench)
    assert [hold.people for hold in bench.holds("open")] == [("erik",)]
