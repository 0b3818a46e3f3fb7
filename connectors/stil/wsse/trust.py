"""A certificate is believed when it chains to the configured authorities today and has the pinned subject."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import ExtensionOID

from bridge.connector import ConfigError, SnapshotInvalid

LEAST_KEY_BITS = 2048
_MOST_AUTHORITIES_IN_A_CHAIN = 4
_ATTRIBUTES = {
    "CN": x509.NameOID.COMMON_NAME,
    "O": x509.NameOID.ORGANIZATION_NAME,
    "OU": x509.NameOID.ORGANIZATIONAL_UNIT_NAME,
    "C": x509.NameOID.COUNTRY_NAME,
    "serialNumber": x509.NameOID.SERIAL_NUMBER,
    "organizationIdentifier": x509.NameOID.ORGANIZATION_IDENTIFIER,
}
_UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    }
)


class Trust:
    """The authorities, PEM or DER each, and the attributes (CN, O, serialNumber, …) that a signer must have.

    Raises `ConfigError` for a file without a certificate, an attribute that it does not know, or no root.
    """

    def __init__(self, authorities: Iterable[bytes], signer: Mapping[str, str] | None = None) -> None:
        self._authorities = [certificate for data in authorities for certificate in _certificates(data)]
        unknown = sorted(set(signer or ()) - set(_ATTRIBUTES))
        if unknown:
            raise ConfigError(f"signer: {unknown[0]} is none of {', '.join(_ATTRIBUTES)}")
        self._signer = dict(signer or {})
        if not any(_is_root(certificate) for certificate in self._authorities):
            raise ConfigError("oces_ca_files: no root CA among them; name the root's file and the issuing CA's")

    def signer_key(self, token: bytes, now: datetime) -> RSAPublicKey:
        """Return the key of a DER certificate that may sign for STIL at `now`.

        Revocation is not looked up. Raises `SnapshotInvalid`: `token_unreadable`, `certificate_untrusted`,
        `certificate_expired`, `certificate_not_yet_valid`, `signer_unexpected`, `algorithm_refused`.
        """
        try:
            return self._believed(x509.load_der_x509_certificate(token), now)
        except SnapshotInvalid:
            raise
        except Exception:
            # Parts of a certificate are read only when they are looked at, any may be unreadable, and the library
            # has errors of no common kind for that (InvalidVersion, UnsupportedGeneralNameType, …).
            raise SnapshotInvalid("token_unreadable") from None

    def _believed(self, leaf: x509.Certificate, now: datetime) -> RSAPublicKey:
        chain = [leaf, *self._issuers(leaf, now)]
        for certificate in chain:
            _check_validity(certificate, now)
        for below, authority in enumerate(chain[1:]):
            _check_authority(authority, below)
        _check_leaf(leaf)
        self._check_signer(leaf)
        key = leaf.public_key()
        if not isinstance(key, RSAPublicKey) or key.key_size < LEAST_KEY_BITS:
            raise SnapshotInvalid("algorithm_refused")
        return key

    def _issuers(self, leaf: x509.Certificate, now: datetime) -> list[x509.Certificate]:
        """The authorities above a certificate, up to a root (RFC 5280 §6.1)."""
        chain: list[x509.Certificate] = []
        current = leaf
        while len(chain) < _MOST_AUTHORITIES_IN_A_CHAIN:
            # A renewed authority may have name and key of the old one, which is still among the files.
            issuers = [a for a in self._authorities if _has_issued(a, current)]
            issuer = next((a for a in issuers if _is_valid(a, now)), issuers[0] if issuers else None)
            if issuer is None:
                break
            chain.append(issuer)
            if _is_root(issuer):
                return chain
            current = issuer
        raise SnapshotInvalid("certificate_untrusted")

    def _check_signer(self, leaf: x509.Certificate) -> None:
        for name, wanted in self._signer.items():
            values = [a.value for a in leaf.subject.get_attributes_for_oid(_ATTRIBUTES[name])]
            if values != [wanted]:
                raise SnapshotInvalid("signer_unexpected")


def _certificates(data: bytes) -> list[x509.Certificate]:
    try:
        if b"-----BEGIN" in data:
            return x509.load_pem_x509_certificates(data)
        return [x509.load_der_x509_certificate(data)]
    except ValueError as error:
        raise ConfigError("oces_ca_files: a file holds no certificate, neither as PEM nor as DER") from error


def _is_root(certificate: x509.Certificate) -> bool:
    return certificate.subject == certificate.issuer and _has_issued(certificate, certificate)


def _has_issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    if authority.subject != certificate.issuer:
        return False
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _is_valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _check_validity(certificate: x509.Certificate, now: datetime) -> None:
    if now < certificate.not_valid_before_utc:
        raise SnapshotInvalid("certificate_not_yet_valid")
    if now > certificate.not_valid_after_utc:
        raise SnapshotInvalid("certificate_expired")


def _check_authority(certificate: x509.Certificate, below: int) -> None:
    """Check that it may issue, with so many authorities between it and the leaf (RFC 5280 §6.1.4)."""
    extensions = _extensions(certificate)
    basic = extensions.get(ExtensionOID.BASIC_CONSTRAINTS)
    usage = extensions.get(ExtensionOID.KEY_USAGE)
    may_issue = isinstance(basic, x509.BasicConstraints) and basic.ca
    is_within = isinstance(basic, x509.BasicConstraints) and (
        basic.path_length is None or basic.path_length >= below
    )
    may_sign = not isinstance(usage, x509.KeyUsage) or usage.key_cert_sign
    if not (may_issue and is_within and may_sign):
        raise SnapshotInvalid("certificate_untrusted")


def _check_leaf(certificate: x509.Certificate) -> None:
    extensions = _extensions(certificate)
    usage = extensions.get(ExtensionOID.KEY_USAGE)
    may_sign = not isinstance(usage, x509.KeyUsage) or usage.digital_signature or usage.content_commitment
    basic = extensions.get(ExtensionOID.BASIC_CONSTRAINTS)
    is_authority = isinstance(basic, x509.BasicConstraints) and basic.ca
    if is_authority or not may_sign:
        raise SnapshotInvalid("certificate_untrusted")


def _extensions(certificate: x509.Certificate) -> dict[x509.ObjectIdentifier, x509.ExtensionType]:
    """The extensions by their id. One that is critical and unknown to us forbids the use (RFC 5280 §4.2)."""
    if any(e.critical and e.oid not in _UNDERSTOOD for e in certificate.extensions):
        raise SnapshotInvalid("certificate_untrusted")
    return {extension.oid: extension.value for extension in certificate.extensions}
