"""SCIM 2.0 (RFC 7643, RFC 7644): any platform with a /Users and a /Groups endpoint is kept up to date.

Its school profile EGIL (SS 12000:2018) is the connector `scim-egil`.
"""

from __future__ import annotations

from bridge.connector import Connector, Services
from connectors.scim.config import ScimConfig
from connectors.scim.egil import EgilConfig
from connectors.scim.egil import connector as egil
from connectors.scim.members import Blocks
from connectors.scim.target import Adoption, Resource, ScimTarget, Ways

__all__ = ["CORE", "EgilConfig", "ScimConfig", "connector", "egil"]

CORE = {
    "User": Resource(endpoint="/Users", urn="urn:ietf:params:scim:schemas:core:2.0:User"),
    "Group": Resource(endpoint="/Groups", urn="urn:ietf:params:scim:schemas:core:2.0:Group"),
}


def _target(config: ScimConfig, services: Services) -> ScimTarget:
    adoption = Adoption(
        looks_first=config.before_create == "look_up",
        takes_over=config.adopt == "any",
        groups_by_name=config.adopt_groups == "by_name",
    )
    ways = Ways(
        discovery=config.discovery,
        search=config.search,
        uses_bulk=config.bulk == "announced",
        blocks=Blocks(config.members, config.members_per_patch),
    )
    return ScimTarget(config.http(services), {**CORE, **config.resources}, adoption, ways)


connector = Connector("scim", ScimConfig, target=_target, default_mapping="scim/core")
