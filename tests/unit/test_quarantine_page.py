"""The console shows what is set aside by place and reason, some of much, and nobody's name or user id."""

from __future__ import annotations

from dataclasses import replace

from bridge.domain.records import PersonRecord, Quarantined
from bridge.engine.status import read_status
from bridge.observe import Metrics, QuarantinedStatus, Status
from bridge.web.page import status_page
from tests.support.engine import MORNING, SCHOOL, TOWN, Bench, pupil

WELL = Status(MORNING, (), (), (), (), (), 0, "0:" + "00" * 32)
BAD = QuarantinedStatus(TOWN, SCHOOL, "Institution/InstitutionPerson[7]", "missing_main_group")


def status(*records: PersonRecord | Quarantined) -> Status:
    bench = Bench()
    bench.take(*records)
    return read_status(bench.store, [], MORNING)


def unusable(number: int) -> Quarantined:
    return Quarantined(f"Institution/InstitutionPerson[{number}]", "missing_name", user_id=f"user{number}")


def test_nothing_is_shown_where_nothing_is_set_aside() -> None:
    assert "Quarantine" not in status_page(WELL)


def test_a_record_is_shown_by_place_with_why_and_what_to_do() -> None:
    page = status_page(replace(WELL, quarantined=1, set_aside=(BAD,)))
    for words in ("<h2>Quarantine</h2>", SCHOOL, "InstitutionPerson[7]", "missing_main_group", "in no class"):
        assert words in page


def test_whatever_stands_in_a_place_is_escaped() -> None:
    page = status_page(replace(WELL, quarantined=1, set_aside=(replace(BAD, path="<script>"),)))
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_of_many_records_fifty_are_shown_and_all_are_counted() -> None:
    now = status(pupil("ane"), *map(unusable, range(60)))
    assert (now.quarantined, len(now.set_aside)) == (60, 50)
    assert "and 10 more: skolebro quarantine list" in status_page(now)


def test_nobody_is_named() -> None:
    page = status_page(status(pupil("ane"), unusable(1)))
    assert "user1" not in page and "Institution/InstitutionPerson[1]" in page


def test_the_metric_counts_the_records_of_a_municipality() -> None:
    metrics = Metrics("0")
    metrics.refresh(status(pupil("ane"), unusable(1), unusable(2)))
    assert f'bridge_quarantined_records{{municipality="{TOWN}"}} 2.0' in metrics.exposition().decode()
