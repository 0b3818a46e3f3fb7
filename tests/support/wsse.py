"""Signed messages for tests, and two judges of signatures that nobody here wrote: signxml and xmlsec1."""

from __future__ import annotations

import subprocess
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from signxml import (
    CanonicalizationMethod,
    DigestAlgorithm,
    SignatureConfiguration,
    SignatureMethod,
    SignatureReference,
    XMLSigner,
    XMLVerifier,
    methods,
)

from bridge.testing.stil_authority import Issued, StilAuthority
from bridge.testing.stil_sealing import BASE64, PREFIXES, SECEXT, UTILITY, X509_TOKEN, WsSealing, parse
from bridge.testing.stil_soap import read_call, write_answer
from connectors.stil.envelope import write_request
from connectors.stil.services import agreements
from connectors.stil.wsse import OcesSecurity, Trust, load_identity
from tests.support.needs import require

NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
SYSTEM = "AB123456"
MESSAGE = "urn:uuid:7f6bb1a4-7d0c-4a7e-9c6b-000000000001"
SKEW = timedelta(minutes=5)
AGREED = '<c:regnr xmlns:c="https://brugerdatabasen.stil.dk/bpi/common/3">101001</c:regnr>'
_ANSWERED = {
    "Body": "soap:Body",
    "MessageID": "soap:Header/wsa:MessageID",
    "RelatesTo": "soap:Header/wsa:RelatesTo",
}
REQUESTED = {
    "Body": "soap:Body",
    "MessageID": "soap:Header/wsa:MessageID",
    "System": "soap:Header/c:UdbydersystemId",
}
_LIFETIME = timedelta(minutes=5)
_IDS = ("Body", "Timestamp", "MessageID", "RelatesTo", "UdbydersystemId", "BinarySecurityToken")


@cache
def authority() -> StilAuthority:
    return StilAuthority.make(NOW)


@cache
def stil() -> Issued:
    return authority().issue("SkoleGrunddata", bits=3072)


@cache
def provider() -> Issued:
    return authority().issue("Skolebro test", organisation="Eksempel Kommune")


def sealing() -> WsSealing:
    """STIL's side, which knows our provider system."""
    made = WsSealing(authority(), stil(), lambda: NOW)
    made.register(SYSTEM, provider())
    return made


def security(
    now: datetime = NOW, signer: dict[str, str] | None = None, files: list[bytes] | None = None
) -> OcesSecurity:
    """Our side."""
    identity = load_identity(provider().pem, provider().key_pem, None)
    trust = Trust(files or list(authority().files.values()), signer)
    return OcesSecurity(identity, trust, lambda: now, SKEW)


def request(message: str = MESSAGE) -> bytes:
    """An unsigned request of ours."""
    return write_request(agreements("fuld"), "", system_id=SYSTEM, message_id=message, to="https://stil.test/x")


def answer(
    content: str = '<c:regnr xmlns:c="https://brugerdatabasen.stil.dk/bpi/common/3">101001</c:regnr>',
) -> bytes:
    """The unsigned answer to `request`."""
    return write_answer(read_call(request()), content)


# ---------------------------------------------------------------- by signxml


def signed_by_signxml(
    envelope: bytes, signer: Issued | None = None, parts: Mapping[str, str] | None = None, at: datetime = NOW
) -> bytes:
    """Sign a message with signxml, its parts by ids of their own; an answer of STIL's unless told otherwise."""
    root, signer, parts = parse(envelope), signer or stil(), parts or _ANSWERED
    security = _unsigned_security(root, signer, at)
    for name, path in parts.items():
        root.findall(path, PREFIXES)[0].set(f"{{{UTILITY}}}Id", f"id-{name}")
    return _signed(root, security, signer, [*(f"id-{name}" for name in parts), "id-Timestamp", "id-Token"])


