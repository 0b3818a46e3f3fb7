"""Mapping files become rules, and every mistake in one becomes a sentence with its place and what is allowed."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from bridge.domain.entities import DERIVED, KEY_FIELDS, MAPPED_KINDS, VALUE_FIELDS, Address, Kind
from bridge.domain.errors import MappingError
from bridge.mapping.rules import Node, Resource, Rule, TargetMapping

_VERBS = frozenset(
    {"from", "const", "codes", "default", "required", "format", "when", "join", "purpose", "legal_basis"}
)
_NUMBER_FIELDS = frozenset({"civil_registration_number"})
_ITS_OWN = frozenset({"id", "institution", "person", "main_role"})
"""What only the view of an affiliation itself has, not a person's affiliations."""
_RELATIONS: dict[Kind, frozenset[str]] = {
    Kind.MUNICIPALITY: frozenset({"name"}),
    Kind.INSTITUTION: frozenset({"municipality"}),
    Kind.GROUP: frozenset({"institution", "institution_name", "members", "students", "employees"}),
    Kind.PERSON: frozenset({"kind", "kinds", "affiliations", "institutions", "enrolments"}),
    Kind.AFFILIATION: frozenset({"institution", "person", "kind", "main_role"}),
    Kind.GUARDIANSHIP: frozenset({"institution", "child", "contact"}),
    Kind.MEMBERSHIP: frozenset({"institution", "group", "person"}),
    Kind.TEACHING: frozenset({"institution", "institution_name", "group", "employees"}),
}
"""What a view offers beside the entity's own fields (`bridge.engine.views`)."""


_CODE, _PHONE = frozenset({"value", "source"}), frozenset({"number", "protected"})
_PARTS: dict[str, frozenset[str]] = {
    "type": _CODE,
    "roles": _CODE,
    "relation": _CODE,
    "address": frozenset(part.name for part in fields(Address)),
    "home_phone": _PHONE,
    "work_phone": _PHONE,
    "mobile_phone": _PHONE,
}
"""Fields with parts: a mapping names a part, never the whole, so that nothing leaves unnamed."""


def view_fields(kind: Kind) -> frozenset[str]:
    """Name what a mapping may look at in an entity of this kind, parts by dotted path."""
    values = VALUE_FIELDS[DERIVED.get(kind, kind)] if kind is not Kind.MUNICIPALITY else ()
    own = {name for name in (*KEY_FIELDS[kind], *values) if name != "role"}
    names = own | _RELATIONS[kind] | {"id"}
    paths = {name for name in names if name not in _PARTS and name != "affiliations"}
    paths |= {f"{name}.{part}" for name in names & _PARTS.keys() for part in _PARTS[name]}
    if "affiliations" in names:
        paths |= {f"affiliations.{path}" for path in view_fields(Kind.AFFILIATION) - _ITS_OWN}
    return frozenset(paths)


def load_mapping(name: str, base: Path | None = None) -> TargetMapping:
    """Load a preset of this distribution (``scim/core``) or a file (a path that ends in .yaml, below `base`).

    Raises `MappingError` that names the file, the place and what is allowed there.
    """
    text, where = _read(name, base)
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise MappingError(f"{where}{line}: this is not readable as YAML") from error
    return _Reader(where).mapping(raw, hashlib.sha256(text).hexdigest())


def _read(name: str, base: Path | None) -> tuple[bytes, str]:
    if name.endswith((".yaml", ".yml")):
        path = (base or Path()) / name
        try:
            return path.read_bytes(), str(path)
        except OSError as error:
            raise MappingError(f"{path}: the mapping file cannot be read ({error.strerror})") from error
    preset = resources.files("mappings").joinpath(f"{name}.yaml")
    if not preset.is_file():
        raise MappingError(
            f"mapping {name!r} is no preset; known are: {', '.join(presets())}; or give a path to a .yaml file"
        )
    return preset.read_bytes(), f"mappings/{name}.yaml"


def presets() -> list[str]:
    """Name the mapping files that come with this distribution."""
    root = resources.files("mappings")
    return sorted(
        f"{folder.name}/{file.name.removesuffix('.yaml')}"
        for folder in root.iterdir()
        if folder.is_dir()
        for file in folder.iterdir()
        if file.name.endswith(".yaml")
    )


