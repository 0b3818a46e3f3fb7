"""What the application says of itself in OpenAPI: parameters, answers and proofs of each operation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.oneroster.collections import Collection
from connectors.oneroster.problems import problem_schema
from connectors.oneroster.query import LONGEST_FILTER
from connectors.oneroster.shapes import Schema, Version, paths, schema
from connectors.oneroster.tokens import scope

_TEXT: Schema = {"type": "string"}
_PARAMETERS = (
    ("limit", {"type": "integer", "minimum": 1, "maximum": 999_999_999, "default": 100}),
    ("offset", {"type": "integer", "minimum": 0, "maximum": 999_999_999, "default": 0}),
    ("orderBy", {"type": "string", "enum": ["asc", "desc"]}),
    ("snapshot", _TEXT),
)
_OPERATOR = "(?:!=|>=|<=|=|>|<|~)"
_TIME = (
    r"20[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    r"(?:T(?:0[0-9]|1[0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{3})?Z)?"
)
_REFUSALS = {
    "400": "A parameter cannot be understood",
    "401": "No valid proof of who asks",
    "403": "The scope does not reach this",
    "404": "There is no such object",
    "503": "The roster cannot be read now",
}
_SCOPES = ("roster.readonly", "roster-core.readonly", "roster-demographics.readonly")


def list_operation(version: Version, shapes: Mapping[str, Any], collection: Collection) -> dict[str, Any]:
    """The arguments of a route for a collection."""
    items = {"type": "array", "items": schema(shapes[collection.kind])}
    headers = {name: {"schema": _TEXT, "required": True} for name in ("X-Total-Count", "Link")}
    shape = shapes[collection.kind]
    asked = (*_PARAMETERS, ("sort", _one_of(shape)), ("filter", _filter(shape)), ("fields", _fields(shape)))
    query = [_parameter("query", name, told) for name, told in asked]
    return _operation(version, collection, "", collection.parameters, query, {collection.envelope: items}, headers)


def one_operation(version: Version, shapes: Mapping[str, Any], collection: Collection) -> dict[str, Any]:
    """The arguments of a route for one object of a collection."""
    query = [_parameter("query", "fields", _fields(shapes[collection.kind]))]
    body = {collection.kind: schema(shapes[collection.kind])}
    return _operation(version, collection, "_one", ("sourcedId",), query, body, {})


def _one_of(shape: Mapping[str, Any]) -> Schema:
    return {"type": "string", "enum": sorted(paths(shape))}


def _fields(shape: Mapping[str, Any]) -> Schema:
    name = f"(?:{'|'.join(sorted(shape))})"
    return {"type": "string", "pattern": f"^{name}(?:,{name})*$"}


def _filter(shape: Mapping[str, Any]) -> Schema:
    """What is always taken; an apostrophe inside a value, and a time in another form of ISO 8601, are too."""
    names = "|".join(sorted(paths(shape) - {"dateLastModified"})).replace(".", r"\.")
    clause = f"(?:(?:{names}){_OPERATOR}'[^']*'|dateLastModified(?:!=|>=|<=|=|>|<)'{_TIME}')"
    return {"type": "string", "pattern": f"^{clause}(?: (?:AND|OR) {clause})?$", "maxLength": LONGEST_FILTER}


def _operation(
    version: Version,
    collection: Collection,
    suffix: str,
    path: tuple[str, ...],
    query: list[Schema],
    body: Mapping[str, Schema],
    headers: Mapping[str, Schema],
) -> dict[str, Any]:
    name = collection.path.replace("/", "_").replace("{", "").replace("}", "")
    scopes = _SCOPES[2:] if collection.kind == "demographics" else _SCOPES[:1]
    proofs: list[Schema] = [{"oauth2": [scope(version, one) for one in scopes]}]
    answer = {"type": "object", "properties": body, "required": list(body), "additionalProperties": False}
    refused = {"application/json": {"schema": problem_schema(version)}}
    return {
        "operation_id": f"{version}_{name}{suffix}",
        "responses": {
            "200": {"description": "OK", "headers": headers, "content": {"application/json": {"schema": answer}}},
            **{status: {"description": text, "content": refused} for status, text in _REFUSALS.items()},
        },
        "openapi_extra": {
            "parameters": [*(_parameter("path", one, _TEXT) for one in path), *query],
            "security": proofs,
        },
    }


def _parameter(place: str, name: str, told: Schema) -> Schema:
    return {"in": place, "name": name, "required": place == "path", "schema": told}


def describe(document: dict[str, Any], token_path: str) -> dict[str, Any]:
    """Complete FastAPI's document by the proofs, and by what the token endpoint takes and answers."""
    scopes = {scope(version, name): name for version in ("v1p1", "v1p2") for name in _SCOPES}
    flow = {"clientCredentials": {"tokenUrl": token_path.lstrip("/"), "scopes": scopes}}
    token = document["paths"][token_path]["post"]
    form = {
        "type": "object",
        "properties": {"grant_type": {"type": "string", "enum": ["client_credentials"]}, "scope": _TEXT},
        "required": ["grant_type"],
    }
    token["requestBody"] = {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": form}}}
    refused = {
        "description": "Refused (RFC 6749 §5.2)",
        "content": {"application/json": {"schema": _object({"error": _TEXT})}},
    }
    made = {"access_token": _TEXT, "token_type": _TEXT, "expires_in": {"type": "integer"}, "scope": _TEXT}
    token["responses"] = {
        "200": {"description": "A token", "content": {"application/json": {"schema": _object(made)}}},
        "400": refused,
        "401": refused,
    }
    token["security"] = [{"basic": []}]
    document["components"] = {
        "securitySchemes": {
            "oauth2": {"type": "oauth2", "flows": flow},
            "basic": {"type": "http", "scheme": "basic"},
        }
    }
    return document


def _object(properties: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "properties": dict(properties), "required": list(properties)}
