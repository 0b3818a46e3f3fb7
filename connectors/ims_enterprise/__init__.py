"""IMS Enterprise 1.1 XML and IMS Enterprise Services 1.0: itslearning."""

from __future__ import annotations

from bridge.connector import Connector
from connectors.ims_enterprise.config import ImsEnterpriseConfig
from connectors.ims_enterprise.file_target import ImsEnterpriseTarget

__all__ = ["ImsEnterpriseConfig", "ImsEnterpriseTarget", "connector"]

connector = Connector(
    "ims-enterprise",
    ImsEnterpriseConfig,
    target=ImsEnterpriseTarget,
    default_mapping="ims_enterprise/itslearning",
)
