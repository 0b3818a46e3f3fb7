"""A mapping in memory: rules in the shape of the body that they make, and how a body is made."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.domain.entities import Kind
from bridge.domain.privacy import Told
from bridge.mapping.view import is_personal

_PLACES = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Ref:
    """A place in a body where the target's id of another entity belongs."""

    kind: Kind
    id: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Some values of a field, or all but these; numbers and texts are the same (a level is "3")."""

    values: frozenset[Any]
    is_excluded: bool = False

    def admits(self, found: Any) -> bool:
        """Whether a value, or one of a list, is chosen; of what is excluded none may be there."""
        known = self.values | {str(value) for value in self.values if type(value) is int}
        is_there = any(one in known for one in flat(found))
        return is_there is not self.is_excluded


@dataclass(frozen=True, slots=True)
class Rule:
    """One leaf: where a value comes from and what is done to it. `named` are fields that its format names.

    `where` is the file and line that it stands in.
    """

    sources: tuple[str, ...] = ()
    const: Any = None
    codes: Mapping[str, Any] | None = None
    default: Any = None
    required: bool = False
    format: str | None = None
    named: tuple[str, ...] = ()
    when: Mapping[str, Choice] | None = None
    join: str | None = None
    purpose: str | None = None
    legal_basis: str | None = None
    where: str = field(default="", compare=False)

    @property
    def reads(self) -> tuple[str, ...]:
        """The fields of a view of which the body may tell: by their values, or by being there on a condition."""
        return (*self.sources, *self.named, *(self.when or ()))


Node = Rule | dict[str, "Node"] | list["Node"]


@dataclass(frozen=True, slots=True)
class Resource:
    """How one kind of entity becomes one kind of body."""

    name: str
    kind: Kind
    when: Mapping[str, Choice]
    fields: dict[str, Node]

    def render(self, view: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the body for an entity's view, None when this entity does not go to the target."""
        if not _matches(self.when, view):
            return None
        try:
            body, _ = _render_object(self.fields, view, None)
        except _RequiredMissing:
            return None
        return body

    def remade(
        self, body: Mapping[str, Any], changed: Collection[str], view: Mapping[str, Any], told: Told | None
    ) -> dict[str, Any] | None:
        """Return a body with those of its fields made anew that may show any of these fields of a view.

        `told` says what each of its fields may show, None where nobody knows. A field that would now be made of
        something else keeps its value where it would be the same, and is left out where not: this resource may not
        be what the target is told by. What it does not name is left out too. None when a value is absent that is
        required.
        """
        again = {}
        try:
            for name in body.keys() & self.fields.keys():
                shown = None if told is None else told.get((self.name, name))
                again[name] = _again(self.fields[name], body[name], changed, view, shown)
        except _RequiredMissing:
            return None
        return {name: value for name, value in again.items() if value is not None}

    def is_whole(self, body: Mapping[str, Any]) -> bool:
        """Whether every field that is required of the body itself is there, references included."""
        return _is_whole(self.fields, body)

    def tells_of_people(self, rule: Rule) -> bool:
        """Whether a rule of this resource tells something of a person."""
        return any(is_personal(self.kind, path) for path in rule.reads)

    def leaves(self) -> Iterator[tuple[str, Rule]]:
        """Yield every rule with its dotted place in the body."""
        yield from _leaves(self.fields, "")


