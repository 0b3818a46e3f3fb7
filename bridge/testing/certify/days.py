"""Days of a made-up school by the bridge's own way: what was sent of each, and what must be held after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock

from bridge.connector import Capabilities, Command, Outcome, Rejected, Target, TargetUnavailable
from bridge.testing.certify.receiver import Receiver, is_taken
from bridge.testing.certify.verdicts import NOT_SENT
from bridge.testing.stil_municipality import Calendar, Churn, Makeup, Municipality

_START = datetime(2027, 7, 27, 3, tzinfo=UTC)
_ROLL = (8, 1)
_BUSY = Churn(joiners=4, leavers=3, class_moves=6, contact_details=10, protection=3, staff_roles=10)
_SMALL = Makeup(tracks="AB", teaching_groups=2, protected_percent=5)


@dataclass(frozen=True, slots=True)
class Day:
    """One day: what is sent, and how often the calendar goes on before it."""

    name: str
    sent: str
    advance: int
    advice: str


DAYS: Sequence[Day] = (
    Day("first load", "a whole school", 0, "Take groups before who is in them, each event once it is stored"),
    Day("school days", "three days of joiners, leavers, new classes, protection", 3, "Put what each event says"),
    Day("school year", "a school year begins: classes end and begin, everybody moves up", 2, "Bear some hundreds"),
)


def school(seed: int, pupils: int) -> Municipality:
    """A school shortly before its summer holidays end."""
    calendar = Calendar(first_roll=_ROLL, last_roll=_ROLL)
    return Municipality(
        seed, schools=1, pupils=pupils, makeup=_SMALL, churn=_BUSY, calendar=calendar, start=_START
    )


@dataclass(slots=True)
class Recording:
    """`Target` that notes each command, and in `answers` what came back, on its way through the real one."""

    inner: Target
    receiver: Receiver
    answers: list[str]
    capabilities: Capabilities = field(init=False)
    _is_stopped: bool = False
    _busy: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.capabilities = self.inner.capabilities

    def apply(self, batch: Sequence[Command]) -> Iterator[Outcome]:
        """Yield the outcomes of the real target. Raises `TargetError` as that does, and once this is stopped."""
        outcomes = iter(self.inner.apply(batch))
        for command in batch:
            with self._at_work():
                outcome = self._send(command, outcomes)
            yield outcome

    def probe(self) -> None:
        """Ask as the real target does. Raises `TargetError`, also once this is stopped."""
        with self._at_work():
            self.inner.probe()

    def stop(self) -> None:
        """Send nothing more; what another thread was sending is answered and noted when this returns."""
        self._is_stopped = True
        with self._busy:
            pass

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        with self._busy:
            if self._is_stopped:
                raise TargetUnavailable("stopped")
            yield

    def _send(self, command: Command, outcomes: Iterator[Outcome]) -> Outcome:
        self.receiver.note(command)
        self.receiver.settle(command, is_taken=False)  # until an answer says so
        outcome = next(outcomes)
        is_unsent = isinstance(outcome, Rejected) and outcome.status is None  # as one that is too large
        answer = NOT_SENT if is_unsent else self.receiver.line.answer
        self.receiver.settle(command, is_taken=is_taken(answer))
        self.answers.append(answer)
        return outcome
