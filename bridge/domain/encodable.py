"""Texts that JSON in UTF-8 cannot carry are found before one of them stops what goes along with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def unencodable_field(document: Mapping[str, Any]) -> str | None:
    """Name the first field that holds half of a surrogate pair (RFC 8259 §8.2), None where all can be sent."""
    return next((name for name, value in document.items() if not _is_encodable({name: value})), None)


def _is_encodable(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return False
    return True