@dataclass(frozen=True, slots=True)
class TargetMapping:
    """A whole mapping file. `digest` changes whenever anything in it, or in what it extends, does.

    `schools` are the resources of single institutions that have them otherwise: the same or fewer, in one order.
    """

    name: str
    purpose: str
    resources: tuple[Resource, ...]
    digest: str
    schools: Mapping[str, tuple[Resource, ...]] = field(default_factory=dict)

    def resources_of(self, view: Mapping[str, Any]) -> tuple[Resource, ...]:
        """The resources by which an entity is rendered: those of its school.

        Somebody at several schools is rendered by those of the school that speaks for them: where their role ranks
        highest, of several such schools the one with the lowest number.
        """
        if not self.schools:
            return self.resources
        return self.schools.get(speaks_for(view) or "", self.resources)

    def rank(self, resource: str) -> int:
        """The place of a resource in the order of creation."""
        return next(i for i, r in enumerate(self.resources) if r.name == resource)

    def kinds(self) -> frozenset[Kind]:
        return frozenset(resource.kind for resource in self.resources)

    def names(self, kind: Kind, name: str) -> bool:
        """Whether a body of this kind may show this field of the view."""
        read = (_reads(one.fields) for one in self.variants() if one.kind is kind)
        return any(path.partition(".")[0] == name for paths in read for path in paths)

    def tells(self) -> Told:
        """What each field of each resource may show, whichever school it is made for."""
        told: dict[tuple[str, str], frozenset[str]] = {}
        for one in self.variants():
            for name, node in one.fields.items():
                told[one.name, name] = told.get((one.name, name), frozenset()) | _reads(node)
        return told

    def variants(self) -> Iterator[Resource]:
        """Yield every resource, then those of each school that has them otherwise."""
        for resources in (self.resources, *self.schools.values()):
            yield from resources

    def render(self, kind: Kind, view: Mapping[str, Any]) -> tuple[Resource, dict[str, Any]] | None:
        """Render with the first resource of this kind that takes the entity; None when none does."""
        for resource in self.resources_of(view):
            if resource.kind is kind and (body := resource.render(view)) is not None:
                return resource, body
        return None


class _RequiredMissing(Exception):
    """A required value is absent: the whole entity stays out."""


def _leaves(node: Node | Mapping[str, Node], at: str) -> Iterator[tuple[str, Rule]]:
    match node:
        case Rule():
            yield at, node
        case list():
            yield from _leaves(node[0], f"{at}[]")
        case _:
            for name, child in node.items():
                yield from _leaves(child, f"{at}.{name}" if at else name)


def _is_whole(fields: Mapping[str, Node], body: Any) -> bool:
    """What is required within an object is required; an element of a list may be left out as a whole."""
    if not isinstance(body, Mapping):
        return not any(rule.required for name, rule in _leaves(fields, "") if "[]" not in name)
    return all(
        _is_whole(node, body.get(name)) if isinstance(node, dict) else name in body or not _is_required(node)
        for name, node in fields.items()
    )


def _is_required(node: Node) -> bool:
    return isinstance(node, Rule) and node.required


def _reads(node: Node) -> set[str]:
    """The fields of a view that a node looks at, parts by dotted path."""
    return {path for _, rule in _leaves(node, "") for path in rule.reads}


def _again(
    node: Node, known: Any, changed: Collection[str], view: Mapping[str, Any], shown: frozenset[str] | None
) -> Any:
    """What becomes of a known value, made of what is `shown`, when this has changed; None: it is left out."""
    if shown is not None and not any(path in changed or path.partition(".")[0] in changed for path in shown):
        return known
    fresh = _render(node, view, None)[0]
    if fresh == known or (shown is not None and shown >= _reads(node)):
        return fresh
    if any(rule.required for name, rule in _leaves(node, "") if "[]" not in name):
        raise _RequiredMissing
    return None


# ---------------------------------------------------------------- rendering


def _render_object(
    node: Mapping[str, Node], view: Mapping[str, Any], index: int | None
) -> tuple[dict[str, Any], bool]:
    """Return the object and whether any of it came from the entity (constants alone are not sent)."""
    body: dict[str, Any] = {}
    is_fed = False
    for name, child in node.items():
        value, fed = _render(child, view, index)
        if value is not None:
            body[name] = value
            is_fed = is_fed or fed
    return body, is_fed


def _render(node: Node, view: Mapping[str, Any], index: int | None) -> tuple[Any, bool]:
    match node:
        case Rule():
            return _value(node, view, index)
        case dict():
            body, is_fed = _render_object(node, view, index)
            return (body, True) if is_fed else (None, False)
        case list():
            values = list(_render_list(node[0], view))
            return (values, True) if values else (None, False)


