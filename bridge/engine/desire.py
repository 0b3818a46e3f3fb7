"""What each target should have: one hash of the rendered body for every entity that goes there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from bridge.domain.entities import DERIVED, Group, Kind
from bridge.domain.ids import CanonicalId, Key, TargetId
from bridge.engine.codec import decode_entity, encode_body, hash_bytes
from bridge.engine.referrers import referrers
from bridge.engine.scan import delivery_rows, living_rows
from bridge.engine.views import Scope, views
from bridge.mapping import Ref, Resource, TargetMapping, narrow, references
from bridge.ports import GRACE, URGENT, Delivery, Desired, Reader, Subject, UnitOfWork

_PAGE = 500
_REFERRED = (Kind.MUNICIPALITY, Kind.INSTITUTION, Kind.PERSON, Kind.GROUP)
REFERRERS_LAST = (
    Kind.MUNICIPALITY,
    Kind.INSTITUTION,
    Kind.PERSON,
    Kind.GROUP,
    Kind.AFFILIATION,
    Kind.GUARDIANSHIP,
    Kind.MEMBERSHIP,
    Kind.TEACHING,
)


@dataclass(frozen=True, slots=True)
class Early:
    """Groups that begin later than `by` from now do not go to the target yet, nor does who is in them."""

    by: timedelta
    now: Callable[[], datetime]

    @property
    def until(self) -> str:
        """The last date on which a group may begin to be there, as groups tell their dates."""
        return (self.now() + self.by).date().isoformat()


@dataclass(frozen=True, slots=True)
class Rendering:
    """How entities look at one target: its scope and its mapping, and which `system` it is.

    `early`: how long before they begin groups go there; None: as soon as they are known. `digest` tells when any
    of these changed. `in_shadow`: a target that is new gets nothing until it is switched on.
    """

    target: TargetId
    scope: Scope
    mapping: TargetMapping
    system: str = ""
    early: Early | None = None
    in_shadow: bool = False

    @property
    def digest(self) -> str:
        institutions = self.scope.institutions
        seen = ",".join(sorted(institutions)) if institutions is not None else "*"
        early = f"~{self.early.by.days}" if self.early else ""
        named = f"~{hash_bytes(self.scope.name.encode()).hex()}" if self._tells_name else ""
        return f"{self.mapping.digest}{early}{named}|{seen}|{self.system}"

    @property
    def _tells_name(self) -> bool:
        """Whether a new name of the municipality is news to the target."""
        return Kind.MUNICIPALITY in self.mapping.kinds()


def system_of(digest: str) -> str:
    """The system of a rendering's digest."""
    return digest.split("|", 2)[-1]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A body with its references still open, the resource that it is, and the institution it speaks for.

    `institutions` are all that say anything of a person.
    """

    resource: Resource
    body: dict[str, Any]
    institution: str
    is_masked: bool = False  # something of the person behind it is protected
    institutions: tuple[str, ...] = ()

    @property
    def hash(self) -> bytes:
        return hash_bytes(encode_body(self.body))


@dataclass(frozen=True, slots=True)
class Occasion:
    """Why something is rendered anew.

    `changed` is what a source changed, None where it is not the source. `urgent` are persons of whom something is
    protected now, or no longer. A person who goes stays for `grace`, but not one whose protection never arrived.
    `is_cleared`: a person has allowed all of it; `cleared` is what else needs nobody's leave. `cause`: the
    run or the decision.
    """

    changed: frozenset[Subject] | None = None
    urgent: frozenset[Key] = frozenset()
    grace: timedelta = timedelta(0)
    is_cleared: bool = False
    cleared: frozenset[Subject] = frozenset()
    cause: str = ""

    def step(self, row: Desired, now: datetime) -> Desired:
        """Return the row with what this occasion says of it."""
        carried = None if self.changed is None else int((row.kind, row.key) in self.changed)
        is_person = row.kind is Kind.PERSON
        row = replace(
            row,
            carried=carried,
            is_cleared=self.is_cleared or (row.kind, row.key) in self.cleared,
            is_urgent=is_person and row.hash is not None and row.key in self.urgent,
            cause=self.cause,
        )
        if is_person and row.hash is None and row.rank != URGENT and self.grace > timedelta(0):
            return replace(row, not_before=now + self.grace, reason=GRACE)
        return row


SET_RIGHT = Occasion()
"""Nothing happened at the source: mapping, scope or what a reference leads to is another."""


def render(
    reader: Reader,
    rendering: Rendering,
    kind: Kind,
    keys: Collection[Key],
    there: Callable[[Collection[Ref]], Collection[str]] | None = None,
) -> dict[Key, Rendered]:
    """Render those of these entities that go to the target, without references to what does not go there.

    `there` tells the ids of those references that go there; without it that is what the target should have.
    """
    begun = _begun(reader, rendering, kind, keys) if rendering.early else keys
    found = views(reader, rendering.scope, kind, begun)
    rendered: dict[Key, Rendered] = {}
    for key, view in found.items():
        made = rendering.mapping.render(kind, view)
        if made is not None:
            is_masked, speaking = bool(view.get("is_masked")), tuple(view.get("institutions", ()))
            rendered[key] = Rendered(*made, _institution(view), is_masked, speaking)
    wanted = {ref for one in rendered.values() for ref in references(one.body)}
    if not wanted:
        return rendered
    known = there(wanted) if there else _desired(reader, rendering, wanted)
    narrowed = {key: replace(one, body=narrow(one.body, known)) for key, one in rendered.items()}
    return {key: one for key, one in narrowed.items() if one.resource.is_whole(one.body)}


def _desired(reader: Reader, rendering: Rendering, wanted: Collection[Ref]) -> set[str]:
    ids = {CanonicalId(ref.id) for ref in wanted}
    return {i for i, digest in reader.desired_hashes(rendering.target, ids).items() if digest is not None}


def _begun(reader: Reader, rendering: Rendering, kind: Kind, keys: Collection[Key]) -> Collection[Key]:
    """Leave out the groups that begin too late, and the memberships in them."""
    if rendering.early is None or kind not in (Kind.GROUP, Kind.MEMBERSHIP, Kind.TEACHING):
        return keys
    until = rendering.early.until
    rows = reader.entities(rendering.scope.municipality, Kind.GROUP, {key[:2] for key in keys})
    groups = {key: decode_entity(Kind.GROUP, row.body) for key, row in rows.items() if row.body is not None}
    late = {key for key, one in groups.items() if isinstance(one, Group) and (one.from_date or "") > until}
    return [key for key in keys if key[:2] not in late]


def _institution(view: Mapping[str, Any]) -> str:
    """A person speaks for the institution of their best affiliation, the municipality for none."""
    if "institutions" not in view:
        return str(view.get("institution_number", ""))
    own = (view["affiliations"] or [{}])[0].get("institution_number")
    return str(own or view["institutions"][0])


def desire(
    uow: UnitOfWork,
    rendering: Rendering,
    subjects: Mapping[Kind, Collection[Key]],
    now: datetime,
    occasion: Occasion = SET_RIGHT,
) -> set[CanonicalId]:
    """Render these entities for one target and store what it should have; return the ids of which that is new.

    What others refer to comes first, and who begins or ceases to go there brings along what refers to them.
    """
    stepped: set[CanonicalId] = set()
    pending = {kind: set(keys) for kind, keys in subjects.items()}
    home, kinds = rendering.scope.municipality, rendering.mapping.kinds()
    for kind in (kind for kind in REFERRERS_LAST if kind in kinds):
        keys = pending.get(kind, set())
        is_referred = kind in _REFERRED or (kind is Kind.AFFILIATION and Kind.TEACHING in kinds)
        before = _presence(uow, rendering, kind, keys if is_referred else ())
        for page in pages(sorted(keys)):
            rows = [occasion.step(row, now) for row in _rows(uow, rendering, kind, page)]
            stepped |= uow.put_desired(rows, now)
        flipped = {key for key, there in _presence(uow, rendering, kind, before).items() if there != before[key]}
        for referrer, found in referrers(uow, home, rendering.mapping, kind, flipped).items():
            pending.setdefault(referrer, set()).update(found)
    return stepped


_EVERYWHERE = (Kind.MUNICIPALITY, Kind.PERSON)
"""Kinds that are of no single institution."""


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
        *(desired_row(rendering, kind, row.key, None, row.resource, _last_rank(rendering, row)) for row in known),
    ]


def _last_rank(rendering: Rendering, row: Delivery) -> int:
    """The rank of what goes away; the mark of a protection that never arrived stays."""
    if row.rank != URGENT or row.is_due or row.state == "rejected":
        return row.rank
    return rendering.mapping.rank(row.resource)


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
        institution=rendered.institution if rendered else "" if kind in _EVERYWHERE else key[0],
        resource=resource,
        rank=rendering.mapping.rank(resource) if rendered else last_rank,
        hash=rendered.hash if rendered else None,
    )


def pages(keys: list[Key]) -> Iterable[list[Key]]:
    return (keys[start : start + _PAGE] for start in range(0, len(keys), _PAGE))


def everything(reader: Reader, rendering: Rendering) -> dict[Kind, set[Key]]:
    """Every living entity of the kinds that the mapping sends, and everything that the target has a row of."""
    subjects: dict[Kind, set[Key]] = {}
    home = rendering.scope.municipality
    for kind in rendering.mapping.kinds():
        rows = living_rows(reader, home, DERIVED.get(kind, kind))
        subjects[kind] = {(home,)} if kind is Kind.MUNICIPALITY else {row.key for row in rows}
    for row in deliveries_of(reader, rendering.target):
        subjects.setdefault(row.kind, set()).add(row.key)
    return subjects


def deliveries_of(reader: Reader, target: TargetId, state: str | None = None) -> list[Delivery]:
    """All of a target's deliveries, or those in a state."""
    return list(delivery_rows(reader, target, state))
