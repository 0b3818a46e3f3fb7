"""A stand-in of ours for IMS Enterprise Services at itslearning, whose WSDL is not public (UNKNOWN): it takes what
clients in the open send, and proves nothing of itslearning itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from bridge.testing.loopback import LoopbackServer, Request, Response

_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_IMS = "http://www.imsglobal.org/services"
_COMMON = f"{_IMS}/common/imsCommonSchema_v1p0"
_BINDING = f"{_IMS}/common/imsMessBindSchema_v1p0"
_SECURITY = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
_PASSWORD_TEXT = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordText"  # noqa: S105
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One plural call that was taken in: what it asked for, of whom, with what."""

    operation: str
    message: str
    ids: tuple[str, ...]
    documents: tuple[Document, ...]


class ImsReceiver(LoopbackServer):
    """Holds persons, groups and memberships by syncID; a membership of what is not there is refused.

    `refused` are ids whose records fail with this codeMinor; `drops` leaves the last status of each answer out.
    """

    def __init__(self, user: str, password: str, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(host, port)
        self._user, self._password = user, password
        self._lock = Lock()
        self.held: dict[str, dict[str, Document]] = {"Persons": {}, "Groups": {}, "Memberships": {}}
        self.calls: list[Call] = []
        self.refused: dict[str, str] = {}
        self.drops = False

    def count(self) -> int:
        with self._lock:
            return sum(map(len, self.held.values()))

    def answer(self, request: Request) -> Response:
        root = ElementTree.fromstring(request.body)  # noqa: S314 - only our own tests call it
        if not self._knows(root):
            return _fault("a:FailedAuthentication")
        message = root.findtext(
            f"{{{_SOAP}}}Header/{{{_BINDING}}}syncRequestHeaderInfo/{{{_BINDING}}}messageIdentifier"
        )
        (call,) = root.iterfind(f"{{{_SOAP}}}Body/*")
        service = next(one for one in _SERVICES if call.tag.startswith(f"{{{one.messages}}}"))
        operation = call.tag.rpartition("}")[2].removesuffix("Request")
        if request.path != service.path or request.headers.get("soapaction") != f'"{service.action}/{operation}"':
            return _fault("s:Client")
        if not message:
            return _fault("s:Client")
        with self._lock:
            return _answer(message, self._take(service, operation, message, call))

    def _knows(self, root: ElementTree.Element) -> bool:
        token = root.find(f"{{{_SOAP}}}Header/{{{_SECURITY}}}Security/{{{_SECURITY}}}UsernameToken")
        if token is None:
            return False
        password = token.find(f"{{{_SECURITY}}}Password")
        if password is None or password.get("Type") != _PASSWORD_TEXT:
            return False
        return (token.findtext(f"{{{_SECURITY}}}Username"), password.text) == (self._user, self._password)

    def _take(self, service: _Service, operation: str, message: str, call: ElementTree.Element) -> list[str]:
        """The minor code of each record, in order; empty for what went well."""
        if operation == "readPerson":
            (identifier,) = (one.text or "" for one in call.iter(f"{{{_COMMON}}}identifier"))
            return ["" if identifier in self.held["Persons"] else "unknownobject"]
        held = self.held[service.plural]
        if operation == f"delete{service.plural}":
            ids = tuple(one.text or "" for one in call.findall(f"*/{{{_COMMON}}}identifier"))
            self.calls.append(Call(operation, message, ids, ()))
            minors = [self.refused.get(one) or ("" if one in held else "unknownobject") for one in ids]
            for one, minor in zip(ids, minors, strict=True):
                if not minor:
                    del held[one]
        else:
            assert operation == f"replace{service.plural}", operation
            documents = tuple(service.read(pair) for pair in call.iterfind("*/*"))
            self.calls.append(Call(operation, message, tuple(one["sourcedId"] for one in documents), documents))
            minors = [self._place(service, held, one) for one in documents]
        return minors[:-1] if self.drops else minors

    def _place(self, service: _Service, held: dict[str, Document], document: Document) -> str:
        ends = {"Persons": document.get("person"), "Groups": document.get("group") or document.get("parent")}
        if any(end is not None and end not in self.held[where] for where, end in ends.items()):
            return "unknownobject"
        if minor := self.refused.get(document["sourcedId"]):
            return minor
        held[document["sourcedId"]] = document
        return ""


# ---------------------------------------------------------------- what a call says


def _texts(element: ElementTree.Element, path: str) -> list[str]:
    return [one.text or "" for one in element.findall(path)]


def _some(values: Mapping[str, list[str]]) -> Document:
    """The first of each, where there is one."""
    return {name: found[0] for name, found in values.items() if found}


def _read_person(pair: ElementTree.Element) -> Document:
    data = f"{{{_PERSONS.data}}}"
    record = f"{{{_PERSONS.messages}}}person"
    names = {
        one.findtext(f"{data}namePartType"): one.findtext(f"{data}namePartValue") or ""
        for one in pair.iterfind(f"{record}/{data}name/{data}partName")
    }
    assert pair.findtext(f"{record}/{data}institutionRole/{data}primaryRoleType") == "true"
    return {"given": names["First"], "family": names["Last"]} | _some(
        {
            "email": _texts(pair, f"{record}/{{{_COMMON}}}email"),
            "userid": _texts(pair, f"{record}/{data}userId/{{{_COMMON}}}userIdValue"),
            "bday": _texts(pair, f"{record}/{data}demographics/{data}bday"),
            "institutionrole": _texts(pair, f"{record}/{data}institutionRole/{data}institutionRoleType"),
            "mobile": _texts(pair, f"{record}/{data}tel/{data}telValue"),
        }
    )


def _read_group(pair: ElementTree.Element) -> Document:
    data = f"{{{_GROUPS.data}}}"
    record = f"{{{_GROUPS.messages}}}group"
    assert pair.findtext(f"{record}/{data}groupType/{data}scheme") == "ItslearningOrganisationTypes"
    return _some(
        {
            "name": _texts(pair, f"{record}/{data}description/{data}descShort"),
            "type": _texts(pair, f"{record}/{data}groupType/{data}typeValue/{data}type"),
            "parent": _texts(pair, f"{record}/{data}relationship/{data}sourceId/{{{_COMMON}}}identifier"),
        }
    )


def _read_membership(pair: ElementTree.Element) -> Document:
    data = f"{{{_MEMBERS.data}}}"
    record = f"{{{_MEMBERS.messages}}}membership"
    (group,) = _texts(pair, f"{record}/{data}groupSourcedId/{{{_COMMON}}}identifier")
    (person,) = _texts(pair, f"{record}/{data}member/{data}memberSourcedId/{{{_COMMON}}}identifier")
    return {
        "group": group,
        "person": person,
        "role": _texts(pair, f"{record}/{data}member/{data}role/{data}roleType"),
    }


@dataclass(frozen=True, slots=True)
class _Service:
    plural: str
    short: str
    schema: str
    path: str
    read_record: Callable[[ElementTree.Element], Document]

    @property
    def messages(self) -> str:
        return f"{_IMS}/{self.short}/xsd/ims{self.schema}ManMessSchema_v1p0"

    @property
    def data(self) -> str:
        return f"{_IMS}/{self.short}/xsd/ims{self.schema}ManDataSchema_v1p0"

    @property
    def action(self) -> str:
        return f"http://www.imsglobal.org/soap/{self.short}"

    def read(self, pair: ElementTree.Element) -> Document:
        (identifier,) = _texts(pair, f"{{{self.messages}}}sourcedId/{{{_COMMON}}}identifier")
        return {"sourcedId": identifier, **self.read_record(pair)}


_PERSONS = _Service("Persons", "pms", "Person", "/PersonManagementServiceSync.svc", _read_person)
_GROUPS = _Service("Groups", "gms", "Group", "/GroupManagementServiceSync.svc", _read_group)
_MEMBERS = _Service("Memberships", "mms", "Member", "/MembershipManagementServiceSync.svc", _read_membership)
_SERVICES = (_PERSONS, _GROUPS, _MEMBERS)


# ---------------------------------------------------------------- what it answers


def _answer(message: str, minors: list[str]) -> Response:
    statuses = "".join(
        f"<statusInfo><codeMajor>{'Failure' if minor else 'success'}</codeMajor>"
        f"<severity>{'Error' if minor else 'Status'}</severity><codeMinor><codeMinorField>"
        f"<codeMinorName>TargetEndSystem</codeMinorName><codeMinorValue>{minor or 'fullsuccess'}</codeMinorValue>"
        f"</codeMinorField></codeMinor><messageIdRef>{escape(message)}</messageIdRef></statusInfo>"
        for minor in minors
    )
    told = f"<statusInfoSet>{statuses}</statusInfoSet>"
    header = f'<syncResponseHeaderInfo xmlns="{_BINDING}">{told}</syncResponseHeaderInfo>'
    return Response(200, _envelope(header, ""), {"Content-Type": "text/xml; charset=utf-8"})


def _fault(code: str) -> Response:
    body = f'<s:Fault><faultcode xmlns:a="{_SECURITY}">{code}</faultcode><faultstring>no</faultstring></s:Fault>'
    return Response(500, _envelope("", body), {"Content-Type": "text/xml; charset=utf-8"})


def _envelope(header: str, body: str) -> bytes:
    return (
        f'<s:Envelope xmlns:s="{_SOAP}"><s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>'
    ).encode()
