"""wsiINST v6 of a made-up municipality: its institutions, their groups, and who has a data agreement."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from bridge.testing.stil_export import COMMON
from bridge.testing.stil_records import Group, Institution
from bridge.testing.stil_soap import SoapFault

NAMESPACE = "https://brugerdatabasen.stil.dk/bpi/wsiinst/6"
PATH = "/bpi/wsiinst/6"
PORT = f"{NAMESPACE}/WsiInstPortType"


def numbers_in(body: Element) -> list[str]:
    """The institution numbers of a call. Raises `SoapFault` when the schema does not allow its content."""
    numbers = [(child.text or "").strip() for child in body if child.tag == f"{{{NAMESPACE}}}instnr"]
    is_list = body.tag.endswith("}hentInstitutioner")
    if len(numbers) != len(body) or not numbers or (len(numbers) > 1 and not is_list):
        raise SoapFault("the request is not as the schema has it", 500)
    return numbers


def answer_inst(operation: str, found: Iterable[Institution], code: str) -> str:
    """The content of the answer about the institutions that were found; an unknown number is passed over."""
    match operation.removeprefix(f"{{{NAMESPACE}}}"):
        case "hentInstitution" | "hentInstitutioner":
            return "".join(_element("institution", _institution(each, code)) for each in found)
        case "hentInstitutionshierarki":
            main = "".join(_text("mainInstitution", each.number) for each in found)
            return _element("institutionshierarki", main) if main else ""
        case "hentGrupper":
            return "".join(_element("gruppe", _group(each, group)) for each in found for group in each.groups)
        case _:
            raise SoapFault("no such operation here", 500)


def agreed(numbers: Iterable[str]) -> str:
    """The content of an answer to hentDataAftaler, whichever service it is of."""
    return "".join(f'<c:regnr xmlns:c="{COMMON}">{number}</c:regnr>' for number in numbers)


def _institution(institution: Institution, code: str) -> str:
    return (
        _text("instnr", institution.number)
        + _text("instnavn", institution.name)
        + _text("type", "1012")
        + _text("typenavn", "Folkeskoler")
        + _text("hovedinstitutionsnr", institution.number)
        + _text("kommunenr", code)
    )


def _group(institution: Institution, group: Group) -> str:
    return (
        _text("instnr", institution.number)
        + _text("gruppeid", group.group_id)
        + _text("gruppenavn", group.name)
        + _text("gruppetype", group.type)
        + (_text("gruppetrin", group.level) if group.level is not None else "")
        + _text("fradato", group.from_date.isoformat())
        + _text("tildato", group.to_date.isoformat())
    )


def _text(name: str, text: str) -> str:
    return _element(name, escape(text))


def _element(name: str, content: str) -> str:
    return f"<r:{name}>{content}</r:{name}>"
