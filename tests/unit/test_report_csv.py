"""A report as a spreadsheet reads it."""

from __future__ import annotations

import pytest

from bridge.cli.report import write_csv
from bridge.connector import Reported
from bridge.domain.ids import TargetId
from bridge.engine.report import Report
from connectors.aula.target import ObserveTarget
from tests.support.sheets import sheet


@pytest.mark.parametrize("ids", [False, True])
@pytest.mark.parametrize("text", ["=1+1", "+45", "-1", "@SUM(A1)", "\t=1", " =1"])
def test_what_a_spreadsheet_would_run_is_shown_as_text(
    capsys: pytest.CaptureFixture[str], text: str, ids: bool
) -> None:
    made = Report(TargetId("0751/aula"))
    made.counts[text, text] += 1
    made.findings.append(Reported(text, text, text))
    write_csv([(made, ObserveTarget())], ids)
    (row,) = sheet(capsys.readouterr().out)
    shown = "'" + text.replace("\t", "\N{REPLACEMENT CHARACTER}")
    assert {row["institution"], row["code"], row.get("id", shown)} == {shown}
