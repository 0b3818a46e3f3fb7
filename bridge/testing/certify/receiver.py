"""The receiver under test: what it is sent, signed well or badly, and what it says that it holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from cloudevents.core.bindings.http import to_structured_event

from bridge.connector import Command, Http, HttpResponse, TargetUnavailable
from bridge.testing.certify.verdicts import NO_ANSWER, PAGE
from bridge.webhooks import CONTENT_TYPE, Signer, cloud_event
from bridge.webhooks import PAGE as IS_PAGE

_TRIES = 5
_LONGEST_WAIT = timedelta(seconds=30)
_FEW = 3
TO_COME = "a_field_to_come"
"""A field that no mapping has yet."""

Object = Mapping[str, Any]


class Held(Protocol):
    """What the receiver says that it holds, by subject: version and object. Raises `HeldUnreadable`."""

    def __call__(self) -> Mapping[str, tuple[int, Object]]: ...


class HeldUnreadable(Exception):
    """The address of `--held` does not answer as `docs/how-to/certify.md` says; the text says how."""


@dataclass(frozen=True, slots=True)
class Message:
    """One event as it goes out."""

    id: str
    body: bytes

    @classmethod
    def of(cls, command: Command) -> Message:
        return cls(command.delivery_key, to_structured_event(cloud_event(command)).body)


Sign = Callable[[Message], Mapping[str, str]]


@dataclass(slots=True)
class Receiver:
    """Sends events and keeps what must be held of them. `rest` waits so many seconds."""

    http: Http
    path: str
    secret: str
    now: Callable[[], datetime]
    rest: Callable[[float], None]
    held: Held | None = None
    expected: dict[str, tuple[int, Object]] = field(default_factory=dict)
    gone: dict[str, Command] = field(default_factory=dict)
    last: dict[str, Command] = field(default_factory=dict)
    events: int = 0

    def tell(self, command: Command) -> str:
        """Send an event that counts; from now on the receiver is to hold what it says."""
        self.note(command)
        return self.send(Message.of(command))

    def note(self, command: Command) -> None:
        """Expect what a command says, whoever sends it."""
        subject = f"{command.kind}/{command.id}"
        self.last[subject] = command
        if command.document is None:
            self.expected.pop(subject, None)
            self.gone[subject] = command
        else:
            told = json.loads(Message.of(command).body)
            self.expected[subject] = (command.version, told["data"]["object"])
            self.gone.pop(subject, None)

    def send(self, message: Message, sign: Sign | None = None, body: bytes | None = None) -> str:
        """Send an event and return the answer; who asks for patience is given it, within bounds."""
        for _ in range(_TRIES):
            headers = {"Content-Type": CONTENT_TYPE, **(sign or self.signed)(message)}
            self.events += 1
            try:
                answer = self.http.request(
                    "POST", self.path, headers=headers, body=body or message.body, repeatable=True
                )
            except TargetUnavailable:
                return NO_ANSWER
            if not (answer.status in (429, 503) and answer.retry_after is not None):
                return _told(answer)
            self.rest(min(answer.retry_after, _LONGEST_WAIT).total_seconds())
        return _told(answer)

    def signed(self, message: Message) -> Mapping[str, str]:
        return Signer(self.secret, self.now).headers(message.id, message.body)

    def signed_at(self, ahead: timedelta) -> Sign:
        """Sign as if it were earlier or later."""
        signer = Signer(self.secret, lambda: self.now() + ahead)
        return lambda message: signer.headers(message.id, message.body)

    def signed_by(self, secrets: str) -> Sign:
        """Sign by other secrets, one a line."""
        signer = Signer(secrets, self.now)
        return lambda message: signer.headers(message.id, message.body)

    def differences(self, subjects: Collection[str]) -> Sequence[str] | None:
        """What the receiver holds otherwise than it should, of these; None where nobody can look.

        Raises `HeldUnreadable`.
        """
        if self.held is None:
            return None
        found = self.held()
        wanted = {subject: self.expected[subject] for subject in subjects if subject in self.expected}
        missing = [one for one in subjects if one in wanted and one not in found]
        extra = [one for one in subjects if one not in wanted and one in found]
        other = [one for one in wanted if one in found and _known(found[one]) != _known(wanted[one])]
        return [
            f"{len(those)} {what}: {', '.join(sorted(those)[:_FEW])}{' …' if len(those) > _FEW else ''}"
            for those, what in (
                (missing, "not held that should be"),
                (extra, "held that should not be"),
                (other, "held with another version or other fields"),
            )
            if those
        ]


def _known(held: tuple[int, Object]) -> tuple[int, Object]:
    """Without what a receiver may keep or not."""
    version, told = held
    return version, {name: value for name, value in told.items() if name != TO_COME}


def _told(answer: HttpResponse) -> str:
    is_page = answer.status < 300 and IS_PAGE.match(answer.body)
    return f"{answer.status} {PAGE}" if is_page else str(answer.status)
