"""A test authority like OCES3, made on the spot: RSA-PSS signed CAs, STIL's signing certificate, clients' own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

_PSS = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=32)
_BACKDATED = timedelta(days=1)
_YEAR = timedelta(days=365)
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey = field(repr=False)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def pkcs12(self, password: str, others: Sequence[x509.Certificate] = ()) -> bytes:
        """Return certificate, key and the certificates above as a PKCS#12 file."""
        locked = BestAvailableEncryption(password.encode())
        return pkcs12.serialize_key_and_certificates(b"oces3", self.key, self.certificate, others, locked)


@dataclass(frozen=True, slots=True)
class StilAuthority:
    """A root and an issuing CA named and signed as OCES3's are (stil.md §2), valid around `now`."""

    now: datetime
    root: Issued
    issuing: Issued

    @classmethod
    def make(cls, now: datetime) -> StilAuthority:
        """Make new keys and certificates; two authorities have the same names, as a forger's would."""
        root_name, issuing_name = (
            _name("Den Danske Stat OCES rod-CA"),
            _name("Den Danske Stat OCES udstedende-CA 1"),
        )
        span = (now - _YEAR, now + 5 * _YEAR)
        key, issuing_key = _new_key(3072), _new_key(3072)
        root = Issued(_certificate(root_name, key, root_name, key, span, path_length=1), key)
        issuing = Issued(_certificate(issuing_name, issuing_key, root_name, key, span, path_length=0), issuing_key)
        return cls(now, root, issuing)

    @property
    def files(self) -> dict[str, bytes]:
        """The CA certificates as an operator would be given them, PEM by file name."""
        return {"oces-root-ca.pem": self.root.pem, "oces-issuing-ca.pem": self.issuing.pem}

    def issue(
        self,
        common_name: str,
        *,
        organisation: str = "Styrelsen for It og Læring",
        bits: int = 2048,
        begins: datetime | None = None,
        ends: datetime | None = None,
        key: rsa.RSAPrivateKey | None = None,
    ) -> Issued:
        """Issue a system certificate, valid from yesterday for a year unless `begins` and `ends` say otherwise."""
        span = (begins or self.now - _BACKDATED, ends or self.now + _YEAR)
        key = key or _new_key(bits)
        signer = self.issuing
        made = _certificate(
            _name(common_name, organisation, _system_number()),
            key,
            signer.certificate.subject,
            signer.key,
            span,
            path_length=None,
        )
        return Issued(made, key)

    def issue_authority(self, key: rsa.RSAPrivateKey, *, begins: datetime, ends: datetime) -> bytes:
        """Issue another certificate of the issuing CA, as a renewal is: same name, perhaps the same key. PEM."""
        root, subject = self.root, self.issuing.certificate.subject
        made = _certificate(subject, key, root.certificate.subject, root.key, (begins, ends), path_length=0)
        return made.public_bytes(Encoding.PEM)


def tls_certificate(now: datetime) -> tuple[bytes, Issued]:
    """Return an authority for TLS as PEM, and its certificate for this machine's loopback names."""
    key, server_key, span = _new_key(2048), _new_key(2048), (now - _BACKDATED, now + _YEAR)
    authority = _name("Skolebro test TLS")
    root = _certificate(authority, key, authority, key, span, path_length=0)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    made = _certificate(_name("localhost"), server_key, authority, key, span, path_length=None, names=names)
    return root.public_bytes(Encoding.PEM), Issued(made, server_key)


def _new_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def _name(common_name: str, organisation: str = "Den Danske Stat", serial_number: str | None = None) -> x509.Name:
    parts = [
        (NameOID.COMMON_NAME, common_name),
        *([(NameOID.SERIAL_NUMBER, serial_number)] if serial_number else []),
        (NameOID.ORGANIZATION_NAME, organisation),
        (NameOID.COUNTRY_NAME, "DK"),
    ]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def _system_number() -> str:
    """A number as OCES3 gives to the system that a certificate is for."""
    return f"UI:DK-O:G:{uuid4()}"


def _certificate(
    subject: x509.Name,
    key: rsa.RSAPrivateKey,
    issuer: x509.Name,
    issuer_key: rsa.RSAPrivateKey,
    span: tuple[datetime, datetime],
    *,
    path_length: int | None,
    names: Sequence[x509.GeneralName] = (),
) -> x509.Certificate:
    """Sign a certificate; `path_length` None makes a leaf."""
    is_authority = path_length is not None
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(span[0])
        .not_valid_after(span[1])
        .add_extension(x509.BasicConstraints(is_authority, path_length), critical=True)
        .add_extension(_usage(is_authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, SHA256(), rsa_padding=_PSS)


def _usage(is_authority: bool) -> x509.KeyUsage:
    allowed = {"key_cert_sign", "crl_sign"} if is_authority else {"digital_signature", "key_encipherment"}
    return x509.KeyUsage(**{usage: usage in allowed for usage in _USAGES})
