"""The events that nobody may believe: each would count, if its signature held."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from bridge.connector import Command
from bridge.testing.certify.receiver import Receiver, body_of
from bridge.testing.certify.wire import Headers, Tamper

_FAR = timedelta(minutes=10)
_SIGNED = ("webhook-id", "webhook-timestamp", "webhook-signature")

Send = Callable[[Receiver, Command, Command], Sequence[str]]
"""Sends forgeries of the first event, by the help of the second, and returns the answers."""


@dataclass(frozen=True, slots=True)
class Forgery:
    name: str
    sent: str
    send: Send


def another(secret: str) -> str:
    """Another secret of the same kind."""
    return f"{secret.split()[0].partition('_')[0]}_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def _wrong_secret(receiver: Receiver, forged: Command, _: Command) -> Sequence[str]:
    return [receiver.try_on(forged, receiver.signer(secrets=another(receiver.secret)))]


def _changed_body(receiver: Receiver, forged: Command, other: Command) -> Sequence[str]:
    return [receiver.try_on(forged, tamper=lambda headers, _: (headers, body_of(other)))]


def _missing_headers(receiver: Receiver, forged: Command, _: Command) -> Sequence[str]:
    return [receiver.try_on(forged, tamper=_without(*names)) for names in (*zip(_SIGNED, strict=True), _SIGNED)]


def _without(*names: str) -> Tamper:
    def tamper(headers: Headers, body: bytes) -> tuple[Headers, bytes]:
        return {name: value for name, value in headers.items() if name not in names}, body

    return tamper


def _other_id(receiver: Receiver, forged: Command, other: Command) -> Sequence[str]:
    def tamper(headers: Headers, body: bytes) -> tuple[Headers, bytes]:
        return {**headers, "webhook-id": other.delivery_key}, body

    return [receiver.try_on(forged, tamper=tamper)]


def _at(ahead: timedelta) -> Send:
    return lambda receiver, forged, _: [receiver.try_on(forged, receiver.signer(ahead))]


def forgeries() -> Iterator[Forgery]:
    yield Forgery("wrong secret", "an event signed by another secret", _wrong_secret)
    yield Forgery("changed body", "an event whose body is not the one that was signed", _changed_body)
    yield Forgery(
        "missing headers",
        "an event without its id, its timestamp, its signature, without all three",
        _missing_headers,
    )
    yield Forgery("other id", "an event whose webhook-id is not the one that was signed", _other_id)
    yield Forgery("old timestamp", "an event signed ten minutes ago", _at(-_FAR))
    yield Forgery("future timestamp", "an event signed in ten minutes", _at(_FAR))
