"""A SOAP answer is an export, or an error that says who must act; it is never an export without pupils."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID
from xml.etree import ElementTree

import pytest

from bridge.connector import (
    AgreementMissing,
    HttpResponse,
    Snapshot,
    SnapshotInvalid,
    SourceFailure,
    SourceUnauthorised,
    SourceUnavailable,
    TargetUnavailable,
)
from bridge.domain.entities import Address, Code, Institution, Role
from bridge.domain.records import Header, PersonRecord
from bridge.testing.stil_export import write_export
from bridge.testing.stil_municipality import Municipality
from connectors.stil import services
from connectors.stil.client import StilClient
from connectors.stil.envelope import ADDRESSING, SOAP
from connectors.stil.filters import Filters
from connectors.stil.institutions import DescribingSource
from connectors.stil.pace import Pace
from connectors.stil.services import SIZE_NAMES, SizeName
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


def export(*answers: tuple[int, bytes] | TargetUnavailable) -> bytes:
    return source(Recorded(*answers)).fetch("101001").body


def source(
    http: Recorded,
    institutions: frozenset[str] | None = None,
    size: SizeName = "fuldmyndighed",
    filters: Filters | None = None,
) -> SoapSource:
    return SoapSource(client(http), institutions, Wanted(UTC, size, filters or Filters(), "alias"))


def failures(found: Iterator[Snapshot | SourceFailure]) -> list[tuple[str | None, str]]:
    return [(f.institution, type(f.error).__name__) for f in found if isinstance(f, SourceFailure)]


# ---------------------------------------------------------------- what is asked


def test_a_request_carries_the_headers_that_the_contract_asks_for() -> None:
    http = Recorded((200, export_answer()))
    source(http, filters=Filters(with_numbers=True)).fetch("101001")
    root = ElementTree.fromstring(http.bodies[0])  # noqa: S314 - our own words
    header = {e.tag: "".join(e.itertext()) for e in root[0]}
    assert header == {
        f"{{{ADDRESSING}}}Action": f"{E7}/eksporterXmlFuldMyndighed",
        f"{{{ADDRESSING}}}To": f"{BASE}/bpi/wsieksport/7",
        f"{{{ADDRESSING}}}ReplyTo": f"{ADDRESSING}/anonymous",
        f"{{{ADDRESSING}}}MessageID": f"urn:uuid:{ID}",
        f"{{{C3}}}UdbydersystemId": "AB<1>",
    }
    asked = root[1][0]
    assert asked.findtext(f"{{{E7}}}instnr") == "101001"
    assert asked.findtext(f"{{{E7}}}filtre/{{{E7}}}cprFilter/{{{E7}}}inkluderCpr") == "true"
    assert http.paths == ["/bpi/wsieksport/7"]
    assert http.headers[0]["Content-Type"] == (
        f'application/soap+xml; charset=UTF-8; action="{E7}/eksporterXmlFuldMyndighed"'
    )


def test_cpr_numbers_are_not_asked_for_unless_wanted() -> None:
    http = Recorded((200, export_answer()))
    source(http).fetch("101001")
    assert b"filtre" not in http.bodies[0]


# ---------------------------------------------------------------- what comes back


def test_the_payload_stands_on_its_own_outside_the_envelope() -> None:
    body = export((200, export_answer()))
    assert b"Envelope" not in body and body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>')
    header = next(iter(source(Recorded()).parse(Snapshot(body, "", ""))))
    assert isinstance(header, Header) and header.institution_number == "101001"


def test_two_answers_with_one_content_have_one_digest() -> None:
    digests = set()
    for time in ("2026-11-20T04:00:00Z", "2026-11-21T04:00:00Z"):
        answer = export_answer(PAYLOAD.replace("2026-11-20T04:00:00Z", time))
        (found,) = source(Recorded((200, agreement_answer("101001")), (200, answer))).snapshots()
        assert isinstance(found, Snapshot)
        digests.add(found.digest)
    assert len(digests) == 1


def test_a_namespace_that_the_payload_binds_anew_keeps_its_new_meaning() -> None:
    payload = PAYLOAD.replace("exportDateTime", f'xmlns:c="{E7}/common" xmlns:S="urn:other" exportDateTime')
    body = export((200, export_answer(payload)))
    assert body.count(b"xmlns:S=") == 1 and b'xmlns:S="urn:other"' in body
    assert list(source(Recorded()).parse(Snapshot(body, "", "")))


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, b"", "empty_answer"),
        (200, b"  \n", "empty_answer"),
        (204, b"", "empty_answer"),
        (200, b"<!DOCTYPE html><title>Log ind</title>", "not_soap"),
        (200, b"<html><body>Log ind</body></html>", "not_soap"),
        (200, b'{"error": "Hemmelig"}', "not_soap"),
        (200, PAYLOAD.encode(), "not_soap"),
        (200, envelope(""), "unexpected_answer"),
        (200, envelope("<x/>"), "unexpected_answer"),
        (200, agreement_answer("101001"), "unexpected_answer"),
        (200, export_answer(relates_to="urn:uuid:other"), "wrong_relates_to"),
        (200, export_answer().replace(b"RelatesTo", b"RelatesNot"), "wrong_relates_to"),
        (200, export_answer().replace(b"<xml>", b"<xmm>").replace(b"</xml>", b"</xmm>"), "unexpected_answer"),
        (200, export_answer().partition(b"</xml>")[0], "truncated"),
    ],
)
def test_what_is_no_answer_is_refused(status: int, body: bytes, code: str) -> None:
    with pytest.raises(SnapshotInvalid) as caught:
        export((status, body))
    assert caught.value.code == code


@pytest.mark.parametrize("end", range(0, len(export_answer()), 37))
def test_an_answer_cut_anywhere_is_never_an_institution_without_pupils(end: int) -> None:
    pupils = f"<f:Institution><c:InstitutionNumber>101001</c:InstitutionNumber>{'<f:InstitutionPerson/>' * 3}"
    payload = PAYLOAD.replace("<f:Institution><c:InstitutionNumber>101001</c:InstitutionNumber>", pupils)
    answer = export_answer(payload)
    parse = source(Recorded()).parse
    whole = list(parse(Snapshot(export((200, answer)), "", "")))
    try:
        found = list(parse(Snapshot(export((200, answer[: len(answer) * end // len(export_answer())])), "", "")))
    except SnapshotInvalid:
        return
    assert found == whole


def test_an_escaped_or_empty_payload_is_refused() -> None:
    for payload in ("", "&lt;f:UNILoginExportFullMyndighed/&gt;"):
        with pytest.raises(SnapshotInvalid):
            export((200, export_answer(payload)))


@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_fault_about_rights_is_a_missing_agreement(status: int) -> None:
    with pytest.raises(AgreementMissing):
        export((status, fault("Rettigheder")))


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("Signatur", "signature_refused"),
        ("SignaturMangler", "request_unsigned"),
        ("UdbydersytemIdMangler", "provider_system_unknown"),
        ("BrugeridEllerPassword", "credential_refused"),
        (None, "request_refused"),
        ("NogetNyt", "request_refused"),
    ],
)
def test_another_fault_says_who_must_act_in_our_own_words(status: int, kind: str | None, code: str) -> None:
    with pytest.raises((SourceUnauthorised, SourceUnavailable), match=f"^{code}") as caught:
        export((status, fault(kind)))
    assert "Hemmelig" not in str(caught.value)
    assert isinstance(caught.value, SourceUnavailable) is (code == "request_refused")


def test_a_fault_of_the_service_itself_is_tried_again() -> None:
    with pytest.raises(SourceUnavailable, match="service_fault"):
        export((500, fault(None, "Receiver")))


def test_a_status_that_asks_for_patience_says_how_long() -> None:
    http = Recorded((429, b""))
    http.sent = {"retry-after": "120"}
    with pytest.raises(SourceUnavailable, match=r"^http_429") as caught:
        source(http).fetch("101001")
    assert caught.value.retry_after == timedelta(seconds=120)


@pytest.mark.parametrize("status", [401, 403])
def test_a_status_that_refuses_us_is_not_tried_again(status: int) -> None:
    with pytest.raises(SourceUnauthorised, match=r"^http_refused"):
        export((status, b"<html>Hemmelig</html>"))


@pytest.mark.parametrize("status", [301, 400, 404, 429, 500, 502, 503])
def test_a_status_without_an_envelope_is_a_source_that_is_away(status: int) -> None:
    with pytest.raises(SourceUnavailable, match=str(status)):
        export((status, b"<html>Hemmelig</html>"))


def test_no_answer_at_all_is_a_source_that_is_away() -> None:
    with pytest.raises(SourceUnavailable, match="timeout"):
        export(TargetUnavailable("timeout"))


# ---------------------------------------------------------------- the source


def test_every_institution_under_agreement_is_fetched_one_at_a_time() -> None:
    http = Recorded((200, agreement_answer("101002", "101001")), (200, export_answer()), (200, export_answer()))
    found = source(http).snapshots()
    first = next(found)
    assert isinstance(first, Snapshot) and first.expected_institution == "101001"
    assert len(http.bodies) == 2
    assert [s.expected_institution for s in found if isinstance(s, Snapshot)] == ["101002"]


def test_a_configured_institution_without_agreement_is_a_failure_of_its_own() -> None:
    http = Recorded((200, agreement_answer("101001", "101009")), (200, export_answer()))
    found = list(source(http, frozenset({"101001", "101005"})).snapshots())
    assert [s.expected_institution for s in found if isinstance(s, Snapshot)] == ["101001"]
    assert failures(iter(found)) == [("101005", "AgreementMissing")]


def test_one_institutions_failure_does_not_end_the_others() -> None:
    answers = ((200, agreement_answer("101001", "101002", "101003")), (400, fault("Rettigheder")), (200, b""))
    http = Recorded(*answers, (200, export_answer()))
    found = list(source(http).snapshots())
    assert failures(iter(found)) == [("101001", "AgreementMissing"), ("101002", "SnapshotInvalid")]
    assert isinstance(found[-1], Snapshot)


@pytest.mark.parametrize("institutions", [None, frozenset({"101001"})])
def test_no_agreement_at_all_is_told(institutions: frozenset[str] | None) -> None:
    number = min(institutions) if institutions else None
    found = source(Recorded((200, agreement_answer())), institutions).snapshots()
    assert failures(found) == [(number, "AgreementMissing")]


def test_a_fault_which_nobody_has_signed_ends_no_agreement() -> None:
    with pytest.raises(SourceUnauthorised, match="connection_agreement_missing"):
        source(Recorded((400, fault("Rettigheder")))).agreements()


def test_what_cannot_be_an_institution_number_is_no_agreement() -> None:
    http = Recorded((200, agreement_answer("101001", "10100100", "x y", "../1")))
    assert source(http).agreements() == {"101001"}


@pytest.mark.parametrize("code", ["FailedCheck", "InvalidSecurity", "InvalidSecurityToken"])
def test_a_fault_of_message_security_itself_is_one_that_a_person_mends(code: str) -> None:
    with pytest.raises(SourceUnauthorised, match="signature_refused"):
        export((500, fault(code)))


def test_too_many_calls_are_waited_out_though_no_time_is_named() -> None:
    with pytest.raises(SourceUnavailable) as busy:
        export((429, b""))
    assert busy.value.retry_after == timedelta(minutes=1)


def test_another_way_to_read_the_same_document_is_another_snapshot() -> None:
    document = export((200, export_answer()))
    ways = [
        Wanted(UTC, "fuld", Filters(), "alias"),
        Wanted(UTC, "fuld", Filters(), "real"),
        Wanted(UTC, "fuld", Filters(frozenset({"students"})), "real"),
        Wanted(UTC, "fuld", Filters(with_numbers=True), "real"),
    ]
    digests = [SoapSource(client(Recorded()), None, way).document(document, "").digest for way in ways]
    assert len(set(digests)) == len(ways)


def test_a_snapshot_knows_when_its_export_was_made_before_it_is_read() -> None:
    assert source(Recorded((200, export_answer()))).fetch("101001").export_time == datetime(
        2026, 11, 20, 4, tzinfo=UTC
    )


def test_what_was_not_asked_for_is_not_kept_whoever_sent_it() -> None:
    town = Municipality(7, schools=1, pupils=30)
    document = write_export(town.institution(min(town.institutions())))
    wanted = Wanted(UTC, "fuldmyndighed", Filters(frozenset({"students"})))
    made = SoapSource(client(Recorded()), None, wanted)
    records = [r for r in made.parse(made.document(document, "a queue")) if isinstance(r, PersonRecord)]
    roles = [record.affiliation for record in records if record.affiliation]
    assert {role.role for role in roles} == {Role.STUDENT}
    assert not any(role.contacts for role in roles)
    assert {record.person.civil_registration_number for record in records} == {None}
    assert {record.person.civil_registration_number_type for record in records} == {None}


@pytest.mark.parametrize(
    "answer",
    [
        (200, b""),
        (200, agreement_answer("101001")[:-20]),
        (503, b""),
        (500, fault(None)),
        TargetUnavailable("timeout"),
    ],
)
def test_without_the_agreement_list_the_source_is_away(answer: tuple[int, bytes] | TargetUnavailable) -> None:
    with pytest.raises(SourceUnavailable):
        list(source(Recorded(answer), frozenset({"101001"})).snapshots())


# ---------------------------------------------------------------- sizes and filters


@pytest.mark.parametrize(
    ("size", "suffix"),
    [("lille", "Lille"), ("mellem", "Mellem"), ("fuld", "Fuld"), ("fuldmyndighed", "FuldMyndighed")],
)
def test_each_size_has_its_own_export_and_its_own_agreements(size: SizeName, suffix: str) -> None:
    listed = agreement_answer("101001").replace(b"FuldMyndighed", suffix.encode())
    http = Recorded((200, listed), (200, export_answer().replace(b"XmlFuldMyndighed", f"Xml{suffix}".encode())))
    found = list(source(http, size=size).snapshots())
    assert isinstance(found[0], Snapshot)
    asked = [re.search(rb"<wsa:Action>[^<]*/(\w+)</wsa:Action>", body) for body in http.bodies]
    assert [found[1].decode() for found in asked if found] == [f"hentDataAftaler{suffix}", f"eksporterXml{suffix}"]


def test_an_answer_in_another_size_than_asked_for_is_refused() -> None:
    with pytest.raises(SnapshotInvalid, match="unexpected_answer"):
        source(Recorded((200, export_answer())), size="lille").fetch("101001")


def test_filters_come_in_the_order_of_the_schema_with_every_flag() -> None:
    filters = Filters(frozenset({"students", "contacts"}), ("0", "1"), with_numbers=True)
    flags = [("Elever", "true"), ("Medarbejdere", "false"), ("Eksterne", "false")]

    def written(more: list[tuple[str, str]]) -> str:
        actors = "".join(f"<e:inkluder{n}>{v}</e:inkluder{n}>" for n, v in [*flags, *more])
        levels = "".join(f"<e:inkluderKlassetrin>{level}</e:inkluderKlassetrin>" for level in ("0", "1"))
        return (
            f"<e:filtre><e:aktoertypeFilter>{actors}</e:aktoertypeFilter>"
            f"<e:klassetrinFilter>{levels}</e:klassetrinFilter>"
            "<e:cprFilter><e:inkluderCpr>true</e:inkluderCpr></e:cprFilter></e:filtre>"
        )

    for size in SIZE_NAMES:
        contacts = [("Kontaktpersoner", "true")] if size in ("fuld", "fuldmyndighed") else []
        assert filters.content(size, "e") == written(contacts)


def test_calls_are_spread_evenly_however_they_come() -> None:
    now, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 3))

    pace = Pace(60, lambda: now[0], sleep)
    for _ in range(3):
        pace.wait()
    now[0] = 110.0
    pace.wait()
    assert slept == [1.0, 2.0]


# ---------------------------------------------------------------- wsiINST


I6 = "https://brugerdatabasen.stil.dk/bpi/wsiinst/6"


def institutions_answer(*bodies: str) -> bytes:
    return envelope(f'<hentInstitutionerResponse xmlns="{I6}">{"".join(bodies)}</hentInstitutionerResponse>')


def hierarchy_answer(content: str) -> bytes:
    return envelope(f'<hentInstitutionshierarkiResponse xmlns="{I6}">{content}</hentInstitutionshierarkiResponse>')


def described(*answers: bytes, asked: frozenset[str] = frozenset({"101001"})) -> list[Institution]:
    http = Recorded(*((200, answer) for answer in answers))
    made = DescribingSource(client(http), None, Wanted(UTC), 1, timedelta(days=1))
    return list(made.describe(asked))


def test_institutions_are_described_by_the_register() -> None:
    told = (
        "<institution><instnr>101001</instnr><instnavn>Åbyskolen</instnavn><type>1012</type>"
        "<typenavn>Folkeskole</typenavn><adresse>Skolevej 1</adresse><bynavn>Åby</bynavn><postnr>8230</postnr>"
        "<telefonnr>86000000</telefonnr><mailadresse>a@aaby.example</mailadresse><www>aaby.example</www>"
        "<hovedinstitutionsnr>101000</hovedinstitutionsnr><kommunenr>751</kommunenr><enhedsart>ny</enhedsart>"
        "</institution>"
    )
    place = (
        "<institutionshierarki><mainInstitution>101000</mainInstitution><department>101003</department>"
        "<department>101002</department></institutionshierarki>"
    )
    assert described(institutions_answer(told), hierarchy_answer(place)) == [
        Institution(
            institution_number="101001",
            name="Åbyskolen",
            type=Code("Folkeskole", "1012"),
            municipality_code="751",
            main_institution="101000",
            departments=("101002", "101003"),
            address=Address("Skolevej 1", "8230", "Åby", None, "751"),
            phone="86000000",
            email="a@aaby.example",
            website="aaby.example",
        )
    ]


def test_an_institution_that_the_register_does_not_know_or_was_not_asked_for_is_left_out() -> None:
    assert described(institutions_answer()) == []
    assert described(institutions_answer("<institution><instnr>101009</instnr></institution>")) == []


def test_a_register_that_says_no_more_than_the_number_is_believed() -> None:
    told = institutions_answer("<institution><instnr>101001</instnr></institution>")
    assert described(told, hierarchy_answer("")) == [Institution("101001")]


def test_a_blink_of_the_network_is_tried_once_more_with_a_message_of_its_own() -> None:
    ids = iter([UUID(int=1), UUID(int=2)])
    http = Recorded(TargetUnavailable("connection_lost"), TargetUnavailable("connection_lost"))
    pace = Pace(6000, lambda: 0.0, lambda _: None)
    asking = StilClient(
        [http], PlainSecurity(), base_url=BASE, system_id="AB1", pace=pace, new_id=lambda: next(ids)
    )
    with pytest.raises(SourceUnavailable, match="connection_lost"):
        asking.call(services.agreements("fuld"))
    assert [str(UUID(int=n)).encode() in body for n, body in zip((1, 2), http.bodies, strict=True)] == [True, True]
