"""What the vendor feed says of itself in OpenAPI 3.1: parameters, answers and the proof of each operation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from bridge.domain.changes import Operation
from bridge.domain.entities import MAPPED_KINDS
from bridge.domain.events import event_type
from bridge.engine.vendor_feed_cursor import LONGEST
from bridge.web.served import VENDORS
from bridge.web.vendor_problems import PROBLEM_TYPE, PROBLEMS, titles

EVENTS_TYPE, JSON_TYPE = "application/cloudevents-batch+json", "application/json"
LIMIT, MOST, LONGEST_WAIT = 200, 1_000, 60

_Schema = dict[str, Any]
_TEXT: _Schema = {"type": "string"}
_TIME: _Schema = {"type": "string", "format": "date-time"}
_SUBJECT: _Schema = {
    "type": "string",
    "pattern": "^[a-z]+/[0-9a-f-]{36}$",
    "description": "The kind of the entity and its canonical id",
}
_VERSION: _Schema = {
    "type": "integer",
    "minimum": 1,
    "description": "Grows with each change of the entity; drop what is not higher than what you hold",
}
_OBJECT: _Schema = {
    "type": "object",
    "description": "The fields that your mapping names, as they may be shown now; references are canonical ids",
    "properties": {"id": {"type": "string", "format": "uuid"}},
    "required": ["id"],
}
_TYPES = [event_type(kind, operation) for kind in MAPPED_KINDS for operation in Operation]
_EVENT: _Schema = {
    "type": "object",
    "description": "CloudEvents 1.0. Of what is deleted, data.object has keys only",
    "properties": {
        "specversion": {"const": "1.0"},
        "id": _TEXT,
        "source": {"type": "string", "format": "uri-reference"},
        "type": {"type": "string", "enum": _TYPES},
        "subject": _SUBJECT,
        "time": _TIME,
        "datacontenttype": {"const": "application/json"},
        "sequence": {"type": "string", "pattern": "^[0-9]{20}$"},
        "partitionkey": _TEXT,
        "entityversion": _VERSION,
        "causeid": _TEXT,
        "traceparent": {
            "type": "string",
            "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-01$",
            "description": "W3C Trace Context: one trace for all that one snapshot changed; quote it when you ask",
        },
        "data": {"type": "object", "properties": {"object": {"$ref": "#/components/schemas/Object"}}},
    },
    "required": ["specversion", "id", "source", "type", "subject", "time", "sequence", "entityversion", "data"],
}
_ENTITY: _Schema = {
    "type": "object",
    "properties": {
        "source": {"type": "string", "format": "uri-reference"},
        "subject": _SUBJECT,
        "time": _TIME,
        "entityversion": _VERSION,
        "object": {"$ref": "#/components/schemas/Object"},
    },
    "required": ["source", "subject", "time", "entityversion", "object"],
}
_SNAPSHOT: _Schema = {
    "type": "object",
    "properties": {
        "cursor": {
            "type": "string",
            "description": "Where the feed goes on behind the snapshot: /v1/events?after=",
        },
        "entities": {"type": "array", "items": {"$ref": "#/components/schemas/Entity"}},
    },
    "required": ["cursor", "entities"],
    "additionalProperties": False,
}
_PROBLEM: _Schema = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": [f"urn:skolebro:problem:{name}" for name in PROBLEMS]},
        "title": _TEXT,
        "status": {"type": "integer"},
    },
    "required": ["type", "title", "status"],
    "additionalProperties": False,
}
_CURSOR: _Schema = {"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": LONGEST}
_REFUSALS = (400, 401, 403, 404, 410, 429, 500, 503)


def events_operation() -> dict[str, Any]:
    """The arguments of the route for the feed."""
    wait = {"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT, "default": 0}
    return _operation(
        "events",
        "What changed of what you may see, in order",
        [
            _parameter("after", _CURSOR, "The cursor of your last answer; without it from the beginning"),
            _limit(),
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
        [_parameter("after", _CURSOR, "The cursor of the page before"), _limit()],
        {JSON_TYPE: {"schema": {"$ref": "#/components/schemas/Snapshot"}}},
        is_endless=False,
    )


def describe(document: dict[str, Any]) -> dict[str, Any]:
    """Complete FastAPI's document by what the operations refer to."""
    schemas = {"Event": _EVENT, "Object": _OBJECT, "Entity": _ENTITY, "Snapshot": _SNAPSHOT, "Problem": _PROBLEM}
    token = {"type": "http", "scheme": "bearer", "description": "The token that the municipality gave you"}
    document["servers"] = [{"url": VENDORS}]
    document["components"] = {"schemas": schemas, "securitySchemes": {"token": token}}
    return document


def _operation(
    name: str, summary: str, parameters: list[_Schema], content: Mapping[str, _Schema], *, is_endless: bool
) -> dict[str, Any]:
    headers = {
        "ETag": {"required": True, "schema": _TEXT},
        "Link": {"required": is_endless, "schema": _TEXT, "description": 'rel="next"'},
        "Skolebro-Cursor": {"required": is_endless, "schema": _TEXT, "description": "Where the next page begins"},
    }
    return {
        "operation_id": name,
        "summary": summary,
        "response_class": Response,  # nothing of its own is added to the answers
        "responses": {
            "200": {"description": "OK", "headers": headers, "content": dict(content)},
            "304": {"description": "You have it already (If-None-Match)", "headers": headers},
            **{str(status): _refusal(status) for status in _REFUSALS},
        },
        "openapi_extra": {"parameters": parameters, "security": [{"token": []}]},
    }


def _refusal(status: int) -> _Schema:
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    headers: _Schema = {"Retry-After": {"schema": _TEXT}} if status in (429, 503) else {}
    headers |= {"Link": {"required": True, "schema": _TEXT}} if status == 410 else {}
    return {"description": titles(status), "content": content, "headers": headers}


def _limit() -> _Schema:
    return _parameter(
        "limit", {"type": "integer", "minimum": 1, "maximum": MOST, "default": LIMIT}, "How much at most"
    )


def _parameter(name: str, told: _Schema, text: str) -> _Schema:
    return {"in": "query", "name": name, "required": False, "schema": told, "description": text}
