"""IMS Enterprise 1.1 XML and IMS Enterprise Services 1.0: itslearning."""

from __future__ import annotations

from bridge.connector import Connector, Services
from connectors.ims_enterprise.config import ImsEnterpriseConfig, ImsEsConfig
from connectors.ims_enterprise.es_target import ImsEsTarget
from connectors.ims_enterprise.es_wire import Credentials, Wire
from connectors.ims_enterprise.file_target import ImsEnterpriseTarget

__all__ = [
    "ImsEnterpriseConfig",
    "ImsEnterpriseTarget",
    "ImsEsConfig",
    "ImsEsTarget",
    "connector",
    "es_connector",
]

_MAPPING = "ims_enterprise/itslearning"


def _services_target(config: ImsEsConfig, services: Services) -> ImsEsTarget:
    paths = {"pms": config.person_path, "gms": config.group_path, "mms": config.membership_path}
    credentials = Credentials(config.user, services.secret(config.password_file))
    return ImsEsTarget(Wire(services.http(config.base_url, timeout=config.timeout), paths, credentials))


connector = Connector("ims-enterprise", ImsEnterpriseConfig, target=ImsEnterpriseTarget, default_mapping=_MAPPING)
es_connector = Connector("ims-es", ImsEsConfig, target=_services_target, default_mapping=_MAPPING)
