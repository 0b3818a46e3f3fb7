"""Why a request is refused, in the words of the version that was asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.oneroster.query import Minor
from connectors.oneroster.shapes import Schema, Version

_WORDS_OF_1_1: Mapping[Minor, str] = {
    "invaliddata": "invalid data",
    "unauthorisedrequest": "unauthorized",
    "unknownobject": "unknown object",
}
"""Version 1.1 writes some codes in other letters."""


class Refused(Exception):
    """The request ends here with this status; `text` quotes nothing of the request."""

    def __init__(self, status: int, minor: Minor, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.minor, self.text, self.headers = status, minor, text, dict(headers or {})


def problem(version: Version, minor: Minor, text: str) -> dict[str, Any]:
    """Return the body that says it."""
    told = {"imsx_codeMajor": "failure", "imsx_severity": "error", "imsx_description": text}
    if version == "v1p1":
        return {"statusInfoSet": [{**told, "imsx_CodeMinor": _WORDS_OF_1_1.get(minor, minor)}]}
    field = {"imsx_codeMinorFieldName": "TargetEndSystem", "imsx_codeMinorFieldValue": minor}
    return {**told, "imsx_CodeMinor": {"imsx_codeMinorField": [field]}}


def problem_schema(version: Version) -> Schema:
    """The JSON Schema of what `problem` returns."""
    text: Schema = {"type": "string"}
    told = {"imsx_codeMajor": text, "imsx_severity": text, "imsx_description": text}
    if version == "v1p1":
        return _object(statusInfoSet={"type": "array", "items": _object(**told, imsx_CodeMinor=text)})
    field = _object(imsx_codeMinorFieldName=text, imsx_codeMinorFieldValue=text)
    return _object(**told, imsx_CodeMinor=_object(imsx_codeMinorField={"type": "array", "items": field}))


def _object(**properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
