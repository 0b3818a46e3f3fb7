"""OneRoster 1.1 and 1.2: platforms fetch the roster from the bridge, or it is left for them as files."""

from __future__ import annotations

from bridge.connector import Connector
from connectors.oneroster.config import OneRosterConfig
from connectors.oneroster.csv_config import OneRosterCsvConfig
from connectors.oneroster.csv_target import OneRosterCsvTarget
from connectors.oneroster.target import OneRosterTarget

__all__ = [
    "OneRosterConfig",
    "OneRosterCsvConfig",
    "OneRosterCsvTarget",
    "OneRosterTarget",
    "connector",
    "csv_connector",
]

connector = Connector("oneroster", OneRosterConfig, target=OneRosterTarget, default_mapping="oneroster/core")
csv_connector = Connector(
    "oneroster-csv", OneRosterCsvConfig, target=OneRosterCsvTarget, default_mapping="oneroster/core"
)
