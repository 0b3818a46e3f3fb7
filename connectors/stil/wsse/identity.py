"""The provider system's own certificate and key, from PKCS#12 or PEM, and what is signed with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from secrets import token_hex

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)

from bridge.connector import ConfigError, SourceUnauthorised
from connectors.stil.wsse.trust import LEAST_KEY_BITS

_PEM = b"-----BEGIN"


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with its RSA key."""

    certificate: x509.Certificate
    key: RSAPrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def token(self) -> bytes:
        """The certificate as DER."""
        return self.certificate.public_bytes(Encoding.DER)

    def sign(self, data: bytes, now: datetime) -> bytes:
        """Return the RSA-SHA256 signature (PKCS#1 v1.5, RFC 8017 §8.2).

        Raises `SourceUnauthorised` when the certificate is not valid at `now`: STIL would refuse the message.
        """
        if now > self.certificate.not_valid_after_utc:
            raise SourceUnauthorised("own_certificate_expired: renew the certificate of certificate_file")
        if now < self.certificate.not_valid_before_utc:
            raise SourceUnauthorised("own_certificate_not_yet_valid: is this machine's clock right?")
        return self.key.sign(data, padding.PKCS1v15(), SHA256())

    def pem(self) -> tuple[bytes, bytes]:
        """Return certificate, chain and key as PEM, the key under the password that is returned with it."""
        password = token_hex(16).encode()
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
        certificates = (self.certificate, *self.chain)
        return b"".join(c.public_bytes(Encoding.PEM) for c in certificates) + key, password


def load_identity(certificate: bytes, key: bytes | None, password: str | None) -> Identity:
    """Read a PKCS#12 file, or PEM with the key in `key` or beside the certificate.

    Raises `ConfigError` when it cannot be opened, the key is no RSA key of 2,048 bits or more, or does not
    belong to the certificate. Nothing of the files is in its text.
    """
    secret = password.encode() if password is not None else None
    if key is not None and _PEM not in certificate:
        raise ConfigError(
            "key_file: certificate_file is no PEM; if it is PKCS#12, it brings its key: leave this out"
        )
    found = _read_pem(certificate, key, secret) if _PEM in certificate else _read_pkcs12(certificate, secret)
    if found.key.key_size < LEAST_KEY_BITS:
        raise ConfigError(f"certificate_file: its key is shorter than {LEAST_KEY_BITS} bits")
    if found.certificate.public_key() != found.key.public_key():
        raise ConfigError("key_file: this key does not belong to the certificate of certificate_file")
    return found


def _read_pkcs12(data: bytes, password: bytes | None) -> Identity:
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(data, password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        why = "is the password the right one?" if password is not None else "does it need a password_file?"
        raise ConfigError(
            f"certificate_file: cannot be opened as PKCS#12, and it is no PEM; is it the right file, and {why}"
        ) from error
    if certificate is None or key is None:
        raise ConfigError("certificate_file: this PKCS#12 file lacks the certificate or its key")
    return Identity(certificate, _rsa(key), tuple(others))


def _read_pem(data: bytes, key: bytes | None, password: bytes | None) -> Identity:
    try:
        certificate, *others = x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise ConfigError("certificate_file: holds no certificate as PEM") from error
    if key is None and b"PRIVATE KEY" not in data:
        raise ConfigError("key_file: missing; certificate_file holds no key, so name the file that does")
    return Identity(certificate, _rsa(_private_key(key or data, password)), tuple(others))


def _private_key(data: bytes, password: bytes | None) -> object:
    is_locked = b"ENCRYPTED" in data
    try:
        return load_pem_private_key(data, password if is_locked else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        why = "is the password in password_file the right one?" if is_locked else "it has to be PEM (PKCS#8)"
        raise ConfigError(f"key_file: no private key can be read from it; {why}") from error


def _rsa(key: object) -> RSAPrivateKey:
    if not isinstance(key, RSAPrivateKey):
        raise ConfigError("certificate_file: its key is no RSA key; STIL's signatures are RSA-SHA256")
    return key
