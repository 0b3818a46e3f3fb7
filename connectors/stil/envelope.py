"""The SOAP 1.2 envelopes of wsiEKSPORT v7: what is asked, and whether an answer answers it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from bridge.connector import AgreementMissing, SnapshotInvalid, SourceUnavailable
from connectors.stil import vocabulary as v
from connectors.stil.gate import Limits
from connectors.stil.stream import Event, Opened, Subtree, stream
from connectors.stil.values import read_token

EXPORT = "eksporterXmlFuldMyndighed"
AGREEMENTS = "hentDataAftalerFuldMyndighed"

SOAP = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING = "http://www.w3.org/2005/08/addressing"

ENVELOPE = v.qualified(SOAP, "Envelope")
_HEADER = v.qualified(SOAP, "Header")
BODY = v.qualified(SOAP, "Body")
_FAULT = v.qualified(SOAP, "Fault")
_RELATES_TO = v.qualified(ADDRESSING, "RelatesTo")
_REGNR = v.qualified(v.SHARED, "regnr")
EXPORTED = v.qualified(v.SERVICE, f"{EXPORT}Response")
_FAULT_CODES = frozenset({v.qualified(v.SHARED, "type"), v.qualified(SOAP, "Value")})

NO_AGREEMENT = "Rettigheder"
_REFUSALS = {
    "Signatur": "signature_refused: the operator registers a valid certificate on the provider system",
    "SignaturMangler": "signature_missing: the message was not signed as STIL's policy asks",
    "UdbydersytemIdMangler": "provider_system_unknown: the operator sets udbydersystem_id",
    "BrugeridEllerPassword": "credential_refused: the operator asks STIL which access this service takes",
    "Sender": "request_refused: STIL did not take our request as it was",
    "Receiver": "service_fault: STIL failed; it is tried again",
}
"""What a fault says, by AuthentificationError type (stil.md §5; the misspelling is the contract's) or code."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer is about: the name of the body's child, and the child itself unless it is an export."""

    name: str
    relates_to: str | None
    element: Element | None


def action(operation: str) -> str:
    """Return the SOAP action, which is the wsa:Action of the request too (stil.md §1)."""
    return f"{v.SERVICE}/{operation}"


def write_request(operation: str, content: str, *, system_id: str, message_id: str, to: str) -> bytes:
    """Return the envelope of a call; `content` is the XML inside the operation's element (stil.md §2)."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{ADDRESSING}"><soap:Header>'
        f"<wsa:Action>{action(operation)}</wsa:Action><wsa:To>{escape(to)}</wsa:To>"
        f"<wsa:ReplyTo><wsa:Address>{ADDRESSING}/anonymous</wsa:Address></wsa:ReplyTo>"
        f"<wsa:MessageID>{escape(message_id)}</wsa:MessageID>"
        f'<c:UdbydersystemId xmlns:c="{v.SHARED}">{escape(system_id)}</c:UdbydersystemId>'
        f'</soap:Header><soap:Body><e:{operation} xmlns:e="{v.SERVICE}">{content}</e:{operation}>'
        "</soap:Body></soap:Envelope>"
    ).encode()


def export_content(institution: str, *, with_civil_registration_number: bool) -> str:
    """Return what an export asks for; without the filter version 7 leaves CPR numbers out (stil.md §1)."""
    wish = "<e:filtre><e:cprFilter><e:inkluderCpr>true</e:inkluderCpr></e:cprFilter></e:filtre>"
    return f"<e:instnr>{escape(institution)}</e:instnr>{wish if with_civil_registration_number else ''}"


def read_answer(body: bytes, limits: Limits) -> Answer:
    """Read an answer as far as it takes to know what it is: of an export only the beginning.

    Raises `SnapshotInvalid`: `empty_answer`, `not_soap`, `unexpected_answer`, or the gate's reason.
    """
    if not body.strip():
        raise SnapshotInvalid("empty_answer")
    events = stream(body, _opens, limits)
    if not _is_envelope(events):
        raise SnapshotInvalid("not_soap")
    relates_to: str | None = None
    found: Answer | None = None
    for event in events:
        match event:
            case Subtree(name=name, element=header) if name == _HEADER:
                texts = [read_token(e.text or "") for e in header if e.tag == _RELATES_TO]
                relates_to = texts[0] if len(texts) == 1 else None
            case Opened(name=name) if name == EXPORTED:
                return Answer(name, relates_to, None)
            case Subtree(parent=parent, name=name, element=element) if parent == BODY and found is None:
                found = Answer(name, relates_to, element)
            case _:
                continue
    if found is None:
        raise SnapshotInvalid("unexpected_answer")
    return found


def is_fault(answer: Answer) -> bool:
    """Say whether an answer is a SOAP fault."""
    return answer.name == _FAULT


def fault_error(answer: Answer) -> SourceUnavailable | AgreementMissing:
    """Return what a fault means, by who must act; nothing of its own text goes into ours."""
    elements = answer.element.iter() if answer.element is not None else ()
    # Subcodes are qualified names, and nobody has published their namespace.
    words = [read_token(e.text or "").rpartition(":")[2] for e in elements if e.tag in _FAULT_CODES]
    if NO_AGREEMENT in words:
        return AgreementMissing("STIL has no approved data agreement for this export")
    known = [word for word in _REFUSALS if word in words]
    return SourceUnavailable(_REFUSALS[known[0] if known else "Receiver"])


def agreements(answer: Answer) -> frozenset[str]:
    """Return the institution numbers of an agreement list."""
    children = answer.element if answer.element is not None else ()
    return frozenset(number for e in children if e.tag == _REGNR and (number := read_token(e.text or "")))


def check_answers(answer: Answer, operation: str, message_id: str) -> None:
    """Raise `SnapshotInvalid` for an answer to another operation or to another message of ours."""
    if answer.name != v.qualified(v.SERVICE, f"{operation}Response"):
        raise SnapshotInvalid("unexpected_answer")
    if answer.relates_to != message_id:
        raise SnapshotInvalid("wrong_relates_to")


def _opens(parent: str | None, name: str) -> bool:
    # An export's answer is opened so that it need not be read to its end.
    return parent is None or (parent == ENVELOPE and name == BODY) or (parent == BODY and name == EXPORTED)


def _is_envelope(events: Iterator[Event]) -> bool:
    try:
        first = next(events, None)
    except SnapshotInvalid:
        return False  # a login page, say
    return isinstance(first, Opened) and first.name == ENVELOPE
