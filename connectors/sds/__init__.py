"""Microsoft School Data Sync, format 2.1: everything that there is, as CSV files."""

from __future__ import annotations

from bridge.connector import Connector
from connectors.sds.config import SdsConfig
from connectors.sds.target import SdsTarget

__all__ = ["SdsConfig", "SdsTarget", "connector"]

connector = Connector("sds", SdsConfig, target=SdsTarget, default_mapping="sds/v21")
