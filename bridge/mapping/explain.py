"""Why a mapping does with one view what it does; every rule is asked by rendering it, so that both agree."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from bridge.domain.entities import Kind
from bridge.mapping.references import narrow, references
from bridge.mapping.rules import Choice, Node, Ref, Resource, Rule, TargetMapping, as_text, flat, look_up
from bridge.mapping.view import view_fields

SHOWN = frozenset(
    {
        "kind",
        "kinds",
        "institution_number",
        "institutions",
        "protected",
        "roles",
        "main_role",
        "type",
        "relation",
        "custody",
    }
)
"""View fields whose values may be told to anybody; all others may be personal."""


class Fate(StrEnum):
    """What becomes of one field of a resource. Everything but `SENT` says why it is not in the body."""

    SENT = "sent"
    EMPTY = "empty"
    WHEN = "when"
    CODES = "codes"
    ALONE = "alone"  # a constant, and the object around it has nothing of the entity
    REFERENCE = "reference"  # it names what does not go to the target


class Result(StrEnum):
    """What becomes of an entity at one resource. Everything but `TAKEN` says why it is not sent as that."""

    TAKEN = "taken"
    EARLIER = "earlier"  # a resource before this one takes it
    WHEN = "when"
    REQUIRED = "required"
    REFERENCE = "reference"  # what it must name does not go to the target


@dataclass(frozen=True, slots=True)
class Condition:
    """A `when` that is not met: what it allows and what there is, None where that may be personal.

    `is_excluded`: it allows all but these.
    """

    field: str
    allowed: tuple[str, ...] | None
    found: tuple[str, ...] | None
    is_excluded: bool = False


@dataclass(frozen=True, slots=True)
class FieldFate:
    """One leaf of a resource: its dotted place in the body, and the view fields that feed it.

    `is_default`: its default stands for what there is not. `unknown` are values that its `codes` do not know,
    those that may be told.
    """

    place: str
    sources: tuple[str, ...]
    fate: Fate
    is_default: bool = False
    conditions: tuple[Condition, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceFate:
    """One resource: `conditions` that are not met, required fields that are `missing`, and, if taken, all fields.

    `unnamed` are the view fields that it does not name at all.
    """

    name: str
    result: Result
    conditions: tuple[Condition, ...] = ()
    missing: tuple[FieldFate, ...] = ()
    fields: tuple[FieldFate, ...] = ()
    unnamed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a mapping does with one entity, resource by resource; none when it names no resource of its kind."""

    kind: Kind
    resources: tuple[ResourceFate, ...]

    @property
    def taken(self) -> ResourceFate | None:
        """The resource as which the entity is sent."""
        return next((one for one in self.resources if one.result is Result.TAKEN), None)


def explain(
    mapping: TargetMapping, kind: Kind, view: Mapping[str, Any], there: Container[str] | None = None
) -> Explanation:
    """Explain what becomes of an entity's view.

    `there` are the ids of what goes to the target; None takes every reference for one that does.
    """
    fates: list[ResourceFate] = []
    is_decided = False
    for resource in mapping.resources_of(view):
        if resource.kind is kind:
            fate = ResourceFate(resource.name, Result.EARLIER) if is_decided else _fate(resource, view, there)
            is_decided = is_decided or fate.result in (Result.TAKEN, Result.REFERENCE)
            fates.append(fate)
    return Explanation(kind, tuple(fates))


def named_ids(mapping: TargetMapping, kind: Kind, view: Mapping[str, Any]) -> set[str]:
    """Return the canonical ids that the body of this view would refer to."""
    made = mapping.render(kind, view)
    return {ref.id for ref in references(made[1])} if made else set()


def places(body: Mapping[str, Any], fields: Mapping[str, Node]) -> set[str]:
    """Name the leaves of `fields` that a body has, by dotted place."""
    return set(_places(fields, body, ""))


def unnamed(resource: Resource) -> tuple[str, ...]:
    """Name the view fields that a resource does not name: parts where it names others of the same field."""
    named = {source for _, rule in resource.leaves() for source in (*rule.sources, *rule.named)}
    tops = {name.partition(".")[0] for name in named}
    left = view_fields(resource.kind) - named
    return tuple(sorted({name if name.partition(".")[0] in tops else name.partition(".")[0] for name in left}))


