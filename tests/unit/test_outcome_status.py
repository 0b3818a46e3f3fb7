"""An outcome tells the HTTP status that decided, and is the same outcome with and without it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.connector import Command, HttpResponse
from bridge.domain.changes import Operation
from bridge.domain.ids import CanonicalId
from bridge.domain.outcomes import Deferred, Delivered, Outcome, Rejected, Unchanged, status_in
from bridge.webhooks import EventTarget, Signer
from connectors.scim.target import Resource, ScimTarget
from tests.support.world import webhook_secret

NOW = datetime(2026, 8, 11, tzinfo=UTC)
USERS = {"User": Resource(endpoint="/Users", urn="urn:ietf:params:scim:schemas:core:2.0:User")}
BODY = {"externalId": "e", "userName": "ane"}
FOUND = json.dumps({"totalResults": 1, "Resources": [{"id": "1", **BODY}]}).encode()


class Scripted:
    """An HTTP edge that gives these answers one after the other."""

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        self.answers = list(answers)

    def request(self, method: str, path: str, **options: Any) -> HttpResponse:
        status, body = self.answers.pop(0)
        return HttpResponse(status, {}, body)


def command(operation: Operation, document: Mapping[str, Any] | None, remote_id: str | None = None) -> Command:
    return Command(
        operation=operation,
        resource="User",
        kind="person",
        id=CanonicalId("e"),
        key=("ane",),
        identity={"user_id": "ane"},
        document=document,
        previous=None,
        remote_id=remote_id,
        etag=None,
        in_doubt=False,
        municipality="101",
        institution="101001",
        version=1,
        sequence=1,
        cause="run",
        time=NOW,
        delivery_key="k",
    )


CREATE = command(Operation.CREATED, BODY)
UPDATE = command(Operation.UPDATED, BODY, "1")
SLEEP = replace(UPDATE, may_create=False)
DELETE = command(Operation.DELETED, None, "1")
MADE = b'{"id": "1"}'
ERROR = b'{"scimType": "uniqueness"}'


@pytest.mark.parametrize(
    ("asked", "answers", "outcome"),
    [
        (CREATE, [(201, MADE)], Delivered("1", status=201)),
        (CREATE, [(400, ERROR)], Rejected("refused_400", "uniqueness", 400)),
        (CREATE, [(500, b"")], Deferred("server_error_500", status=500)),
        (CREATE, [(409, ERROR), (200, FOUND), (200, MADE)], Delivered("1", status=200)),
        (UPDATE, [(204, b"")], Delivered("1", status=204)),
        (UPDATE, [(200, b"<html>")], Deferred("answer_not_scim", status=200)),
        (UPDATE, [(412, b""), (404, b""), (412, b"")], Deferred("changed_meanwhile", status=412)),
        (DELETE, [(204, b"")], Delivered(status=204)),
        (DELETE, [(404, b"")], Unchanged(status=404)),
        (SLEEP, [(200, MADE)], Delivered("1", status=200)),
        (SLEEP, [(404, b"")], Unchanged(is_gone=True)),
    ],
)
def test_scim(asked: Command, answers: list[tuple[int, bytes]], outcome: Outcome) -> None:
    (found,) = ScimTarget(Scripted(*answers), USERS).apply([asked])
    assert (found, found.status) == (outcome, outcome.status)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ((202, b""), Delivered(status=202)),
        ((200, b"<html>"), Deferred("answer_is_a_page", status=200)),
        ((422, b""), Rejected("refused_422", status=422)),
        ((500, b""), Deferred("server_error_500", status=500)),
    ],
)
def test_aula(answer: tuple[int, bytes], outcome: Outcome) -> None:
    target = EventTarget(Scripted(answer), Signer(webhook_secret(), lambda: NOW), "/events")
    (found,) = target.apply([CREATE])
    assert (found, found.status) == (outcome, outcome.status)


def test_a_status_makes_no_other_outcome() -> None:
    assert Delivered("1", status=200) == Delivered("1")
    assert Rejected("x", "y", 400) == Rejected("x", "y")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("refused_409", 409),
        ("server_error_500", 500),
        ("target unavailable: status_503", 503),
        ("the target answers 401 to our credential", 401),
        ("POST /Users answers 404", 404),
        ("the target redirects (301): base_url must name where it is", 301),
        ("many_deferred", None),
        ("resource_4040", None),
        ("", None),
        (None, None),
    ],
)
def test_a_status_is_read_from_what_is_told_without_one(text: str | None, status: int | None) -> None:
    assert status_in(text) == status
