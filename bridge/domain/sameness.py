"""Whether a target has what it was sent: pure, and blind to what makes no difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from unicodedata import normalize

_NOTHING: tuple[Any, ...] = (None, "", [], {})


def differing_fields(sent: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the top-level fields of what was sent that look otherwise in what was found, sorted.

    What was not sent is not looked at, in objects within as well. The same letters composed otherwise (é in one
    sign or in two) are equal, and so are absent and empty. The order of a list means nothing; its length does.
    """
    return tuple(sorted(name for name, value in sent.items() if not _has(found.get(name), value)))


def _has(found: Any, sent: Any) -> bool:
    match sent:
        case Mapping():
            inside = found if isinstance(found, Mapping) else {}
            return (_is_nothing(found) or found is inside) and not differing_fields(sent, inside)
        case Sequence() if not isinstance(sent, str):
            return _has_all(found, sent)
    return _plain(found) == _plain(sent) or (_is_nothing(found) and _is_nothing(sent))


def _has_all(found: Any, sent: Sequence[Any]) -> bool:
    """Whether each element that was sent has one of its own among the found, and none is left over."""
    there = [] if _is_nothing(found) else found
    if not isinstance(there, Sequence) or isinstance(there, str) or len(there) != len(sent):
        return False
    names = {name for one in sent if isinstance(one, Mapping) for name in one}
    if Counter(_word(one, names) for one in there) == Counter(_word(one, names) for one in sent):
        return True
    left = list(there)
    for one in sorted(sent, key=lambda one: len(one) if isinstance(one, Mapping) else 0, reverse=True):
        match_at = next((place for place, other in enumerate(left) if _has(other, one)), None)
        if match_at is None:
            return False
        left.pop(match_at)
    return True


def _word(value: Any, names: set[str]) -> str:
    """An element as a text that is the same for equal ones, as far as these fields of it go."""
    if isinstance(value, Mapping):
        return repr(sorted((k, repr(_plain(v))) for k, v in value.items() if k in names and not _is_nothing(v)))
    return repr(_plain(value))


def _plain(value: Any) -> Any:
    return normalize("NFC", value) if isinstance(value, str) else value


def _is_nothing(value: Any) -> bool:
    return value in _NOTHING
