"""How IMS Enterprise Services are called over SOAP 1.1, and what their answers mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from bridge.connector import ContractBroken, Http, HttpResponse, TargetUnauthorised, TargetUnavailable
from connectors.ims_enterprise.es_records import BINDING, COMMON, ServiceNames

_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_WSS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss"
_SECURITY = f"{_WSS}-wssecurity-secext-1.0.xsd"
_PASSWORD_TEXT = f"{_WSS}-username-token-profile-1.0#PasswordText"
_AWAY = frozenset({408, 429, 502, 503, 504})
_REFUSALS = frozenset(  # WS-Security 1.1 §12
    {"FailedAuthentication", "InvalidSecurity", "InvalidSecurityToken", "FailedCheck", "SecurityTokenUnavailable"}
)


class Status(NamedTuple):
    """What a service says of one record; all in lower case."""

    major: str
    severity: str
    minor: str


@dataclass(eq=False)
class Failed(Exception):
    """A call was answered, but not with what became of its records."""

    status: int


class _NoDocumentType(ElementTree.TreeBuilder):
    """The parser finds one in every encoding, before anything that it declares counts."""

    def doctype(self, *_: object) -> None:
        raise ElementTree.ParseError("a document type")


@dataclass(frozen=True, slots=True)
class Credentials:
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Wire:
    """The services of one installation; `paths` are below the base URL, by `ServiceNames.short`."""

    http: Http
    paths: Mapping[str, str]
    credentials: Credentials

    def call(
        self,
        service: ServiceNames,
        operation: str,
        message: str,
        body: str,
        trace: Mapping[str, str] | None = None,
    ) -> list[Status]:
        """Return the statuses of an answer, in its order; `message` is the identifier of this call.

        `trace` are the headers by which it can be named to us.

        Raises `Failed` for a fault or a status that speaks of this call, `TargetError` for one that speaks of all.
        """
        headers = {
            "Content-Type": "text/xml; charset=utf-8",
            "SOAPAction": f'"{service.action(operation)}"',
            "Accept": "text/xml",
            **(trace or {}),
        }
        sent = self._envelope(service, message, body).encode()
        # Replacing and deleting twice ends as once does.
        answer = self.http.request("POST", self.paths[service.short], headers=headers, body=sent, repeatable=True)
        _refuse(answer)
        root = _parse(answer)
        _refuse_fault(root)
        if answer.status >= 300:
            raise Failed(answer.status)
        if root is None:
            raise TargetUnavailable("answer_not_soap")
        return list(_statuses(root))

    def _envelope(self, service: ServiceNames, message: str, body: str) -> str:
        user, password = (escape(one) for one in (self.credentials.user, self.credentials.password))
        return (
            '<?xml version="1.0" encoding="utf-8"?>'
            f'<s:Envelope xmlns:s="{_SOAP}" xmlns:m="{service.messages}" xmlns:d="{service.data}"'
            f' xmlns:c="{COMMON}">'
            f'<s:Header><h:syncRequestHeaderInfo xmlns:h="{BINDING}">'
            f"<h:messageIdentifier>{escape(message)}</h:messageIdentifier></h:syncRequestHeaderInfo>"
            f'<o:Security xmlns:o="{_SECURITY}" s:mustUnderstand="1"><o:UsernameToken>'
            f"<o:Username>{user}</o:Username>"
            f'<o:Password Type="{_PASSWORD_TEXT}">{password}</o:Password>'
            "</o:UsernameToken></o:Security></s:Header>"
            f"<s:Body>{body}</s:Body></s:Envelope>"
        )


def _refuse(answer: HttpResponse) -> None:
    """Raise what an answer says of the target as a whole."""
    if answer.status in (401, 403):
        raise TargetUnauthorised(f"the target answers {answer.status} to our user name and password")
    if answer.status in _AWAY:
        raise TargetUnavailable(f"status_{answer.status}", answer.retry_after)
    if 300 <= answer.status < 400:
        raise ContractBroken(f"the target redirects ({answer.status}): base_url must name where it is")
    if answer.status in (404, 405, 410, 415):
        raise ContractBroken(f"the target answers {answer.status}: see base_url and the paths of the services")


def _parse(answer: HttpResponse) -> ElementTree.Element | None:
    """The envelope of an answer, None when it is none; SOAP 1.1 §3 lets no document type in."""
    try:
        parser = ElementTree.XMLParser(target=_NoDocumentType())  # noqa: S314 - no entities without one
        root = ElementTree.fromstring(answer.body, parser)  # noqa: S314
    except (ElementTree.ParseError, LookupError, ValueError):  # the last two: encodings that nobody knows
        return None
    return root if root.tag == f"{{{_SOAP}}}Envelope" else None


def _refuse_fault(root: ElementTree.Element | None) -> None:
    code = None if root is None else root.findtext(f"{{{_SOAP}}}Body/{{{_SOAP}}}Fault/faultcode")
    if code is not None and code.strip().rpartition(":")[2] in _REFUSALS:
        raise TargetUnauthorised("the target answers with a security fault to our user name and password")


def _statuses(root: ElementTree.Element) -> Iterator[Status]:
    """Whatever the namespaces are: the names of the elements are what clients in the open read."""
    for one in root.iter():
        if _name(one) == "statusInfo":
            told = {_name(part): (part.text or "").strip().lower() for part in one.iter()}
            yield Status(*(told.get(name, "") for name in ("codeMajor", "severity", "codeMinorValue")))


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
