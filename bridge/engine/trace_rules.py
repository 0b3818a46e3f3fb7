"""What a mapping decided for one entity, rule by rule, in sentences that quote no personal value."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from bridge.domain.entities import Kind
from bridge.engine.desire import Rendering
from bridge.engine.trace_words import listed
from bridge.mapping.explain import Condition, Explanation, Fate, FieldFate, ResourceFate, Result


@dataclass(frozen=True, slots=True)
class Fields:
    """What of an entity goes to a target, by place in the body, and what stays here, in a sentence each.

    `unnamed` are view fields that the mapping does not name; `withheld` those that it names, and protection hides.
    """

    sent: tuple[str, ...]
    not_sent: tuple[str, ...]
    unnamed: tuple[str, ...]
    withheld: tuple[str, ...]


def fields_of(decision: Explanation | None, withheld: Collection[str]) -> Fields | None:
    """Sort the fields of the resource that takes the entity; None when none does."""
    taken = decision.taken if decision else None
    if taken is None:
        return None
    sent = [one for one in taken.fields if one.fate is Fate.SENT]
    return Fields(
        sent=tuple(one.place for one in sent),
        not_sent=tuple(_left_out(taken, withheld)),
        unnamed=taken.unnamed,
        withheld=tuple(sorted({top for one in taken.fields for top in _tops(one) if top in withheld})),
    )


def why_not(
    decision: Explanation | None, rendering: Rendering, kind: Kind, absence: str | None, withheld: Collection[str]
) -> str | None:
    """Say by which rule an entity does not go to a target, None when it does.

    `absence` says that there is nothing to be sent, `withheld` names what protection hides.
    """
    if absence is not None:
        return absence
    if kind not in rendering.mapping.kinds():
        return f"the mapping {rendering.mapping.name} sends nothing of the kind {kind}"
    if decision is None:
        institutions = listed(sorted(rendering.scope.institutions or ()))
        return f"out of scope: it gets {institutions} only, and none of these tells of it"
    if decision.taken is not None:
        return None
    told = [_refusal(one, withheld) for one in decision.resources if one.result is not Result.EARLIER]
    return "; ".join(told)


def _refusal(fate: ResourceFate, withheld: Collection[str]) -> str:
    match fate.result:
        case Result.WHEN:
            return f"resource {fate.name} takes only {', '.join(map(_condition, fate.conditions))}"
        case Result.REQUIRED:
            return f"resource {fate.name} requires {', '.join(_missing(one, withheld) for one in fate.missing)}"
        case _:
            places = listed(one.place for one in fate.missing)
            return f"resource {fate.name} requires {places}, and what that names does not go there"


def _condition(one: Condition) -> str:
    if one.allowed is None or one.found is None:
        return f"what its rule for {one.field} allows (its values may be personal and are not shown)"
    but = "all but " if one.is_excluded else ""
    return f"{one.field}: {but}{listed(one.allowed)} (there is {listed(one.found)})"


def _missing(one: FieldFate, withheld: Collection[str]) -> str:
    source = " and ".join(one.sources)
    hidden = ", and protection withholds it" if set(_tops(one)) & set(withheld) else ""
    if one.fate is Fate.CODES:
        return f"{one.place} (from {source}), whose codes do not know{_quoted(one)}"
    return f"{one.place} (from {source}), which there is not{hidden}"


def _quoted(one: FieldFate) -> str:
    return f" {', '.join(one.unknown)}" if one.unknown else " the value"


def _left_out(taken: ResourceFate, withheld: Collection[str]) -> Iterator[str]:
    for one in taken.fields:
        hidden = [top for top in _tops(one) if top in withheld]
        if one.fate is Fate.SENT:
            yield from _sent_otherwise(one, hidden)
        else:
            yield f"{one.place}: {_reason(one, hidden)}"


def _sent_otherwise(one: FieldFate, hidden: list[str]) -> Iterator[str]:
    if hidden:
        yield f"{one.place}: protection puts what may be seen in the place of {', '.join(hidden)}"
    elif one.is_default:
        yield f"{one.place}: the mapping's default is sent, because there is no value that it knows"
    elif one.unknown:
        yield f"{one.place}: sent without what its codes do not know:{_quoted(one)}"


def _reason(one: FieldFate, hidden: list[str]) -> str:
    match one.fate:
        case Fate.WHEN:
            return f"sent only for {', '.join(map(_condition, one.conditions))}"
        case Fate.CODES:
            return f"its codes do not know{_quoted(one)}"
        case Fate.ALONE:
            return "a constant, not sent because nothing beside it is"
        case Fate.REFERENCE:
            return "what it names does not go there"
        case _:
            return "withheld, because it is protected" if hidden else "empty: no institution tells it"


def _tops(one: FieldFate) -> list[str]:
    return [source.partition(".")[0] for source in one.sources]
