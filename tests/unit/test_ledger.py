"""Every change of the source ends somewhere at every target, and the sum is exact."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.ids import TargetId
from bridge.domain.outcomes import Deferred, Rejected
from bridge.domain.records import Record
from bridge.engine.guard import GuardPolicy
from bridge.ports import Ledger
from tests.support.anything import WHOLE_LINE, schools
from tests.support.deliveries import AWAY
from tests.support.engine import PLATFORM, TARGET, Bench, group, header, mapping_of, parent, person_id, pupil

ANE = person_id("ane")
FREE = GuardPolicy(max_deleted_percent=None, max_created_percent=None, max_updated_percent=None)


def ledger(bench: Bench) -> Ledger:
    with bench.store.read() as reader:
        return reader.ledger(TARGET)


def later(bench: Bench, *records: Record) -> None:
    bench.clock.forward(hours=1)
    assert bench.take(*records, head=header(at=bench.clock.at))[0] == "recorded"


def test_changes_that_arrive_are_delivered_and_what_no_mapping_names_is_filtered() -> None:
    bench = Bench(policy=FREE)
    bench.take(group("1A"), pupil("ane", contacts=[parent("mor")]))
    bench.drain()
    found = ledger(bench)
    # institution, 2 persons, group, affiliation, guardianship, membership; the mapping knows persons and groups,
    # and no contacts. The affiliation makes ane a student, and the membership stands in the group.
    assert (found.accepted, found.filtered, found.delivered) == (7, 3, 4)
    assert found.imbalance == 0


def test_a_change_that_is_overtaken_is_superseded() -> None:
    bench = Bench(policy=FREE)
    bench.take(group("1A"), pupil("ane"))
    bench.drain()
    before = ledger(bench)
    for name in ("Anna", "Anne"):
        later(bench, group("1A"), pupil("ane", given_name=name))
    bench.drain()
    found = ledger(bench)
    assert (found.superseded - before.superseded, found.delivered - before.delivered) == (1, 1)


def test_a_change_that_is_taken_back_in_time_is_superseded_and_sends_nothing() -> None:
    bench = Bench(policy=FREE)
    bench.take(group("1A"), pupil("ane"))
    bench.drain()
    before = ledger(bench)
    for name in ("Anna", "Ane"):
        later(bench, group("1A"), pupil("ane", given_name=name))
    assert bench.drain() == []
    assert ledger(bench) == replace(before, accepted=before.accepted + 2, superseded=before.superseded + 2)


def test_a_change_that_is_rejected_is_counted_as_that_until_the_next_one() -> None:
    bench = Bench(policy=FREE)
    bench.target.about[ANE] = Rejected("invalid")
    bench.take(group("1A"), pupil("ane"))
    bench.drain()
    assert (ledger(bench).rejected, ledger(bench).imbalance) == (2, 0)  # the person, and that ane is a student
    bench.target.about.clear()
    later(bench, group("1A"), pupil("ane", given_name="Anne"))
    bench.drain()
    assert (ledger(bench).rejected, ledger(bench).pending, ledger(bench).imbalance) == (0, 0, 0)


def test_a_change_that_waits_with_a_changed_mapping_is_told_so() -> None:
    bench = Bench(policy=GuardPolicy())
    bench.take(*(pupil(f"p{number}") for number in range(9)))
    bench.drain()
    assert not bench.refresh(mapping_of(PLATFORM.replace("[student, employee]", "[employee]")))
    later(bench, *(pupil(f"p{number}") for number in range(9)), pupil("new"))
    assert ledger(bench).unapplied == 3
    bench.decide(bench.holds("open")[0].id, approve=True)
    bench.refresh()
    assert (ledger(bench).unapplied, ledger(bench).imbalance) == (0, 0)


def test_a_target_that_was_out_of_the_configuration_catches_up() -> None:
    bench = Bench(policy=FREE)
    bench.take(group("1A"), pupil("ane"))
    bench.drain()
    here = bench.rendering
    bench.rendering = replace(here, target=TargetId("101/other"))
    later(bench, group("1A"), pupil("ane", given_name="Rose"), pupil("bo"))
    bench.rendering = here
    assert ledger(bench).unapplied > 0
    assert bench.refresh()
    assert [command.document["givenName"] for command in bench.drain() if command.kind == "person"] == [
        "Rose",
        "Bo",
    ]
    assert (ledger(bench).unapplied, ledger(bench).imbalance) == (0, 0)


FATES = st.lists(st.sampled_from([None, Rejected("invalid"), Deferred("busy"), AWAY]), max_size=6)


@WHOLE_LINE
@given(st.lists(st.tuples(schools(), FATES, st.booleans()), min_size=1, max_size=5))
def test_the_sum_is_exact_whatever_happens(days: list[tuple[list[Record], list[object], bool]]) -> None:
    bench = Bench(policy=FREE)
    for records, fates, is_delivered in days:
        bench.clock.forward(hours=7)
        bench.take(*records, head=header(at=bench.clock.at))
        assert ledger(bench).imbalance == 0
        bench.target.script = list(fates)  # type: ignore[arg-type]  # None: a healthy answer
        if is_delivered:
            bench.drain()
        assert ledger(bench).imbalance == 0
    bench.target.script = []
    with bench.store.write() as uow:
        uow.retry_rejected(TARGET, None, bench.clock.at)
    bench.clock.forward(days=2)
    bench.drain()
    found = ledger(bench)
    assert (found.imbalance, found.pending, found.rejected, found.unapplied) == (0, 0, 0, 0)
    assert found.accepted == found.delivered + found.filtered + found.superseded
