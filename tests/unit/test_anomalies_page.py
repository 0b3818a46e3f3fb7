"""The console shows one line for each school that has something to mend, and a page of what it is; nobody's id."""

from __future__ import annotations

from dataclasses import replace

from bridge.domain.anomalies import AnomalyCode
from bridge.engine.anomalies import RULES
from bridge.observe import AnomalyStatus, Status
from bridge.web.anomalies_page import anomalies_page
from bridge.web.page import status_page
from tests.support.engine import MORNING, OTHER_SCHOOL, SCHOOL, TOWN

WELL = Status(MORNING, (), (), (), (), (), 0, "0:" + "00" * 32)
FEW = AnomalyStatus(TOWN, SCHOOL, {"class_without_pupils": 2})
MANY = AnomalyStatus(TOWN, OTHER_SCHOOL, {"pupil_in_no_class": 3, "class_without_pupils": 1})


def test_nothing_is_shown_where_there_is_none() -> None:
    assert "nomalies" not in status_page(WELL)
    assert "No anomalies" in anomalies_page(())


def test_each_school_has_one_line_the_most_first_and_all_is_still_well() -> None:
    page = status_page(replace(WELL, anomalies=(FEW, MANY)))
    assert "<h2>Anomalies</h2>" in page and "Nothing needs a person" in page
    assert page.index(OTHER_SCHOOL) < page.index(SCHOOL)
    assert "pupil in no class 3, class without pupils 1" in page
    assert 'href="/anomalies"' in page


def test_of_many_schools_fifty_are_shown() -> None:
    rows = tuple(AnomalyStatus(TOWN, f"{number}", {"pupil_in_no_class": 1}) for number in range(100_000, 100_060))
    page = status_page(replace(WELL, anomalies=rows))
    assert "And 10 institutions more" in page
    assert "100059" not in page and "100059" in anomalies_page(rows)


def test_the_page_tells_each_rule_once_with_what_to_do_and_where() -> None:
    page = anomalies_page((FEW, MANY))
    rule = RULES[AnomalyCode.CLASS_WITHOUT_PUPILS]
    assert page.count("A class has no pupils (wrong)") == 1
    assert rule.remedy.replace("'", "&#x27;") in page
    assert f"<li>{SCHOOL}: 2</li>" in page and f"<li>{OTHER_SCHOOL}: 1</li>" in page
    assert "A teacher is in no group" not in page


def test_whatever_stands_in_an_institution_number_is_escaped() -> None:
    odd = replace(FEW, institution="<script>")
    for page in (status_page(replace(WELL, anomalies=(odd,))), anomalies_page((odd,))):
        assert "<script>" not in page and "&lt;script&gt;" in page
