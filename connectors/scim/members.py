"""A group of whose members a few came or went is told these few, in blocks; what is not certain is told whole.

Adding a member who is there and removing one who is not changes nothing (RFC 7644 §3.5.2), so that a block whose
outcome nobody saw may be sent again; but the command that follows is a PUT of all of it in any case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bridge.connector import Command, Delivered
from connectors.scim.wire import NOT_SCIM, Asking, Json, Request, Settled, content, etag_of, quoted

PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_MEMBERS = "members"
_TOO_LARGE = 413
_PLAIN = (str, int, float, bool)


@dataclass(frozen=True, slots=True)
class Blocks:
    """When members are told by PATCH, and how many of them at most in one request."""

    mode: Literal["patch", "put", "auto"] = "auto"
    size: int = 100


@dataclass(frozen=True, slots=True)
class Difference:
    """What leads from one document to another: members that come and go, and the operations for the rest."""

    gone: tuple[str, ...]
    new: tuple[Json, ...]
    rest: tuple[Json, ...]

    @property
    def members(self) -> int:
        return len(self.gone) + len(self.new)


def difference(previous: Json, document: Json) -> Difference | None:
    """Return what only members and plain fields beside them make; None where more than that differs."""
    before, after = _by_value(previous.get(_MEMBERS, [])), _by_value(document.get(_MEMBERS, []))
    if before is None or after is None:
        return None
    names = sorted({*previous, *document} - {_MEMBERS})
    changed = [name for name in names if previous.get(name) != document.get(name)]
    values = [one.get(name) for name in changed for one in (previous, document)]
    if not all(value is None or isinstance(value, _PLAIN) for value in values):
        return None
    return Difference(
        tuple(value for value, one in before.items() if after.get(value) != one),
        tuple(one for value, one in after.items() if before.get(value) != one),
        tuple(_operation(name, document.get(name)) for name in changed),
    )


def to_tell(command: Command, blocks: Blocks, *, can_patch: bool) -> Difference | None:
    """Return what of a group is told by PATCH; None where it is told whole."""
    if blocks.mode == "put" or not (can_patch or blocks.mode == "patch"):
        return None
    is_certain = not command.in_doubt and not command.is_resent
    if command.remote_id is None or command.previous is None or command.document is None or not is_certain:
        return None
    found = difference(command.previous, command.document)
    if found is None or not found.members:
        return None
    is_fewer = found.members < len(command.document.get(_MEMBERS, []))
    return found if is_fewer or blocks.mode == "patch" else None


def patch(path: str, remote_id: str, etag: str | None, told: Difference, size: int) -> Asking[Delivered | None]:
    """PATCH block by block (RFC 7644 §3.5.2); None when one of them is not taken, so that all must be told.

    A block that is too large for the server goes in halves, and so does the rest: all of it would be larger still.
    """
    status: int | None = None
    left: list[str | Json] = [*told.gone, *told.new]  # who goes, before who comes
    rest = told.rest
    while left:
        block = left[:size]
        operations = [*rest, *_operations(block)]
        answer = yield Request("PATCH", path, {"schemas": [PATCH_OP], "Operations": operations}, etag)
        if answer.status == _TOO_LARGE and len(block) > 1:
            size = len(block) // 2
            continue
        if answer.status >= 300:
            return None
        found = content(answer)
        if found is None and answer.status != 204:
            raise Settled(NOT_SCIM)
        etag, status = etag_of(answer, found), answer.status
        left, rest = left[size:], ()
    return Delivered(remote_id, etag, status)


def _operations(block: Sequence[str | Json]) -> Iterator[Json]:
    """The operations of one request."""
    yield from (_removal(value) for value in block if isinstance(value, str))
    new = [one for one in block if isinstance(one, Mapping)]
    if new:
        yield {"op": "add", "path": _MEMBERS, "value": new}


def _removal(value: str) -> Json:
    return {"op": "remove", "path": f"{_MEMBERS}[value eq {quoted(value)}]"}


def _operation(name: str, value: Any) -> Json:
    return {"op": "remove", "path": name} if value is None else {"op": "replace", "path": name, "value": value}


def _by_value(members: Any) -> dict[str, Json] | None:
    """Members by their value; None where one has none, or two have the same."""
    if not isinstance(members, Sequence) or not all(isinstance(one, Mapping) for one in members):
        return None
    found = {one["value"]: one for one in members if isinstance(one.get("value"), str)}
    return found if len(found) == len(members) else None
