"""Entities as bytes and back: the same entity always gives the same bytes, so a hash tells a change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from hashlib import blake2b
from operator import attrgetter
from typing import Any
from unicodedata import normalize

import msgspec

from bridge.domain.entities import ENTITY_TYPES, KEY_FIELDS, Entity, Kind, public_name
from bridge.domain.events import NEVER_LOGGED
from bridge.domain.ids import Key
from bridge.mapping import Ref

_entity_encoder = msgspec.json.Encoder()
_entity_decoders = {kind: msgspec.json.Decoder(cls) for kind, cls in ENTITY_TYPES.items()}


_NO_HIDDEN_NUMBERS = b',"hidden_numbers":[]}'


def _encode_reference(value: object) -> object:
    if isinstance(value, Ref):
        return {"$ref": f"{value.kind}/{value.id}"}
    raise NotImplementedError(type(value).__name__)


_body_encoder = msgspec.json.Encoder(order="sorted", enc_hook=_encode_reference)


def hash_bytes(body: bytes) -> bytes:
    """Return the 16 bytes that stand for a body when states are compared."""
    return blake2b(body, digest_size=16).digest()


def hash_entity(body: bytes) -> bytes:
    """Return the hash of an entity's bytes, the same however its letters are composed (é in one sign or two)."""
    return hash_bytes(body if body.isascii() else normalize("NFC", body.decode()).encode())


def encode_entity(entity: Entity) -> bytes:
    body = _entity_encoder.encode(entity)
    # A field that came later: where it says nothing the bytes are those of before, and no hash changes for it.
    return body.removesuffix(_NO_HIDDEN_NUMBERS) + b"}" if body.endswith(_NO_HIDDEN_NUMBERS) else body


def decode_entity(kind: Kind, body: bytes) -> Entity:
    return _entity_decoders[kind].decode(body)


def encode_body(body: Mapping[str, Any]) -> bytes:
    """Encode a rendered body with sorted keys; references are written by their canonical id."""
    return _body_encoder.encode(body)


def decode_body(body: bytes) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(body)
    return decoded


def public_fields(entity: Entity) -> dict[str, Any]:
    """Return an entity as plain values under the names that `events.md` gives them."""
    # Tuples stay tuples there, but a mapping goes into lists only: `roles.value` would be nothing, silently.
    built: dict[str, Any] = msgspec.to_builtins(entity)
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in built.items()}
    if entity.kind in (Kind.AFFILIATION, Kind.CONTRIBUTION):
        plain["kind"] = plain.pop("role")
    return plain


def logged_fields(entity: Entity) -> dict[str, Any]:
    """Return what events may tell of an entity, to be encoded, under the same names as `public_fields`."""
    names, values = _LOGGED[entity.kind]
    return dict(zip(names, values(entity), strict=True))


def identity_fields(kind: Kind, key: Key) -> dict[str, str]:
    """Return a key under its field names."""
    return dict(zip(map(public_name, KEY_FIELDS[kind]), key, strict=True))


def _logged(cls: type[Entity]) -> tuple[tuple[str, ...], attrgetter[Any]]:
    names = [one.name for one in fields(cls) if one.name not in NEVER_LOGGED]
    names.sort(key=lambda name: name == "role")
    return tuple(map(public_name, names)), attrgetter(*names)


_LOGGED = {kind: _logged(cls) for kind, cls in ENTITY_TYPES.items()}
