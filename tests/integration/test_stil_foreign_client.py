"""A client that is none of ours, given address, certificate, CA files and system id, can use the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from lxml import etree

from bridge.testing.stil_municipality import Municipality
from bridge.testing.stil_signed import SYSTEM_ID, SignedStil, signed_stil
from tests.support.wsse import REQUESTED, signed_by_signxml, verify_by_xmlsec1

C3 = "https://brugerdatabasen.stil.dk/bpi/common/3"
WSA = "http://www.w3.org/2005/08/addressing"
E7 = "https://brugerdatabasen.stil.dk/bpi/wsieksport/7"


@pytest.fixture(scope="module")
def stil() -> Iterator[SignedStil]:
    made = signed_stil(Municipality(seed=7, schools=2, pupils=60))
    with made.server:
        yield made


def call(
    stil: SignedStil, folder: Path, operation: str, content: str, *, signed: bool = True
) -> requests.Response:
    """Call as the fact sheet describes it, signed by signxml, over TLS by requests."""
    stil.write_files(folder)
    message = (
        '<env:Envelope xmlns:env="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://www.w3.org/2005/08/addressing">'
        f"<env:Header><a:Action>{E7}/{operation}</a:Action><a:MessageID>{uuid4()}</a:MessageID>"
        f'<UdbydersystemId xmlns="{C3}">{SYSTEM_ID}</UdbydersystemId></env:Header>'
        f'<env:Body><{operation} xmlns="{E7}">{content}</{operation}></env:Body></env:Envelope>'
    ).encode()
    if signed:
        message = signed_by_signxml(message, stil.client, REQUESTED, datetime.now(UTC))
    return requests.post(
        stil.server.endpoint,
        data=message,
        headers={"Content-Type": "application/soap+xml; charset=utf-8"},
        verify=str(folder / "tls-ca.pem"),
        timeout=30,
    )


def test_it_learns_its_agreements_and_the_answers_signature_holds(stil: SignedStil, tmp_path: Path) -> None:
    answer = call(stil, tmp_path, "hentDataAftalerFuldMyndighed", "")
    assert answer.status_code == 200
    numbers = {e.text for e in etree.fromstring(answer.content).iter(f"{{{C3}}}regnr")}
    assert numbers == stil.server.agreements
    assert "(ok/all): 5/5" in verify_by_xmlsec1(answer.content, stil.signer, tmp_path)


def test_it_fetches_an_export_and_the_answers_signature_holds(stil: SignedStil, tmp_path: Path) -> None:
    number = sorted(stil.server.agreements)[0]
    answer = call(stil, tmp_path, "eksporterXmlFuldMyndighed", f"<instnr>{number}</instnr>")
    assert answer.status_code == 200
    root = etree.fromstring(answer.content)
    assert root.findtext(f".//{{{E7}/common}}InstitutionNumber") == number
    assert len(list(root.iter(f"{{{E7}/fullmyndighed}}InstitutionPerson"))) > 30
    assert "(ok/all): 5/5" in verify_by_xmlsec1(answer.content, stil.signer, tmp_path)


def test_without_its_signature_it_is_told_so(stil: SignedStil, tmp_path: Path) -> None:
    answer = call(stil, tmp_path, "hentDataAftalerFuldMyndighed", "", signed=False)
    assert (answer.status_code, "SignaturMangler" in answer.text) == (400, True)
    asked = etree.fromstring(answer.request.body).findtext(f".//{{{WSA}}}MessageID")
    assert etree.fromstring(answer.content).findtext(f".//{{{WSA}}}RelatesTo") == asked