def _fate(resource: Resource, view: Mapping[str, Any], there: Container[str] | None) -> ResourceFate:
    conditions = _unmet(resource.when, view)
    if conditions:
        return ResourceFate(resource.name, Result.WHEN, conditions)
    body = resource.render(view)
    if body is None:
        missing = tuple(_field(place, rule, view, frozenset()) for place, rule in _missing(resource, view))
        return ResourceFate(resource.name, Result.REQUIRED, missing=missing)
    sent = places(body if there is None else narrow(body, there), resource.fields)
    fields = tuple(_field(place, rule, view, sent) for place, rule in resource.leaves())
    if there is not None and not resource.is_whole(narrow(body, there)):
        required = {place for place, rule in resource.leaves() if rule.required}
        missing = tuple(one for one in fields if one.place in required and one.fate is not Fate.SENT)
        return ResourceFate(resource.name, Result.REFERENCE, missing=missing)
    return ResourceFate(resource.name, Result.TAKEN, fields=fields, unnamed=unnamed(resource))


def _places(node: Node | Mapping[str, Node], body: Any, at: str) -> Iterator[str]:
    match node:
        case Rule():
            yield at
        case list():
            for element in body:
                yield from _places(node[0], element, f"{at}[]")
        case _:
            for name, child in node.items():
                if name in body:
                    yield from _places(child, body[name], f"{at}.{name}" if at else name)


# ---------------------------------------------------------------- why


def _unmet(when: Mapping[str, Choice] | None, view: Mapping[str, Any]) -> tuple[Condition, ...]:
    return tuple(
        _condition(path, choice, view)
        for path, choice in (when or {}).items()
        if Resource("", Kind.PERSON, {path: choice}, {}).render(view) is None
    )


def _condition(path: str, choice: Choice, view: Mapping[str, Any]) -> Condition:
    if not _may_be_told(path):
        return Condition(path, None, None)
    shown = tuple(sorted(map(as_text, choice.values)))
    return Condition(path, shown, tuple(map(as_text, _values(view, path))), choice.is_excluded)


def _may_be_told(path: str) -> bool:
    """The source's own word beside a code of ours may be anything, so it is not told."""
    own = path.removeprefix("affiliations.")
    return own.partition(".")[0] in SHOWN and not own.endswith(".source")


def _values(view: Mapping[str, Any], path: str) -> list[Any]:
    return [one for one in flat(look_up(view, path)) if one not in (None, "")]


def _missing(resource: Resource, view: Mapping[str, Any]) -> Iterator[tuple[str, Rule]]:
    """Yield the required leaves without which the resource refuses the view: each one is required alone."""
    for place, rule in resource.leaves():
        if rule.required:
            only = _require(resource.fields, place, "")
            if isinstance(only, dict) and Resource(resource.name, resource.kind, {}, only).render(view) is None:
                yield place, rule


def _require(node: Node, wanted: str, at: str) -> Node:
    """The same rules with nothing required but this one place."""
    match node:
        case Rule():
            return replace(node, required=at == wanted)
        case list():
            return [_require(node[0], wanted, f"{at}[]")]
        case dict():
            return {name: _require(child, wanted, f"{at}.{name}" if at else name) for name, child in node.items()}


def _field(place: str, rule: Rule, view: Mapping[str, Any], sent: Container[str]) -> FieldFate:
    conditions = _unmet(rule.when, view)
    values = [value for source in rule.sources for value in _values(view, source)]
    unknown = [value for value in values if rule.codes is not None and as_text(value) not in rule.codes]
    is_told = all(map(_may_be_told, (*rule.sources, *rule.named)))
    return FieldFate(
        place,
        rule.sources,
        Fate.SENT if place in sent else _why_not(rule, conditions, values, unknown),
        is_default=bool(place in sent and rule.sources and len(unknown) == len(values)),
        conditions=conditions,
        unknown=tuple(dict.fromkeys(map(as_text, unknown))) if is_told else (),
    )


def _why_not(rule: Rule, conditions: tuple[Condition, ...], values: list[Any], unknown: list[Any]) -> Fate:
    if conditions:
        return Fate.WHEN
    if not rule.sources:
        return Fate.EMPTY if rule.const is None else Fate.ALONE
    if unknown:
        return Fate.CODES
    return Fate.REFERENCE if any(isinstance(value, Ref) for value in values) else Fate.EMPTY
