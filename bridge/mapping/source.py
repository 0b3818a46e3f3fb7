"""Mapping files as they are written: read with the line of everything, and laid over what they extend."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from bridge.domain.errors import MappingError
from bridge.domain.nearest import did_you_mean
from bridge.mapping.plain_yaml import PlainYaml

_OF_ONE_SCHOOL = 2  # institutions, its number: what is deeper is laid over the resources later
Elsewhere = Callable[[], Mapping[str, str]]
"""Gives the presets that are not ours, path by name; asked only for a name that is none of ours."""
At = tuple[str, ...]
"""The way to a value: keys, and [] for the element of a list."""


@dataclass(frozen=True, slots=True)
class Source:
    """A mapping before it is checked: plain values, and for each place the file and line that gave it.

    `digest` changes with anything in any file of the chain.
    """

    where: str
    raw: Any
    marks: Mapping[At, str] = field(repr=False)
    digest: str

    def place(self, at: At) -> str:
        """File and line of a place, or of the nearest around it that has one."""
        return next((self.marks[at[:n]] for n in range(len(at), -1, -1) if at[:n] in self.marks), self.where)


def nowhere() -> Mapping[str, str]:
    """There are no presets but ours."""
    return {}


def read_source(
    name: str, base: Path | None = None, elsewhere: Elsewhere = nowhere, chain: tuple[str, ...] = ()
) -> Source:
    """Read a preset or a file with all that it extends. Raises `MappingError`."""
    text, where, folder = _read(name, base, elsewhere)
    if where in chain:
        raise MappingError(
            f"{where}: extends itself, by way of {', '.join(chain[chain.index(where) + 1 :]) or 'itself'}"
        )
    own = _parsed(text, where)
    if not isinstance(own.raw, dict) or "extends" not in own.raw:
        _require_removals(own, None, own.raw)
        return own
    parent = own.raw.pop("extends")
    if not isinstance(parent, str) or not parent:
        raise MappingError(
            f"{own.place(('extends',))}: extends: expected the name of a preset or the path of a file"
        )
    try:
        under = read_source(parent, folder, elsewhere, (*chain, where))
    except MappingError as error:
        raise MappingError(f"{own.place(('extends',))}: extends: {error}") from error
    marks = dict(under.marks)
    raw = _laid_over(under.raw, own.raw, (), own.marks, marks)
    _require_removals(own, under.raw, raw)
    return Source(where, raw, marks, hashlib.sha256(f"{under.digest} {own.digest}".encode()).hexdigest())


def overlaid(under: Source, raw: Any, at: At) -> Source:
    """The mapping with the table at this place laid over its resources: what one school has otherwise."""
    marks = dict(under.marks)
    own = {place[len(at) :]: mark for place, mark in under.marks.items() if place[: len(at)] == at}
    return Source(under.where, _laid_over(under.raw, raw, (), own, marks), marks, under.digest)


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


def _read(name: str, base: Path | None, elsewhere: Elsewhere) -> tuple[bytes, str, Path | None]:
    if name.endswith((".yaml", ".yml")):
        path = (base or Path()) / name
        try:
            return path.read_bytes(), str(path), path.parent
        except OSError as error:
            raise MappingError(f"{path}: the mapping file cannot be read ({error.strerror})") from error
    preset = resources.files("mappings").joinpath(f"{name}.yaml")
    if not preset.is_file():
        others = elsewhere()
        if name in others:
            return _read(others[name], None, nowhere)
        known = ", ".join(sorted({*presets(), *others}))
        raise MappingError(f"mapping {name!r} is no preset; known are: {known}; or give a path to a .yaml file")
    return preset.read_bytes(), f"mappings/{name}.yaml", None


# ---------------------------------------------------------------- YAML


def _parsed(text: bytes, where: str) -> Source:
    marks: dict[At, str] = {}
    try:
        node = yaml.compose(text, Loader=PlainYaml)
        _mark(node, (), where, marks)
        raw = yaml.load(text, Loader=PlainYaml)  # noqa: S506 - a subclass of SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise MappingError(f"{where}{line}: this is not readable as YAML") from error
    return Source(where, raw, marks, hashlib.sha256(text).hexdigest())


def _mark(node: Any, at: At, where: str, marks: dict[At, str]) -> None:
    """Write down the line of each key and element; refuse a key that stands twice (YAML would take the last)."""
    match node:
        case yaml.MappingNode():
            seen: set[str] = set()
            for key, value in node.value:
                name, line = str(key.value), f"{where}:{key.start_mark.line + 1}"
                if name in seen:
                    raise MappingError(f"{line}: {dotted((*at, name))}: this key stands twice")
                seen.add(name)
                marks[(*at, name)] = line
                _mark(value, (*at, name), where, marks)
        case yaml.SequenceNode():
            for value in node.value:
                marks.setdefault((*at, "[]"), f"{where}:{value.start_mark.line + 1}")
                _mark(value, (*at, "[]"), where, marks)
        case _:
            return


def dotted(at: At) -> str:
    """A place as people read it: ``resources.User.fields.emails[].value``."""
    return ".".join(at).replace(".[]", "[]") or "the file"


# ---------------------------------------------------------------- laying over


def _laid_over(under: Any, over: Any, at: At, own: Mapping[At, str], marks: dict[At, str]) -> Any:
    """Return what is under with what is over it: tables key by key, null removes, everything else replaces.

    A rule that says where its value comes from is a whole new rule; one that does not changes the verbs it names.
    """
    if _is_list_of_one_table(under) and _is_list_of_one_table(over):
        return [_laid_over(under[0], over[0], (*at, "[]"), own, marks)]
    if not (isinstance(under, dict) and isinstance(over, dict)) or _is_new_rule(over):
        _take_marks(at, own, marks)
        return over if at[:1] == ("institutions",) else _without_nulls(over)
    merged = dict(under)
    for key, value in over.items():
        here = (*at, key)
        if value is None and here[:1] == ("institutions",) and len(here) > _OF_ONE_SCHOOL:
            merged[key] = None  # it removes what the school would have otherwise, not what was said of the school
        elif value is None:
            merged.pop(key, None)
        else:
            merged[key] = _laid_over(merged.get(key), value, here, own, marks)
            if here in own:
                marks[here] = own[here]
    return merged


def _require_removals(own: Source, under: Any, whole: Any) -> None:
    """Refuse a null that removes nothing: a misspelt name would leave there what somebody means to take away.

    What a file says of a school may go from the rules of the whole, or from what was said of the school below.
    """
    for at in _nulls(own.raw, ()):
        is_of_school = at[:1] == ("institutions",) and len(at) > _OF_ONE_SCHOOL
        found = (whole, at[_OF_ONE_SCHOOL:]) if is_of_school else (under, at)
        if (under is None and not is_of_school) or _is_there(*found) or _is_there(under, at):
            continue
        raise MappingError(f"{own.place(at)}: {dotted(at)}: {_removes_nothing(*found)}")


def _nulls(over: Any, at: At) -> Iterator[At]:
    """Every place at which null takes something away; in a whole rule, or a choice of `when`, it is a value."""
    if _is_list_of_one_table(over):
        yield from _nulls(over[0], (*at, "[]"))
    elif isinstance(over, dict) and not _is_new_rule(over) and at[-2:-1] != ("when",):
        for key, value in over.items():
            yield from [(*at, key)] if value is None else _nulls(value, (*at, key))


def _is_there(whole: Any, at: At) -> bool:
    return len(_steps(whole, at)) == len(at)


def _steps(whole: Any, at: At) -> list[Any]:
    """What there is along the way to a place, as far as it goes."""
    steps: list[Any] = []
    for name in at:
        if name == "[]" and _is_list_of_one_table(whole):
            whole = whole[0]
        elif isinstance(whole, dict) and name in whole:
            whole = whole[name]
        else:
            break
        steps.append(whole)
    return steps


def _removes_nothing(whole: Any, at: At) -> str:
    steps = _steps(whole, at)
    missing, around = at[len(steps)], steps[-1] if steps else whole
    known = list(around) if isinstance(around, dict) else []
    hint = did_you_mean(missing, known, 0.5)
    there = f"; {hint}there are {', '.join(known)}" if known else ""
    return f"null takes away what is there, but there is no {missing!r} to take away{there}"


def _take_marks(at: At, own: Mapping[At, str], marks: dict[At, str]) -> None:
    for place in [place for place in marks if place[: len(at)] == at]:
        del marks[place]
    marks.update({place: mark for place, mark in own.items() if place[: len(at)] == at})


def _is_new_rule(over: Any) -> bool:
    return isinstance(over, dict) and ("from" in over or "const" in over)


def _is_list_of_one_table(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict)


def _without_nulls(value: Any) -> Any:
    """To remove what is not there is to leave it out; but a rule may well say `const: null` of its own."""
    if isinstance(value, dict) and not _is_new_rule(value):
        return {key: _without_nulls(child) for key, child in value.items() if child is not None}
    return value
