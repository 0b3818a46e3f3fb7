"""EGIL, the school profile of SCIM for SS 12000:2018: seven resource types, ids of ours, and no PATCH or filter.

Source of the wire facts: Sambruk's EgilSCIM (client) and windermere (server), as read on GitHub. Where servers
differ, a setting says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from bridge.connector import Connector, Duration, Services
from connectors.scim.config import Connection
from connectors.scim.members import Blocks
from connectors.scim.target import Adoption, ScimTarget, Ways
from connectors.scim.wire import Json, Resource

_PREFIX = "urn:scim:schemas:extension:sis:school:1.0:"
_USER = Resource(endpoint="/Users", urn="urn:ietf:params:scim:schemas:core:2.0:User")


def _of_school(name: str, endpoint: str) -> Resource:
    return Resource(endpoint=endpoint, urn=f"{_PREFIX}{name}")


RESOURCES = {
    "Organisation": _of_school("Organisation", "/Organisations"),
    "SchoolUnitGroup": _of_school("SchoolUnitGroup", "/SchoolUnitGroups"),
    "SchoolUnit": _of_school("SchoolUnit", "/SchoolUnits"),
    "Student": _USER,
    "Teacher": _USER,
    "Employment": _of_school("Employment", "/Employments"),
    "StudentGroup": _of_school("StudentGroup", "/StudentGroups"),
    "Activity": _of_school("Activity", "/Activities"),
}
REFERENCES = {
    "organisation": "Organisation",
    "schoolUnitGroup": "SchoolUnitGroup",
    "enrolments": "SchoolUnit",
    "userRelations": "Student",
    "employedAt": "SchoolUnit",
    "user": "Student",
    "owner": "SchoolUnit",
    "studentMemberships": "Student",
    "groups": "StudentGroup",
    "teachers": "Employment",
    "parentActivity": "Activity",
}
"""Which attributes refer to what: all that a `$ref` takes beside the id."""

Style = Literal["absolute", "relative", "omit"]


class EgilConfig(Connection):
    """What is special about one EGIL server.

    `ids`: whether its id of a resource is our externalId, or one of its own (`server`), which is then found in a
    list that is read once. `ref`: how a `$ref` beside an id is written, or that there is none. `api_key_file`: a
    key that goes into the header `api_key_header`, instead of a token or a client certificate.
    """

    ids: Literal["externalId", "server"] = "externalId"
    ref: Style = "relative"
    api_key_file: Path | None = None
    api_key_header: str = Field("X-API-Key", pattern=r"^[A-Za-z0-9-]+$")
    timeout: Duration = Field(timedelta(seconds=120), gt=timedelta(0))

    @model_validator(mode="after")
    def _one_proof(self) -> Self:
        if self.api_key_file is not None and self.token_file is not None:
            raise ValueError("api_key_file and token_file are two ways to prove the same: name one")
        return self

    def headers(self, services: Services) -> dict[str, str]:
        if self.api_key_file is None:
            return super().headers(services)
        return {self.api_key_header: services.secret(self.api_key_file)}


def with_refs(document: Any, resources: Mapping[str, Resource], base: str) -> Any:
    """Return a document with a `$ref` beside each id that refers to something, within extensions too.

    `base` stands before the endpoint: a URL, or nothing for a relative reference (``SchoolUnits/<id>``).
    """
    if not isinstance(document, Mapping):
        return document
    return {
        name: _referring(value, resources[REFERENCES[name]], base)
        if name in REFERENCES
        else with_refs(value, resources, base)
        for name, value in document.items()
    }


def _referring(value: Any, resource: Resource, base: str) -> Any:
    match value:
        case list():
            return [_referring(one, resource, base) for one in value]
        case {"value": str(remote_id)}:
            return {**value, "$ref": f"{base}{resource.path(remote_id)}".lstrip("/")}
        case _:
            return value


def _unchanged(document: Json) -> Json:
    return document


def _target(config: EgilConfig, services: Services) -> ScimTarget:
    resources = {**RESOURCES, **config.resources}
    base = config.base_url.rstrip("/") if config.ref == "absolute" else ""
    is_ours = config.ids == "externalId"
    ways = Ways(
        discovery=config.discovery,
        search="path" if is_ours else "list",
        blocks=Blocks("put"),
        dress=_unchanged if config.ref == "omit" else partial(with_refs, resources=resources, base=base),
        inactive={},
    )
    return ScimTarget(config.http(services), resources, Adoption(looks_first=not is_ours), ways)


connector = Connector("scim-egil", EgilConfig, target=_target, default_mapping="egil/ss12000")
