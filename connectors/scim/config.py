"""How a SCIM service provider is reached, and what it may be told in which way."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from bridge.connector import ConnectorConfig, Duration, Http, Services
from connectors.scim.discover import Mode
from connectors.scim.wire import Resource


class Connection(ConnectorConfig):
    """Where the service provider is, how it lets us in, and where its resources live.

    `resources` adds to those of the profile, or overrides them. `discovery` (RFC 7644 §4): whether what the server
    says of itself is read first, and must be there.
    """

    base_url: str
    discovery: Mode = "if_there"
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

    def headers(self, services: Services) -> dict[str, str]:
        """What proves with every request who we are. Raises `ConfigError`."""
        if self.token_file is None:
            return {}
        return {"Authorization": f"Bearer {services.secret(self.token_file)}"}

    def http(self, services: Services) -> Http:
        certificate, key = self.client_certificate_file, self.client_key_file
        edge: Http = services.http(
            self.base_url,
            timeout=self.timeout,
            headers=self.headers(services),
            ca_file=self.ca_file,
            client_cert=(certificate, key) if certificate and key else None,
        )
        return edge


class ScimConfig(Connection):
    """What is special about one server of RFC 7643's Users and Groups.

    `adopt` says which accounts that are there already may become ours: those that no other system has marked
    with an externalId of its own (`unclaimed`), or those too (`any`). `before_create`: whether they are looked for
    first, which takes two requests for each new account, or only where the server says that a name is taken: a
    server that does not watch over userName would then have hand-made accounts twice. `adopt_groups`: whether a
    group that nobody has marked is ours by its name alone; there is a 1A at every school. `search: list` reads an
    endpoint once where the server knows no filter. `members`: whether a group is told which members came and went,
    in blocks of `members_per_patch` (`auto`: where PATCH is announced and that is less), or always all. `bulk`:
    whether many commands go out in one request, where the server announces it.
    """

    adopt: Literal["unclaimed", "any"] = "unclaimed"
    adopt_groups: Literal["never", "by_name"] = "never"
    before_create: Literal["look_up", "post"] = "look_up"
    search: Literal["filter", "list"] = "filter"
    members: Literal["patch", "put", "auto"] = "auto"
    members_per_patch: int = Field(100, ge=1)
    bulk: Literal["never", "announced"] = "never"
