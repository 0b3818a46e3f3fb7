"""SCIM 2.0 (RFC 7643, RFC 7644): any platform with a /Users and a /Groups endpoint is kept up to date."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from bridge.connector import Connector, ConnectorConfig, Duration, Services
from connectors.scim.discover import Mode
from connectors.scim.members import Blocks
from connectors.scim.target import Adoption, Resource, ScimTarget, Ways

CORE = {
    "User": Resource(endpoint="/Users", urn="urn:ietf:params:scim:schemas:core:2.0:User"),
    "Group": Resource(endpoint="/Groups", urn="urn:ietf:params:scim:schemas:core:2.0:Group"),
}


class ScimConfig(ConnectorConfig):
    """`resources` adds to User and Group of RFC 7643, or overrides them.

    `adopt` says which accounts that are there already may become ours: those that no other system has marked
    with an externalId of its own (`unclaimed`), or those too (`any`). `before_create`: whether they are looked for
    first, which takes two requests for each new account, or only where the server says that a name is taken: a
    server that does not watch over userName would then have hand-made accounts twice. `adopt_groups`: whether a
    group that nobody has marked is ours by its name alone; there is a 1A at every school. `search: list` reads an
    endpoint once where the server knows no filter. `discovery` (RFC 7644 §4): whether what the server says of
    itself is read first, and must be there. `members`: whether a group is told which members came and went, in
    blocks of `members_per_patch` (`auto`: where PATCH is announced and that is less), or always all. `bulk`:
    whether many commands go out in one request, where the server announces it.
    """

    base_url: str
    adopt: Literal["unclaimed", "any"] = "unclaimed"
    adopt_groups: Literal["never", "by_name"] = "never"
    before_create: Literal["look_up", "post"] = "look_up"
    search: Literal["filter", "list"] = "filter"
    discovery: Mode = "if_there"
    members: Literal["patch", "put", "auto"] = "auto"
    members_per_patch: int = Field(100, ge=1)
    bulk: Literal["never", "announced"] = "never"
    token_file: Path | None = None
    timeout: Duration = Field(timedelta(seconds=30), gt=timedelta(0))
    ca_file: Path | None = None
    client_certificate_file: Path | None = None
    client_key_file: Path | None = None
    resources: Mapping[str, Resource] = Field(default_factory=dict)

    @property
    def system(self) -> str:
        return self.base_url.rstrip("/")

    @model_validator(mode="after")
    def _certificate_has_a_key(self) -> Self:
        if (self.client_certificate_file is None) is not (self.client_key_file is None):
            raise ValueError("client_certificate_file and client_key_file belong together: name both or neither")
        return self


def _target(config: ScimConfig, services: Services) -> ScimTarget:
    headers = {}
    if config.token_file is not None:
        headers["Authorization"] = f"Bearer {services.secret(config.token_file)}"
    certificate, key = config.client_certificate_file, config.client_key_file
    http = services.http(
        config.base_url,
        timeout=config.timeout,
        headers=headers,
        ca_file=config.ca_file,
        client_cert=(certificate, key) if certificate and key else None,
    )
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
    return ScimTarget(http, {**CORE, **config.resources}, adoption, ways)


connector = Connector("scim", ScimConfig, target=_target, default_mapping="scim/core")
