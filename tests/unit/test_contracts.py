"""The published contracts break nobody who relies on the released ones, and the judge of that finds what would."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.support.contracts import broken

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
DOCUMENTS = ("openapi.json", "asyncapi.json")
Document = dict[str, Any]


def read(name: str) -> Document:
    found: Document = json.loads((REFERENCE / name).read_text())
    return found


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_contract_breaks_nothing_of_the_released_one(name: str) -> None:
    assert broken(read(f"released/{name}"), read(name)) == []


# ---------------------------------------------------------------- the judge

events = ("paths", "/events", "get")
event = ("components", "schemas", "Event")
message = ("components", "schemas", "person.updated")


def at(document: Document, path: tuple[str, ...]) -> Any:
    found: Any = document
    for name in path:
        found = found[name]
    return found


def parameter(document: Document, name: str) -> Document:
    found: Document = next(one for one in at(document, events)["parameters"] if one["name"] == name)
    return found


BREAKS: dict[str, tuple[str, Callable[[Document], Any], str]] = {
    "an operation goes": ("openapi.json", lambda d: d["paths"].pop("/snapshot"), "is gone"),
    "a parameter goes": ("openapi.json", lambda d: at(d, events)["parameters"].pop(), "parameter wait is gone"),
    "a parameter must be given": (
        "openapi.json", lambda d: parameter(d, "after").update(required=True), "must be given now"
    ),
    "a parameter takes less": (
        "openapi.json", lambda d: parameter(d, "limit")["schema"].update(maximum=100), "maximum"
    ),
    "another proof": ("openapi.json", lambda d: at(d, events).update(security=[{"key": []}]), "another proof"),
    "the answer goes": ("openapi.json", lambda d: at(d, events)["responses"].pop("200"), "200 is gone"),
    "a header goes": (
        "openapi.json", lambda d: at(d, events)["responses"]["200"]["headers"].pop("ETag"), "header ETag"
    ),
    "a media type goes": (
        "openapi.json", lambda d: at(d, events)["responses"]["200"]["content"].clear(), "batch+json is gone"
    ),
    "a field goes": ("openapi.json", lambda d: at(d, event)["properties"].pop("time"), ".time: is gone"),
    "a field may be missing": (
        "openapi.json", lambda d: at(d, event)["required"].remove("id"), "id may be missing"
    ),
    "a field has another type": (
        "openapi.json", lambda d: at(d, event)["properties"].update(time={"type": "integer"}), "may be integer"
    ),
    "a field has any type": (
        "openapi.json", lambda d: at(d, event)["properties"]["time"].pop("type"), "may be anything"
    ),
    "a value is new": (
        "openapi.json", lambda d: at(d, event)["properties"]["type"]["enum"].append("x"), "x is new"
    ),
    "another pattern": (
        "openapi.json", lambda d: at(d, event)["properties"]["subject"].update(pattern=".*"), "another pattern"
    ),
    "a bound is looser": (
        "openapi.json", lambda d: at(d, event)["properties"]["entityversion"].update(minimum=0), "minimum"
    ),
    "a closed object opens": (
        "openapi.json",
        lambda d: d["components"]["schemas"]["Snapshot"].pop("additionalProperties"),
        "may have more fields",
    ),
    "a rule that is not known": (
        "openapi.json", lambda d: at(d, event).update(oneOf=[{}]), "nobody here can judge"
    ),
    "a message goes": (
        "asyncapi.json", lambda d: d["channels"]["events"]["messages"].pop("person.updated"), "is gone"
    ),
    "another address": ("asyncapi.json", lambda d: d["channels"]["events"].update(address="x"), "address"),
    "a field of a message goes": (
        "asyncapi.json", lambda d: at(d, message)["properties"].pop("causeid"), ".causeid: is gone"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BREAKS)
def test_what_breaks_is_named(case: str) -> None:
    name, change, told = BREAKS[case]
    old = read(name)
    new = deepcopy(old)
    change(new)
    assert any(told in line for line in broken(old, new)), broken(old, new)


GROWTH: dict[str, tuple[str, Callable[[Document], Any]]] = {
    "an operation comes": ("openapi.json", lambda d: d["paths"].update({"/new": {"get": at(d, events)}})),
    "a parameter comes that may be left out": (
        "openapi.json",
        lambda d: at(d, events)["parameters"].append({"in": "query", "name": "x", "schema": {}}),
    ),
    "a parameter takes more": ("openapi.json", lambda d: parameter(d, "limit")["schema"].update(maximum=9_999)),
    "a field comes": ("openapi.json", lambda d: at(d, event)["properties"].update(new={"type": "string"})),
    "a field is always there": (
        "openapi.json", lambda d: at(d, event)["required"].append("causeid")
    ),
    "other words": ("asyncapi.json", lambda d: at(d, message).update(description="Told otherwise.")),
    "a message comes": (
        "asyncapi.json",
        lambda d: d["channels"]["events"]["messages"].update(
            {"x": {"$ref": "#/components/messages/person.updated"}}
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", GROWTH)
def test_what_grows_breaks_nobody(case: str) -> None:
    name, change = GROWTH[case]
    old = read(name)
    new = deepcopy(old)
    change(new)
    assert broken(old, new) == []