class _Reader:
    """Turns parsed YAML into rules, and every mistake into one sentence with its place."""

    def __init__(self, where: str) -> None:
        self._where = where

    def mapping(self, raw: Any, digest: str) -> TargetMapping:
        top = self._table(raw, "the file", {"mapping", "purpose", "resources"})
        listed = self._table(top.get("resources"), "resources", None)
        return TargetMapping(
            name=str(top.get("mapping", self._where)),
            purpose=self._text(top.get("purpose"), "purpose"),
            resources=tuple(self._resource(name, value) for name, value in listed.items()),
            digest=digest,
        )

    def _resource(self, name: str, raw: Any) -> Resource:
        at = f"resources.{name}"
        table = self._table(raw, at, {"entity", "when", "fields"})
        names = [kind.value for kind in MAPPED_KINDS]
        if table.get("entity") not in names:
            raise self._wrong(f"{at}.entity", f"one of {', '.join(names)}")
        kind = Kind(str(table["entity"]))
        fields = self._table(table.get("fields"), f"{at}.fields", None)
        return Resource(
            name=name,
            kind=kind,
            when=self._when(table.get("when", {}), f"{at}.when", kind),
            fields={key: self._node(value, f"{at}.fields.{key}", kind) for key, value in fields.items()},
        )

    def _node(self, raw: Any, at: str, kind: Kind) -> Node:
        if isinstance(raw, list):
            if len(raw) != 1:
                raise self._wrong(at, "a list with exactly one element, the template")
            return [self._node(raw[0], f"{at}[]", kind)]
        if not isinstance(raw, dict) or not raw:
            raise self._wrong(at, "a rule such as {from: user_id}, an object or a list")
        if "from" in raw or "const" in raw:
            return self._rule(raw, at, kind)
        return {str(key): self._node(value, f"{at}.{key}", kind) for key, value in raw.items()}

    def _rule(self, raw: dict[str, Any], at: str, kind: Kind) -> Rule:
        self._table(raw, at, _VERBS)
        if ("from" in raw) == ("const" in raw):
            raise self._wrong(at, "either from or const")
        sources = self._sources(raw.get("from"), at) if "from" in raw else ()
        if len(sources) > 1 and "join" not in raw:
            raise self._wrong(at, "join, because from names several fields")
        for name in sources:
            self._known(name, at, kind)
        is_number = any(_NUMBER_FIELDS & set(source.split(".")) for source in sources)
        if is_number and not (self._word(raw, "legal_basis", at) or "").strip():
            raise self._wrong(at, "a legal_basis, because this is a CPR number (databeskyttelsesloven § 11)")
        return Rule(
            sources=sources,
            const=raw.get("const"),
            codes=self._codes(raw.get("codes"), at),
            default=raw.get("default"),
            required=self._flag(raw.get("required", False), f"{at}.required"),
            format=self._word(raw, "format", at),
            when=self._when(raw["when"], f"{at}.when", kind) if "when" in raw else None,
            join=self._word(raw, "join", at),
            purpose=self._word(raw, "purpose", at),
            legal_basis=self._word(raw, "legal_basis", at),
        )

    def _sources(self, raw: Any, at: str) -> tuple[str, ...]:
        listed = raw if isinstance(raw, list) else [raw]
        if not listed or not all(isinstance(name, str) for name in listed):
            raise self._wrong(f"{at}.from", "the name of a field, or a list of names")
        return tuple(listed)

    def _word(self, raw: dict[str, Any], verb: str, at: str) -> str | None:
        value = raw.get(verb)
        if value is not None and not isinstance(value, str):
            raise self._wrong(f"{at}.{verb}", "a text")
        return value

    def _flag(self, raw: Any, at: str) -> bool:
        if not isinstance(raw, bool):
            raise self._wrong(at, "true or false")
        return raw

    def _codes(self, raw: Any, at: str) -> dict[str, Any] | None:
        if raw is None:
            return None
        return {str(key): value for key, value in self._table(raw, f"{at}.codes", None).items()}

    def _known(self, path: str, at: str, kind: Kind) -> None:
        """A misspelt field would silently send nothing."""
        known = view_fields(kind)
        if path not in known:
            raise MappingError(
                f"{self._where}: {at}: a {kind} has no field {path!r}; there are {', '.join(sorted(known))}"
            )

    def _when(self, raw: Any, at: str, kind: Kind) -> dict[str, frozenset[Any]]:
        table = self._table(raw, at, None)
        for path in table:
            self._known(path, f"{at}.{path}", kind)
        allowed = {path: value if isinstance(value, list) else [value] for path, value in table.items()}
        for path, values in allowed.items():
            if any(isinstance(value, (list, dict)) for value in values):
                raise self._wrong(f"{at}.{path}", "a value or a list of values")
        return {path: frozenset(values) for path, values in allowed.items()}

    def _table(self, raw: Any, at: str, allowed: frozenset[str] | set[str] | None) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise self._wrong(at, "a table of keys and values")
        unknown = [str(key) for key in raw if allowed is not None and key not in allowed]
        if unknown:
            raise MappingError(
                f"{self._where}: {at}: unknown key {unknown[0]!r}; allowed are {', '.join(sorted(allowed or ()))}"
            )
        return raw

    def _text(self, raw: Any, at: str) -> str:
        if not isinstance(raw, str) or not raw.strip():
            raise self._wrong(at, "a text that says why the target needs this data")
        return raw.strip()

    def _wrong(self, at: str, expected: str) -> MappingError:
        return MappingError(f"{self._where}: {at}: expected {expected}")
