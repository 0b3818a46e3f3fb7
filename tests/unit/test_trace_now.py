"""What is known of a person now: whose word counts, which holds name them, what is set aside."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.entities import Contribution, Kind, Person, Role
from bridge.domain.ids import Key
from bridge.domain.records import Quarantined
from bridge.engine.merge import merge
from bridge.engine.trace_merge import decide
from bridge.engine.views import Scope
from bridge.ports import Approval, Hold
from tests.support.anything import STEADY
from tests.support.engine import (
    MORNING,
    OTHER_SCHOOL,
    SCHOOL,
    TARGET,
    TOWN,
    Bench,
    external,
    header,
    pupil,
    teacher,
)
from tests.support.trace import asked, filled, target_of, texts


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
