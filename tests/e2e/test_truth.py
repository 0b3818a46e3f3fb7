"""`skolebro preview` against an answer that was worked out without this project's code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.process import run
from tests.support.world import DATA, DAYS

Change = tuple[str, str, tuple[str, ...], tuple[str, ...]]


@pytest.fixture(scope="module")
def truth() -> Any:
    return json.loads((DATA / "truth.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def runs() -> list[dict[str, Any]]:
    answer = run(["preview", *DAYS, "--json"], DATA).ended(0)
    assert answer.stderr == ""
    assert set(answer.json) == {"runs"}
    found: list[dict[str, Any]] = answer.json["runs"]
    return found


def _changes(run: dict[str, Any]) -> list[Change]:
    return sorted((c["entity"], c["operation"], tuple(c["key"]), tuple(c["fields"])) for c in run["changes"])


def test_counts_of_both_days_are_those_of_the_truth(runs: list[dict[str, Any]], truth: Any) -> None:
    assert [run["counts"] for run in runs] == [truth["counts"]["day1"], truth["counts"]["day2"]]
    assert [run["folder"] for run in runs] == [str(day) for day in DAYS]


def test_every_change_of_the_second_day_is_found_and_no_other(runs: list[dict[str, Any]], truth: Any) -> None:
    expected = sorted((e, o, tuple(key), tuple(fields)) for e, o, key, fields in truth["changes_day1_to_day2"])
    assert _changes(runs[1]) == expected
    assert all(
        set(change) == {"entity", "operation", "key", "fields"} for run in runs for change in run["changes"]
    )


def test_the_first_day_lists_each_entity_once_as_a_creation(runs: list[dict[str, Any]]) -> None:
    changes = _changes(runs[0])
    assert {(operation, fields) for _, operation, _, fields in changes} == {("created", ())}
    listed = [(entity, key) for entity, _, key, _ in changes]
    assert len(listed) == len(set(listed))
    counts = {entity: sum(1 for kind, _ in listed if kind == entity) for entity in runs[0]["counts"]}
    assert counts == runs[0]["counts"]


def test_nothing_is_held_refused_or_quarantined(runs: list[dict[str, Any]]) -> None:
    assert [(run["held"], run["refused"], run["quarantined"]) for run in runs] == [([], [], []), ([], [], [])]


def test_exports_are_left_where_they_are(tmp_path: Path) -> None:
    export = tmp_path / "day" / "280555.xml"
    export.parent.mkdir()
    export.write_bytes((DAYS[0] / export.name).read_bytes())
    run(["preview", "day"], tmp_path).ended(0)
    assert list(tmp_path.rglob("*")) == [export.parent, export]


# ---------------------------------------------------------------- folders that are not as they should be


def test_an_empty_folder_has_nothing_in_it(tmp_path: Path) -> None:
    (only,) = run(["preview", tmp_path, "--json"], tmp_path).ended(0).json["runs"]
    assert only["changes"] == only["held"] == only["refused"] == []
    assert set(only["counts"].values()) == {0}


def test_a_truncated_export_is_named_with_its_reason(tmp_path: Path) -> None:
    whole = (DAYS[0] / "280555.xml").read_bytes()
    (tmp_path / "280555.xml").write_bytes(whole[: len(whole) // 2])
    answer = run(["preview", tmp_path, "--json"], tmp_path).ended(0)
    (only,) = answer.json["runs"]
    assert [(r["origin"], r["institution"], r["reason"]) for r in only["refused"]] == [
        ("280555.xml", "280555", "incomplete")
    ]
    assert only["changes"] == []
    assert "refused: 280555.xml (incomplete)" in run(["preview", tmp_path], tmp_path).ended(0).stdout


def test_an_export_of_another_institution_than_its_name_says_is_held(tmp_path: Path) -> None:
    (tmp_path / "101001.xml").write_bytes((DAYS[0] / "280555.xml").read_bytes())
    (only,) = run(["preview", tmp_path, "--json"], tmp_path).ended(0).json["runs"]
    assert [(h["institution"], h["origin"], h["reasons"]) for h in only["held"]] == [
        ("101001", "101001.xml", ["wrong_institution"])
    ]
    assert only["changes"] == []
    text = run(["preview", tmp_path], tmp_path).ended(0).stdout
    assert "held: institution 101001 (wrong_institution) from 101001.xml" in text


@pytest.mark.parametrize("name", ["missing", "file"])
def test_what_is_no_folder_is_a_wrong_command(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("no folder")
    answer = run(["preview", name, "--json"], tmp_path).ended(2)
    assert answer.stdout == ""
    assert answer.stderr == f"skolebro: {name} is no folder; give folders that hold *.xml exports\n"
