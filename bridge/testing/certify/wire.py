"""The way to the receiver under test: what came back, whether it asked for patience, and when it fell silent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from bridge.connector import Http, HttpResponse, TargetUnavailable
from bridge.testing.certify.verdicts import NO_ANSWER, PAGE
from bridge.webhooks import AWAY
from bridge.webhooks import PAGE as IS_PAGE

_SILENT = 3
_MOMENT, _LONGEST = timedelta(seconds=1), timedelta(seconds=30)

Headers = Mapping[str, str]
Tamper = Callable[[Headers, bytes], tuple[Headers, bytes]]
"""What becomes of headers and body after they were signed."""


class FellSilent(Exception):
    """The receiver answers no event, several times in a row, and no probe; the text is the reason, a code."""


@dataclass(slots=True)
class Line:
    """What was heard of a receiver, by whichever connection.

    `may_pass`: the last answer, or that there was none, speaks of this moment and not of the event.
    """

    answer: str = ""
    events: int = 0
    put_off: int = 0
    wait: timedelta = _MOMENT
    may_pass: bool = False
    reason: str = ""
    _silent: int = 0

    def hear(self, answer: HttpResponse) -> None:
        self._silent = 0
        self.answer = _told(answer)
        self.may_pass = answer.status in AWAY
        self.put_off += self.may_pass
        self.wait = min(_MOMENT if answer.retry_after is None else answer.retry_after, _LONGEST)

    def hear_nothing(self, reason: str) -> None:
        self._silent += 1
        self.answer, self.may_pass, self.wait, self.reason = NO_ANSWER, True, _MOMENT, reason

    def take_put_off(self) -> int:
        """How often it asked for patience since this was asked last."""
        number, self.put_off = self.put_off, 0
        return number

    @property
    def is_silent(self) -> bool:
        return self._silent >= _SILENT


@dataclass(slots=True)
class Wire:
    """`bridge.connector.Http` that notes what it hears; `tamper` has the last word on what goes out."""

    http: Http
    line: Line
    tamper: Tamper | None = None

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Headers | None = None,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        repeatable: bool | None = None,
    ) -> HttpResponse:
        """Send as the edge does. Raises `TargetUnavailable`."""
        if self.tamper is not None and body is not None:
            headers, body = self.tamper(headers or {}, body)
        self.line.events += method == "POST"
        try:
            answer = self.http.request(
                method, path, headers=headers, params=params, body=body, repeatable=repeatable
            )
        except TargetUnavailable as error:
            self.line.hear_nothing(error.reason)
            raise
        self.line.hear(answer)
        return answer


@dataclass(slots=True)
class Patience:
    """How long a run waits in all for a receiver that asks to; `rest` waits so many seconds."""

    rest: Callable[[float], None]
    left: timedelta = timedelta(minutes=5)

    def give(self, wait: timedelta) -> bool:
        """Wait, and say so; False when it is used up."""
        if wait > self.left:
            return False
        self.left -= wait
        self.rest(wait.total_seconds())
        return True


def _told(answer: HttpResponse) -> str:
    is_page = answer.status < 300 and IS_PAGE.match(answer.body)
    return f"{answer.status} {PAGE}" if is_page else str(answer.status)
