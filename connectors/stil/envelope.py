"""The SOAP 1.2 envelopes of STIL's services: what is asked, and whether an answer answers it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from bridge.connector import AgreementMissing, SnapshotInvalid, SourceUnauthorised, SourceUnavailable
from connectors.stil import vocabulary as v
from connectors.stil.gate import Limits
from connectors.stil.services import SHARED, SIZE_NAMES, Operation, export
from connectors.stil.stream import Event, Opened, Subtree, stream
from connectors.stil.values import read_token

SOAP = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING = "http://www.w3.org/2005/08/addressing"
UTILITY = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"

ENVELOPE = v.qualified(SOAP, "Envelope")
_HEADER = v.qualified(SOAP, "Header")
BODY = v.qualified(SOAP, "Body")
_FAULT = v.qualified(SOAP, "Fault")
_RELATES_TO = v.qualified(ADDRESSING, "RelatesTo")
_HELLO, _LONGEST = v.qualified(SHARED, "helloWorldResult"), 200
_REGNR = v.qualified(SHARED, "regnr")
EXPORTED = frozenset(export(size).answer for size in SIZE_NAMES)
_FAULT_CODES = frozenset({v.qualified(SHARED, "type"), v.qualified(SOAP, "Value")})

_A_PAGE = frozenset({"not_well_formed", "doctype", "truncated"})
"""Why a login page, say, cannot be read."""

NO_AGREEMENT = "Rettigheder"
_OURS = (
    "signature_refused: register the certificate of certificate_file at STIL, on the provider system that"
    " udbydersystem_id names"
)
_REFUSALS = {
    "Signatur": _OURS,
    "SignaturMangler": "request_unsigned: STIL takes signed messages only; set certificate_file",
    "UdbydersytemIdMangler": "provider_system_unknown: set udbydersystem_id to the provider system's id at STIL",
    "BrugeridEllerPassword": "credential_refused: ask STIL which access this service takes",
    **dict.fromkeys(("FailedCheck", "InvalidSecurity", "InvalidSecurityToken", "FailedAuthentication"), _OURS),
    "MessageExpired": "own_timestamp_refused: compare this machine's clock with a time server",
}
"""What STIL refuses us for, by AuthentificationError type (stil.md §5; the misspelling is the contract's), or
by the fault codes of WSS 1.1 (§12)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer is about: the name of the body's child, and the child itself unless it is an export."""

    name: str
    relates_to: str | None
    element: Element | None


def write_request(operation: Operation, content: str, *, system_id: str, message_id: str, to: str) -> bytes:
    """Return the envelope of a call; `content` is the XML inside the operation's element (stil.md §2).

    Its prefix "e" is bound to the operation's namespace. The parts that are signed carry a wsu:Id.
    """
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{ADDRESSING}" xmlns:wsu="{UTILITY}"><soap:Header>'
        f"<wsa:Action>{operation.action}</wsa:Action><wsa:To>{escape(to)}</wsa:To>"
        f"<wsa:ReplyTo><wsa:Address>{ADDRESSING}/anonymous</wsa:Address></wsa:ReplyTo>"
        f'<wsa:MessageID wsu:Id="MessageID">{escape(message_id)}</wsa:MessageID>'
        f'<c:UdbydersystemId xmlns:c="{SHARED}" wsu:Id="UdbydersystemId">{escape(system_id)}</c:UdbydersystemId>'
        f'</soap:Header><soap:Body wsu:Id="Body"><e:{operation.name} xmlns:e="{operation.namespace}">{content}'
        f"</e:{operation.name}></soap:Body></soap:Envelope>"
    ).encode()


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
            case Subtree(parent=parent, name=name, element=header) if parent == ENVELOPE and name == _HEADER:
                texts = [read_token(e.text or "") for e in header if e.tag == _RELATES_TO]
                relates_to = texts[0] if len(texts) == 1 else None
            case Opened(name=name) if name in EXPORTED:
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


def fault_error(answer: Answer) -> SourceUnavailable | SourceUnauthorised | AgreementMissing:
    """Return what a fault means, by who must act; nothing of its own text goes into ours."""
    elements = answer.element.iter() if answer.element is not None else ()
    # Subcodes are qualified names, and nobody has published their namespace.
    words = [read_token(e.text or "").rpartition(":")[2] for e in elements if e.tag in _FAULT_CODES]
    if NO_AGREEMENT in words:
        return AgreementMissing("STIL has no approved data agreement for this export")
    known = [_REFUSALS[word] for word in _REFUSALS if word in words]
    if known:
        return SourceUnauthorised(known[0])
    if "Sender" in words:
        return SourceUnavailable("request_refused: STIL did not take our request as it was; it is tried again")
    return SourceUnavailable("service_fault: STIL failed; it is tried again")


def agreements(answer: Answer) -> frozenset[str]:
    """Return the institution numbers of an agreement list; what cannot be one (C3 Regnr) is passed over."""
    children = answer.element if answer.element is not None else ()
    numbers = (read_token(e.text or "") for e in children if e.tag == _REGNR)
    return frozenset(number for number in numbers if v.REGNR.fullmatch(number))


def hello(answer: Answer) -> str:
    """Return the text of a greeting. Raises `SnapshotInvalid`."""
    children = answer.element if answer.element is not None else ()
    words = [read_token(e.text or "") for e in children if e.tag == _HELLO]
    if len(words) != 1 or not words[0].isprintable() or len(words[0]) > _LONGEST:
        raise SnapshotInvalid("unexpected_answer")
    return words[0]


def check_answers(answer: Answer, operation: Operation, message_id: str) -> None:
    """Raise `SnapshotInvalid` for an answer to another operation or to another message of ours."""
    if answer.name != operation.answer:
        raise SnapshotInvalid("unexpected_answer")
    if answer.relates_to != message_id:
        raise SnapshotInvalid("wrong_relates_to")


def _opens(parent: str | None, name: str) -> bool:
    # An export's answer is opened so that it need not be read to its end.
    return parent is None or (parent == ENVELOPE and name == BODY) or (parent == BODY and name in EXPORTED)


def _is_envelope(events: Iterator[Event]) -> bool:
    try:
        first = next(events, None)
    except SnapshotInvalid as error:
        if error.code in _A_PAGE:
            return False
        raise
    return isinstance(first, Opened) and first.name == ENVELOPE
