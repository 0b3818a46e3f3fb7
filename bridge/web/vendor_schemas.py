"""The bodies of the vendor feed as JSON Schema: what a vendor gets, and what it asks for."""

from __future__ import annotations

from typing import Any

from bridge.domain.changes import Operation
from bridge.domain.entities import MAPPED_KINDS
from bridge.domain.events import event_type
from bridge.engine.vendor_feed_cursor import LONGEST
from bridge.web.vendor_problems import PROBLEMS

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
TIME: Schema = {"type": "string", "format": "date-time"}
SUBJECT: Schema = {
    "type": "string",
    "pattern": "^[a-z]+/[0-9a-f-]{36}$",
    "description": "The kind of the entity and its canonical id",
}
VERSION: Schema = {
    "type": "integer",
    "minimum": 1,
    "description": "Grows with each change of the entity; drop what is not higher than what you hold",
}
OBJECT: Schema = {
    "type": "object",
    "description": "The fields that your mapping names, as they may be shown now; references are canonical ids",
    "properties": {"id": {"type": "string", "format": "uuid"}},
    "required": ["id"],
}
TYPES = [event_type(kind, operation) for kind in MAPPED_KINDS for operation in Operation]
EVENT: Schema = {
    "type": "object",
    "description": "CloudEvents 1.0. Of what is deleted, data.object has keys only",
    "properties": {
        "specversion": {"const": "1.0"},
        "id": TEXT,
        "source": {"type": "string", "format": "uri-reference"},
        "type": {"type": "string", "enum": TYPES},
        "subject": SUBJECT,
        "time": TIME,
        "datacontenttype": {"const": "application/json"},
        "sequence": {"type": "string", "pattern": "^[0-9]{20}$"},
        "partitionkey": TEXT,
        "entityversion": VERSION,
        "causeid": TEXT,
        "traceparent": {
            "type": "string",
            "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-01$",
            "description": "W3C Trace Context: one trace for all that one snapshot changed; quote it when you ask",
        },
        "data": {"type": "object", "properties": {"object": {"$ref": "#/components/schemas/Object"}}},
    },
    "required": ["specversion", "id", "source", "type", "subject", "time", "sequence", "entityversion", "data"],
}
ENTITY: Schema = {
    "type": "object",
    "properties": {
        "source": {"type": "string", "format": "uri-reference"},
        "subject": SUBJECT,
        "time": TIME,
        "entityversion": VERSION,
        "object": {"$ref": "#/components/schemas/Object"},
    },
    "required": ["source", "subject", "time", "entityversion", "object"],
}
SNAPSHOT: Schema = {
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
PROBLEM: Schema = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": [f"urn:skolebro:problem:{name}" for name in PROBLEMS]},
        "title": TEXT,
        "status": {"type": "integer"},
    },
    "required": ["type", "title", "status"],
    "additionalProperties": False,
}
CURSOR: Schema = {"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": LONGEST}
ATTEMPT: Schema = {
    "type": "object",
    "description": "One attempt at a target of yours, when it has ended",
    "properties": {
        "kind": {"const": "attempt"},
        "time": TIME,
        "target": TEXT,
        "id": {"type": "string", "format": "uuid", "description": "The id of the event, and the webhook-id"},
        "type": {"type": "string", "enum": TYPES},
        "subject": SUBJECT,
        "entityversion": VERSION,
        "mapping": TEXT,
        "ended": TIME,
        "outcome": {
            "type": "string",
            "enum": ["delivered", "unchanged", "rejected", "deferred", "unknown", "not_sent"],
            "description": "unknown: it is not known whether it arrived; it is sent again under the same id",
        },
        "status": {"type": "integer", "description": "The HTTP status of the answer, where there was one"},
        "reason": TEXT,
        "next_attempt": {**TIME, "description": "When the event is sent again, where it still is to be"},
        "trace": TEXT,
    },
    "required": [
        "kind",
        "time",
        "target",
        "id",
        "type",
        "subject",
        "entityversion",
        "mapping",
        "ended",
        "outcome",
    ],
    "additionalProperties": False,
}
COUNT: Schema = {"type": "integer", "minimum": 0}
FETCH: Schema = {
    "type": "object",
    "description": "One answer of /v1/events or /v1/snapshot that showed you anything of a municipality",
    "properties": {
        "kind": {"const": "fetch"},
        "time": TIME,
        "municipality": TEXT,
        "what": {"enum": ["events", "snapshot"]},
        "from": {**COUNT, "description": "The first sequence that may be in it"},
        "to": {**COUNT, "description": "The sequence of the last that was in it"},
        "count": COUNT,
        "deleted": COUNT,
        "masked": {**COUNT, "description": "How many were shown without what is protected"},
        "entities": {"type": "object", "additionalProperties": COUNT},
        "mapping": TEXT,
    },
    "required": ["kind", "time", "municipality", "what", "from", "to", "count", "deleted", "masked", "entities"],
    "additionalProperties": False,
}
REPLAY_ENTRY: Schema = {
    "type": "object",
    "description": "You asked for a replay",
    "properties": {
        "kind": {"const": "replay"},
        "time": TIME,
        "target": TEXT,
        "since": TIME,
        "after": TEXT,
        "until": TIME,
        "entities": COUNT,
        "deletions": COUNT,
    },
    "required": ["kind", "time", "target", "until", "entities", "deletions"],
    "additionalProperties": False,
}
ASKED: Schema = {
    "type": "object",
    "description": "What your target confirmed from since, or behind the cursor of the log, until before until",
    "properties": {
        "target": {**TEXT, "description": "One of your targets, municipality/name", "maxLength": 200},
        "since": TIME,
        "after": CURSOR,
        "until": {**TIME, "description": "Now, if nothing is said"},
    },
    "required": ["target"],
    "oneOf": [{"required": ["since"]}, {"required": ["after"]}],
    "additionalProperties": False,
}
REPLAYED: Schema = {
    "type": "object",
    "properties": {
        "target": TEXT,
        "entities": {**COUNT, "description": "How many are sent again, each as a new version"},
        "deletions": {**COUNT, "description": "How many of these are told as deleted once more"},
        "ends": {**TIME, "description": "When the last of them is due; until then there is no other replay"},
        "next": {**CURSOR, "description": "Where the rest of the range begins, as after of your next replay"},
    },
    "required": ["target", "entities", "deletions", "ends"],
    "additionalProperties": False,
}
