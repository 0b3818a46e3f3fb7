"""STIL's side of the message security, made with lxml: requests are verified, answers signed as STIL does."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from threading import Lock

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from bridge.testing.stil_authority import Issued, StilAuthority
from bridge.testing.stil_export import COMMON
from bridge.testing.stil_soap import ADDRESSING, SOAP, CallRefused, SoapFault

_WSS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss"
SECEXT, UTILITY = f"{_WSS}-wssecurity-secext-1.0.xsd", f"{_WSS}-wssecurity-utility-1.0.xsd"
SIGNATURES = "http://www.w3.org/2000/09/xmldsig#"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
SHA256_DIGEST = "http://www.w3.org/2001/04/xmlenc#sha256"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
X509_TOKEN = f"{_WSS}-x509-token-profile-1.0#X509v3"
BASE64 = f"{_WSS}-soap-message-security-1.0#Base64Binary"

PREFIXES: Mapping[str, str] = {
    "soap": SOAP,
    "wsa": ADDRESSING,
    "wsse": SECEXT,
    "wsu": UTILITY,
    "ds": SIGNATURES,
    "ec": EXCLUSIVE,
    "c": COMMON,
}
_PARTS = (
    "soap:Body",
    "soap:Header/wsa:MessageID",
    f"soap:Header/{{{COMMON}}}UdbydersystemId",
    "soap:Header/wsse:Security/wsu:Timestamp",
)
"""What the policy wants signed in a request."""
_ID = f"{{{UTILITY}}}Id"
_LIFETIME = timedelta(minutes=5)
_MOST_REMEMBERED = 10_000
# As in STIL's answers: the Body has no list, the others carry these (stil.md §2).
_ANSWERED = (
    ("soap:Header/wsse:Security/wsu:Timestamp", ("wsse", "soap")),
    ("soap:Body", ()),
    ("soap:Header/wsa:MessageID", ("soap",)),
    ("soap:Header/wsa:RelatesTo", ("soap",)),
    ("soap:Header/wsse:Security/wsse:BinarySecurityToken", ("soap",)),
)


@dataclass(slots=True)
class WsSealing:
    """`Sealing` with `signer`'s certificate for the provider systems in `clients`, whose certificates are DER."""

    authority: StilAuthority
    signer: Issued
    now: Callable[[], datetime]
    clients: dict[str, bytes] = field(default_factory=dict)
    skew: timedelta = _LIFETIME
    _seen: dict[str, None] = field(default_factory=dict)
    _turn: Lock = field(default_factory=Lock)

    def register(self, system_id: str, client: Issued) -> None:
        """Add a provider system with the certificate that it signs with."""
        self.clients[system_id] = client.certificate.public_bytes(Encoding.DER)

    # ------------------------------------------------------------ requests

    def unseal(self, request: bytes) -> bytes:
        """Return the request when it is signed as the policy wants. Raises `CallRefused` or `SoapFault`."""
        root = parse(request)
        system = _text(root, f"soap:Header/{{{COMMON}}}UdbydersystemId")
        if not system:
            raise CallRefused("UdbydersytemIdMangler", "the header UdbydersystemId is missing")
        signature = root.find("soap:Header/wsse:Security/ds:Signature", PREFIXES)
        if signature is None:
            raise CallRefused("SignaturMangler", "the message is not signed")
        signed = list(self._verified(root, signature, self._client_key(root, signature, system)))
        for path in _PARTS:
            found = root.findall(path, PREFIXES)
            if len(found) != 1 or not any(element is found[0] for element in signed):
                raise CallRefused("SignaturMangler", f"{path} is not signed")
        self._check_time(root)
        self._check_new(_text(root, "soap:Header/wsa:MessageID"))
        return request

    def _client_key(self, root: etree._Element, signature: etree._Element, system: str) -> RSAPublicKey:
        data = _decoded(_token(root, signature))
        try:
            certificate = x509.load_der_x509_certificate(data)
            certificate.verify_directly_issued_by(self.authority.issuing.certificate)
        except Exception:  # whatever is wrong with a certificate, the library has many names for it
            raise CallRefused("Signatur", "the certificate is not trusted") from None
        is_valid = certificate.not_valid_before_utc <= self.now() <= certificate.not_valid_after_utc
        key = certificate.public_key()
        if not is_valid or self.clients.get(system) != data or not isinstance(key, RSAPublicKey):
            raise CallRefused("Signatur", "the certificate is not valid, or not registered on the provider system")
        return key

    def _verified(
        self, root: etree._Element, signature: etree._Element, key: RSAPublicKey
    ) -> Iterator[etree._Element]:
        """Yield the elements that the signature covers."""
        info = signature.find("ds:SignedInfo", PREFIXES)
        method = info.find("ds:CanonicalizationMethod", PREFIXES) if info is not None else None
        algorithm = info.find("ds:SignatureMethod", PREFIXES) if info is not None else None
        if info is None or method is None or algorithm is None or algorithm.get("Algorithm") != RSA_SHA256:
            raise CallRefused("Signatur", "the signature is not RSA-SHA256")
        try:
            value = _decoded(signature.find("ds:SignatureValue", PREFIXES))
            key.verify(value, canonical(info, _listed(method)), padding.PKCS1v15(), SHA256())
        except InvalidSignature:
            raise CallRefused("Signatur", "the signature does not hold") from None
        for reference in info.findall("ds:Reference", PREFIXES):
            yield self._referred(root, reference)

    def _referred(self, root: etree._Element, reference: etree._Element) -> etree._Element:
        name = (reference.get("URI") or "").removeprefix("#")
        found = [element for element in root.iter() if element.get(_ID) == name]
        transforms = reference.findall("ds:Transforms/ds:Transform", PREFIXES)
        digest = reference.find("ds:DigestMethod", PREFIXES)
        if len(found) != 1:
            raise CallRefused("Signatur", "a reference names no wsu:Id, or one that stands several times")
        if len(transforms) != 1:
            raise CallRefused("Signatur", "a reference has another transform than the exclusive canonicalisation")
        if digest is None or digest.get("Algorithm") != SHA256_DIGEST:
            raise CallRefused("Signatur", "a digest is not SHA-256")
        wanted = _decoded(reference.find("ds:DigestValue", PREFIXES))
        if sha256(canonical(found[0], _listed(transforms[0]))).digest() != wanted:
            raise CallRefused("Signatur", "a digest does not hold")
        return found[0]

    def _check_time(self, root: etree._Element) -> None:
        texts = [
            _text(root, f"soap:Header/wsse:Security/wsu:Timestamp/wsu:{name}") for name in ("Created", "Expires")
        ]
        try:
            created = datetime.fromisoformat(texts[0])
            usual = created + _LIFETIME
            expires = min(datetime.fromisoformat(texts[1]), usual) if texts[1] else usual
            is_fresh = created - self.skew <= self.now() < expires + self.skew and created < expires
        except (ValueError, TypeError, OverflowError):
            is_fresh = False
        if not is_fresh:
            raise CallRefused("Signatur", "the timestamp is not of now")

    def _check_new(self, message: str) -> None:
        with self._turn:
            if message in self._seen:
                raise CallRefused("Signatur", "the message has been here before")
            self._seen[message] = None
            if len(self._seen) > _MOST_REMEMBERED:
                del self._seen[next(iter(self._seen))]

    # ------------------------------------------------------------ answers

    def seal(self, envelope: bytes) -> bytes:
        """Return an answer signed now."""
        return self.sealed(envelope, self.now(), self.signer)

    def sealed(self, envelope: bytes, at: datetime, signer: Issued) -> bytes:
        """Return an answer signed at that time with that certificate, by what STIL's own answers look like."""
        root = parse(envelope)
        header = root.find("soap:Header", PREFIXES)
        if header is None:
            raise SoapFault("there is nothing to sign", 500)
        _security(header, at, signer)
        for number, (element, _) in enumerate(_answered(root)):
            element.set(_ID, element.get(_ID) or f"{etree.QName(element).localname}-{number}")
        # lxml passes over a prefix in a list unless its parser has met it, so the whole is parsed once more.
        root = parse(etree.tostring(root))
        _add_signature(root.findall("soap:Header/wsse:Security", PREFIXES)[0], _answered(root), signer)
        return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _answered(root: etree._Element) -> list[tuple[etree._Element, tuple[str, ...]]]:
    """The parts of an answer that are signed, each with its prefix list."""
    found = [(root.find(path, PREFIXES), listed) for path, listed in _ANSWERED]
    return [(element, listed) for element, listed in found if element is not None]


