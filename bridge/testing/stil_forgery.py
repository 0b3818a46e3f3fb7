"""Answers that must not be believed: what a forger, a broken proxy or a wrong clock makes of a signed one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import timedelta

from lxml import etree

from bridge.testing.stil_authority import Issued, StilAuthority
from bridge.testing.stil_sealing import PREFIXES, SECEXT, SIGNATURES, UTILITY, WsSealing, parse
from bridge.testing.stil_soap import ADDRESSING, SOAP

_ID = f"{{{UTILITY}}}Id"
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)

Forger = Callable[[WsSealing, bytes], bytes]
"""Makes an answer out of an unsigned envelope."""


def _unsigned(_: WsSealing, envelope: bytes) -> bytes:
    return envelope


def _wrong_digest(sealing: WsSealing, envelope: bytes) -> bytes:
    return _changed(sealing, envelope, lambda root: _alter(_body(root)))


def _wrong_signature(sealing: WsSealing, envelope: bytes) -> bytes:
    """The signature of another answer, which was as good as this one."""
    root, other = (
        parse(sealing.seal(envelope)),
        parse(sealing.sealed(envelope, sealing.now() - _DAY, sealing.signer)),
    )
    value, foreign = (tree.find(".//ds:SignatureValue", PREFIXES) for tree in (root, other))
    if value is not None and foreign is not None:
        value.text = foreign.text
    return _written(root)


def _stale(sealing: WsSealing, envelope: bytes) -> bytes:
    return sealing.sealed(envelope, sealing.now() - _HOUR, sealing.signer)


def _from_future(sealing: WsSealing, envelope: bytes) -> bytes:
    return sealing.sealed(envelope, sealing.now() + _HOUR, sealing.signer)


def _foreign_certificate(sealing: WsSealing, envelope: bytes) -> bytes:
    """Signed under an authority that only has the same names."""
    return sealing.sealed(envelope, sealing.now(), StilAuthority.make(sealing.now()).issue("SkoleGrunddata"))


def _expired_certificate(sealing: WsSealing, envelope: bytes) -> bytes:
    now = sealing.now()
    return sealing.sealed(envelope, now, _reissued(sealing, begins=now - 2 * _DAY, ends=now - _DAY))


def _future_certificate(sealing: WsSealing, envelope: bytes) -> bytes:
    now = sealing.now()
    return sealing.sealed(envelope, now, _reissued(sealing, begins=now + _DAY, ends=now + 2 * _DAY))


def _reissued(sealing: WsSealing, **span: object) -> Issued:
    return sealing.authority.issue("SkoleGrunddata", key=sealing.signer.key, **span)  # type: ignore[arg-type]  # times


def _wrong_relates_to(sealing: WsSealing, envelope: bytes) -> bytes:
    root = parse(envelope)
    relation = root.find("soap:Header/wsa:RelatesTo", PREFIXES)
    if relation is not None:
        relation.text = "urn:uuid:00000000-0000-4000-8000-000000000000"
    return sealing.seal(_written(root))


# ---------------------------------------------------------------- signature wrapping


def _body_in_header(root: etree._Element) -> None:
    """The signed Body moves into the header; the one in its place is forged."""
    signed = _replaced_body(root)
    _wrapper(root).append(signed)


def _body_in_header_with_its_id(root: etree._Element) -> None:
    """As before, and the forged Body has the signed one's id."""
    signed = _replaced_body(root)
    _body(root).set(_ID, signed.get(_ID) or "")
    _wrapper(root).append(signed)


def _body_in_body(root: etree._Element) -> None:
    """The signed Body stands inside the forged one."""
    signed = _replaced_body(root)
    _body(root).append(signed)


def _body_in_object(root: etree._Element) -> None:
    """The signed Body stands in an Object of the signature."""
    signed = _replaced_body(root)
    signature = root.find(".//ds:Signature", PREFIXES)
    if signature is not None:
        etree.SubElement(signature, f"{{{SIGNATURES}}}Object").append(signed)


