"""What a request asks of a collection: which objects, in what order, how many and what of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import contains, eq, ge, gt, le, lt, ne
from typing import Any, Literal

from connectors.oneroster.shapes import paths

Minor = Literal[
    "invalid_filter_field",
    "invalid_selection_field",
    "invalid_blank_selection_field",
    "invalid_sort_field",
    "invaliddata",
    "unauthorisedrequest",
    "forbidden",
    "unknownobject",
    "server_busy",
    "internal_server_error",
]
_CLAUSE = re.compile(
    r" *([A-Za-z][A-Za-z0-9.]*) *(!=|>=|<=|=|>|<|~) *"
    # OneRoster does not say how an apostrophe is written: twice, as in SQL and OData, whatever is around it; one
    # with a letter behind it (O'Brien) is taken as it is.
    r"'((?:[^']|''|(?<![=<>~])'(?=\w))*)'(?!') *",
)
_LOGIC = re.compile(r"(AND|OR) ")
_TIME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+ -]\d\d:\d\d)?)?", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,9}")
LONGEST_FILTER = 2000
_TIMES = frozenset({"dateLastModified"})


class BadQuery(Exception):
    """The request asks for something that cannot be; `text` says what, and quotes nothing but field names."""

    def __init__(self, minor: Minor, text: str) -> None:
        super().__init__(text)
        self.minor, self.text = minor, text


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of a collection. `matches` takes an object as it is written, None takes all."""

    limit: int
    offset: int
    sort: str
    is_descending: bool
    matches: Callable[[Mapping[str, Any]], bool] | None
    fields: tuple[str, ...] | None

    @property
    def is_plain(self) -> bool:
        """Whether all are wanted, in the order of their ids."""
        return self.matches is None and self.sort == "sourcedId" and not self.is_descending

    def sorted(self, written: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """In the order that was asked for; equals, and what has no such value, always in the same order."""
        by_id = sorted(written, key=lambda one: str(one["sourcedId"]))
        return sorted(by_id, key=lambda one: _rank(one, self.sort), reverse=self.is_descending)


def parse_query(params: Mapping[str, str], shape: Mapping[str, Any], page: int, most: int) -> Query:
    """Read the parameters of a request for a collection of this shape; a `limit` above `most` is `most`.

    Raises `BadQuery`.
    """
    order = params.get("orderBy", "asc")
    if order not in ("asc", "desc"):
        raise BadQuery("invaliddata", "orderBy is asc or desc")
    sort = params.get("sort", "sourcedId")
    if sort not in paths(shape):
        raise BadQuery("invalid_sort_field", "sort names no field of these objects")
    limit = _number(params, "limit", page)
    if limit == 0:
        raise BadQuery("invaliddata", "limit is at least 1")
    return Query(
        limit=min(limit, most),
        offset=_number(params, "offset", 0),
        sort=sort,
        is_descending=order == "desc",
        matches=parse_filter(params["filter"], shape) if "filter" in params else None,
        fields=parse_fields(params, shape),
    )


def parse_fields(params: Mapping[str, str], shape: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the fields that were selected, None for all. Raises `BadQuery`."""
    if "fields" not in params:
        return None
    names = tuple(name.strip(" ") for name in params["fields"].split(","))
    if not all(names):
        raise BadQuery("invalid_blank_selection_field", "fields has a blank in it")
    if any(name not in shape for name in names):
        raise BadQuery("invalid_selection_field", "fields names a field that these objects do not have")
    return names


def select(written: dict[str, Any], fields: tuple[str, ...] | None) -> dict[str, Any]:
    """Return the object with these fields only."""
    return written if fields is None else {name: value for name, value in written.items() if name in fields}


def parse_filter(text: str, shape: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bool]:
    """Read `field op 'value'`, at most two of them with one AND or OR between. Raises `BadQuery`."""
    if len(text) > LONGEST_FILTER:
        raise BadQuery("invalid_filter_field", f"a filter has at most {LONGEST_FILTER} characters")
    first, at = _clause(text, 0, shape)
    if at == len(text):
        return first
    logic = _LOGIC.match(text, at)
    if logic is None:
        raise BadQuery("invalid_filter_field", "a filter is field='value', or two of these with AND or OR between")
    second, end = _clause(text, logic.end(), shape)
    if end != len(text):
        raise BadQuery("invalid_filter_field", "a filter has at most one AND or OR")
    if logic[1] == "AND":
        return lambda one: first(one) and second(one)
    return lambda one: first(one) or second(one)


def _clause(text: str, at: int, shape: Mapping[str, Any]) -> tuple[Callable[[Mapping[str, Any]], bool], int]:
    found = _CLAUSE.match(text, at)
    if found is None:
        raise BadQuery("invalid_filter_field", "a filter is field='value'; = may be != > >= < <= or ~")
    path, operator, value = found[1], found[2], found[3].replace("''", "'")
    if path not in paths(shape):
        raise BadQuery("invalid_filter_field", "the filter names a field that these objects do not have")
    names = path.split(".")
    if names[-1] in _TIMES:
        return _by_time(names, operator, value), found.end()
    wanted = value.casefold()
    test = _TESTS[operator]
    if operator == "!=":
        return lambda one: wanted not in set(_values(one, names)), found.end()
    return lambda one: any(test(has, wanted) for has in _values(one, names)), found.end()


def _by_time(names: list[str], operator: str, value: str) -> Callable[[Mapping[str, Any]], bool]:
    """Times are compared as times, however they are written; `~` looks at how they are."""
    if operator == "~":
        return lambda one: any(value.casefold() in has for has in _values(one, names))
    try:
        if not _TIME.fullmatch(value):
            raise ValueError
        at = datetime.fromisoformat(value.replace(" ", "+"))  # a "+" that was not escaped
    except ValueError:
        raise BadQuery(
            "invaliddata", "dateLastModified is compared with a time such as 2026-01-01T00:00:00.000Z"
        ) from None
    wanted = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    test = _TIME_TESTS[operator]
    return lambda one: test(datetime.fromisoformat(one[names[0]]), wanted)


_TIME_TESTS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": eq,
    "!=": ne,
    ">": gt,
    ">=": ge,
    "<": lt,
    "<=": le,
}
_TESTS = {**_TIME_TESTS, "~": contains}


def _values(value: Any, names: list[str]) -> Iterator[str]:
    """Every text at a dotted path, through lists, without regard to capitals."""
    if isinstance(value, list):
        for one in value:
            yield from _values(one, names)
    elif names:
        if isinstance(value, Mapping) and names[0] in value:
            yield from _values(value[names[0]], names[1:])
    elif not isinstance(value, Mapping):
        yield (str(value).lower() if isinstance(value, bool) else str(value)).casefold()


def _rank(written: Mapping[str, Any], path: str) -> tuple[str, ...]:
    return tuple(_values(written, path.split(".")))


def _number(params: Mapping[str, str], name: str, default: int) -> int:
    if name not in params:
        return default
    if not _NUMBER.fullmatch(params[name]):
        raise BadQuery("invaliddata", f"{name} is a whole number, not negative")
    return int(params[name])
