"""Whatever somebody, a class or an id is called, Aula by agreement holds it as it was told, and forgets it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from svix.webhooks import Webhook

from bridge.connector import Command, Delivered, Outcome
from bridge.domain.changes import Operation
from bridge.mapping import load_mapping
from bridge.testing.aula_receiver import AulaReceiver
from bridge.testing.faulty_proxy import FaultyProxy
from bridge.webhooks import EventTarget
from tests.integration.test_aula_target import SECRET, make_target
from tests.support.engine import Bench, group, key_id, pupil
from tests.support.naughty import NAUGHTY

SENDABLE = tuple(text for text in NAUGHTY if text != "\ud800")
RECORDS = [
    group("1A"),
    *(group(text, text) for text in SENDABLE),
    *(pupil(text, "1A", (text,), given_name=text, family_name=text) for text in SENDABLE),
]


@dataclass
class Line:
    """What a school of such names makes to send, and Aula behind a proxy."""

    aula: AulaReceiver
    proxy: FaultyProxy
    target: EventTarget
    came: list[Command]

    def tell(self, commands: list[Command]) -> list[Outcome]:
        return list(self.target.apply(commands))


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    bench = Bench(mapping=load_mapping("aula/agreement"))
    assert bench.take(*RECORDS) == ("recorded", None)
    came = bench.drain()
    with AulaReceiver(SECRET) as aula, FaultyProxy(aula.url) as proxy:
        for target in make_target(proxy.url, tmp_path):
            yield Line(aula, proxy, target, came)


def test_all_is_held_as_it_was_told_and_signed(line: Line) -> None:
    assert {type(outcome) for outcome in line.tell(line.came)} == {Delivered}
    assert dict(line.aula.objects) == {f"{one.kind}/{one.id}": one.document for one in line.came}
    people = {key_id(one.kind, *one.key): one.document for one in line.came if one.resource == "person"}
    names = {(told["user_id"], told["given_name"], told["family_name"]) for told in people.values() if told}
    assert names == {(text, text, text) for text in SENDABLE}
    classes = [one.document or {} for one in line.came if one.resource == "group"]
    assert {(told["group_id"], told["name"]) for told in classes} >= {(text, text) for text in SENDABLE}
    for request, command in zip(line.proxy.requests, line.came, strict=True):
        Webhook(SECRET).verify(request.body, dict(request.headers))
        event = from_structured_event(HTTPMessage(dict(request.headers), request.body))
        assert event.get_subject() == f"{command.kind}/{command.id}"
        assert event.get_data() == {"object": command.document}


def test_what_is_told_twice_counts_once(line: Line) -> None:
    line.tell(line.came)
    assert {type(outcome) for outcome in line.tell(line.came)} == {Delivered}
    assert line.aula.duplicates == len(line.came)


def test_a_deletion_names_the_key_and_all_is_gone(line: Line) -> None:
    line.tell(line.came)
    before = len(line.proxy.requests)
    gone: dict[str, Any] = {"operation": Operation.DELETED, "document": None}
    went = [
        replace(one, version=one.version + 1, delivery_key=f"{one.delivery_key}-gone", **gone) for one in line.came
    ]
    assert {type(outcome) for outcome in line.tell(went)} == {Delivered}
    assert dict(line.aula.objects) == {}
    bodies = [json.loads(request.body) for request in line.proxy.requests[before:]]
    people = [body["data"]["object"] for body in bodies if body["type"] == "skolebro.person.deleted.v1"]
    assert {told["user_id"] for told in people} == {*SENDABLE}
    assert {frozenset(told) for told in people} == {frozenset({"id", "user_id"})}
