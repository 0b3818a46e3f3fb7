"""The receiver under test: what it is sent, signed well or badly, and what it says that it holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from cloudevents.core.bindings.http import to_structured_event

from bridge.connector import Command, Http
from bridge.domain.errors import TargetError
from bridge.testing.certify.verdicts import NOT_SENT
from bridge.testing.certify.wire import FellSilent, Line, Patience, Tamper, Wire
from bridge.webhooks import RECOMMENDED_BYTES, EventTarget, Signer, cloud_event

_TRIES = 5
_FEW = 3
TO_COME = "a_field_to_come"
"""A field that no mapping has yet."""

Object = Mapping[str, Any]


class Held(Protocol):
    """What the receiver says that it holds, by subject: version and object. Raises `HeldUnreadable`."""

    def __call__(self) -> Mapping[str, tuple[int, Object]]: ...


class HeldUnreadable(Exception):
    """The address of `--held` does not answer as `docs/how-to/certify.md` says; the text says how."""


def subject_of(command: Command) -> str:
    return f"{command.kind}/{command.id}"


def body_of(command: Command) -> bytes:
    """The event of a command, as it is signed."""
    return to_structured_event(cloud_event(command)).body


@dataclass(slots=True)
class Receiver:
    """Sends events and keeps what must be held of them.

    `doubtful` are subjects of which nobody knows what the receiver made of the last event: it was not taken, or
    was not to be. `highest` is the highest version that it may know of each.
    """

    http: Http
    path: str
    secret: str
    now: Callable[[], datetime]
    patience: Patience
    held: Held | None = None
    line: Line = field(default_factory=Line)
    expected: dict[str, tuple[int, Object]] = field(default_factory=dict)
    last: dict[str, Command] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)
    doubtful: set[str] = field(default_factory=set)

    def tell(self, command: Command, signer: Signer | None = None) -> str:
        """Send an event that counts; from now on the receiver is to hold what it says. Raises `FellSilent`."""
        self.note(command)
        self.settle(command, is_taken=False)  # until an answer says so
        answer = self._send(command, signer, None)
        self.settle(command, is_taken=is_taken(answer))
        return answer

    def try_on(self, command: Command, signer: Signer | None = None, tamper: Tamper | None = None) -> str:
        """Send an event that must have no effect. Raises `FellSilent`."""
        self.may_know(command)
        return self._send(command, signer, tamper)

    def may_know(self, command: Command) -> None:
        """Learn that the receiver may believe an event that it should not."""
        self._reach(command)
        self.doubtful.add(subject_of(command))

    def forget(self) -> None:
        """Expect nothing: nobody is there."""
        for known in (self.expected, self.last, self.highest, self.doubtful):
            known.clear()

    def note(self, command: Command) -> None:
        """Expect what a command says, whoever sends it."""
        subject = subject_of(command)
        self._reach(command)
        self.last[subject] = command
        if command.document is None:
            self.expected.pop(subject, None)
        else:
            self.expected[subject] = (command.version, json.loads(body_of(command))["data"]["object"])

    def settle(self, command: Command, *, is_taken: bool) -> None:
        """Learn whether an event that counts has arrived."""
        (self.doubtful.discard if is_taken else self.doubtful.add)(subject_of(command))

    def _reach(self, command: Command) -> None:
        subject = subject_of(command)
        self.highest[subject] = max(command.version, self.highest.get(subject, 0))

    def _send(self, command: Command, signer: Signer | None, tamper: Tamper | None) -> str:
        """Send as the bridge does and return the answer; who asks for patience is given it, within bounds."""
        target = self._target(signer, tamper)
        for _ in range(_TRIES):
            self.line.answer = NOT_SENT
            with suppress(TargetError):  # the answer that it stands for is on the line
                list(target.apply([command]))
            answer = self.line.answer
            if self.line.is_silent or not (self.line.may_pass and self.patience.give(self.line.wait)):
                break
        self.require()
        return answer

    def require(self) -> None:
        """See, where nothing came back for a while, that it is for the event alone. Raises `FellSilent`."""
        if self.line.is_silent:
            with suppress(TargetError):
                self._target().probe()
            if self.line.is_silent:
                raise FellSilent(self.line.reason)

    def _target(self, signer: Signer | None = None, tamper: Tamper | None = None) -> EventTarget:
        wire = Wire(self.http, self.line, tamper)
        return EventTarget(wire, signer or self.signer(), self.path, RECOMMENDED_BYTES)

    def signer(self, ahead: timedelta = timedelta(0), secrets: str | None = None) -> Signer:
        """Sign as if it were earlier or later, or by other secrets, one a line."""
        return Signer(secrets or self.secret, lambda: self.now() + ahead)

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


def read_held(answer: bytes) -> Mapping[str, tuple[int, Object]]:
    """Read what a receiver says that it holds. Raises `HeldUnreadable`."""
    try:
        return {str(subject): _version_and_object(one) for subject, one in json.loads(answer).items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise HeldUnreadable(
            'it is not JSON of the form {"person/<id>": {"entityversion": 1, "object": {…}}, …}'
        ) from None


def _version_and_object(told: Any) -> tuple[int, Object]:
    version, held = told["entityversion"], told["object"]
    if not isinstance(version, int) or isinstance(version, bool) or not isinstance(held, dict):
        raise ValueError
    return version, held


def is_taken(answer: str) -> bool:
    """Whether an event counts as arrived: any 2xx, but not a web page in its place."""
    return len(answer) == 3 and answer.startswith("2")


def _known(held: tuple[int, Object]) -> tuple[int, Object]:
    """Without what a receiver may keep or not."""
    version, told = held
    return version, {name: value for name, value in told.items() if name != TO_COME}
