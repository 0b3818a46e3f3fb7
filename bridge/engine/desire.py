"""What each target should have: one hash of the rendered body for every entity that goes there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bridge.domain.entities import Kind
from bridge.domain.ids import CanonicalId, Key, TargetId, split_key
from bridge.engine.codec import encode_body, hash_bytes
from bridge.engine.views import Scope, views
from bridge.mapping import Resource, TargetMapping, narrow, references
from bridge.ports import Delivery, Desired, Reader, UnitOfWork

_PAGE = 500
_REFERRERS_LAST = (
    Kind.INSTITUTION,
    Kind.PERSON,
    Kind.GROUP,
    Kind.AFFILIATION,
    Kind.GUARDIANSHIP,
    Kind.MEMBERSHIP,
)


@dataclass(frozen=True, slots=True)
class Rendering:
    """How entities look at one target: its scope and its mapping, and which `system` it is.

    `digest` tells when any of these changed.
    """

    target: TargetId
    scope: Scope
    mapping: TargetMapping
    system: str = ""

    @property
    def digest(self) -> str:
        institutions = self.scope.institutions
        seen = ",".join(sorted(institutions)) if institutions is not None else "*"
        return f"{self.mapping.digest}|{seen}|{self.system}"


def system_of(digest: str) -> str:
    """The system of a rendering's digest."""
    return digest.split("|", 2)[-1]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A body with its references still open, the resource that it is, and the institution it speaks for."""

    resource: Resource
    body: dict[str, Any]
    institution: str
    is_masked: bool = False  # something of the person behind it is protected

    @property
    def hash(self) -> bytes:
        return hash_bytes(encode_body(self.body))


def render(reader: Reader, rendering: Rendering, kind: Kind, keys: Collection[Key]) -> dict[Key, Rendered]:
    """Render those of these entities that go to the target, without references to what does not go there."""
    found = views(reader, rendering.scope, kind, keys)
    rendered: dict[Key, Rendered] = {}
    for key, view in found.items():
        made = rendering.mapping.render(kind, view)
        if made is not None:
            is_masked = bool(view.get("is_masked"))
            rendered[key] = Rendered(*made, institution=_institution(view), is_masked=is_masked)
    wanted = {CanonicalId(ref.id) for one in rendered.values() for ref in references(one.body)}
    if not wanted:
        return rendered
    there = {i for i, digest in reader.desired_hashes(rendering.target, wanted).items() if digest is not None}
    narrowed = {key: replace(one, body=narrow(one.body, there)) for key, one in rendered.items()}
    return {key: one for key, one in narrowed.items() if one.resource.is_whole(one.body)}


def _institution(view: Mapping[str, Any]) -> str:
    """A person speaks for the institution of their best affiliation; everything else has one of its own."""
    own = view.get("institution_number") or (view["affiliations"] or [{}])[0].get("institution_number")
    return str(own or view["institutions"][0])


def desire(uow: UnitOfWork, rendering: Rendering, subjects: Mapping[Kind, Collection[Key]], now: datetime) -> int:
    """Render these entities for one target and store what it should have; return how many rows changed.

    Persons come first, so that what refers to them is rendered when it is known which of them go there.
    """
    changed = 0
    pending = {kind: set(keys) for kind, keys in subjects.items()}
    kinds = rendering.mapping.kinds()
    for kind in (kind for kind in _REFERRERS_LAST if kind in kinds):
        keys = pending.get(kind, set())
        before = _presence(uow, rendering, kind, keys if kind is Kind.PERSON else ())
        for page in _pages(sorted(keys)):
            changed += uow.put_desired(_rows(uow, rendering, kind, page), now)
        if kind is Kind.PERSON:
            flipped = [key for key, there in _presence(uow, rendering, kind, keys).items() if there != before[key]]
            for referrer, there in referrers(uow, rendering, [key[0] for key in flipped]).items():
                pending.setdefault(referrer, set()).update(there)
    return changed


def _presence(reader: Reader, rendering: Rendering, kind: Kind, keys: Iterable[Key]) -> dict[Key, bool]:
    ids = {key: rendering.scope.id(kind, key) for key in keys}
    there = reader.desired_hashes(rendering.target, ids.values())
    return {key: there.get(identity) is not None for key, identity in ids.items()}


def _rows(reader: Reader, rendering: Rendering, kind: Kind, keys: Collection[Key]) -> list[Desired]:
    rendered = render(reader, rendering, kind, keys)
    gone = _presence(reader, rendering, kind, [key for key in keys if key not in rendered])
    ids = [rendering.scope.id(kind, key) for key, is_there in gone.items() if is_there]
    known = [row for identity in ids if (row := reader.delivery(rendering.target, identity)) is not None]
    return [
        *(desired_row(rendering, kind, key, one, one.resource.name, 0) for key, one in rendered.items()),
        *(desired_row(rendering, kind, row.key, None, row.resource, row.rank) for row in known),
    ]


def desired_row(
    rendering: Rendering, kind: Kind, key: Key, rendered: Rendered | None, last: str, last_rank: int
) -> Desired:
    """The row that says what the target should have of one entity: this body, or nothing.

    An entity that goes away keeps the resource and rank under which the target knows it.
    """
    resource = rendered.resource.name if rendered else last
    return Desired(
        target=rendering.target,
        id=rendering.scope.id(kind, key),
        kind=kind,
        key=key,
        institution=rendered.institution if rendered else "" if kind is Kind.PERSON else key[0],
        resource=resource,
        rank=rendering.mapping.rank(resource) if rendered else last_rank,
        hash=rendered.hash if rendered else None,
    )


def _pages(keys: list[Key]) -> Iterable[list[Key]]:
    return (keys[start : start + _PAGE] for start in range(0, len(keys), _PAGE))


def everything(reader: Reader, rendering: Rendering) -> dict[Kind, set[Key]]:
    """Every living entity of the kinds that the mapping sends, and everything that the target has a row of."""
    subjects: dict[Kind, set[Key]] = {}
    for kind in rendering.mapping.kinds():
        keys = subjects.setdefault(kind, set())
        after: Key | None = None
        while page := reader.scan(rendering.scope.municipality, kind, after, _PAGE):
            keys.update(row.key for row in page)
            after = page[-1].key
    for row in deliveries_of(reader, rendering.target):
        subjects.setdefault(row.kind, set()).add(row.key)
    return subjects


def deliveries_of(reader: Reader, target: TargetId, state: str | None = None) -> list[Delivery]:
    """All of a target's deliveries, or those in a state, read in pages."""
    rows: list[Delivery] = []
    while page := reader.deliveries(target, state, rows[-1].id if rows else None, _PAGE):
        rows += page
    return rows


def referrers(reader: Reader, rendering: Rendering, people: Collection[str]) -> dict[Kind, set[Key]]:
    """What may refer to these persons at the target, of the kinds that go there."""
    municipality, kinds = rendering.scope.municipality, rendering.mapping.kinds()
    found: dict[Kind, set[Key]] = {}
    for kind in kinds & {Kind.AFFILIATION, Kind.GUARDIANSHIP, Kind.MEMBERSHIP}:
        found[kind] = {row.key for row in reader.entities_by_person(municipality, kind, people)}
    if Kind.GUARDIANSHIP in kinds:
        found[Kind.GUARDIANSHIP] |= {
            row.key for row in reader.entities_by_other(municipality, Kind.GUARDIANSHIP, people)
        }
    if Kind.GROUP in kinds:
        rows = reader.entities_by_person(municipality, Kind.MEMBERSHIP, people)
        found[Kind.GROUP] = {split_key(row.other) for row in rows if row.other}
    return found
