"""A mapping tried on what is stored: how much of what would go, how much not and why; nothing is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.domain.entities import Kind
from bridge.domain.ids import Key
from bridge.engine.desire import Rendering, everything, pages
from bridge.engine.views import views
from bridge.mapping import TargetMapping
from bridge.mapping.explain import Result, explain, places
from bridge.ports import Reader


@dataclass(slots=True)
class Rehearsal:
    """What becomes of the entities that live: `filled` counts, by resource and place in the body, how often it has
    a value; `left_out` counts reasons by kind."""

    sent: Counter[str] = field(default_factory=Counter)
    masked: Counter[str] = field(default_factory=Counter)
    filled: dict[str, Counter[str]] = field(default_factory=dict)
    left_out: dict[Kind, Counter[str]] = field(default_factory=dict)


def rehearse(reader: Reader, rendering: Rendering) -> Rehearsal:
    """Render everything that a target would be told of by this mapping, whether it goes there already or not."""
    found = Rehearsal()
    for kind, view in living_views(reader, rendering):
        made = rendering.mapping.render(kind, view)
        if made is None:
            found.left_out.setdefault(kind, Counter())[why_not(rendering.mapping, kind, view)] += 1
            continue
        resource, body = made
        found.sent[resource.name] += 1
        found.masked[resource.name] += bool(view.get("is_masked"))
        found.filled.setdefault(resource.name, Counter()).update(places(body, resource.fields))
    return found


def living_views(reader: Reader, rendering: Rendering) -> Iterator[tuple[Kind, Mapping[str, Any]]]:
    """Yield the view of everything that lives, of the kinds that the mapping names."""
    for kind, keys in everything(reader, rendering).items():
        ordered: list[Key] = sorted(keys)
        for page in pages(ordered):
            for view in views(reader, rendering.scope, kind, page).values():
                yield kind, view


def why_not(mapping: TargetMapping, kind: Kind, view: Mapping[str, Any]) -> str:
    """By which rules of the resources of its kind an entity stays out; only places are told, no values."""
    told = []
    for one in explain(mapping, kind, view).resources:
        match one.result:
            case Result.WHEN:
                told.append(f"{one.name} is not for these ({', '.join(c.field for c in one.conditions)})")
            case Result.REQUIRED:
                told.append(f"{one.name} requires {', '.join(missing.place for missing in one.missing)}")
            case _:
                told.append(f"{one.name}: {one.result}")
    return "; ".join(told) or "no resource of this kind"
