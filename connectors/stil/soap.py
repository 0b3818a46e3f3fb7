"""wsiEKSPORT v7 over SOAP 1.2: an institution's export is fetched whole, or an error says who must act."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import tzinfo
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from bridge.connector import (
    AgreementMissing,
    ConfigError,
    Http,
    HttpResponse,
    Record,
    Snapshot,
    SnapshotInvalid,
    SourceFailure,
    SourceUnavailable,
    TargetUnavailable,
)
from connectors.stil.envelope import (
    AGREEMENTS,
    EXPORT,
    Answer,
    action,
    agreements,
    check_answers,
    export_content,
    fault_error,
    is_fault,
    read_answer,
    write_request,
)
from connectors.stil.gate import Limits
from connectors.stil.parse import AUTHORITY, parse
from connectors.stil.payload import content_digest, cut_payload

PATH = "/bpi/wsieksport/7"
_WITH_ENVELOPE = frozenset({200, 400, 500})
"""Sender faults come with 400, others with 500 (stil.md §5)."""


class MessageSecurity(Protocol):
    """How messages are signed and answers verified (WS-Security)."""

    def seal(self, envelope: bytes) -> bytes:
        """Return the envelope as it is sent."""
        ...

    def open(self, answer: bytes, message_id: str) -> bytes:
        """Return the envelope that may be believed; nothing outside of what is signed is left in it.

        Raises `SnapshotInvalid` for an answer that cannot be believed, or answers another message.
        """
        ...


class PlainSecurity:
    """No signatures at all; for a stand-in of STIL on this machine only.

    Raises `ConfigError` for a base URL that is not a loopback address.
    """

    def __init__(self, base_url: str) -> None:
        if not _is_loopback(base_url):
            raise ConfigError(
                "base_url: this version cannot sign messages yet, so it may only talk to a simulator on a"
                " loopback address (http://127.0.0.1:port); for real data use the stil-folder source"
            )

    def seal(self, envelope: bytes) -> bytes:
        return envelope

    def open(self, answer: bytes, message_id: str) -> bytes:
        return answer


class StilClient:
    """The two operations that Skolebro needs, at one endpoint, as one provider system."""

    def __init__(
        self,
        http: Http,
        security: MessageSecurity,
        *,
        base_url: str,
        system_id: str,
        limits: Limits | None = None,
        new_id: Callable[[], UUID] = uuid4,
    ) -> None:
        self._http, self._security = http, security
        self._system_id = system_id
        self._limits = limits or Limits()
        self._new_id = new_id
        self.endpoint = base_url.rstrip("/") + PATH

    def agreements(self) -> frozenset[str]:
        """Return the institutions that we have a data agreement for. Raises as `export` does."""
        _, answer = self._call(AGREEMENTS, "")
        return agreements(answer)

    def export(self, institution: str, *, with_civil_registration_number: bool) -> bytes:
        """Return an institution's export as a payload document; `parse` reads it.

        Raises `AgreementMissing`, `SourceUnavailable`, or `SnapshotInvalid` for what is no answer.
        """
        content = export_content(institution, with_civil_registration_number=with_civil_registration_number)
        body, _ = self._call(EXPORT, content)
        return cut_payload(body, self._limits)

    def _call(self, operation: str, content: str) -> tuple[bytes, Answer]:
        message_id = f"urn:uuid:{self._new_id()}"
        request = write_request(
            operation, content, system_id=self._system_id, message_id=message_id, to=self.endpoint
        )
        response = self._send(self._security.seal(request), operation)
        self._refuse_fault(response)
        body = self._security.open(response.body, message_id)
        answer = read_answer(body, self._limits)
        check_answers(answer, operation, message_id)
        return body, answer

    def _send(self, request: bytes, operation: str) -> HttpResponse:
        content_type = f'application/soap+xml; charset=UTF-8; action="{action(operation)}"'
        try:
            # Both operations only read, so a repeat does no harm.
            return self._http.request(
                "POST", PATH, headers={"Content-Type": content_type}, body=request, repeatable=True
            )
        except TargetUnavailable as error:
            raise SourceUnavailable(f"no_answer: {error.reason}") from error

    def _refuse_fault(self, response: HttpResponse) -> None:
        """Raise the error that an answer stands for, unless it may be the answer that was asked for.

        Faults are perhaps unsigned, so they are read as they come: one that is forged only delays us.
        """
        is_success = 200 <= response.status < 300
        if not is_success and response.status not in _WITH_ENVELOPE:
            raise SourceUnavailable(f"http_status: STIL answered {response.status}")
        try:
            answer = read_answer(response.body, self._limits)
        except SnapshotInvalid:
            if is_success:
                raise
            raise SourceUnavailable(f"http_status: STIL answered {response.status}") from None
        if is_fault(answer):
            raise fault_error(answer)
        if not is_success:
            raise SourceUnavailable(f"http_status: STIL answered {response.status}")


class SoapSource:
    """`SnapshotSource` over the client: one export for each institution that is wanted and agreed upon."""

    def __init__(
        self,
        client: StilClient,
        institutions: frozenset[str] | None,
        zone: tzinfo,
        *,
        with_civil_registration_number: bool = False,
    ) -> None:
        self._client, self._institutions, self._zone = client, institutions, zone
        self._with_civil_registration_number = with_civil_registration_number

    def snapshots(self) -> Iterator[Snapshot | SourceFailure]:
        """Yield one institution at a time, lowest number first.

        Raises `SourceUnavailable` when the list of agreements cannot be had.
        """
        try:
            agreed = self._client.agreements()
        except SnapshotInvalid as error:
            raise SourceUnavailable(f"agreement_list_unreadable: {error.code}") from error
        except AgreementMissing:
            agreed = frozenset()
        if not (agreed or self._institutions):
            yield SourceFailure(None, AgreementMissing("STIL lists no institution that we may export"))
        for number in sorted(agreed if self._institutions is None else self._institutions):
            yield self._fetch(number) if number in agreed else _without_agreement(number)

    def parse(self, snapshot: Snapshot) -> Iterator[Record]:
        """Yield the records of a snapshot. Raises `SnapshotInvalid`."""
        return parse(snapshot.body, self._zone, None, AUTHORITY)

    def taken(self, snapshot: Snapshot) -> None:
        """Nothing is to be done: an export is made anew for each call."""

    def _fetch(self, number: str) -> Snapshot | SourceFailure:
        try:
            body = self._client.export(number, with_civil_registration_number=self._with_civil_registration_number)
        except (SourceUnavailable, SnapshotInvalid, AgreementMissing) as error:
            return SourceFailure(number, error)
        return Snapshot(body, content_digest(body), self._client.endpoint, expected_institution=number)


def _without_agreement(number: str) -> SourceFailure:
    text = "configured, but not in STIL's list of data agreements: the institution approves it there"
    return SourceFailure(number, AgreementMissing(text))


def _is_loopback(base_url: str) -> bool:
    try:
        host = urlsplit(base_url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
