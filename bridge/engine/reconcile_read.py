"""What a target says it has is held against what it confirmed, a page at a time; nothing is changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from bridge.connector import Compares, ReadsBack, Remote, differing_fields
from bridge.domain.entities import Kind
from bridge.domain.ids import CanonicalId, Key, TargetId
from bridge.engine.asking import GoOn, Stopped
from bridge.engine.codec import decode_body
from bridge.engine.desire import Rendering
from bridge.ports import RESTING, Delivery, Reader, Store

MISSING, CHANGED, MOVED, LEFTOVER = "missing", "changed", "moved", "leftover"
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Known:
    """What we knew of one delivery before the target was read.

    `is_settled`: the target has confirmed what it should have. `is_resting`: it has somebody who leaves, for now.
    `is_gone`: it should have nothing, and has nothing that we know of. `is_moving`: an attempt is under way or in
    doubt.
    """

    kind: Kind
    key: Key
    resource: str
    remote_id: str | None = field(repr=False)
    version: int
    updated_at: datetime
    is_settled: bool
    is_resting: bool
    is_gone: bool
    is_moving: bool

    @classmethod
    def of(cls, row: Delivery) -> Known:
        is_nothing = row.desired is None and row.confirmed is None
        return cls(
            kind=row.kind,
            key=row.key,
            resource=row.resource,
            remote_id=row.remote_id,
            version=row.version,
            updated_at=row.updated_at,
            is_settled=row.state == "pending" and not row.is_due and row.desired is not None,
            is_resting=row.desired is None and row.reason in RESTING and not row.in_doubt,
            is_gone=is_nothing and not row.in_doubt,
            is_moving=row.in_doubt,
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """One entity of ours that the target has otherwise.

    `what`: "missing", "changed" (`fields` of what was sent), "moved" (it is there under another id) or "leftover"
    (it is there, and should not be). `remote_id` and `etag` tell where it was found. Not `is_certain`: several
    carry its id, and nobody guesses between them.
    """

    id: CanonicalId
    kind: Kind
    key: Key
    what: str
    fields: tuple[str, ...] = ()
    remote_id: str | None = field(default=None, repr=False)
    etag: str | None = None
    is_certain: bool = True

    @property
    def label(self) -> str:
        """How a hold counts it."""
        return f"{self.kind}.{self.what}"


@dataclass(slots=True)
class Reading:
    """All that was read: how much, how much of it is not ours, and what of ours is otherwise."""

    known: dict[CanonicalId, Known]
    findings: list[Finding] = field(default_factory=list)
    read: int = 0
    foreign: int = 0


def known_of(reader: Reader, rendering: Rendering) -> dict[CanonicalId, Known]:
    """What the target has confirmed, of the resources that its mapping sends; without the documents."""
    names = {resource.name for resource in rendering.mapping.resources}
    rows = _deliveries(reader, rendering.target)
    return {row.id: Known.of(row) for row in rows if row.resource in names}


def _deliveries(reader: Reader, target: TargetId) -> Iterator[Delivery]:
    after: CanonicalId | None = None
    while page := reader.deliveries(target, None, after, _PAGE):
        yield from page
        after = page[-1].id


def read(
    store: Store, rendering: Rendering, target: ReadsBack, known: dict[CanonicalId, Known], go_on: GoOn
) -> Reading:
    """Read all that the target has. Raises `TargetError`, and `Stopped` when told to stop."""
    comparison = _Comparison(rendering.target, target, known)
    remotes = iter(target.read_back([resource.name for resource in rendering.mapping.resources]))
    while page := list(islice(remotes, _PAGE)):
        if not go_on():
            raise Stopped
        with store.read() as reader:
            for remote in page:
                comparison.take(reader, remote)
    return comparison.ended()


class _Comparison:
    """Takes what the target has one by one, and keeps nothing of a document but the names of fields."""

    def __init__(self, name: TargetId, target: ReadsBack, known: dict[CanonicalId, Known]) -> None:
        self._name, self._target, self._known = name, target, known
        self._places = {(k.resource, k.remote_id): identity for identity, k in known.items() if k.remote_id}
        self._seen: set[CanonicalId] = set()
        self._elsewhere: dict[CanonicalId, list[Finding]] = defaultdict(list)
        self._reading = Reading(known)

    def take(self, reader: Reader, remote: Remote) -> None:
        self._reading.read += 1
        identity = self._places.get((remote.resource, remote.remote_id)) or self._named(remote)
        if identity is None:
            self._reading.foreign += remote.id not in self._known  # ours, under another name of the same place
        elif self._is_here(identity, remote):
            self._seen.add(identity)
            self._compare(reader, identity, remote)
        else:
            self._elsewhere[identity].append(self._finding(identity, MOVED, remote=remote))

    def _named(self, remote: Remote) -> CanonicalId | None:
        """Whose canonical id it carries, if it is one that we know of this resource."""
        known = self._known.get(remote.id) if remote.id else None
        return remote.id if known is not None and known.resource == remote.resource else None

    def _is_here(self, identity: CanonicalId, remote: Remote) -> bool:
        """Whether it is where we know it; a target without ids of its own has each at its only place."""
        known = self._known[identity]
        return known.remote_id == remote.remote_id or (known.remote_id is None and known.is_settled)

    def _compare(self, reader: Reader, identity: CanonicalId, remote: Remote) -> None:
        known = self._known[identity]
        if known.is_gone:
            self._elsewhere[identity].append(self._finding(identity, LEFTOVER, remote=remote))
        row = reader.delivery(self._name, identity) if known.is_settled or known.is_resting else None
        if row is None or row.confirmed_body is None or Known.of(row) != known:
            return  # it is on its way, or changed meanwhile
        sent, resource = decode_body(row.confirmed_body), remote.resource
        differing = self._target.differing if isinstance(self._target, Compares) else _by_fields
        if fields := differing(resource, sent, remote.document):
            finding = self._finding(identity, CHANGED, tuple(sorted(fields)), remote)
            self._reading.findings.append(finding)

    def ended(self) -> Reading:
        """Nothing more comes: whatever was not seen is missing."""
        self._reading.findings += filter(None, map(self._found_elsewhere, self._elsewhere))
        self._reading.findings += (
            self._finding(identity, MISSING)
            for identity, known in self._known.items()
            if known.is_settled and identity not in self._seen and identity not in self._elsewhere
        )
        return self._reading

    def _found_elsewhere(self, identity: CanonicalId) -> Finding | None:
        """What it means that our id is carried where we do not know it."""
        found, known = self._elsewhere[identity], self._known[identity]
        if known.is_moving or (known.remote_id is None and not known.is_gone):
            return None  # it is being created, and is found by its id then
        is_double = identity in self._seen and not known.is_gone
        if is_double or len(found) > 1:
            return _as(found[0], LEFTOVER, is_certain=False)
        return _as(found[0], LEFTOVER if known.is_gone else MOVED)

    def _finding(
        self, identity: CanonicalId, what: str, fields: tuple[str, ...] = (), remote: Remote | None = None
    ) -> Finding:
        known = self._known[identity]
        place, etag = (remote.remote_id, remote.etag) if remote is not None else (None, None)
        return Finding(identity, known.kind, known.key, what, fields, place, etag)


def _as(found: Finding, what: str, *, is_certain: bool = True) -> Finding:
    return Finding(found.id, found.kind, found.key, what, (), found.remote_id, found.etag, is_certain)


def _by_fields(_: str, sent: Mapping[str, Any], found: Mapping[str, Any]) -> Collection[str]:
    return differing_fields(sent, found)


def each(findings: Iterable[Finding]) -> Iterator[list[Finding]]:
    """In pages, so that the rows of no more than one are in memory."""
    rest = iter(findings)
    while page := list(islice(rest, _PAGE)):
        yield page
