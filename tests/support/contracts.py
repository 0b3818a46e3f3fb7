"""What in a published contract would break somebody who relies on the one before (OpenAPI 3.1, AsyncAPI 3.0).

Whoever reads must be able to read all that may come: what is sent may only be narrowed. Whoever asks must be able
to ask as before: what is taken may only be widened. A change that is not understood counts as one that breaks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

_Json = Mapping[str, Any]
_WORDS = frozenset({"description", "title", "summary", "examples", "example", "default", "$schema", "$id"})
_AT_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_AT_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_KNOWN = {*_WORDS, *_AT_LEAST, *_AT_MOST} | {
    "type", "enum", "const", "required", "properties", "additionalProperties", "items", "pattern", "format"
}  # fmt: skip
_VERBS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def broken(old: _Json, new: _Json) -> list[str]:
    """What the new document breaks of the old one, a line each, by its place."""
    return list((_openapi if "openapi" in old else _asyncapi)(old, new))


# ---------------------------------------------------------------- documents


def _openapi(old: _Json, new: _Json) -> Iterator[str]:
    for path, item in old["paths"].items():
        for verb in (one for one in _VERBS if one in item):
            place = f"{verb.upper()} {path}"
            now = new["paths"].get(path, {}).get(verb)
            if now is None:
                yield f"{place}: is gone"
            else:
                yield from _operation(_Pair(old, new), place, item[verb], now)


def _operation(pair: _Pair, place: str, old: _Json, new: _Json) -> Iterator[str]:
    before, now = (
        {(p["in"], p["name"]): p for p in found.get("parameters", ())} for found in (old, new)
    )  # fmt: skip
    yield from (f"{place}: parameter {name} is gone" for where, name in before.keys() - now.keys())
    for key, parameter in now.items():
        here, is_asked = f"{place}: parameter {key[1]}", parameter.get("required", False)
        if is_asked and not before.get(key, {}).get("required", False):
            yield f"{here} must be given now"
        if key in before:
            yield from pair.taken(here, before[key].get("schema", {}), parameter.get("schema", {}))
    if new.get("security") != old.get("security"):
        yield f"{place}: asks for another proof"
    yield from _body(pair, place, old.get("requestBody"), new.get("requestBody"))
    for status, answer in old["responses"].items():
        if status not in new["responses"]:
            continue  # nobody can rely on being refused
        told, here = new["responses"][status], f"{place}: {status}"
        yield from _content(pair.sent, here, answer, told)
        for name, header in answer.get("headers", {}).items():
            other = told.get("headers", {}).get(name)
            if other is None or (header.get("required") and not other.get("required")):
                yield f"{here}: header {name} may be missing"
            else:
                yield from pair.sent(f"{here}: header {name}", header.get("schema", {}), other.get("schema", {}))
    if "200" in old["responses"] and "200" not in new["responses"]:
        yield f"{place}: 200 is gone"


def _body(pair: _Pair, place: str, old: _Json | None, new: _Json | None) -> Iterator[str]:
    if new is not None and new.get("required") and not (old or {}).get("required"):
        yield f"{place}: a body must be given now"
    if old is not None and new is None:
        yield f"{place}: takes no body any more"
    if old is not None and new is not None:
        yield from _content(pair.taken, f"{place}: body", old, new)


def _content(
    compare: Callable[[str, _Json, _Json], Iterator[str]], place: str, old: _Json, new: _Json
) -> Iterator[str]:
    for kind, told in old.get("content", {}).items():
        if kind not in new.get("content", {}):
            yield f"{place}: {kind} is gone"
        else:
            yield from compare(f"{place}: {kind}", told.get("schema", {}), new["content"][kind].get("schema", {}))


def _asyncapi(old: _Json, new: _Json) -> Iterator[str]:
    pair = _Pair(old, new)
    for name, channel in old["channels"].items():
        now = new["channels"].get(name)
        if now is None:
            yield f"channel {name}: is gone"
            continue
        if now["address"] != channel["address"]:
            yield f"channel {name}: has another address"
        for message in channel["messages"]:
            if message not in now["messages"]:
                yield f"message {message}: is gone"
                continue
            before, after = (
                found.at(found.at(there["messages"][message]))
                for found, there in ((pair.before, channel), (pair.after, now))
            )
            if before.get("contentType") != after.get("contentType"):
                yield f"message {message}: has another content type"
            for part in ("payload", "headers"):
                yield from pair.sent(f"message {message}: {part}", before.get(part, {}), after.get(part, {}))


# ---------------------------------------------------------------- schemas


class _Document:
    """One document, in which references lead somewhere."""

    def __init__(self, whole: _Json) -> None:
        self._whole = whole

    def at(self, schema: _Json) -> _Json:
        while "$ref" in schema:
            found: Any = self._whole
            for name in schema["$ref"].removeprefix("#/").split("/"):
                found = found[name]
            schema = found
        return schema.get("schema", schema) if "schemaFormat" in schema else schema


class _Pair:
    """Two documents whose schemas are compared."""

    def __init__(self, old: _Json, new: _Json) -> None:
        self.before, self.after = _Document(old), _Document(new)

    def sent(self, place: str, old: _Json, new: _Json) -> Iterator[str]:
        """What may come now and could not before, and what came always and may be missing."""
        yield from _wider(place, self.before, old, self.after, new, is_sent=True)

    def taken(self, place: str, old: _Json, new: _Json) -> Iterator[str]:
        """What could be given before and is refused now."""
        yield from _wider(place, self.after, new, self.before, old, is_sent=False)


def _wider(
    place: str, narrow_in: _Document, narrow: _Json, wide_in: _Document, wide: _Json, *, is_sent: bool
) -> Iterator[str]:
    """Where `wide` lets through what `narrow` does not."""
    narrow, wide = narrow_in.at(narrow), wide_in.at(wide)
    names = {one for one in narrow.keys() | wide.keys() if not one.startswith("x-")}
    if odd := sorted(name for name in names - _KNOWN if narrow.get(name) != wide.get(name)):
        yield f"{place}: {', '.join(odd)} changed, which nobody here can judge"
    yield from (f"{place}: {told}" for told in _looser(narrow, wide))
    if "items" in narrow:
        items = wide.get("items", {})
        yield from _wider(f"{place}[]", narrow_in, narrow["items"], wide_in, items, is_sent=is_sent)
    yield from _properties(place, narrow_in, narrow, wide_in, wide, is_sent=is_sent)


def _looser(narrow: _Json, wide: _Json) -> Iterator[str]:
    """Which rules of a value itself are looser."""
    allowed, more = _choice(narrow), _choice(wide)
    if "type" in narrow and more is None:
        types = _types(wide) - _types(narrow)
        if types or "type" not in wide:
            yield f"may be {', '.join(sorted(types)) or 'anything'}"
    if allowed is not None and (more is None or (more - allowed and not narrow.get("x-extensible-enum"))):
        yield f"{', '.join(sorted(more - allowed)) if more else 'any value'} is new"
    for name in ("pattern", "format"):
        if name in narrow and narrow[name] != wide.get(name):
            yield f"another {name}"
    for bounds, sign in ((_AT_LEAST, 1), (_AT_MOST, -1)):
        for name in bounds:
            if name in narrow and (name not in wide or sign * wide[name] < sign * narrow[name]):
                yield f"{name} is {wide.get(name)}"
    for name in sorted({*narrow.get("required", ())} - {*wide.get("required", ())}):
        yield f"{name} may be missing"


def _properties(
    place: str, narrow_in: _Document, narrow: _Json, wide_in: _Document, wide: _Json, *, is_sent: bool
) -> Iterator[str]:
    before, now = narrow.get("properties", {}), wide.get("properties", {})
    is_closed = narrow.get("additionalProperties") is False
    if is_closed and wide.get("additionalProperties") is not False:
        yield f"{place}: may have more fields"
    for name in sorted(before.keys() | now.keys()):
        if name not in before:
            if is_closed:
                yield f"{place}.{name}: is new where nothing new was to come"
        elif name in now:
            yield from _wider(f"{place}.{name}", narrow_in, before[name], wide_in, now[name], is_sent=is_sent)
        elif is_sent or wide.get("additionalProperties") is False:
            yield f"{place}.{name}: is gone"


def _types(schema: _Json) -> set[str]:
    told = schema.get("type", ())
    found = {told} if isinstance(told, str) else {*told}
    return found | {"integer"} if "number" in found else found


def _choice(schema: _Json) -> set[str] | None:
    if "const" in schema:
        return {str(schema["const"])}
    return {str(one) for one in schema["enum"]} if "enum" in schema else None
