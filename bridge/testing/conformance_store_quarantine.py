"""What every store promises of records in quarantine and of the runs that they are known from."""

from __future__ import annotations

from dataclasses import replace

from bridge.ports import Store
from bridge.testing.store_samples import OTHER_SCHOOL, SCHOOL, TOWN, quarantined, run


class QuarantineConformance:
    def test_the_quarantine_of_one_institution_is_read_alone_and_in_its_order(self, store: Store) -> None:
        here = [quarantined("/c"), quarantined("/a"), quarantined("/b")]
        with store.write() as uow:
            uow.replace_quarantine(TOWN, OTHER_SCHOOL, [quarantined("/z", school=OTHER_SCHOOL)])
            uow.replace_quarantine(TOWN, SCHOOL, here)
        with store.read() as reader:
            assert reader.quarantine_of(TOWN, SCHOOL) == here
            assert reader.quarantine_of(TOWN, "999999") == []
            assert reader.quarantine_of("999", SCHOOL) == []

    def test_what_is_noted_never_hides_what_is_set_aside(self, store: Store) -> None:
        odd = [replace(quarantined(f"/{n}"), severity="noted") for n in range(5)]
        with store.write() as uow:
            uow.replace_quarantine(TOWN, SCHOOL, [*odd, quarantined("/bad")])
        with store.read() as reader:
            assert reader.quarantine(3) == odd[:3]
            assert reader.quarantine(3, "quarantined") == [quarantined("/bad")]
            assert reader.quarantine(2, "noted") == odd[:2]

    def test_runs_are_found_by_their_ids(self, store: Store) -> None:
        with store.write() as uow:
            for number in range(3):
                uow.add_run(run(f"run-{number}", seconds=number))
        with store.read() as reader:
            assert reader.runs_by_id(["run-2", "run-0", "never"]) == {
                "run-0": run("run-0"),
                "run-2": run("run-2", seconds=2),
            }
            assert reader.runs_by_id([]) == {}
