"""Mapping files become rules, and every mistake in one becomes a sentence with its line and what is allowed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bridge.domain.entities import MAPPED_KINDS, Kind
from bridge.domain.errors import MappingError
from bridge.mapping.rules import Choice, Node, Resource, Rule, TargetMapping
from bridge.mapping.source import At, Elsewhere, Source, dotted, nowhere, overlaid, presets, read_source
from bridge.mapping.view import is_number, view_fields

__all__ = ["load_mapping", "presets", "require_purposes", "view_fields"]

_VERBS = frozenset(
    {"from", "const", "codes", "default", "required", "format", "when", "join", "purpose", "legal_basis"}
)
_NAMED = re.compile(r"\{([^{}]*)\}")


def load_mapping(name: str, base: Path | None = None, elsewhere: Elsewhere = nowhere) -> TargetMapping:
    """Load a preset of this distribution (``scim/core``) or a file (a path that ends in .yaml, below `base`).

    `elsewhere` gives the presets of other packages.
    Raises `MappingError` that names the file, the line, the place and what is allowed there.
    """
    source = read_source(name, base, elsewhere)
    return _Reader(source).mapping()


def require_purposes(mapping: TargetMapping) -> None:
    """Refuse a mapping that sends personal data without a reason (GDPR article 5(1)(b)). Raises `MappingError`."""
    for resource in mapping.variants():
        for place, rule in resource.leaves():
            if resource.tells_of_people(rule) and not (rule.purpose or "").strip():
                raise MappingError(
                    f"{rule.where}: resources.{resource.name}.fields.{place}: expected a purpose: this "
                    "is personal data, and the record of processing must say why the target needs it"
                )


class _Reader:
    """Turns parsed YAML into rules, and every mistake into one sentence with its place."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def mapping(self) -> TargetMapping:
        top = self._table(self._source.raw, (), {"mapping", "purpose", "resources", "institutions"})
        resources = self._resources(top)
        return TargetMapping(
            name=str(top.get("mapping", self._source.where)),
            purpose=self._text(top.get("purpose"), ("purpose",)),
            resources=resources,
            digest=self._source.digest,
            schools=self._schools(top.get("institutions", {}), resources),
        )

    def _resources(self, top: dict[str, Any]) -> tuple[Resource, ...]:
        listed = self._table(top.get("resources"), ("resources",), None)
        return tuple(self._resource(name, value) for name, value in listed.items())

    def _schools(self, raw: Any, known: tuple[Resource, ...]) -> dict[str, tuple[Resource, ...]]:
        """What single schools have otherwise: the same resources, or fewer, in the same order."""
        schools: dict[str, tuple[Resource, ...]] = {}
        kinds = {resource.name: resource.kind for resource in known}
        for number, own in self._table(raw, ("institutions",), None).items():
            at = ("institutions", number)
            table = self._table(own, at, {"resources"})
            for name in self._table(table.get("resources"), (*at, "resources"), None):
                if name not in kinds:
                    raise self._wrong((*at, "resources", name), f"one of {', '.join(kinds)}")
            laid = _Reader(overlaid(self._source, table, at))
            resources = laid._resources(laid._table(laid._source.raw, (), None))
            for resource in resources:
                if resource.kind is not kinds[resource.name]:
                    raise self._wrong(
                        (*at, "resources", resource.name, "entity"), "the entity that it is elsewhere"
                    )
            schools[number] = resources
        return schools

    def _resource(self, name: str, raw: Any) -> Resource:
        at = ("resources", name)
        table = self._table(raw, at, {"entity", "when", "fields"})
        names = [kind.value for kind in MAPPED_KINDS]
        if table.get("entity") not in names:
            raise self._wrong((*at, "entity"), f"one of {', '.join(names)}")
        kind = Kind(str(table["entity"]))
        fields = self._table(table.get("fields"), (*at, "fields"), None)
        return Resource(
            name=name,
            kind=kind,
            when=self._when(table.get("when", {}), (*at, "when"), kind),
            fields={key: self._node(value, (*at, "fields", key), kind) for key, value in fields.items()},
        )

    def _node(self, raw: Any, at: At, kind: Kind) -> Node:
        if isinstance(raw, list):
            if len(raw) != 1:
                raise self._wrong(at, "a list with exactly one element, the template")
            return [self._node(raw[0], (*at, "[]"), kind)]
        if not isinstance(raw, dict) or not raw:
            raise self._wrong(at, "a rule such as {from: user_id}, an object or a list")
        if "from" in raw or "const" in raw:
            return self._rule(raw, at, kind)
        return {str(key): self._node(value, (*at, key), kind) for key, value in raw.items()}

    def _rule(self, raw: dict[str, Any], at: At, kind: Kind) -> Rule:
        self._table(raw, at, _VERBS)
        if ("from" in raw) == ("const" in raw):
            raise self._wrong(at, "either from or const")
        sources = self._sources(raw.get("from"), at) if "from" in raw else ()
        if len(sources) > 1 and "join" not in raw:
            raise self._wrong(at, "join, because from names several fields")
        text = self._word(raw, "format", at)
        named = tuple(dict.fromkeys(name for name in _NAMED.findall(text or "") if name))
        for name in (*sources, *named):
            self._known(name, at, kind)
        when = self._when(raw["when"], (*at, "when"), kind) if "when" in raw else None
        if (
            any(map(is_number, (*sources, *named, *(when or ()))))
            and not (self._word(raw, "legal_basis", at) or "").strip()
        ):
            raise self._wrong(at, "a legal_basis, because this is a CPR number (databeskyttelsesloven § 11)")
        return Rule(
            sources=sources,
            const=raw.get("const"),
            codes=self._codes(raw.get("codes"), at),
            default=raw.get("default"),
            required=self._flag(raw.get("required", False), (*at, "required")),
            format=text,
            named=named,
            when=when,
            join=self._word(raw, "join", at),
            purpose=self._word(raw, "purpose", at),
            legal_basis=self._word(raw, "legal_basis", at),
            where=self._source.place(at),
        )

    def _sources(self, raw: Any, at: At) -> tuple[str, ...]:
        listed = raw if isinstance(raw, list) else [raw]
        if not listed or not all(isinstance(name, str) for name in listed):
            raise self._wrong((*at, "from"), "the name of a field, or a list of names")
        return tuple(listed)

    def _word(self, raw: dict[str, Any], verb: str, at: At) -> str | None:
        value = raw.get(verb)
        if value is not None and not isinstance(value, str):
            raise self._wrong((*at, verb), "a text")
        return value

    def _flag(self, raw: Any, at: At) -> bool:
        if not isinstance(raw, bool):
            raise self._wrong(at, "true or false")
        return raw

    def _codes(self, raw: Any, at: At) -> dict[str, Any] | None:
        if raw is None:
            return None
        return {str(key): value for key, value in self._table(raw, (*at, "codes"), None).items()}

    def _known(self, path: str, at: At, kind: Kind) -> None:
        """A misspelt field would silently send nothing."""
        known = view_fields(kind)
        if path not in known:
            raise self._error(at, f"a {kind} has no field {path!r}; there are {', '.join(sorted(known))}")

    def _when(self, raw: Any, at: At, kind: Kind) -> dict[str, Choice]:
        table = self._table(raw, at, None)
        for path in table:
            self._known(path, (*at, path), kind)
        return {path: self._choice(value, (*at, path)) for path, value in table.items()}

    def _choice(self, raw: Any, at: At) -> Choice:
        """A value, a list of values, or {not: ...} for all but these."""
        is_excluded = isinstance(raw, dict)
        told = self._table(raw, at, {"not"}).get("not") if is_excluded else raw
        values = told if isinstance(told, list) else [told]
        if not values or any(isinstance(value, (list, dict)) for value in values):
            raise self._wrong(at, "a value, a list of values, or {not: a value or a list of values}")
        return Choice(frozenset(values), is_excluded)

    def _table(self, raw: Any, at: At, allowed: frozenset[str] | set[str] | None) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise self._wrong(at, "a table of keys and values")
        unknown = [str(key) for key in raw if allowed is not None and key not in allowed]
        if unknown:
            known = ", ".join(sorted({*(allowed or ())} | ({"extends"} if not at else set())))
            raise self._error((*at, unknown[0]), f"unknown key {unknown[0]!r}; allowed are {known}", shown=at)
        return raw

    def _text(self, raw: Any, at: At) -> str:
        if not isinstance(raw, str) or not raw.strip():
            raise self._wrong(at, "a text that says why the target needs this data")
        return raw.strip()

    def _wrong(self, at: At, expected: str) -> MappingError:
        return self._error(at, f"expected {expected}")

    def _error(self, at: At, message: str, shown: At | None = None) -> MappingError:
        return MappingError(f"{self._source.place(at)}: {dotted(at if shown is None else shown)}: {message}")
