"""wsiINST v6 of a made-up municipality: its institutions, their groups and users, and who has a data agreement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from bridge.testing.stil_export import COMMON
from bridge.testing.stil_records import Employee, External, Group, Institution, Record, Student
from bridge.testing.stil_soap import SoapFault

NAMESPACE = "https://brugerdatabasen.stil.dk/bpi/wsiinst/6"
PATH = "/bpi/wsiinst/6"
PORT = f"{NAMESPACE}/WsiInstPortType"


@dataclass(frozen=True, slots=True)
class Question:
    """What a call asks: about these institutions (None: all), and in them about one group or one user."""

    operation: str
    numbers: tuple[str, ...] | None
    group_id: str | None = None
    user_id: str | None = None


def read_question(body: Element) -> Question:
    """Read the body of a call. Raises `SoapFault` when there is no such operation or the schema forbids it."""
    operation = body.tag.removeprefix(f"{{{NAMESPACE}}}")
    texts = [(child.tag.removeprefix(f"{{{NAMESPACE}}}"), (child.text or "").strip()) for child in body]
    match operation, texts:
        case (("hentInstitution" | "hentInstitutionshierarki" | "hentGrupper"), [("instnr", number)]):
            return Question(operation, (number,))
        case "hentInstitutioner", [("instnr", _), *_] if all(name == "instnr" for name, _ in texts):
            return Question(operation, tuple(number for _, number in texts))
        case "hentBrugereIGruppe", [("instnr", number), ("gruppeid", group_id)]:
            return Question(operation, (number,), group_id=group_id)
        case "hentInstBruger", [("instnr", number), ("brugerid", user_id)]:
            return Question(operation, (number,), user_id=user_id)
        case "hentInstBruger", [("brugerid", user_id)]:
            return Question(operation, None, user_id=user_id)
        case _:
            raise SoapFault("no such operation here, or the request is not as the schema has it", 500)


def answer_inst(question: Question, found: Sequence[Institution], code: str, mains: Mapping[str, str]) -> str:
    """The content of the answer about the institutions that were found; an unknown number is passed over.

    Args:
        question: what was asked.
        found: the institutions of its numbers that there are, as they are today.
        code: of their municipality.
        mains: the main institution of each department; an institution that is none is its own.
    """
    match question.operation:
        case "hentInstitution" | "hentInstitutioner":
            return "".join(_element("institution", _institution(each, code, mains)) for each in found)
        case "hentInstitutionshierarki":
            return "".join(_hierarchy(mains.get(each.number, each.number), mains) for each in found)
        case "hentGrupper":
            return "".join(_element("gruppe", _group(each, group)) for each in found for group in each.groups)
        case "hentBrugereIGruppe":
            return "".join(
                _element("brugertilknytning", _user(each, record))
                for each in found
                for record in each.records
                if question.group_id in record.group_ids
            )
        case _:
            return "".join(
                _element("instBruger", _user(each, record, is_whole=True) + "".join(_groups(each, record)))
                for each in found
                for record in each.records
                if record.user_id == question.user_id
            )


def agreed(numbers: Iterable[str]) -> str:
    """The content of an answer to hentDataAftaler, whichever service it is of."""
    return "".join(f'<c:regnr xmlns:c="{COMMON}">{number}</c:regnr>' for number in numbers)


def _institution(institution: Institution, code: str, mains: Mapping[str, str]) -> str:
    return (
        _text("instnr", institution.number)
        + _text("instnavn", institution.name)
        + _text("type", "1012")
        + _text("typenavn", "Folkeskoler")
        + _text("hovedinstitutionsnr", mains.get(institution.number, institution.number))
        + _text("kommunenr", code)
    )


def _hierarchy(main: str, mains: Mapping[str, str]) -> str:
    below = "".join(_text("department", number) for number in sorted(mains) if mains[number] == main)
    return _element("institutionshierarki", _text("mainInstitution", main) + below)


def _group(institution: Institution, group: Group) -> str:
    # A level is told of main groups only.
    has_level = group.level is not None and group.type == "Hovedgruppe"
    return (
        _text("instnr", institution.number)
        + _text("gruppeid", group.group_id)
        + _text("gruppenavn", group.name)
        + _text("gruppetype", group.type)
        + (_text("gruppetrin", group.level or "") if has_level else "")
        + _text("fradato", group.from_date.isoformat())
        + _text("tildato", group.to_date.isoformat())
    )


def _groups(institution: Institution, record: Record) -> Iterator[str]:
    for group in institution.groups:
        if group.group_id in record.group_ids:
            yield _element("gruppe", _group(institution, group))


def _user(institution: Institution, record: Record, *, is_whole: bool = False) -> str:
    person = institution.people[record.user_id]
    shown = person.alias or person  # who asks here may have no agreement at all
    return (
        _text("instnr", institution.number)
        + _text("brugerid", person.user_id)
        + _text("navn", f"{shown.given_name} {shown.family_name}")
        + _capacity(institution, record.role, is_whole=is_whole)
    )


def _capacity(institution: Institution, role: Student | Employee | External, *, is_whole: bool) -> str:
    match role:
        case Student():
            names = {group.group_id: group.name for group in institution.groups}
            return _element(
                "elev",
                _text("rolle", "Elev")
                + _text("hovedgruppeid", role.main_group)
                + _text("hovedgruppenavn", names.get(role.main_group, ""))
                + (_text("elevtrin", role.level) if is_whole else ""),
            )
        case Employee():
            initials = _text("initialer", role.short_name) if is_whole else ""
            return _element("ansat", "".join(_text("rolle", each) for each in role.roles) + initials)
        case External():
            return _element("ekstern", _text("rolle", role.role))
        case _:
            assert_never(role)


def _text(name: str, text: str) -> str:
    return _element(name, escape(text))


def _element(name: str, content: str) -> str:
    return f"<r:{name}>{content}</r:{name}>"
