"""A SOAP answer is an export, or an error that says who must act; it is never an export without pupils."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID
from xml.etree import ElementTree

import pytest

from bridge.connector import (
    AgreementMissing,
    Snapshot,
    SnapshotInvalid,
    SourceUnauthorised,
    SourceUnavailable,
    TargetUnavailable,
)
from bridge.domain.records import Header
from connectors.stil import services
from connectors.stil.client import StilClient
from connectors.stil.envelope import ADDRESSING
from connectors.stil.filters import Filters
from connectors.stil.pace import Pace
from connectors.stil.services import SIZE_NAMES, SizeName
from connectors.stil.wsse import PlainSecurity
from tests.support.stil_soap import (
    BASE,
    C3,
    E7,
    ID,
    PAYLOAD,
    Recorded,
    agreement_answer,
    envelope,
    export,
    export_answer,
    fault,
    source,
)

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


@pytest.mark.parametrize("code", ["FailedCheck", "InvalidSecurity", "InvalidSecurityToken"])
def test_a_fault_of_message_security_itself_is_one_that_a_person_mends(code: str) -> None:
    with pytest.raises(SourceUnauthorised, match="signature_refused"):
        export((500, fault(code)))


def test_too_many_calls_are_waited_out_though_no_time_is_named() -> None:
    with pytest.raises(SourceUnavailable) as busy:
        export((429, b""))
    assert busy.value.retry_after == timedelta(minutes=1)


# ---------------------------------------------------------------- how often it is asked


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
