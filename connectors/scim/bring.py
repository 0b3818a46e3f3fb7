"""Each command ends with one resource in the state it should have, found again by externalId if need be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge.connector import Command, Delivered, Outcome, Rejected, Unchanged
from bridge.domain.changes import Operation
from connectors.scim.find import Finder
from connectors.scim.members import Blocks, patch, to_tell
from connectors.scim.wire import CANONICAL_ID, UNNAMEABLE, Asking, Json, Resource, Settled, Steps, id_of, settle
from connectors.scim.write import CHANGED_MEANWHILE, create, delete, put


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


@dataclass(frozen=True, slots=True)
class Bringing:
    """How commands become requests at one service provider.

    externalId need not be unique at the server (RFC 7643 §3.1), so a create that is repeated blindly
    may double: whatever is in doubt is looked up first.
    """

    finder: Finder
    adoption: Adoption
    blocks: Blocks
    can_patch: bool

    def steps(self, resource: Resource, command: Command, body: Json) -> Steps:
        """Carry out a command; `body` is its document as the server is sent it. Raises `TargetError`."""
        try:
            self._check_id(body)
            if command.operation is Operation.DELETED:
                return (yield from self._delete(resource, command))
            return (yield from self._bring(resource, command, body))
        except Settled as settled:
            return settled.outcome

    def _bring(self, resource: Resource, command: Command, body: Json) -> Steps:
        """Write over what is known to be there, look up what may be, POST what is not and may come into being."""
        remote_id = command.remote_id or self._likely_id(command, body)
        if remote_id is not None:
            replaced = yield from self._replace(resource, command, remote_id, body)
            if replaced is not None:
                return replaced
        if not command.may_create:
            return (yield from self._still_there(resource, body))
        found = None if self.finder.is_key else (yield from self._there_already(resource, command, body))
        if found is not None:
            return (yield from self._adopt(resource, found, body))
        return (yield from self._create(resource, body))

    def _check_id(self, body: Json) -> None:
        """Refuse an id of ours that no path can name: a dot is a step in it, and nothing is the whole endpoint."""
        if self.finder.is_key and body.get("externalId") in UNNAMEABLE:
            raise Settled(Rejected("no_id_in_a_path", "externalId"))

    def _likely_id(self, command: Command, body: Json) -> str | None:
        """Where something is that may be there, if its id needs no look-up."""
        return _text(body, "externalId") if self.finder.is_key and _is_doubtful(command) else None

    def _replace(self, resource: Resource, command: Command, remote_id: str, body: Json) -> Asking[Outcome | None]:
        told = to_tell(command, self.blocks, can_patch=self.can_patch)
        if told is None:
            return (yield from put(resource, remote_id, command.etag, body))
        path = resource.path(remote_id)
        patched = yield from patch(path, remote_id, command.etag, told, self.blocks.size)
        if patched is not None:
            return patched
        # The version is not ours any more, be it by a block of our own: all is told, whatever is there.
        return (yield from put(resource, remote_id, None, body))

    def _still_there(self, resource: Resource, body: Json) -> Steps:
        """PUT over what is ours and has only moved to another id; a namesake is somebody else."""
        ours = (yield from self._find(resource, "externalId", body)) if self.adoption.looks_first else None
        return Unchanged(is_gone=True) if ours is None else (yield from self._adopt(resource, ours, body))

    def _there_already(self, resource: Resource, command: Command, body: Json) -> Asking[Json | None]:
        """Return what the command should be about, although we do not know where it is."""
        is_doubtful, looks = _is_doubtful(command), self.adoption.looks_first
        # Nothing but userName is unique, so any other resource could be made a second time unnoticed.
        if looks or is_doubtful or "userName" not in body:
            ours = yield from self._find(resource, "externalId", body, is_fresh=is_doubtful)
            if ours is not None:
                return ours
        if looks and (namesake := (yield from self._find(resource, "userName", body))):
            return namesake
        return (yield from self._free_group(resource, body)) if command.resource == "Group" else None

    def _free_group(self, resource: Resource, body: Json) -> Asking[Json | None]:
        """Return the one group of this name that nobody claims; between several nobody guesses."""
        name = body.get("displayName")
        if not self.adoption.groups_by_name or not isinstance(name, str):
            return None
        found = yield from self.finder.find(resource, "displayName", name, is_fresh=False)
        free = [one for one in found if self._is_free(one, body)]
        if len(free) > 1:
            raise Settled(Rejected("ambiguous_match", "displayName"))
        return free[0] if free else None

    def _create(self, resource: Resource, body: Json) -> Steps:
        """What is taken already is looked up and adopted; displayName is not unique, so it identifies nobody."""
        created = yield from create(resource, body, _text(body, "externalId") if self.finder.is_key else None)
        if isinstance(created, Delivered):
            if created.remote_id is not None:
                self.finder.took(resource, created.remote_id, body)
            return created
        found = yield from self._find(resource, "externalId", body, is_fresh=True)
        if found is None:
            found = yield from self._find(resource, "userName", body)
        return (yield from self._adopt(resource, found or settle(created), body))

    def _adopt(self, resource: Resource, found: Json, body: Json) -> Steps:
        """PUT over what somebody else made, unless another system or another of our entities claims it."""
        if not self._is_free(found, body):
            return Rejected("taken_by_other")
        self.finder.took(resource, id_of(found), body)
        replaced = yield from put(resource, id_of(found), None, body)
        if replaced is None:
            self.finder.forget(resource)
        return replaced or CHANGED_MEANWHILE

    def _is_free(self, found: Json, body: Json) -> bool:
        theirs = found.get("externalId") or body.get("externalId")
        is_foreign = not CANONICAL_ID.fullmatch(str(theirs))
        return theirs == body.get("externalId") or (self.adoption.takes_over and is_foreign)

    def _delete(self, resource: Resource, command: Command) -> Steps:
        remote_id, etag = command.remote_id, command.etag
        if remote_id is None:
            known: dict[str, Any] = {"externalId": command.id, **(command.previous or {})}
            found = yield from self._find(resource, "externalId", known, is_fresh=True)
            if found is None:
                return Unchanged()
            remote_id, etag = id_of(found), None
        self.finder.forget(resource)
        return (yield from delete(resource, remote_id, etag))

    def _find(self, resource: Resource, name: str, body: Json, *, is_fresh: bool = False) -> Asking[Json | None]:
        """Return the one resource that has our value, None when there is none."""
        value = _text(body, name)
        if value is None:
            return None
        matches = yield from self.finder.find(resource, name, value, is_fresh=is_fresh)
        if len(matches) > 1:
            raise Settled(Rejected("ambiguous_match", name))
        return matches[0] if matches else None


def _is_doubtful(command: Command) -> bool:
    """Whether it may be there although we do not know where."""
    return command.in_doubt or (command.operation is Operation.UPDATED and command.remote_id is None)


def _text(body: Json, name: str) -> str | None:
    value = body.get(name)
    return value if isinstance(value, str) else None