def _signed(root: etree._Element, security: etree._Element, signer: Issued, ids: Sequence[str]) -> bytes:
    references = [
        SignatureReference(URI=f"#{name}", c14n_method=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0)
        for name in ids
    ]
    tool = XMLSigner(
        method=methods.detached,
        signature_algorithm=SignatureMethod.RSA_SHA256,
        digest_algorithm=DigestAlgorithm.SHA256,
        c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    signature = tool.sign(root, key=signer.key, cert=[signer.certificate], reference_uri=references)
    info = signature.find("ds:KeyInfo", PREFIXES)
    info.clear()
    info.append(_token_reference("id-Token"))
    security.append(signature)
    return etree.tostring(root)


def signed_again(root: etree._Element, more: Sequence[etree._Element]) -> bytes:
    """Sign the parts of an answer that have their ids already, and some more, with signxml."""
    ids = [f"id-{name}" for name in (*_ANSWERED, "Timestamp", "Token")]
    return _signed(root, root.findall("soap:Header/wsse:Security", PREFIXES)[0], stil(), [*ids, *map(_id, more)])


def _id(element: etree._Element) -> str:
    return element.get(f"{{{UTILITY}}}Id") or ""


def verify_by_signxml(message: bytes, signer: Issued, parts: int) -> list[bytes]:
    """Return the canonical forms of the parts that signxml finds signed; it raises for a wrong signature."""
    config = SignatureConfiguration(
        location=".//", expect_references=parts, require_x509=False, default_reference_c14n_method=None
    )
    found = XMLVerifier().verify(
        message, x509_cert=signer.certificate, expect_config=config, id_attribute=None, validate_schema=False
    )
    return [one.signed_data for one in (found if isinstance(found, list) else [found])]


# ---------------------------------------------------------------- by xmlsec1


def signed_by_xmlsec1(envelope: bytes, folder: Path) -> bytes:
    """Sign an answer with xmlsec1, from a template as OASIS describes it."""
    root = parse(envelope)
    security = _unsigned_security(root, stil())
    for name, path in _ANSWERED.items():
        root.findall(path, PREFIXES)[0].set(f"{{{UTILITY}}}Id", f"id-{name}")
    security.append(
        etree.fromstring(_template([*(f"id-{name}" for name in _ANSWERED), "id-Timestamp", "id-Token"]))
    )
    template, key, out = folder / "template.xml", folder / "stil.key", folder / "signed.xml"
    template.write_bytes(etree.tostring(root))
    key.write_bytes(stil().key_pem)
    _xmlsec1("sign", "--privkey-pem", str(key), *_id_options(), "--output", str(out), str(template))
    return out.read_bytes()


def verify_by_xmlsec1(message: bytes, signer: Issued, folder: Path) -> str:
    """Return what xmlsec1 says of a message's signature. Raises `AssertionError` when it does not hold."""
    path, certificate = folder / "message.xml", folder / "signer.pem"
    path.write_bytes(message)
    certificate.write_bytes(signer.pem)
    trusted = ("--pubkey-cert-pem", str(certificate), "--enabled-key-data", "x509")
    return _xmlsec1("verify", *trusted, *_id_options(), str(path))


def _xmlsec1(*arguments: str) -> str:
    require("xmlsec1")
    done = subprocess.run(["xmlsec1", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def _id_options() -> list[str]:
    return [option for name in _IDS for option in ("--id-attr:Id", name)]


# ---------------------------------------------------------------- parts of a message


def _unsigned_security(root: etree._Element, signer: Issued, at: datetime = NOW) -> etree._Element:
    header = root.findall("soap:Header", PREFIXES)[0]
    token = b64encode(signer.certificate.public_bytes(Encoding.DER)).decode()
    times = [(at + late).strftime("%Y-%m-%dT%H:%M:%SZ") for late in (timedelta(0), _LIFETIME)]
    made = etree.fromstring(
        f'<sec:Security xmlns:sec="{SECEXT}" xmlns:u="{UTILITY}"><u:Timestamp u:Id="id-Timestamp">'
        f"<u:Created>{times[0]}</u:Created><u:Expires>{times[1]}</u:Expires></u:Timestamp>"
        f'<sec:BinarySecurityToken u:Id="id-Token" ValueType="{X509_TOKEN}" EncodingType="{BASE64}">{token}'
        "</sec:BinarySecurityToken></sec:Security>"
    )
    header.append(made)
    return made


def _token_reference(name: str) -> etree._Element:
    return etree.fromstring(
        f'<sec:SecurityTokenReference xmlns:sec="{SECEXT}"><sec:Reference URI="#{name}" ValueType="{X509_TOKEN}"/>'
        "</sec:SecurityTokenReference>"
    )


def _template(ids: list[str]) -> str:
    exclusive = '"http://www.w3.org/2001/10/xml-exc-c14n#"'
    references = "".join(
        f'<Reference URI="#{name}"><Transforms><Transform Algorithm={exclusive}/></Transforms>'
        '<DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><DigestValue/></Reference>'
        for name in ids
    )
    reference = etree.tostring(_token_reference("id-Token")).decode()
    return (
        f'<Signature xmlns="{PREFIXES["ds"]}"><SignedInfo><CanonicalizationMethod Algorithm={exclusive}/>'
        '<SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/>'
        f"{references}</SignedInfo><SignatureValue/><KeyInfo>{reference}</KeyInfo></Signature>"
    )