def _two_bodies(root: etree._Element) -> None:
    """A forged Body stands before the signed one."""
    body = _body(root)
    body.addprevious(_forged(body))


def _body_before_header(root: etree._Element) -> None:
    """A forged Body stands before the header, the signed one after it."""
    root.insert(0, _forged(_body(root)))


def _timestamp_twin(root: etree._Element) -> None:
    """A Timestamp of the forger's stands where the signed one was."""
    _twin(root, "soap:Header/wsse:Security/wsu:Timestamp", _without_id)


def _relates_to_twin(root: etree._Element) -> None:
    """A forged RelatesTo stands where the signed one was."""
    _twin(root, "soap:Header/wsa:RelatesTo", _forged)


def _second_header(root: etree._Element) -> None:
    """A second Header holds a RelatesTo of the forger's."""
    header = etree.SubElement(root, f"{{{SOAP}}}Header")
    etree.SubElement(header, f"{{{ADDRESSING}}}RelatesTo").text = "forged"


WRAPPINGS: Mapping[str, Callable[[etree._Element], None]] = {
    "wrapped_body_in_header": _body_in_header,
    "wrapped_body_in_header_with_its_id": _body_in_header_with_its_id,
    "wrapped_body_in_body": _body_in_body,
    "wrapped_body_in_object": _body_in_object,
    "wrapped_two_bodies": _two_bodies,
    "wrapped_body_before_header": _body_before_header,
    "wrapped_timestamp_twin": _timestamp_twin,
    "wrapped_relates_to_twin": _relates_to_twin,
    "wrapped_second_header": _second_header,
}


def _wrapping(change: Callable[[etree._Element], None]) -> Forger:
    return lambda sealing, envelope: _changed(sealing, envelope, change)


FORGERIES: Mapping[str, Forger] = {
    "unsigned": _unsigned,
    "wrong_digest": _wrong_digest,
    "wrong_signature": _wrong_signature,
    "stale_timestamp": _stale,
    "future_timestamp": _from_future,
    "foreign_certificate": _foreign_certificate,
    "expired_certificate": _expired_certificate,
    "future_certificate": _future_certificate,
    "wrong_relates_to": _wrong_relates_to,
    **{name: _wrapping(change) for name, change in WRAPPINGS.items()},
}
"""Every way to spoil a signed answer, by its name as a fault of the simulator."""


# ---------------------------------------------------------------- tools


def _changed(sealing: WsSealing, envelope: bytes, change: Callable[[etree._Element], None]) -> bytes:
    root = parse(sealing.seal(envelope))
    change(root)
    return _written(root)


def _written(root: etree._Element) -> bytes:
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _body(root: etree._Element) -> etree._Element:
    return root.findall("soap:Body", PREFIXES)[0]


def _alter(element: etree._Element) -> None:
    """Change the last text of an element."""
    texts = [child for child in element.iter() if (child.text or "").strip()]
    if texts:
        texts[-1].text = f"{texts[-1].text}x"
    else:
        etree.SubElement(element, "forged")


def _forged(signed: etree._Element) -> etree._Element:
    forged = _without_id(signed)
    _alter(forged)
    return forged


def _without_id(element: etree._Element) -> etree._Element:
    made = deepcopy(element)
    if _ID in made.attrib:
        del made.attrib[_ID]
    return made


def _replaced_body(root: etree._Element) -> etree._Element:
    """Put a forged Body in the place of the signed one, and return that."""
    signed = _body(root)
    root.replace(signed, _forged(signed))
    return signed


def _wrapper(root: etree._Element) -> etree._Element:
    # What is moved keeps the prefixes that its own canonical form names.
    return etree.SubElement(root.findall("soap:Header", PREFIXES)[0], "wrapper", nsmap={"wsse": SECEXT})


def _twin(root: etree._Element, path: str, forge: Callable[[etree._Element], etree._Element]) -> None:
    signed = root.findall(path, PREFIXES)[0]
    parent = signed.getparent()
    if parent is not None:
        parent.replace(signed, forge(signed))
    _wrapper(root).append(signed)