def _render_list(template: Node, view: Mapping[str, Any]) -> Iterator[Any]:
    for index in range(_breadth(template, view)):
        value, fed = _render(template, view, index)
        if value is not None and fed:
            yield from value if isinstance(template, Rule) and isinstance(value, list) else [value]


def _breadth(node: Node, view: Mapping[str, Any]) -> int:
    """How many elements a list template yields: the length of the longest list that feeds it, at least 1."""
    match node:
        case Rule(sources=sources):
            found = [look_up(view, source) for source in sources]
            return max((len(value) for value in found if isinstance(value, list)), default=1)
        case dict():
            return max((_breadth(child, view) for child in node.values()), default=1)
        case list():
            return 1


def _value(rule: Rule, view: Mapping[str, Any], index: int | None) -> tuple[Any, bool]:
    if rule.when is not None and not _matches(rule.when, view):
        return None, False
    if not rule.sources:
        return rule.const, False
    value = _join(rule, view, index) if rule.join is not None else _plucked(rule, view, index)
    if value is not None and rule.codes is not None:
        value = _translate(rule.codes, value)
    if value is None or value in ("", []):
        value = rule.default
    elif rule.format is not None:
        value = _formatted(rule, value, view)
    if value is None and rule.required:
        raise _RequiredMissing
    return value, value is not None


def _pick(value: Any, index: int | None) -> Any:
    if index is None or not isinstance(value, list):
        return value
    return value[index] if index < len(value) else None


def _plucked(rule: Rule, view: Mapping[str, Any], index: int | None) -> Any:
    value = _pick(look_up(view, rule.sources[0]), index)
    return flat(value) if isinstance(value, list) else value


def _join(rule: Rule, view: Mapping[str, Any], index: int | None) -> str | None:
    """One text of all values; in the template of a list, of a list of lists only those of its own element."""
    parts: list[str] = []
    for source in rule.sources:
        value = look_up(view, source)
        is_nested = isinstance(value, list) and any(isinstance(one, list) for one in value)
        own = _pick(value, index) if is_nested else value
        parts.extend(as_text(one) for one in flat(own) if one not in (None, ""))
    return (rule.join or "").join(parts) or None


def _formatted(rule: Rule, value: Any, view: Mapping[str, Any]) -> str:
    """The text of a format with the value at {} and fields at their names; what is absent leaves nothing."""
    text, *rest = _PLACES.split(rule.format or "")
    for name, after in zip(rest[::2], rest[1::2], strict=True):
        found = look_up(view, name) if name else value
        text += ", ".join(as_text(one) for one in flat(found) if one is not None) + after
    return text.strip()


def _translate(codes: Mapping[str, Any], value: Any) -> Any:
    if isinstance(value, list):
        return [codes[as_text(one)] for one in value if as_text(one) in codes]
    return codes.get(as_text(value))


def _matches(when: Mapping[str, Choice], view: Mapping[str, Any]) -> bool:
    return all(choice.admits(look_up(view, path)) for path, choice in when.items())


def speaks_for(view: Mapping[str, Any]) -> str | None:
    """The institution that an entity belongs to; of a person, the one of their best affiliation."""
    own = view.get("institution_number")
    if own is None and view.get("affiliations"):
        own = view["affiliations"][0].get("institution_number")
    if own is None and view.get("institutions"):
        own = view["institutions"][0]
    return None if own is None else str(own)


def flat(value: Any) -> list[Any]:
    """A value, or all values of a list and of the lists in it."""
    return [one for part in value for one in flat(part)] if isinstance(value, list) else [value]


def as_text(value: Any) -> str:
    """A value as it stands in a text or is looked for among codes; of what is referred to, our own id."""
    match value:
        case bool():
            return str(value).lower()
        case Ref(id=identity):
            return identity
        case _:
            return str(value)


def look_up(view: Any, path: str) -> Any:
    """Follow a dotted path; through a list it goes into every element and yields the values as a list."""
    head, _, rest = path.partition(".")
    if isinstance(view, list):
        found = [look_up(element, path) for element in view]
        return [value for value in found if value is not None]
    value = view.get(head) if isinstance(view, Mapping) else None
    return look_up(value, rest) if rest and value is not None else value
