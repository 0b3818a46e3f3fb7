"""Each size says what it can of a protected person; what it cannot say is decided by the careful reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from bridge.connector import SnapshotInvalid
from bridge.domain.entities import Kind, Person
from bridge.domain.privacy import WITHHELD_NAME, visible
from bridge.domain.records import Header, PersonRecord, Record
from connectors.stil.parse import ProtectedNames, parse
from connectors.stil.services import SIZE_NAMES, SizeName
from tests.support.engine import MORNING, Bench, header, pupil

ZONE = ZoneInfo("Europe/Copenhagen")
E7 = "https://brugerdatabasen.stil.dk/bpi/wsieksport/7"
C3 = "https://brugerdatabasen.stil.dk/bpi/common/3"
SPACES = dict(zip(SIZE_NAMES, ("small", "medium", "full", "fullmyndighed"), strict=True))
ROOTS = dict(zip(SIZE_NAMES, ("Small", "Medium", "Full", "FullMyndighed"), strict=True))
STATING: Sequence[SizeName] = ("fuld", "fuldmyndighed")
SILENT: Sequence[SizeName] = ("lille", "mellem")


def export(size: SizeName, *, protected: bool | None = None, alias: str = "") -> bytes:
    """An export of one pupil; `protected` None leaves the attribute out."""
    stated = "" if protected is None else f' protected="{str(protected).lower()}"'
    return (
        f'<s:UNILoginExport{ROOTS[size]} xmlns:s="{E7}/{SPACES[size]}" xmlns:c="{E7}/common" xmlns:b="{C3}"'
        ' exportDateTime="2026-11-24T06:00:00Z" accessLevel="x"><s:Institution>'
        "<c:InstitutionNumber>101001</c:InstitutionNumber>"
        f'<s:InstitutionPerson source="KMD"><s:Person{stated}><c:FirstName>Anna</c:FirstName>'
        f"<c:FamilyName>Holm</c:FamilyName><c:UserId>anna123k</c:UserId>{alias}</s:Person>"
        "<s:Student><c:Role>Elev</c:Role><c:Level>1</c:Level><c:MainGroupId>1A</c:MainGroupId></s:Student>"
        f"</s:InstitutionPerson></s:Institution></s:UNILoginExport{ROOTS[size]}>"
    ).encode()


def read(body: bytes, protected_names: ProtectedNames | None = None, size: SizeName | None = None) -> list[Record]:
    return list(parse(body, ZONE, size=size, protected_names=protected_names))


def person(records: list[Record]) -> Person:
    return next(record.person for record in records if isinstance(record, PersonRecord))


def states(records: list[Record]) -> bool:
    return next(record.states_protection for record in records if isinstance(record, Header))


def names(found: Person) -> tuple[str, str]:
    """The name that anyone may see."""
    shown = visible(found)
    return shown.given_name, shown.family_name


@pytest.mark.parametrize("size", SIZE_NAMES)
@pytest.mark.parametrize("wanted", SIZE_NAMES)
def test_a_document_of_another_size_than_the_configured_one_is_refused(size: SizeName, wanted: SizeName) -> None:
    if size == wanted:
        assert person(read(export(size, protected=False), "alias", size)).given_name == "Anna"
    else:
        with pytest.raises(SnapshotInvalid, match="wrong_size"):
            read(export(size), "alias", wanted)


@pytest.mark.parametrize("size", ["lille", "mellem", "fuld"])
def test_a_smaller_size_is_not_guessed_about(size: SizeName) -> None:
    with pytest.raises(SnapshotInvalid, match="protected_names_unset"):
        read(export(size))


def test_the_authoritys_size_needs_no_word_and_shows_the_alias() -> None:
    alias = f'<a:AliasFirstName xmlns:a="{E7}/fullmyndighed">Navne</a:AliasFirstName>'
    found = person(read(export("fuldmyndighed", protected=True, alias=alias)))
    assert (found.given_name, names(found)[0]) == ("Anna", "Navne")


@pytest.mark.parametrize(("told", "shown"), [("alias", ("Anna", "Holm")), ("real", WITHHELD_NAME)])
def test_fuld_shows_the_name_of_a_protected_person_only_where_that_is_the_alias(
    told: ProtectedNames, shown: tuple[str, str]
) -> None:
    found = read(export("fuld", protected=True), told)
    assert (names(person(found)), states(found)) == (shown, True)


@pytest.mark.parametrize("size", STATING)
def test_who_is_stated_not_to_be_protected_is_shown(size: SizeName) -> None:
    assert names(person(read(export(size, protected=False), "real"))) == ("Anna", "Holm")


@pytest.mark.parametrize("size", STATING)
def test_where_the_statement_is_missing_though_it_belongs_there_the_careful_answer_is_yes(size: SizeName) -> None:
    assert person(read(export(size), "alias")).protected


@pytest.mark.parametrize("size", SILENT)
def test_real_names_in_a_size_that_states_nothing_make_everybody_protected(size: SizeName) -> None:
    found = read(export(size), "real")
    assert (names(person(found)), states(found)) == (WITHHELD_NAME, True)


@pytest.mark.parametrize("size", SILENT)
def test_aliases_in_a_size_that_states_nothing_are_shown_and_say_nothing_of_protection(size: SizeName) -> None:
    found = read(export(size), "alias")
    assert (names(person(found)), states(found)) == (("Anna", "Holm"), False)


def test_a_stored_protection_outlives_a_document_that_cannot_state_one() -> None:
    bench = Bench()
    bench.take(pupil("anna", protected=True), pupil("bo"))
    silent = replace(header(at=MORNING + timedelta(hours=1)), states_protection=False)
    bench.take(pupil("anna"), pupil("bo"), pupil("carl"), head=silent)
    people = bench.entities(Kind.PERSON)
    protected = {key[0]: isinstance(one, Person) and one.protected for key, one in people.items()}
    assert protected == {"anna": True, "bo": False, "carl": False}


def test_a_protection_ends_when_a_document_that_can_state_it_says_so() -> None:
    bench = Bench()
    bench.take(pupil("anna", protected=True))
    bench.take(pupil("anna"))
    (found,) = bench.entities(Kind.PERSON).values()
    assert isinstance(found, Person) and not found.protected
