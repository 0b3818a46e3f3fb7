"""wsiINST v6: what kind of institution it is, whose, and how it is put together (stil.md §3.12)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import timedelta
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from bridge.connector import AgreementMissing, SnapshotInvalid
from bridge.domain.entities import Address, Code, Institution
from connectors.stil.client import StilClient
from connectors.stil.services import DESCRIBE, HIERARCHY, INSTITUTIONS
from connectors.stil.soap import SoapSource, Wanted
from connectors.stil.values import read_token
from connectors.stil.vocabulary import qualified

_BATCH = 50
_LONGEST = 250  # characters; the contract bounds none of these texts


class DescribingSource(SoapSource):
    """A `SoapSource` that asks wsiINST too: `Describes`."""

    def __init__(
        self,
        client: StilClient,
        institutions: frozenset[str] | None,
        wanted: Wanted,
        concurrency: int,
        facts_interval: timedelta,
    ) -> None:
        super().__init__(client, institutions, wanted, concurrency)
        self.facts_interval = facts_interval

    def describe(self, institutions: Collection[str]) -> Iterator[Institution]:
        """Yield what wsiINST says of each; a number that it does not know is left out. Raises as `fetch` does."""
        ordered = sorted(institutions)
        for numbers in (ordered[at : at + _BATCH] for at in range(0, len(ordered), _BATCH)):
            content = "".join(map(_asked, numbers))
            _, answer = self._client.call(DESCRIBE, content)
            told = map(_institution, answer.element if answer.element is not None else ())
            by_number = {one.institution_number: one for one in told if one is not None}
            for number in sorted(by_number.keys() & set(numbers)):
                try:
                    yield self._placed(by_number[number])
                except SnapshotInvalid:
                    continue  # what is known of it stays, and its turn comes again

    def _placed(self, institution: Institution) -> Institution:
        """Return the institution with its place in the hierarchy of main institution and departments."""
        try:
            _, answer = self._client.call(HIERARCHY, _asked(institution.institution_number))
        except AgreementMissing:
            return institution  # its main institution is known all the same
        main, departments = institution.main_institution, []
        for element in answer.element.iter() if answer.element is not None else ():
            text = read_token(element.text or "")
            if element.tag == _name("mainInstitution"):
                main = text or main
            elif element.tag == _name("department") and text:
                departments.append(text)
        return replace(institution, main_institution=main, departments=tuple(sorted(departments)))


def _name(local: str) -> str:
    return qualified(INSTITUTIONS.namespace, local)


def _asked(number: str) -> str:
    return f"<e:instnr>{escape(number)}</e:instnr>"


def _institution(element: Element) -> Institution | None:
    texts = {child.tag: text[:_LONGEST] for child in element if (text := read_token(child.text or ""))}

    def get(local: str) -> str | None:
        return texts.get(_name(local))

    number, kind = get("instnr"), get("type")
    if number is None:
        return None
    address = Address(get("adresse"), get("postnr"), get("bynavn"), None, get("kommunenr"))
    return Institution(
        institution_number=number,
        name=get("instnavn"),
        # The register's codes are published nowhere: its own name for one stands where our word would.
        type=Code(get("typenavn") or kind, kind) if kind else None,
        municipality_code=get("kommunenr"),
        main_institution=get("hovedinstitutionsnr"),
        address=address if address != Address() else None,
        phone=get("telefonnr"),
        email=get("mailadresse"),
        website=get("www"),
    )
