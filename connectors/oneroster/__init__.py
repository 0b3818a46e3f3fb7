"""OneRoster 1.1 and 1.2: platforms fetch the roster from the bridge."""

from __future__ import annotations

from bridge.connector import Connector
from connectors.oneroster.config import OneRosterConfig
from connectors.oneroster.target import OneRosterTarget

__all__ = ["OneRosterConfig", "OneRosterTarget", "connector"]

connector = Connector("oneroster", OneRosterConfig, target=OneRosterTarget, default_mapping="oneroster/core")
