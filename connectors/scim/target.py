"""Each command ends with one resource in the state it should have, found again by externalId if need be."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bridge.connector import (
    Capabilities,
    Command,
    ContractBroken,
    Deferred,
    Delivered,
    Http,
    Outcome,
    Rejected,
    Remote,
    Unchanged,
)
from bridge.domain.changes import Operation
from connectors.scim.read import differing, read_resources
from connectors.scim.wire import (
    CANONICAL_ID,
    NOT_SCIM,
    Json,
    Resource,
    Settled,
    Wire,
    content,
    etag_of,
    id_of,
    settle,
)

__all__ = ["Adoption", "Resource", "ScimTarget"]

GONE = (404, 410)
CHANGED_MEANWHILE = Deferred("changed_meanwhile")


@dataclass(frozen=True, slots=True)
class Adoption:
    """What becomes of resources that somebody else made.

    `looks_first`: they are looked for before anything is created, not only where the server says that a name is
    taken. `takes_over`: what carries another system's externalId is adopted too. `groups_by_name`: a group that
    nobody has marked is ours if it is the only one of its name.
    """

    looks_first: bool = False
    takes_over: bool = False
    groups_by_name: bool = False


class ScimTarget:
    """`bridge.connector.Target` for RFC 7644.

    externalId need not be unique at the server (RFC 7643 §3.1), so a create that is repeated blindly
    may double: whatever is in doubt is looked up first.
    """

    capabilities = Capabilities(
        references="remote", max_batch=50, idempotent_create=False, inactive={"User": {"active": False}}
    )

    def __init__(self, http: Http, resources: Mapping[str, Resource], adoption: Adoption | None = None) -> None:
        self._wire, self._resources, self._adoption = Wire(http, resources), resources, adoption or Adoption()

    def apply(self, batch: Sequence[Command]) -> Iterator[Outcome]:
        """Yield one outcome per command, in order.

        Raises `TargetUnavailable` for 408, 429, 502, 503 and 504 too (RFC 9110 §15, RFC 6585 §4),
        `TargetUnauthorised` for 403 only if the probe fails too, `ContractBroken` for a redirect.
        """
        for command in batch:
            yield self._one(command)

    def probe(self) -> None:
        self._wire.probe()

    def read_back(self, resources: Collection[str]) -> Iterator[Remote]:
        """Yield all that the server has of these resources; see `read_resources` for what it raises."""
        for name in resources:
            if name not in self._resources:
                raise ContractBroken(f"the mapping sends {name}, but `resources` does not say where it lives")
            yield from read_resources(self._wire, name, self._resources[name])

    def differing(self, resource: str, sent: Json, found: Json) -> tuple[str, ...]:
        return differing(sent, found)

    def _one(self, command: Command) -> Outcome:
        resource = self._resources.get(command.resource)
        if resource is None:
            return Rejected("resource_not_configured", command.resource)
        try:
            return (self._delete if command.operation is Operation.DELETED else self._bring)(resource, command)
        except Settled as settled:
            return settled.outcome

    def _bring(self, resource: Resource, command: Command) -> Outcome:
        """PUT what is known to be there, look up what may be, POST what is not and may come into being."""
        document = command.document or {}
        extensions = sorted(name for name in document if name.startswith("urn:"))
        body = {"schemas": [resource.urn, *extensions], **document}
        if command.remote_id is not None:
            replaced = self._replace(resource, command.remote_id, command.etag, body)
            if replaced is not None:
                return replaced
        if not command.may_create:
            return self._still_there(resource, body)
        found = self._there_already(resource, command, body)
        return self._create(resource, body) if found is None else self._adopt(resource, found, body)

    def _still_there(self, resource: Resource, body: Json) -> Outcome:
        """PUT over what is ours and has only moved to another id; a namesake is somebody else."""
        ours = self._find(resource, "externalId", body) if self._adoption.looks_first else None
        return Unchanged(is_gone=True) if ours is None else self._adopt(resource, ours, body)

    def _there_already(self, resource: Resource, command: Command, body: Json) -> Json | None:
        """Return what the command should be about, although we do not know where it is."""
        is_doubtful = command.in_doubt or (command.operation is Operation.UPDATED and command.remote_id is None)
        looks = self._adoption.looks_first
        # Nothing but userName is unique, so any other resource could be made a second time unnoticed.
        if (looks or is_doubtful or "userName" not in body) and (ours := self._find(resource, "externalId", body)):
            return ours
        if looks and (namesake := self._find(resource, "userName", body)):
            return namesake
        return self._free_group(resource, body) if command.resource == "Group" else None

    def _free_group(self, resource: Resource, body: Json) -> Json | None:
        """Return the one group of this name that nobody claims; between several nobody guesses."""
        name = body.get("displayName")
        if not self._adoption.groups_by_name or not isinstance(name, str):
            return None
        free = [one for one in self._wire.look_up(resource, "displayName", name) if self._is_free(one, body)]
        if len(free) > 1:
            raise Settled(Rejected("ambiguous_match", "displayName"))
        return free[0] if free else None

    def _create(self, resource: Resource, body: Json) -> Outcome:
        """POST (RFC 7644 §3.3); what is taken already is looked up and adopted."""
        answer = self._wire.send("POST", resource.endpoint, body)
        if answer.status == 409:  # displayName is not unique, so it identifies nobody
            found = self._find(resource, "externalId", body) or self._find(resource, "userName", body)
            return self._adopt(resource, found or settle(answer), body)
        if answer.status in (404, 405):
            raise ContractBroken(f"POST {resource.endpoint} answers {answer.status}")
        self._wire.check(answer)
        created = content(answer)
        return Delivered(id_of(created), etag_of(answer, created), answer.status)

    def _adopt(self, resource: Resource, found: Json, body: Json) -> Outcome:
        """PUT over what somebody else made, unless another system or another of our entities claims it."""
        if not self._is_free(found, body):
            return Rejected("taken_by_other")
        return self._replace(resource, id_of(found), None, body) or CHANGED_MEANWHILE

    def _is_free(self, found: Json, body: Json) -> bool:
        theirs = found.get("externalId") or body.get("externalId")
        is_foreign = not CANONICAL_ID.fullmatch(str(theirs))
        return theirs == body.get("externalId") or (self._adoption.takes_over and is_foreign)

    def _replace(self, resource: Resource, remote_id: str, etag: str | None, body: Json) -> Outcome | None:
        """PUT (RFC 7644 §3.5.1), once more if it changed meanwhile (§3.14); None when it is not there."""
        path = resource.path(remote_id)
        answer = self._wire.send("PUT", path, body, etag)
        if answer.status in (412, 428):
            current = self._wire.send("GET", path)
            if current.status not in GONE:
                self._wire.check(current)
            answer = self._wire.send("PUT", path, body, etag_of(current, content(current)))
        if answer.status in GONE:
            return None
        if answer.status in (412, 428):
            return replace(CHANGED_MEANWHILE, status=answer.status)
        self._wire.check(answer)
        replaced = content(answer)
        if replaced is None and answer.status != 204:
            return replace(NOT_SCIM, status=answer.status)
        return Delivered(remote_id, etag_of(answer, replaced), answer.status)

    def _delete(self, resource: Resource, command: Command) -> Outcome:
        """DELETE (RFC 7644 §3.6); what is not there any more is as good as deleted."""
        remote_id = command.remote_id
        if remote_id is None:
            found = self._find(resource, "externalId", {"externalId": command.id, **(command.previous or {})})
            if found is None:
                return Unchanged()
            remote_id = id_of(found)
        answer = self._wire.send("DELETE", resource.path(remote_id))
        if answer.status in GONE:
            return Unchanged(status=answer.status)
        self._wire.check(answer)
        return Delivered(status=answer.status)

    def _find(self, resource: Resource, name: str, body: Json) -> Json | None:
        """Return the one resource that has our value, None when there is none."""
        value = body.get(name)
        if not isinstance(value, str):
            return None
        matches = self._wire.look_up(resource, name, value)
        if len(matches) > 1:
            raise Settled(Rejected("ambiguous_match", name))
        return matches[0] if matches else None
