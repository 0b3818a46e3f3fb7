"""What the intent of a push to a vendor says beside what every intent says: that vendor can be told of it later.

The chain names nobody. So the ids of event and entity are sealed with the bridge's key: whoever has only the chain
can neither read nor guess them (an id could be made of a user id that is known; that of a deletion's event too).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from bridge.connector import Command
from bridge.engine.audit import AuditBook

_USE = b"skolebro/vendor-log/"


def owned(book: AuditBook, vendor: str, command: Command, intent: str) -> dict[str, Any]:
    """What is added to the intent of a command; nothing where the target belongs to no vendor."""
    if not vendor:
        return {}
    ids = UUID(command.delivery_key).bytes + UUID(command.id).bytes
    sealed = _sealed(book, intent, ids).hex()
    return {"vendor": vendor, "entity": command.kind, "version": command.version, "sealed": sealed}


def opened(book: AuditBook, record: Mapping[str, Any]) -> tuple[str, str]:
    """The id of the event and the canonical id of the entity that an intent seals."""
    ids = _sealed(book, record["intent"], bytes.fromhex(record["sealed"]))
    return str(UUID(bytes=ids[:16])), str(UUID(bytes=ids[16:]))


def _sealed(book: AuditBook, intent: str, ids: bytes) -> bytes:
    """Two ids are as long as one HMAC-SHA256, of which no other intent has the same."""
    pad = hmac.digest(book.key, _USE + intent.encode(), "sha256")
    return bytes(one ^ other for one, other in zip(ids, pad, strict=True))
