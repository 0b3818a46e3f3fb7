"""What goes to the broker, as an AsyncAPI 3.0 document made from the code that sends it.

`python -m bridge.engine.asyncapi` writes it to standard output.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from bridge.domain.changes import Operation
from bridge.domain.entities import KEY_FIELDS, PUBLISHED_KINDS, VALUE_FIELDS, Kind
from bridge.domain.events import event_type
from bridge.engine.codec import identity_fields

VERSION = "1.0.0"
"""Of what is sent, not of the bridge: the major number is the one at the end of every event type."""

_DIALECT = "http://json-schema.org/draft-07/schema#"
_CONTENT_TYPE = "application/cloudevents+json"
_PROMISE = (
    "Every change that was recorded, in the order of its municipality's log (`sequence`), at least once: a repeat "
    "has the same id. Take an event when its `entityversion` is higher than the one that you hold for its "
    "`subject`, else drop it. Fields may be added at any time, so ignore what you do not know; what is here keeps "
    "its meaning within a version. Events hold identifiers and the names of changed fields, never a value."
)
_TRACEPARENT = {
    "type": "string",
    "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-01$",
    "description": "W3C Trace Context; its trace id is one for all that the pass recorded. Quote it when you ask.",
}
_TOLD = {
    Operation.CREATED: "is there now, or again",
    Operation.UPDATED: "has other values in the fields that `changed` names",
    Operation.DELETED: "is gone",
}


def document() -> dict[str, Any]:
    """Return the whole document as plain JSON values."""
    pairs = [(kind, operation) for kind in PUBLISHED_KINDS for operation in Operation]
    names = {f"{kind}.{operation}": (kind, operation) for kind, operation in pairs}
    return {
        "asyncapi": "3.0.0",
        "id": "urn:skolebro:events",
        "info": {
            "title": "Skolebro events",
            "version": VERSION,
            "description": _PROMISE,
            "license": {"name": "MPL-2.0", "url": "https://www.mozilla.org/MPL/2.0/"},
        },
        "defaultContentType": _CONTENT_TYPE,
        "channels": {"events": _channel(list(names))},
        "operations": {
            "publish": {
                "action": "send",
                "channel": {"$ref": "#/channels/events"},
                "summary": "Publish with confirms; a message counts as sent when the broker has confirmed it.",
                "bindings": {"amqp": {"deliveryMode": 2, "mandatory": True, "bindingVersion": "0.3.0"}},
            }
        },
        "components": {
            "messages": {name: _message(*pair) for name, pair in names.items()},
            "schemas": {name: schema(*pair) for name, pair in names.items()},
        },
    }


def text() -> str:
    """Return the document as it is kept in docs/reference."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def schema(kind: Kind, operation: Operation) -> dict[str, Any]:
    """Return the JSON Schema of one event type: a CloudEvent in structured form."""
    properties = {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "description": "The same at every repeat; also the message id."},
        "source": {"type": "string", "pattern": "^/municipality/[^/]+/institution/[^/]+$"},
        "type": {"const": event_type(kind, operation)},
        "subject": {"type": "string", "pattern": f"^{kind}/.+$", "description": "<entity>/<canonical id>"},
        "time": {"type": "string", "format": "date-time", "description": "When the change was recorded, UTC."},
        "datacontenttype": {"const": "application/json"},
        "sequence": {"type": "string", "pattern": "^[0-9]{20}$", "description": "Its number in the log."},
        "partitionkey": {"type": "string", "description": "The institution whose snapshot brought the change."},
        "entityversion": {"type": "integer", "minimum": 1},
        "causeid": {"type": "string", "description": "The pass that recorded it, or the decision of a person."},
        "traceparent": _TRACEPARENT,
        "data": _data(kind, operation),
    }
    told = f"The {kind} {_TOLD[operation]}."
    return {"$schema": _DIALECT, "type": "object", "description": told, **_all_of(properties)}


def _data(kind: Kind, operation: Operation) -> dict[str, Any]:
    properties: dict[str, Any] = {"object": _object(kind)}
    if operation is Operation.UPDATED:
        names = {"type": "string", "enum": list(VALUE_FIELDS[kind])}
        properties["changed"] = {"type": "array", "items": names, "uniqueItems": True}
    return {"type": "object", **_all_of(properties)}


def _object(kind: Kind) -> dict[str, Any]:
    keys = identity_fields(kind, KEY_FIELDS[kind])
    properties = {
        "id": {"type": "string", "description": "The canonical id."},
        **{key: {"type": "string"} for key in keys},
    }
    return {"type": "object", **_all_of(properties)}


def _all_of(properties: dict[str, Any]) -> dict[str, Any]:
    return {"required": list(properties), "properties": properties}


def _channel(names: list[str]) -> dict[str, Any]:
    return {
        "address": "{municipality}.{entity}.{operation}",
        "title": "The event log",
        "description": "A topic exchange (`broker.exchange`); a queue is bound to it by keys such as `0101.#`.",
        "parameters": {
            "municipality": {"description": "The municipality's code, as it is configured."},
            "entity": {"enum": [str(kind) for kind in PUBLISHED_KINDS]},
            "operation": {"enum": [str(operation) for operation in Operation]},
        },
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {
                    "name": "skolebro.events",
                    "type": "topic",
                    "durable": True,
                    "autoDelete": False,
                    "vhost": "/",
                },
                "bindingVersion": "0.3.0",
            }
        },
    }


def _message(kind: Kind, operation: Operation) -> dict[str, Any]:
    return {
        "name": event_type(kind, operation),
        "title": f"{kind} {operation}",
        "contentType": _CONTENT_TYPE,
        "headers": {"type": "object", **_all_of({"traceparent": _TRACEPARENT})},
        "payload": {"$ref": f"#/components/schemas/{kind}.{operation}"},
        "bindings": {"amqp": {"messageType": event_type(kind, operation), "bindingVersion": "0.3.0"}},
    }


if __name__ == "__main__":
    sys.stdout.write(text())
