"""What a signed envelope's header claims, read strictly: one signature over named parts, by one token."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree.ElementTree import Element

from bridge.connector import SnapshotInvalid
from connectors.stil.gate import Limits
from connectors.stil.stream import Opened, Subtree, stream
from connectors.stil.values import read_moment, read_token
from connectors.stil.wsse import names as n
from connectors.stil.wsse.canonical import Prefixes

_MOST_REFERENCES = _MOST_PREFIXES = 32
_BLANKS = re.compile(r"[ \t\r\n]+")


@dataclass(frozen=True, slots=True)
class Reference:
    """One signed part: the prefix list that it is canonicalised with, and the SHA-256 that was signed."""

    prefixes: Prefixes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Claims:
    """What the header says, nothing of it proved yet. `references` are by wsu:Id, `token` is a DER certificate."""

    signed_info_prefixes: Prefixes
    references: Mapping[str, Reference]
    signature: bytes
    token: bytes
    created: datetime
    expires: datetime | None


def read_claims(envelope: bytes, limits: Limits) -> Claims:
    """Read the WS-Security header of an envelope (OASIS WSS 1.1, X.509 token profile; stil.md §2).

    Raises `SnapshotInvalid`: `not_soap`, `signature_missing`, `signature_malformed`, `signature_wrapped` (several
    headers where one belongs), `algorithm_refused`, `token_missing`, `token_unreadable`, `timestamp_missing`,
    or the gate's reason.
    """
    security = _security(_header(envelope, limits))
    signature = _one(security, n.SIGNATURE, "signature_missing", "signature_malformed")
    # An Object could hold a copy of anything; nobody who signs by reference needs one.
    _check_children(signature, (n.SIGNED_INFO, n.SIGNATURE_VALUE, n.KEY_INFO))
    signed_info = signature[0]
    _check_algorithm(_child(signed_info, n.SIGNATURE_METHOD), n.RSA_SHA256)
    created, expires = _times(security)
    return Claims(
        signed_info_prefixes=_canonicalisation(_child(signed_info, n.CANONICALIZATION)),
        references=_references(signed_info),
        signature=_base64(signature[1], "signature_malformed"),
        token=_token(security, signature[2]),
        created=created,
        expires=expires,
    )


def _header(envelope: bytes, limits: Limits) -> Element:
    events = stream(envelope, lambda parent, _: parent is None, limits)
    first = next(events, None)
    if not isinstance(first, Opened) or first.name != n.ENVELOPE:
        raise SnapshotInvalid("not_soap")
    is_first = True
    for event in events:
        if isinstance(event, Subtree) and event.name == n.HEADER:
            if not is_first:
                raise SnapshotInvalid("signature_wrapped")
            return event.element
        is_first = False
    raise SnapshotInvalid("signature_missing")


def _security(header: Element) -> Element:
    """Return the one Security header; the headers that are relied upon must stand once, too."""
    for name in (n.MESSAGE_ID, n.RELATES_TO):
        if sum(child.tag == name for child in header) > 1:
            raise SnapshotInvalid("signature_wrapped")
    return _one(header, n.SECURITY, "signature_missing", "signature_wrapped")


def _times(security: Element) -> tuple[datetime, datetime | None]:
    timestamp = _one(security, n.TIMESTAMP, "timestamp_missing", "signature_wrapped")
    times = {name: [e for e in timestamp if e.tag == name] for name in (n.CREATED, n.EXPIRES)}
    read = {name: read_moment(found[0].text or "", UTC) for name, found in times.items() if len(found) == 1}
    created = read.get(n.CREATED)
    if created is None or len(times[n.EXPIRES]) != (n.EXPIRES in read) or None in read.values():
        raise SnapshotInvalid("timestamp_missing")
    return created, read.get(n.EXPIRES)


def _token(security: Element, key_info: Element) -> bytes:
    references = [e for e in key_info.iter() if e.tag == n.REFERENCE_TO_TOKEN]
    uri = references[0].get("URI", "") if len(references) == 1 else ""
    tokens = [e for e in security if e.tag == n.TOKEN and uri == f"#{e.get(n.ID, '')}"]
    if len(tokens) != 1:
        raise SnapshotInvalid("token_missing")
    if tokens[0].get("ValueType") != n.X509_TOKEN:
        raise SnapshotInvalid("token_unreadable")
    return _base64(tokens[0], "token_unreadable")


# ---------------------------------------------------------------- SignedInfo


def _references(signed_info: Element) -> dict[str, Reference]:
    elements = [child for child in signed_info if child.tag == n.REFERENCE]
    if not 0 < len(elements) <= _MOST_REFERENCES or len(signed_info) != len(elements) + 2:
        raise SnapshotInvalid("signature_malformed")
    found = {_target(element): _reference(element) for element in elements}
    if len(found) != len(elements):
        raise SnapshotInvalid("signature_malformed")
    return found


def _target(reference: Element) -> str:
    uri = reference.get("URI", "")
    if len(uri) < 2 or uri[0] != "#" or "(" in uri:
        raise SnapshotInvalid("signature_malformed")
    return uri[1:]


def _reference(element: Element) -> Reference:
    _check_children(element, (n.TRANSFORMS, n.DIGEST_METHOD, n.DIGEST_VALUE))
    transforms, method, value = element
    _check_algorithm(method, n.SHA256)
    if len(transforms) != 1 or transforms[0].tag != n.TRANSFORM:
        raise SnapshotInvalid("algorithm_refused")
    return Reference(_canonicalisation(transforms[0]), _base64(value, "signature_malformed"))


def _canonicalisation(element: Element) -> Prefixes:
    """Check that it is the exclusive one without comments, and return its prefix list."""
    _check_algorithm(element, n.EXCLUSIVE)
    if len(element) > 1 or any(child.tag != n.INCLUSIVE for child in element):
        raise SnapshotInvalid("algorithm_refused")
    words = read_token(element[0].get("PrefixList", "")).split() if len(element) else []
    if len(words) > _MOST_PREFIXES:  # each costs something at every element
        raise SnapshotInvalid("algorithm_refused")
    return frozenset("" if word == "#default" else word for word in words)


def _check_algorithm(element: Element, only: str) -> None:
    if element.get("Algorithm") != only:
        raise SnapshotInvalid("algorithm_refused")


# ---------------------------------------------------------------- elements


def _one(parent: Element, name: str, if_none: str, if_several: str) -> Element:
    found = [child for child in parent if child.tag == name]
    if len(found) != 1:
        raise SnapshotInvalid(if_several if found else if_none)
    return found[0]


def _child(parent: Element, name: str) -> Element:
    return _one(parent, name, "signature_malformed", "signature_malformed")


def _check_children(parent: Element, names: tuple[str, ...]) -> None:
    if tuple(child.tag for child in parent) != names:
        raise SnapshotInvalid("signature_malformed")


def _base64(element: Element, if_not: str) -> bytes:
    try:
        found = b64decode(_BLANKS.sub("", element.text or ""), validate=True)
    except ValueError:
        found = b""
    if not found or len(element):
        raise SnapshotInvalid(if_not)
    return found
