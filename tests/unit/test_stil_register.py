"""Institutions are described as STIL's register tells of them."""

from __future__ import annotations

from datetime import UTC, timedelta

from bridge.domain.entities import Address, Code, Institution
from connectors.stil.institutions import DescribingSource
from connectors.stil.soap import Wanted
from tests.support.stil_soap import Recorded, client, envelope

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
