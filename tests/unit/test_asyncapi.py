"""The document that consumers build on is made from the code, and what is really sent is as it says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from bridge.domain.changes import Operation
from bridge.domain.entities import PUBLISHED_KINDS, Kind
from bridge.domain.events import Event, attributes, routing_key
from bridge.engine.asyncapi import document, schema, text
from bridge.engine.publish import publish_step
from bridge.ports import Sent, Store
from tests.support.engine import TOWN, Bench, pupil, teacher

STORED = Path(__file__).parents[2] / "docs" / "reference" / "asyncapi.json"


class Recorder:
    """A broker that takes everything and remembers it."""

    def __init__(self) -> None:
        self.got: list[Event] = []

    def publish(self, events: Sequence[Event]) -> Sent:
        self.got += events
        return Sent(len(events))

    def close(self) -> None: ...


def sent(store: Store) -> list[Event]:
    recorder = Recorder()
    while publish_step(store, recorder, TOWN, 1_000):
        pass
    return recorder.got


def body(event: Event) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(msgspec.json.encode({**attributes(event), "data": msgspec.Raw(event.data)}))
    return told


@pytest.fixture(scope="module")
def events() -> list[Event]:
    """Events that a school makes in two days."""
    bench = Bench()
    bench.take(pupil("u1"), pupil("u2"), teacher("t1"))
    bench.take(pupil("u1", given_name="Ny"), pupil("u2"), teacher("t1"))
    return sent(bench.store)


def test_the_stored_document_is_the_one_that_the_code_makes() -> None:
    assert STORED.read_text("utf-8") == text(), "run `make reference` and commit docs/reference"


def test_every_entity_and_operation_has_a_message() -> None:
    made = document()
    names = {f"{kind}.{operation}" for kind in PUBLISHED_KINDS for operation in Operation}
    assert names == made["components"]["messages"].keys() == made["channels"]["events"]["messages"].keys()


def test_what_is_sent_is_as_its_schema_says_and_holds_nothing_else(events: list[Event]) -> None:
    assert {event.type.split(".")[2] for event in events} >= {"created", "updated"}
    for event in events:
        _, kind, operation = routing_key(event).split(".")
        rule, told = schema(Kind(kind), Operation(operation)), body(event)
        jsonschema_rs.validator_for(rule).validate(told)
        assert told.keys() == rule["properties"].keys()
        data = rule["properties"]["data"]["properties"]
        assert told["data"].keys() == data.keys()
        assert told["data"]["object"].keys() == data["object"]["properties"].keys()


def test_what_is_otherwise_is_refused_by_the_schema(events: list[Event]) -> None:
    rule, told = (
        schema(Kind.PERSON, Operation.CREATED),
        body(next(e for e in events if "person.created" in e.type)),
    )
    for wrong in ({"sequence": "7"}, {"type": "skolebro.person.updated.v1"}, {"subject": "group/x"}, {"data": {}}):
        with pytest.raises(jsonschema_rs.ValidationError):
            jsonschema_rs.validator_for(rule).validate({**told, **wrong})
