"""A call to a service of STIL ends in an answer that may be believed, or in an error that says who must act."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from queue import LifoQueue
from typing import Protocol
from uuid import UUID, uuid4

from bridge.connector import (
    Http,
    HttpResponse,
    SnapshotInvalid,
    SourceUnauthorised,
    SourceUnavailable,
    TargetUnavailable,
)
from connectors.stil.envelope import Answer, check_answers, fault_error, is_fault, read_answer, write_request
from connectors.stil.gate import Limits
from connectors.stil.pace import Pace
from connectors.stil.services import Operation

_WITH_ENVELOPE = frozenset({200, 400, 500})
"""Sender faults come with 400, others with 500 (stil.md §5)."""
_REFUSED = frozenset({401, 403})
_TOO_MANY, _A_WHILE = 429, timedelta(minutes=1)


class MessageSecurity(Protocol):
    """How messages are signed and answers verified (WS-Security)."""

    def seal(self, envelope: bytes) -> bytes:
        """Return the envelope as it is sent."""
        ...

    def open(self, answer: bytes) -> bytes:
        """Return the envelope that may be believed: what of it is read is what is signed.

        Raises `SnapshotInvalid` for an answer that cannot be believed.
        """
        ...


class StilClient:
    """STIL's services as one provider system; as many calls at the same time as there are `edges`."""

    def __init__(
        self,
        edges: Sequence[Http],
        security: MessageSecurity,
        *,
        base_url: str,
        system_id: str,
        pace: Pace,
        limits: Limits | None = None,
        new_id: Callable[[], UUID] = uuid4,
    ) -> None:
        self._idle: LifoQueue[Http] = LifoQueue()
        for edge in edges:
            self._idle.put(edge)
        self._security, self._system_id, self._pace = security, system_id, pace
        self._base_url = base_url.rstrip("/")
        self._new_id = new_id
        self.limits = limits or Limits()

    def address(self, operation: Operation) -> str:
        """Return where an operation is called."""
        return self._base_url + operation.service.path

    def call(self, operation: Operation, content: str = "") -> tuple[bytes, Answer]:
        """Return the believed envelope that answers, and what it is about.

        `content` is the XML inside the operation's element, prefix "e" for its namespace.

        Raises `AgreementMissing`, `SourceUnauthorised`, `SourceUnavailable`, or `SnapshotInvalid` for what is no
        answer or cannot be believed.
        """
        try:
            return self._attempt(operation, content)
        except TargetUnavailable as error:
            if error.reason == "timeout":
                raise self._unavailable(error) from error
        try:
            return self._attempt(operation, content)  # it was a blink of the network, perhaps
        except TargetUnavailable as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: TargetUnavailable) -> SourceUnavailable:
        return SourceUnavailable(f"{error.reason}: no complete answer came from {self._base_url}")

    def _attempt(self, operation: Operation, content: str) -> tuple[bytes, Answer]:
        """Call with a new message: STIL refuses one that it has seen before, so none is sent twice."""
        message_id = f"urn:uuid:{self._new_id()}"
        to = self.address(operation)
        request = write_request(operation, content, system_id=self._system_id, message_id=message_id, to=to)
        response = self._send(operation, self._security.seal(request))
        self._refuse_fault(response)
        body = self._security.open(response.body)
        answer = read_answer(body, self.limits)
        check_answers(answer, operation, message_id)
        return body, answer

    def _send(self, operation: Operation, request: bytes) -> HttpResponse:
        content_type = f'application/soap+xml; charset=UTF-8; action="{operation.action}"'
        self._pace.wait()
        with self._edge() as http:
            return http.request(
                "POST",
                operation.service.path,
                headers={"Content-Type": content_type},
                body=request,
                repeatable=False,
            )

    @contextmanager
    def _edge(self) -> Iterator[Http]:
        edge = self._idle.get()
        try:
            yield edge
        finally:
            self._idle.put(edge)

    def _refuse_fault(self, response: HttpResponse) -> None:
        """Raise the error that an answer stands for, unless it may be the answer that was asked for.

        Faults are perhaps unsigned, so they are read as they come: one that is forged only delays us.
        """
        is_success = 200 <= response.status < 300
        if not is_success and response.status not in _WITH_ENVELOPE:
            raise _status_error(response)
        try:
            answer = read_answer(response.body, self.limits)
        except SnapshotInvalid:
            if is_success:
                raise
            raise _status_error(response) from None
        if is_fault(answer):
            raise fault_error(answer)
        if not is_success:
            raise _status_error(response)


def _status_error(response: HttpResponse) -> SourceUnavailable | SourceUnauthorised:
    status = response.status
    if status in _REFUSED:
        return SourceUnauthorised(
            f"http_refused: STIL, or a proxy before it, answered {status}; see client certificate and base_url"
        )
    wait = response.retry_after
    if status == _TOO_MANY and not wait:
        wait = _A_WHILE
    return SourceUnavailable(f"http_{status}: STIL, or a proxy before it, answered with this status", wait)
