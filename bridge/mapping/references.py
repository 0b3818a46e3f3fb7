"""References between bodies: found, and filled with a target's ids or left out."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from bridge.mapping.rules import Ref


def field_names(body: Mapping[str, Any]) -> list[str]:
    """Name the top-level fields of a body, sorted: what an audit row may say about it."""
    return sorted(body)


def references(value: Any) -> Iterator[Ref]:
    """Yield every reference in a rendered body."""
    match value:
        case Ref():
            yield value
        case Mapping():
            for child in value.values():
                yield from references(child)
        case Sequence() if not isinstance(value, (str, bytes)):
            for child in value:
                yield from references(child)


def resolve(value: Any, ids: Mapping[str, str]) -> Any:
    """Put the target's ids in the place of references; what holds an unresolved one is left out.

    Returns None when the value itself cannot be kept: the nearest list drops the element, an object
    the field.
    """
    match value:
        case Ref():
            return ids.get(value.id)
        case Mapping():
            body = {key: resolve(child, ids) for key, child in value.items()}
            if any(body[key] is None and isinstance(child, Ref) for key, child in value.items()):
                return None
            return {key: child for key, child in body.items() if child is not None}
        case Sequence() if not isinstance(value, (str, bytes)):
            return [child for child in (resolve(v, ids) for v in value) if child is not None]
    return value


def narrow(value: Any, there: Container[str]) -> Any:
    """Keep only references to these ids, still open: a list drops the element, an object the field."""
    match value:
        case Mapping():
            kept = {k: v for k, v in value.items() if not (isinstance(v, Ref) and v.id not in there)}
            return {key: narrow(child, there) for key, child in kept.items()}
        case Sequence() if not isinstance(value, (str, bytes)):
            return [narrow(child, there) for child in value if all(r.id in there for r in references(child))]
    return value
