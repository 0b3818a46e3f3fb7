"""What a service provider says of itself is read once, and what it cannot take is refused before it is sent."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bridge.connector import ContractBroken, TargetUnavailable
from connectors.scim.wire import Request, Resource, Wire, content, refuse

Mode = Literal["required", "if_there", "off"]
_NOT_THERE = (404, 405, 501)
_SPEAKABLE = re.compile(r"[A-Za-z0-9/_.:-]{1,80}")
_TOLD = 20


@dataclass(frozen=True, slots=True)
class BulkLimits:
    """What one Bulk request may hold: how many operations, and how many bytes."""

    operations: int
    payload: int


@dataclass(frozen=True, slots=True)
class Announced:
    """What a service provider says it can (RFC 7643 §5); of one that says nothing, what does no harm."""

    patch: bool = False
    etag: bool = True
    bulk: BulkLimits | None = None


@dataclass(slots=True)
class Discovery:
    """What is known of one service provider, read at the first use.

    `resources` are the mapping's, by name; `required` those that will be sent, in the mapping's order.
    """

    wire: Wire
    resources: Mapping[str, Resource]
    mode: Mode = "if_there"
    required: Collection[str] = ()
    _known: Announced | None = field(default=None, init=False)

    @property
    def announced(self) -> Announced:
        """What the service provider can. Raises `TargetError`, `ContractBroken` where it lacks what is sent."""
        if self._known is None:
            self._known = self._read()
        return self._known

    @property
    def uses_etags(self) -> bool:
        return self._known is None or self._known.etag

    def probe(self) -> None:
        """Read all of it anew and, as that may be public, one of the resources. Raises `TargetError`."""
        self._known = None
        self._known = self._read()
        first = next(iter(self.required or self.resources))
        endpoint = self.resources[first].endpoint
        answer = self.wire.send(Request("GET", endpoint, query={"count": "1"}))
        refuse(answer)
        is_list = answer.status < 300 and content(answer) is not None
        if not is_list and answer.status not in (404, 501):
            raise ContractBroken(f"GET {endpoint} answers {answer.status}, not with a list: see base_url")

    def _read(self) -> Announced:
        for name in self.required:
            if name not in self.resources:
                raise ContractBroken(f"the mapping sends {name}, but `resources` does not say where it lives")
        if self.mode == "off":
            return Announced()
        configuration = self._get("/ServiceProviderConfig")
        types = self._get("/ResourceTypes") if self.required else None
        if types is not None:
            self._compare(types.get("Resources"))
        return Announced() if configuration is None else _announced(configuration)

    def _get(self, path: str) -> Mapping[str, Any] | None:
        """None where it is not there and need not be."""
        answer = self.wire.send(Request("GET", path))
        refuse(answer)
        if answer.status in _NOT_THERE and self.mode == "if_there":
            return None
        if answer.status >= 500 and answer.status not in _NOT_THERE:
            raise TargetUnavailable(f"status_{answer.status}")
        found = content(answer)
        if answer.status != 200 or found is None:
            raise ContractBroken(
                f"GET {path} answers {answer.status}, not as RFC 7644 §4 says: see base_url; a server without it "
                "needs discovery: off"
            )
        return found

    def _compare(self, listed: Any) -> None:
        """Refuse what is sent but does not live where it is sent to."""
        types = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        for name in self.required:
            resource = self.resources[name]
            if not any(_is_type(one, resource) for one in types):
                raise ContractBroken(
                    f"the mapping sends {name} ({resource.urn} at {resource.endpoint}), but /ResourceTypes does "
                    f"not have it; there {_told(types)}: name it in `resources`, take another mapping, or set "
                    "discovery: off if the server can do more than it says"
                )


def _is_type(told: Mapping[str, Any], resource: Resource) -> bool:
    """Schemas are compared without case (RFC 7643 §2.1); an endpoint may stand there as a whole URL."""
    schema, endpoint = told.get("schema"), told.get("endpoint")
    return (
        isinstance(schema, str)
        and isinstance(endpoint, str)
        and schema.casefold() == resource.urn.casefold()
        and f"/{endpoint.strip('/')}".endswith(resource.endpoint)
    )


def _told(types: list[dict[str, Any]]) -> str:
    """The endpoints and schemas of a server; nothing of it that looks like anything else is passed on."""
    pairs = [(one.get("schema"), one.get("endpoint")) for one in types]
    fit = [f"{s} at {e}" for s, e in pairs if _is_speakable(s) and _is_speakable(e)]
    if not fit:
        return "is nothing"
    left = len(pairs) - len(fit[:_TOLD])
    return f"are {', '.join(fit[:_TOLD])}" + (f" and {left} more" if left else "")


def _is_speakable(value: object) -> bool:
    return isinstance(value, str) and _SPEAKABLE.fullmatch(value) is not None


def _announced(told: Mapping[str, Any]) -> Announced:
    bulk = told.get("bulk")
    return Announced(_can(told, "patch"), _can(told, "etag"), _limits(bulk) if _can(told, "bulk") else None)


def _can(told: Mapping[str, Any], name: str) -> bool:
    ability = told.get(name)
    return isinstance(ability, dict) and ability.get("supported") is True


def _limits(bulk: Any) -> BulkLimits | None:
    """A server that does not say both (RFC 7643 §5 requires them) is not sent any Bulk."""
    most, size = bulk.get("maxOperations"), bulk.get("maxPayloadSize")
    is_told = all(isinstance(one, int) and not isinstance(one, bool) and one > 0 for one in (most, size))
    return BulkLimits(most, size) if is_told else None
