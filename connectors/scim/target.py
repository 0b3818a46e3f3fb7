"""One service provider is brought up to date: what it announces decides how, what it lacks is refused first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from bridge.connector import (
    Capabilities,
    Command,
    ContractBroken,
    Http,
    Outcome,
    Rejected,
    Remote,
    unencodable_field,
)
from connectors.scim.bring import Adoption, Bringing
from connectors.scim.bulk import deliver_in_bulks
from connectors.scim.discover import Discovery, Mode
from connectors.scim.find import ByFilter, ByList, ByPath, Finder
from connectors.scim.members import Blocks
from connectors.scim.read import differing, read_all, read_resources
from connectors.scim.wire import Json, Resource, Steps, Wire, traced

__all__ = ["Adoption", "Resource", "ScimTarget", "Ways"]

_BATCH, _BULK_BATCH = 50, 500


def _as_it_is(document: Json) -> Json:
    return document


@dataclass(frozen=True, slots=True)
class Ways:
    """How a service provider is spoken to.

    `search`: by a filter, in a whole list, or (`path`) not at all, as its id is our externalId. `dress` adds to a
    document what the server wants to see around it.
    """

    discovery: Mode = "off"
    search: Literal["filter", "list", "path"] = "filter"
    uses_bulk: bool = False
    blocks: Blocks = field(default_factory=Blocks)
    dress: Callable[[Json], Json] = _as_it_is
    inactive: Mapping[str, Json] = field(default_factory=lambda: {"User": {"active": False}})


class ScimTarget:
    """`bridge.connector.Target` for RFC 7644."""

    def __init__(
        self,
        http: Http,
        resources: Mapping[str, Resource],
        adoption: Adoption | None = None,
        ways: Ways | None = None,
    ) -> None:
        self._resources, self._adoption, self._ways = resources, adoption or Adoption(), ways or Ways()
        self._wire = Wire(http, self.probe, lambda: self._discovery.uses_etags)
        self._discovery = Discovery(self._wire, resources, self._ways.discovery)
        self._finder = self._make_finder()
        self.capabilities = Capabilities(
            references="canonical" if self._ways.search == "path" else "remote",
            max_batch=_BULK_BATCH if self._ways.uses_bulk else _BATCH,
            idempotent_create=False,
            in_order=not self._ways.uses_bulk,
            inactive=self._ways.inactive,
        )

    def require(self, resources: Sequence[str]) -> None:
        self._discovery.required = tuple(resources)

    def probe(self) -> None:
        self._discovery.probe()

    def apply(self, batch: Sequence[Command]) -> Iterator[Outcome]:
        """Yield one outcome per command, in order.

        Raises `TargetUnavailable` for 408, 429, 502, 503 and 504 too (RFC 9110 §15, RFC 6585 §4),
        `TargetUnauthorised` for 403 only if the probe fails too, `ContractBroken` for a redirect, and where the
        server says that it does not have what the mapping sends.
        """
        if not batch:
            return
        announced = self._discovery.announced
        can_patch = announced.patch
        bringing = Bringing(self._finder, self._adoption, self._ways.blocks, can_patch)
        many = (traced(self._steps(bringing, command), command.traceparent) for command in batch)
        if self._ways.uses_bulk and announced.bulk is not None:
            yield from deliver_in_bulks(self._wire, announced.bulk, many)
        else:
            yield from map(self._wire.carry_out, many)

    def read_back(self, resources: Collection[str]) -> Iterator[Remote]:
        """Yield all that the server has of these resources; see `read_resources` for what it raises."""
        living: dict[Resource, list[str]] = {}
        for name in resources:
            if name not in self._resources:
                raise ContractBroken(f"the mapping sends {name}, but `resources` does not say where it lives")
            living.setdefault(self._resources[name], []).append(name)
        key = "externalId" if self._ways.search == "path" else "id"
        for resource, names in living.items():
            yield from read_resources(self._wire, names, resource, key)

    def differing(self, resource: str, sent: Json, found: Json) -> tuple[str, ...]:
        return differing(sent, found)

    def _steps(self, bringing: Bringing, command: Command) -> Steps:
        resource = self._resources.get(command.resource)
        if resource is None:
            yield from ()
            return Rejected("resource_not_configured", command.resource)
        if (field_name := unencodable_field(command.document or {})) is not None:
            return Rejected("not_in_utf8", field_name)
        document = self._ways.dress(command.document or {})
        extensions = sorted(name for name in document if name.startswith("urn:"))
        body = {"schemas": [resource.urn, *extensions], **document}
        return (yield from bringing.steps(resource, command, body))

    def _make_finder(self) -> Finder:
        match self._ways.search:
            case "filter":
                return ByFilter()
            case "list":
                return ByList(partial(read_all, self._wire))
            case "path":
                return ByPath()
