"""Two targets side by side: whom and what one would have and the other not, before one takes the other's place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from bridge.domain.entities import Kind
from bridge.domain.ids import Key
from bridge.engine.brake import operation_of
from bridge.engine.desire import Rendering, deliveries_of, pages
from bridge.engine.rehearse import why_not
from bridge.engine.views import views
from bridge.mapping import TargetMapping
from bridge.ports import Delivery, Reader


@dataclass(frozen=True, slots=True)
class KindCompared:
    """Entities of one kind: how many `both` are to have, and the keys of those that one alone is."""

    kind: Kind
    both: int
    only_new: tuple[Key, ...]
    only_old: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a new target would have beside what an old one is to have.

    `fields_only_new` and `fields_only_old` are, by kind, fields of the source that one mapping alone sends.
    `reasons` count by kind why the new one would not have what the old one has. `to_send` is what the new one is
    still to be sent, `rejected` what it has refused. `schools` counts both, only new and only old by institution.
    """

    kinds: tuple[KindCompared, ...]
    schools: Mapping[str, tuple[int, int, int]]
    fields_only_new: Mapping[Kind, tuple[str, ...]]
    fields_only_old: Mapping[Kind, tuple[str, ...]]
    reasons: Mapping[Kind, Counter[str]] = field(default_factory=dict)
    to_send: Mapping[str, int] = field(default_factory=dict)
    rejected: int = 0


def compare(reader: Reader, new: Rendering, old: Rendering) -> Comparison:
    """Compare what both are to have now; whether it has been sent makes no difference."""
    rows = deliveries_of(reader, new.target)
    ours, theirs = _wanted(rows), _wanted(deliveries_of(reader, old.target))
    kinds = sorted({kind for kind, _ in (*ours, *theirs)}, key=list(Kind).index)
    compared = tuple(_kind(kind, ours, theirs) for kind in kinds)
    return Comparison(
        kinds=compared,
        schools=_schools(ours, theirs),
        fields_only_new=_fields_only(new.mapping, old.mapping),
        fields_only_old=_fields_only(old.mapping, new.mapping),
        reasons={one.kind: told for one in compared if (told := _reasons(reader, new, one.kind, one.only_old))},
        to_send=to_send(rows),
        rejected=sum(row.state == "rejected" for row in rows),
    )


def to_send(rows: Collection[Delivery]) -> dict[str, int]:
    """How many creations, updates and deletions are due, now or later."""
    due = Counter(operation_of(row, row.desired is not None).value for row in rows if row.is_due)
    return {operation: due[operation] for operation in ("created", "updated", "deleted")}


def _wanted(rows: Collection[Delivery]) -> dict[tuple[Kind, Key], Delivery]:
    return {(row.kind, row.key): row for row in rows if row.desired is not None}


def _kind(kind: Kind, ours: Collection[tuple[Kind, Key]], theirs: Collection[tuple[Kind, Key]]) -> KindCompared:
    here, there = ({key for one, key in some if one is kind} for some in (ours, theirs))
    return KindCompared(kind, len(here & there), tuple(sorted(here - there)), tuple(sorted(there - here)))


def _schools(
    ours: Mapping[tuple[Kind, Key], Delivery], theirs: Mapping[tuple[Kind, Key], Delivery]
) -> dict[str, tuple[int, int, int]]:
    found: dict[str, list[int]] = {}
    for place in {**ours, **theirs}:
        row = ours.get(place) or theirs[place]
        column = 0 if place in ours and place in theirs else 1 if place in ours else 2
        found.setdefault(row.institution, [0, 0, 0])[column] += 1
    return {school: (both, new, old) for school, (both, new, old) in sorted(found.items())}


def _fields_only(one: TargetMapping, other: TargetMapping) -> dict[Kind, tuple[str, ...]]:
    mine, theirs = _fields(one), _fields(other)
    found = {kind: tuple(sorted(names - theirs.get(kind, set()))) for kind, names in mine.items()}
    return {kind: names for kind, names in found.items() if names}


def _fields(mapping: TargetMapping) -> dict[Kind, set[str]]:
    found: dict[Kind, set[str]] = {}
    for resource in mapping.variants():
        found.setdefault(resource.kind, set()).update(path for _, rule in resource.leaves() for path in rule.reads)
    return found


def _reasons(reader: Reader, new: Rendering, kind: Kind, keys: Collection[Key]) -> Counter[str]:
    told: Counter[str] = Counter()
    if kind not in new.mapping.kinds():
        return Counter({"its mapping sends nothing of this kind": len(keys)}) if keys else told
    for page in pages(sorted(keys)):
        seen = views(reader, new.scope, kind, page)
        told["out of its institutions"] += len(page) - len(seen)
        told.update(why_not(new.mapping, kind, view) for view in seen.values())
    return +told
