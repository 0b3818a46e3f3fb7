"""wsiEKSPORT v7 over SOAP 1.2: an institution's export is fetched whole, or an error says who must act."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from xml.sax.saxutils import escape

from bridge.connector import (
    AgreementMissing,
    Record,
    Snapshot,
    SnapshotInvalid,
    SourceFailure,
    SourceUnauthorised,
    SourceUnavailable,
)
from connectors.stil.client import StilClient
from connectors.stil.envelope import agreements, hello
from connectors.stil.filters import Filters
from connectors.stil.parse import ProtectedNames, parse, reading
from connectors.stil.payload import content_digest, cut_payload, export_time
from connectors.stil.services import HELLO, SizeName
from connectors.stil.services import agreements as agreements_for
from connectors.stil.services import export as export_of
from connectors.stil.strict import UnknownCodes


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for: one size, filtered, and how it is to be read.

    `zone` is that of times without one; `protected_names`: what a size that does not state it holds as the name of
    a protected person (see `parse`).
    """

    zone: tzinfo
    size: SizeName = "fuldmyndighed"
    filters: Filters = field(default_factory=Filters)
    protected_names: ProtectedNames | None = None
    unknown_codes: UnknownCodes = "note"

    @property
    def reading(self) -> str:
        """What the records depend on beside the document."""
        kept = f"{sorted(self.filters.actors or ())} {self.filters.with_numbers}"
        return f"{reading(self.zone, self.protected_names, self.size, self.unknown_codes)} {kept}"


class SoapSource:
    """`Subscribes` over the client: one export for each institution that is wanted and agreed upon."""

    def __init__(
        self, client: StilClient, institutions: frozenset[str] | None, wanted: Wanted, concurrency: int = 1
    ) -> None:
        self.concurrency = concurrency
        self._client, self._institutions, self._wanted = client, institutions, wanted
        self._export = export_of(wanted.size)

    def agreements(self) -> frozenset[str]:
        """Return the institutions that STIL lists as agreed for the size.

        Raises `SourceUnauthorised` when it says that there is no agreement at all: faults are not signed, so that
        one ends nothing.
        """
        try:
            _, answer = self._client.call(agreements_for(self._wanted.size))
        except AgreementMissing as error:
            raise SourceUnauthorised(
                "connection_agreement_missing: STIL knows no connection agreement of our system for wsiEKSPORT"
            ) from error
        return agreements(answer)

    def greeting(self) -> str:
        """Return STIL's hello, which names the provider system that it takes us for."""
        _, answer = self._client.call(HELLO)
        return hello(answer)

    def fetch(self, institution: str) -> Snapshot:
        """Return an institution's export as it is now."""
        filters = self._wanted.filters.content(self._wanted.size, "e")
        envelope, _ = self._client.call(self._export, f"<e:instnr>{escape(institution)}</e:instnr>{filters}")
        body = cut_payload(envelope, self._client.limits)
        return replace(self.document(body, self._client.address(self._export)), expected_institution=institution)

    def snapshots(self) -> Iterator[Snapshot | SourceFailure]:
        """Yield one institution at a time, lowest number first.

        Raises `SourceUnavailable` or `SourceUnauthorised` when the list of agreements cannot be had.
        """
        try:
            agreed = self.agreements()
        except SnapshotInvalid as error:
            raise SourceUnavailable(f"{error.code}: the list of agreements could not be used") from error
        if not (agreed or self._institutions):
            yield SourceFailure(None, AgreementMissing("STIL lists no institution that we may export"))
        for number in sorted(agreed if self._institutions is None else self._institutions):
            yield self._attempt(number) if number in agreed else _without_agreement(number)

    def parse(self, snapshot: Snapshot) -> Iterator[Record]:
        """Yield the records of a snapshot, without what is not asked for. Raises `SnapshotInvalid`."""
        wanted = self._wanted
        records = parse(
            snapshot.body,
            wanted.zone,
            size=wanted.size,
            protected_names=wanted.protected_names,
            unknown_codes=wanted.unknown_codes,
        )
        return wanted.filters.applied(records)

    def document(self, body: bytes, origin: str) -> Snapshot:
        """Return an export document that came on another way as a snapshot."""
        digest = content_digest(body, self._wanted.reading)
        return Snapshot(body, digest, origin, export_time=export_time(body, self._wanted.zone))

    def taken(self, snapshot: Snapshot) -> None:
        """Nothing is to be done: an export is made anew for each call."""

    def _attempt(self, number: str) -> Snapshot | SourceFailure:
        try:
            return self.fetch(number)
        except (SourceUnavailable, SourceUnauthorised, SnapshotInvalid, AgreementMissing) as error:
            return SourceFailure(number, error)


def _without_agreement(number: str) -> SourceFailure:
    text = "configured, but not in STIL's list of data agreements: the institution approves it there"
    return SourceFailure(number, AgreementMissing(text))