def parse(envelope: bytes) -> etree._Element:
    """Return the root of an envelope. Raises `SoapFault` for what is none, or has a DOCTYPE."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True, remove_pis=False)
    try:
        root = etree.fromstring(envelope, parser)
    except etree.XMLSyntaxError as error:
        raise SoapFault("the envelope is not well-formed XML", 400) from error
    if b"<!DOCTYPE" in envelope or root.tag != f"{{{SOAP}}}Envelope":
        raise SoapFault("not a SOAP 1.2 envelope", 400)
    return root


def canonical(element: etree._Element, prefixes: tuple[str, ...] = ()) -> bytes:
    """Return the exclusive canonical form of an element, in the document that it stands in."""
    return etree.tostring(
        element,
        method="c14n",
        exclusive=True,
        with_comments=False,
        inclusive_ns_prefixes=list(prefixes) or None,
        with_tail=False,
    )


def _security(header: etree._Element, at: datetime, signer: Issued) -> None:
    security = etree.SubElement(header, f"{{{SECEXT}}}Security", nsmap={"wsse": SECEXT, "wsu": UTILITY})
    security.set(f"{{{SOAP}}}mustUnderstand", "true")
    token = etree.SubElement(security, f"{{{SECEXT}}}BinarySecurityToken")
    token.set(_ID, "X509-token")
    token.set("EncodingType", BASE64)
    token.set("ValueType", X509_TOKEN)
    token.text = b64encode(signer.certificate.public_bytes(Encoding.DER)).decode()
    timestamp = etree.SubElement(security, f"{{{UTILITY}}}Timestamp")
    for name, moment in (("Created", at), ("Expires", at + _LIFETIME)):
        etree.SubElement(timestamp, f"{{{UTILITY}}}{name}").text = (
            moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        )


def _token(root: etree._Element, signature: etree._Element) -> etree._Element:
    """The BinarySecurityToken that KeyInfo refers to. Raises `CallRefused`."""
    reference = signature.find("ds:KeyInfo/wsse:SecurityTokenReference/wsse:Reference", PREFIXES)
    name = (reference.get("URI") or "").removeprefix("#") if reference is not None else ""
    tokens = root.findall("soap:Header/wsse:Security/wsse:BinarySecurityToken", PREFIXES)
    found = [token for token in tokens if token.get(_ID) == name and token.get("ValueType") == X509_TOKEN]
    if len(found) != 1:
        raise CallRefused("Signatur", "KeyInfo refers to no X.509 BinarySecurityToken of the message")
    return found[0]


def _add_signature(
    security: etree._Element, references: list[tuple[etree._Element, tuple[str, ...]]], signer: Issued
) -> None:
    def add(parent: etree._Element, name: str, algorithm: str | None = None) -> etree._Element:
        made = etree.SubElement(parent, f"{{{SIGNATURES}}}{name}")
        if algorithm is not None:
            made.set("Algorithm", algorithm)
        return made

    signature = etree.SubElement(security, f"{{{SIGNATURES}}}Signature", nsmap={"ds": SIGNATURES})
    signature.set("Id", "SIG-1")
    info = add(signature, "SignedInfo")
    _list_prefixes(add(info, "CanonicalizationMethod", EXCLUSIVE), ("soap",))
    add(info, "SignatureMethod", RSA_SHA256)
    for element, listed in references:
        reference = add(info, "Reference")
        reference.set("URI", f"#{element.get(_ID)}")
        _list_prefixes(add(add(reference, "Transforms"), "Transform", EXCLUSIVE), listed)
        add(reference, "DigestMethod", SHA256_DIGEST)
        digest = sha256(canonical(element, listed)).digest()
        add(reference, "DigestValue").text = b64encode(digest).decode()
    value = signer.key.sign(canonical(info, ("soap",)), padding.PKCS1v15(), SHA256())
    add(signature, "SignatureValue").text = b64encode(value).decode()
    key_info = add(signature, "KeyInfo")
    key_info.set("Id", "KI-1")
    token_reference = etree.SubElement(key_info, f"{{{SECEXT}}}SecurityTokenReference")
    to_token = etree.SubElement(token_reference, f"{{{SECEXT}}}Reference")
    to_token.set("URI", "#X509-token")
    to_token.set("ValueType", X509_TOKEN)


def _list_prefixes(parent: etree._Element, prefixes: tuple[str, ...]) -> None:
    if prefixes:
        made = etree.SubElement(parent, f"{{{EXCLUSIVE}}}InclusiveNamespaces", nsmap={"ec": EXCLUSIVE})
        made.set("PrefixList", " ".join(prefixes))


def _listed(method: etree._Element) -> tuple[str, ...]:
    """The prefix list of an exclusive canonicalisation. Raises `CallRefused` for any other."""
    if method.get("Algorithm") != EXCLUSIVE:
        raise CallRefused("Signatur", "the canonicalisation is not the exclusive one")
    found = method.find("ec:InclusiveNamespaces", PREFIXES)
    return tuple((found.get("PrefixList") or "").split()) if found is not None else ()


def _decoded(element: etree._Element | None) -> bytes:
    try:
        return b64decode((element.text or "") if element is not None else "")
    except ValueError:
        return b""


def _text(root: etree._Element, path: str) -> str:
    return (root.findtext(path, default="", namespaces=dict(PREFIXES)) or "").strip()
