"""The SOAP 1.2 envelopes of STIL's services: a call with a DOCTYPE is refused, an answer names its call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import uuid4
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from bridge.testing.stil_export import COMMON, DECLARATION, EXPORT

SOAP = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING = "http://www.w3.org/2005/08/addressing"
FAULT_ACTION = f"{ADDRESSING}/soap/fault"  # WS-Addressing 1.0 SOAP Binding §6: of a fault that is not declared
UTILITY = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
ANONYMOUS = f"{ADDRESSING}/anonymous"
PORT = f"{EXPORT}/WsiEksportPortType"


class Sealing(Protocol):
    """The message security of the service: who may call, and how a caller knows the answer."""

    def seal(self, envelope: bytes) -> bytes:
        """Sign an answer; faults go out unsealed."""

    def unseal(self, request: bytes) -> bytes:
        """Return the envelope of a request whose signature holds.

        Raises:
            CallRefused: `SignaturMangler` when it is not signed, `Signatur` when the signature does not hold.
        """


class NoSealing:
    """Lets everything through as it is."""

    def seal(self, envelope: bytes) -> bytes:
        return envelope

    def unseal(self, request: bytes) -> bytes:
        return request


class SoapFault(Exception):
    """A call that gets a fault for an answer; `error_type` is set when it is an authentificationError."""

    def __init__(self, reason: str, status: int, error_type: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.status, self.error_type = reason, status, error_type


class CallRefused(SoapFault):
    """The caller may not do this: HTTP 400 with one of the contract's authentification error types."""

    def __init__(self, error_type: str, reason: str) -> None:
        super().__init__(reason, 400, error_type)


@dataclass(frozen=True, slots=True)
class Call:
    """One operation asked for; `operation` is its name in Clark notation."""

    message_id: str
    system_id: str | None
    body: ElementTree.Element

    @property
    def operation(self) -> str:
        return self.body.tag


def read_call(envelope: bytes) -> Call:
    """Read a request envelope.

    Raises:
        SoapFault: it is not well formed, has a DOCTYPE, or lacks the MessageID or the operation.
    """
    root = _parse(envelope)
    message_id = root.findtext(f"{{{SOAP}}}Header/{{{ADDRESSING}}}MessageID")
    body = root.find(f"{{{SOAP}}}Body/*")
    if root.tag != f"{{{SOAP}}}Envelope" or message_id is None or body is None:
        raise SoapFault("not a SOAP 1.2 envelope with a wsa:MessageID and an operation", 400)
    system_id = (root.findtext(f"{{{SOAP}}}Header/{{{COMMON}}}UdbydersystemId") or "").strip()
    return Call(message_id, system_id or None, body)


def write_answer(call: Call, result: str, port: str = PORT) -> bytes:
    """The envelope that answers `call` at a port; `result` is the response element's content, no wrapper."""
    namespace, name = call.operation[1:].split("}")
    body = f'<r:{name}Response xmlns:r="{namespace}">{result}</r:{name}Response>'
    return _envelope(f"{port}/{name}Response", call.message_id, body)


def write_fault(fault: SoapFault, call: Call | None, port: str = PORT) -> bytes:
    """The envelope that tells the caller of `fault`; `call` is None when it could not be read."""
    who = "Sender" if fault.status < 500 else "Receiver"
    subcode = f"<soap:Subcode><soap:Value>c:{fault.error_type}</soap:Value></soap:Subcode>"
    detail = f"<c:authentificationError><c:type>{fault.error_type}</c:type></c:authentificationError>"
    body = (
        f'<soap:Fault xmlns:c="{COMMON}"><soap:Code><soap:Value>soap:{who}</soap:Value>'
        f"{subcode if fault.error_type else ''}</soap:Code>"
        f'<soap:Reason><soap:Text xml:lang="en">{escape(fault.reason)}</soap:Text></soap:Reason>'
        f"{f'<soap:Detail>{detail}</soap:Detail>' if fault.error_type else ''}</soap:Fault>"
    )
    operation = call.operation.rpartition("}")[2] if call else None
    is_declared = operation is not None and fault.error_type is not None
    action = f"{port}/{operation}/Fault/authentificationFault" if is_declared else FAULT_ACTION
    return _envelope(action, call.message_id if call else None, body)


class _NoDoctype(ElementTree.TreeBuilder):
    def doctype(self, name: str, public_id: str | None, system: str | None) -> None:
        """Stop before the first entity is declared."""
        raise SoapFault("a DOCTYPE is not accepted", 400)


def _parse(envelope: bytes) -> ElementTree.Element:
    parser = ElementTree.XMLParser(target=_NoDoctype())  # noqa: S314 - refuses what makes XML dangerous
    try:
        parser.feed(envelope)
        root = parser.close()
    except (ElementTree.ParseError, ValueError) as error:
        raise SoapFault("the envelope is not well-formed XML", 400) from error
    return root


def _envelope(action: str, relates_to: str | None, body: str) -> bytes:
    relation = f"<wsa:RelatesTo>{escape(relates_to)}</wsa:RelatesTo>" if relates_to is not None else ""
    return (
        f'{DECLARATION}<soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{ADDRESSING}"'
        f' xmlns:wsu="{UTILITY}"><soap:Header>'
        f"<wsa:Action>{action}</wsa:Action>"
        f"<wsa:MessageID>urn:uuid:{uuid4()}</wsa:MessageID><wsa:To>{ANONYMOUS}</wsa:To>{relation}"
        f"</soap:Header><soap:Body>{body}</soap:Body></soap:Envelope>"
    ).encode()
