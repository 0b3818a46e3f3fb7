"""Calls to the simulators and a small made-up town."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from bridge.testing.stil_export import Knobs, write_export
from bridge.testing.stil_municipality import Municipality

C3 = "{https://brugerdatabasen.stil.dk/bpi/common/3}"
E7 = "{https://brugerdatabasen.stil.dk/bpi/wsieksport/7}"
E7C = "{https://brugerdatabasen.stil.dk/bpi/wsieksport/7/common}"
FM = "{https://brugerdatabasen.stil.dk/bpi/wsieksport/7/fullmyndighed}"
SOAP = "{http://www.w3.org/2003/05/soap-envelope}"
WSA = "{http://www.w3.org/2005/08/addressing}"
SCHOOL = "101001"
SECRET = "whsec_" + base64.b64encode(b"a secret of the tests, 32 bytes!").decode()
WITH_CPR = "<e:filtre><e:cprFilter><e:inkluderCpr>true</e:inkluderCpr></e:cprFilter></e:filtre>"


def parse(document: bytes) -> ElementTree.Element:
    return ElementTree.fromstring(document)  # noqa: S314 - our own documents


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def xml(self) -> ElementTree.Element:
        return parse(self.body)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(
    url: str, body: bytes | None = None, headers: dict[str, str] | None = None, method: str | None = None
) -> Answer:
    request = urllib.request.Request(url, body, headers or {}, method=method)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return Answer(answer.status, answer.read(), dict(answer.headers))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read(), dict(error.headers))


def small_town(seed: int = 7) -> Municipality:
    return Municipality(seed, schools=3, pupils=120)


def export_of(town: Municipality, knobs: Knobs | None = None) -> ElementTree.Element:
    return parse(write_export(town.institution(SCHOOL), knobs))


def records_of(export: ElementTree.Element) -> list[ElementTree.Element]:
    return export.findall(f"{FM}Institution/{FM}InstitutionPerson")


def truth_in(exports: list[ElementTree.Element]) -> dict[str, set[tuple[str, ...]]]:
    """The keys a bridge should hold, read from the documents and from nothing else."""
    truth: dict[str, set[tuple[str, ...]]] = {
        kind: set() for kind in ("institution", "group", "person", "affiliation", "membership", "guardianship")
    }
    kinds = {f"{FM}Student": "student", f"{E7C}Employee": "employee", f"{E7C}Extern": "external"}
    for export in exports:
        number = export.findtext(f"{FM}Institution/{E7C}InstitutionNumber") or ""
        truth["institution"].add((number,))
        truth["group"] |= {(number, name.text or "") for name in export.iter(f"{E7C}GroupId")}
        truth["person"] |= {(user_id.text or "",) for user_id in export.iter(f"{E7C}UserId")}
        for record in records_of(export):
            user_id = record.findtext(f"{FM}Person/{E7C}UserId") or ""
            (kind,) = (kinds[child.tag] for child in record if child.tag in kinds)
            truth["affiliation"].add((number, user_id, kind))
            for name in (*record.iter(f"{C3}GroupId"), *record.iter(f"{E7C}MainGroupId")):
                truth["group"].add((number, name.text or ""))
                truth["membership"].add((number, name.text or "", user_id))
            for contact in record.iter(f"{FM}ContactPerson"):
                truth["guardianship"].add((number, user_id, contact.findtext(f"{FM}Person/{E7C}UserId") or ""))
    return truth
