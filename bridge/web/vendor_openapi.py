"""What the vendor feed says of itself in OpenAPI 3.1: parameters, answers and the proof of each operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from bridge.web.served import VENDORS
from bridge.web.vendor_problems import PROBLEM_TYPE, titles
from bridge.web.vendor_schemas import (
    ASKED,
    ATTEMPT,
    CURSOR,
    ENTITY,
    EVENT,
    FETCH,
    OBJECT,
    PROBLEM,
    REPLAY_ENTRY,
    REPLAYED,
    SNAPSHOT,
    TEXT,
    TIME,
    Schema,
)

EVENTS_TYPE, JSON_TYPE = "application/cloudevents-batch+json", "application/json"
LIMIT, MOST, LONGEST_WAIT = 200, 1_000, 60

_REFUSALS = (400, 401, 403, 404, 410, 429, 500, 503)
_OF_THE_LOG = (400, 401, 404, 429, 500, 503)
_OF_REPLAYS = (400, 401, 404, 409, 429, 500, 503)
_SINCE = (
    "In place of after: begin with what is of this time or later (RFC 3339); a little of what is older may come"
)


def events_operation() -> dict[str, Any]:
    """The arguments of the route for the feed."""
    wait = {"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT, "default": 0}
    return _operation(
        "events",
        "What changed of what you may see, in order",
        [
            _parameter("after", CURSOR, "The cursor of your last answer; without it from the beginning"),
            _limit(),
            _parameter("since", TIME, _SINCE),
            _parameter("wait", wait, "Seconds to wait for news where there is none"),
        ],
        {EVENTS_TYPE: {"schema": {"type": "array", "items": {"$ref": "#/components/schemas/Event"}}}},
        is_endless=True,
    )


def snapshot_operation() -> dict[str, Any]:
    """The arguments of the route for the state."""
    return _operation(
        "snapshot",
        "All that you may see as it is now, in pages, and where the feed goes on",
        [_parameter("after", CURSOR, "The cursor of the page before"), _limit()],
        {JSON_TYPE: {"schema": {"$ref": "#/components/schemas/Snapshot"}}},
        is_endless=False,
    )


def deliveries_operation() -> dict[str, Any]:
    """The arguments of the route for the delivery log."""
    entry = {"$ref": "#/components/schemas/LogEntry"}
    return _operation(
        "deliveries",
        "What was disclosed to you: your fetches, and every attempt at your targets, in order",
        [
            _parameter("after", CURSOR, "The cursor of your last answer; without it from the beginning"),
            _limit(),
            _parameter("since", TIME, _SINCE),
        ],
        {JSON_TYPE: {"schema": {"type": "array", "items": entry}}},
        is_endless=True,
        refusals=_OF_THE_LOG,
    )


def replay_operation() -> dict[str, Any]:
    """The arguments of the route that asks for a replay."""
    schema = {"$ref": "#/components/schemas/Replayed"}
    body = {"required": True, "content": {JSON_TYPE: {"schema": {"$ref": "#/components/schemas/Replay"}}}}
    return {
        "operation_id": "replay",
        "summary": "Have what a target of yours confirmed sent to it once more",
        "response_class": Response,
        "status_code": 202,
        "responses": {
            "202": {
                "description": "It is due again, little by little",
                "content": {JSON_TYPE: {"schema": schema}},
            },
            **{str(status): _refusal(status) for status in _OF_REPLAYS},
        },
        "openapi_extra": {"requestBody": body, "security": [{"token": []}]},
    }


def describe(document: dict[str, Any]) -> dict[str, Any]:
    """Complete FastAPI's document by what the operations refer to."""
    schemas = {
        "Event": EVENT,
        "Object": OBJECT,
        "Entity": ENTITY,
        "Snapshot": SNAPSHOT,
        "LogEntry": {"oneOf": [FETCH, ATTEMPT, REPLAY_ENTRY]},
        "Replay": ASKED,
        "Replayed": REPLAYED,
        "Problem": PROBLEM,
    }
    token = {"type": "http", "scheme": "bearer", "description": "The token that the municipality gave you"}
    document["servers"] = [{"url": VENDORS}]
    document["components"] = {"schemas": schemas, "securitySchemes": {"token": token}}
    return document


def _operation(
    name: str,
    summary: str,
    parameters: list[Schema],
    content: Mapping[str, Schema],
    *,
    is_endless: bool,
    refusals: Sequence[int] = _REFUSALS,
) -> dict[str, Any]:
    headers = {
        "ETag": {"required": True, "schema": TEXT},
        "Link": {"required": is_endless, "schema": TEXT, "description": 'rel="next"'},
        "Skolebro-Cursor": {"required": is_endless, "schema": TEXT, "description": "Where the next page begins"},
    }
    return {
        "operation_id": name,
        "summary": summary,
        "response_class": Response,  # nothing of its own is added to the answers
        "responses": {
            "200": {"description": "OK", "headers": headers, "content": dict(content)},
            "304": {"description": "You have it already (If-None-Match)", "headers": headers},
            **{str(status): _refusal(status) for status in refusals},
        },
        "openapi_extra": {"parameters": parameters, "security": [{"token": []}]},
    }


def _refusal(status: int) -> Schema:
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    headers: Schema = {"Retry-After": {"schema": TEXT}} if status in (429, 503) else {}
    headers |= {"Link": {"required": True, "schema": TEXT}} if status == 410 else {}
    return {"description": titles(status), "content": content, "headers": headers}


def _limit() -> Schema:
    return _parameter(
        "limit", {"type": "integer", "minimum": 1, "maximum": MOST, "default": LIMIT}, "How much at most"
    )


def _parameter(name: str, told: Schema, text: str) -> Schema:
    return {"in": "query", "name": name, "required": False, "schema": told, "description": text}
