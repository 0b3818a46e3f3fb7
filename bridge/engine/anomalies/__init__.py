"""What schools can mend at the source: found in what is stored, told per institution."""

from bridge.engine.anomalies.book import AnomalyBook, Findings
from bridge.engine.anomalies.rules import RULES, Rule, local_anomalies
from bridge.engine.anomalies.school import School, read_school
from bridge.engine.anomalies.told import with_anomalies

__all__ = [
    "RULES",
    "AnomalyBook",
    "Findings",
    "Rule",
    "School",
    "local_anomalies",
    "read_school",
    "with_anomalies",
]
