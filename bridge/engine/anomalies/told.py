"""What schools can mend is good to know and alarms nobody: numbers in the status, one sentence in its notes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bridge.engine.anomalies.book import Findings
from bridge.observe import AnomalyStatus, Status


def with_anomalies(status: Status, findings: Iterable[Findings]) -> Status:
    """Return the status with how much was found at each institution; without a word where nothing was."""
    rows = tuple(
        AnomalyStatus(found.municipality, found.institution, found.counts) for found in findings if found.anomalies
    )
    if not rows:
        return status
    number, places = sum(row.number for row in rows), len(rows)
    note = (
        f"{number} {'anomaly' if number == 1 else 'anomalies'} at {places} "
        f"{'institution' if places == 1 else 'institutions'} for the schools to mend: `skolebro anomalies`."
    )
    return replace(status, anomalies=rows, notes=(*status.notes, note))
