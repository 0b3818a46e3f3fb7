"""What STIL answers, written by hand, and a source that is given these answers and no others."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from uuid import UUID

from bridge.connector import HttpResponse, TargetUnavailable
from connectors.stil.client import StilClient
from connectors.stil.envelope import ADDRESSING, SOAP
from connectors.stil.filters import Filters
from connectors.stil.pace import Pace
from connectors.stil.services import SizeName
from connectors.stil.soap import SoapSource, Wanted
from connectors.stil.wsse import PlainSecurity

BASE = "http://127.0.0.1:8080"
E7 = "https://brugerdatabasen.stil.dk/bpi/wsieksport/7"
C3 = "https://brugerdatabasen.stil.dk/bpi/common/3"
ID = UUID("00000000-0000-4000-8000-000000000001")
PAYLOAD = (
    '<f:UNILoginExportFullMyndighed exportDateTime="2026-11-20T04:00:00Z" accessLevel="full"><f:Institution>'
    "<c:InstitutionNumber>101001</c:InstitutionNumber></f:Institution></f:UNILoginExportFullMyndighed>"
)


def envelope(body: str, relates_to: str = f"urn:uuid:{ID}", declarations: str = "") -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>'
        f'<S:Envelope xmlns:S="{SOAP}" xmlns:w="{ADDRESSING}" {declarations}>'
        f"<S:Header><w:RelatesTo>{relates_to}</w:RelatesTo></S:Header><S:Body>{body}</S:Body></S:Envelope>"
    ).encode()


def export_answer(payload: str = PAYLOAD, **more: str) -> bytes:
    # The default namespace is the service's, and the payload's prefixes are bound far out, as STIL may do.
    spaces = f'xmlns:f="{E7}/fullmyndighed" xmlns:c="{E7}/common"'
    body = (
        f'<eksporterXmlFuldMyndighedResponse xmlns="{E7}"><xml>{payload}</xml></eksporterXmlFuldMyndighedResponse>'
    )
    return envelope(body, declarations=spaces, **more)


def agreement_answer(*numbers: str) -> bytes:
    items = "".join(f'<regnr xmlns="{C3}">{number}</regnr>' for number in numbers)
    return envelope(
        f'<e:hentDataAftalerFuldMyndighedResponse xmlns:e="{E7}">{items}</e:hentDataAftalerFuldMyndighedResponse>'
    )


def fault(kind: str | None, code: str = "Sender") -> bytes:
    subcode = f"<S:Subcode><S:Value>x:{kind}</S:Value></S:Subcode>" if kind else ""
    error = f'<c:authentificationError xmlns:c="{C3}"><c:type>{kind}</c:type></c:authentificationError>'
    return envelope(
        f'<S:Fault xmlns:x="{C3}"><S:Code><S:Value>S:{code}</S:Value>{subcode}</S:Code><S:Reason>'
        f'<S:Text xml:lang="da">Hemmelig</S:Text></S:Reason>'
        f"{f'<S:Detail>{error}</S:Detail>' if kind else ''}</S:Fault>"
    )


class Recorded:
    """An HTTP edge that gives the answers it was made with, in turn, and keeps what was asked."""

    def __init__(self, *answers: tuple[int, bytes] | TargetUnavailable) -> None:
        self._answers = iter(answers)
        self.paths: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.bodies: list[bytes] = []
        self.sent: dict[str, str] = {}

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        repeatable: bool | None = None,
    ) -> HttpResponse:
        assert method == "POST" and not params and repeatable is False
        self.paths.append(path)
        self.headers.append(headers or {})
        self.bodies.append(body or b"")
        answer = next(self._answers)
        if isinstance(answer, TargetUnavailable):
            raise answer
        return HttpResponse(answer[0], self.sent, answer[1])


def client(http: Recorded) -> StilClient:
    pace = Pace(6000, lambda: 0.0, lambda _: None)
    return StilClient([http], PlainSecurity(), base_url=BASE, system_id="AB<1>", pace=pace, new_id=lambda: ID)


def source(
    http: Recorded,
    institutions: frozenset[str] | None = None,
    size: SizeName = "fuldmyndighed",
    filters: Filters | None = None,
) -> SoapSource:
    return SoapSource(client(http), institutions, Wanted(UTC, size, filters or Filters(), "alias"))


def export(*answers: tuple[int, bytes] | TargetUnavailable) -> bytes:
    return source(Recorded(*answers)).fetch("101001").body
