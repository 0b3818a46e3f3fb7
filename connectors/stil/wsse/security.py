"""SOAP message security by STIL's policy: what we send is signed, what is believed has been verified."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hmac import compare_digest

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from bridge.connector import SnapshotInvalid
from connectors.stil.gate import Limits
from connectors.stil.wsse import names as n
from connectors.stil.wsse.canonical import Part, SignedInfo, digest_parts
from connectors.stil.wsse.header import Claims, read_claims
from connectors.stil.wsse.identity import Identity
from connectors.stil.wsse.trust import Trust

LIFETIME = timedelta(minutes=5)

_IN_HEADER = (n.ENVELOPE, n.HEADER)
_IN_SECURITY = (*_IN_HEADER, n.SECURITY)
REQUIRED = frozenset(
    {
        (n.ENVELOPE, n.BODY),
        (*_IN_HEADER, n.MESSAGE_ID),
        (*_IN_HEADER, n.RELATES_TO),
        (*_IN_SECURITY, n.TIMESTAMP),
    }
)
"""The output parts of STIL's policy, by where they stand."""

_SIGNED = ("Body", "Timestamp", "MessageID", "UdbydersystemId", "BinarySecurityToken")
_HEADER_END = b"</soap:Header>"


class PlainSecurity:
    """No message security: a simulator on this machine needs none."""

    def seal(self, envelope: bytes) -> bytes:
        """Return the envelope as it is."""
        return envelope

    def open(self, answer: bytes) -> bytes:
        """Return the envelope as it is."""
        return answer


class OcesSecurity:
    """WS-Security 1.1 with X.509 tokens, exclusive canonicalisation, SHA-256 and RSA-SHA256 (stil.md §2)."""

    def __init__(
        self,
        identity: Identity,
        trust: Trust,
        now: Callable[[], datetime],
        clock_skew: timedelta,
        limits: Limits | None = None,
    ) -> None:
        self._identity, self._trust, self._now, self._skew = identity, trust, now, clock_skew
        self._limits = limits or Limits()

    def seal(self, envelope: bytes) -> bytes:
        """Return an envelope of ours with the Security header that signs it.

        Raises `SourceUnauthorised` when our certificate is not valid now.
        """
        now = self._now()
        # The parts are digested where they will stand, so that their canonical form is the receiver's.
        unsigned = _with_security(envelope, _timestamp(now) + _token(self._identity))
        parts = digest_parts(unsigned, dict.fromkeys(_SIGNED, frozenset()), None, self._limits)
        signed_info = _signed_info({identity: parts.by_id[identity] for identity in _SIGNED})
        signature = self._identity.sign(signed_info.encode(), now)
        return _with_security(
            envelope, _timestamp(now) + _token(self._identity) + _signature(signed_info, signature)
        )

    def open(self, answer: bytes) -> bytes:
        """Return the envelope when its signature holds, over the parts that are read.

        Raises `SnapshotInvalid`, a code of its own for each thing that is wrong (docs/how-to/connect-to-stil.md).
        """
        if not answer.strip():
            raise SnapshotInvalid("empty_answer")
        now = self._now()
        claims = read_claims(answer, self._limits)
        key = self._trust.signer_key(claims.token, now)
        wanted = {identity: reference.prefixes for identity, reference in claims.references.items()}

        def check_signature(signed_info: bytes) -> None:
            try:
                key.verify(claims.signature, signed_info, padding.PKCS1v15(), Prehashed(SHA256()))
            except InvalidSignature:
                raise SnapshotInvalid("signature_wrong") from None

        # SignedInfo stands before the Body, so who has no key cannot have us digest one.
        signed = SignedInfo(claims.signed_info_prefixes, check_signature)
        parts = digest_parts(answer, wanted, signed, self._limits)
        if not parts.has_signed_info:
            raise SnapshotInvalid("signature_malformed")
        _check_parts(claims, dict(parts.by_id))
        self._check_time(claims, now)
        return answer

    def _check_time(self, claims: Claims, now: datetime) -> None:
        if claims.created - self._skew > now:
            raise SnapshotInvalid("timestamp_from_future")
        usual = claims.created + LIFETIME
        expires = usual if claims.expires is None else min(claims.expires, usual)
        if expires <= claims.created or expires + self._skew <= now:
            raise SnapshotInvalid("timestamp_stale")


def _check_parts(claims: Claims, parts: dict[str, Part]) -> None:
    """What is signed must be what is read: every part in its own place, and all that we rely on among them."""
    for identity, reference in claims.references.items():
        part = parts.get(identity)
        if part is None:
            raise SnapshotInvalid("signature_malformed")
        if not _is_a_place(part.path):
            raise SnapshotInvalid("signature_wrapped")
        if not compare_digest(part.digest, reference.digest):
            raise SnapshotInvalid("digest_wrong")
    if not {part.path for part in parts.values()} >= REQUIRED:
        raise SnapshotInvalid("part_unsigned")


def _is_a_place(path: tuple[str, ...]) -> bool:
    is_header = len(path) == 3 and path[:2] == _IN_HEADER and path[2] != n.SECURITY
    # SignatureConfirmation (WSS 1.1 §8.5) is no part of STIL's policy, and nothing of it is read.
    is_security = path[:3] == _IN_SECURITY and path[3:] in ((n.TIMESTAMP,), (n.TOKEN,), (n.CONFIRMATION,))
    return is_header or is_security or path == (n.ENVELOPE, n.BODY)


# ---------------------------------------------------------------- what we write


def _with_security(envelope: bytes, content: str) -> bytes:
    header = (
        f'<wsse:Security xmlns:wsse="{n.SECEXT}" xmlns:wsu="{n.UTILITY}" soap:mustUnderstand="true">{content}'
        "</wsse:Security>"
    )
    before, end, after = envelope.partition(_HEADER_END)
    return before + header.encode() + end + after


def _timestamp(now: datetime) -> str:
    created, expires = (_moment(at) for at in (now, now + LIFETIME))
    return (
        f'<wsu:Timestamp wsu:Id="Timestamp"><wsu:Created>{created}</wsu:Created>'
        f"<wsu:Expires>{expires}</wsu:Expires></wsu:Timestamp>"
    )


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def _token(identity: Identity) -> str:
    return (
        f'<wsse:BinarySecurityToken wsu:Id="BinarySecurityToken" ValueType="{n.X509_TOKEN}"'
        f' EncodingType="{n.BASE64}">'
        f"{b64encode(identity.token).decode()}</wsse:BinarySecurityToken>"
    )


def _signed_info(parts: dict[str, Part]) -> str:
    """Return ds:SignedInfo in its exclusive canonical form already: it is signed as it is written."""
    references = "".join(
        f'<ds:Reference URI="#{identity}"><ds:Transforms><ds:Transform Algorithm="{n.EXCLUSIVE}"></ds:Transform>'
        f'</ds:Transforms><ds:DigestMethod Algorithm="{n.SHA256}"></ds:DigestMethod>'
        f"<ds:DigestValue>{b64encode(part.digest).decode()}</ds:DigestValue></ds:Reference>"
        for identity, part in parts.items()
    )
    return (
        f'<ds:SignedInfo xmlns:ds="{n.SIGNATURES}">'
        f'<ds:CanonicalizationMethod Algorithm="{n.EXCLUSIVE}"></ds:CanonicalizationMethod>'
        f'<ds:SignatureMethod Algorithm="{n.RSA_SHA256}"></ds:SignatureMethod>{references}</ds:SignedInfo>'
    )


def _signature(signed_info: str, value: bytes) -> str:
    return (
        f'<ds:Signature xmlns:ds="{n.SIGNATURES}">{signed_info}'
        f"<ds:SignatureValue>{b64encode(value).decode()}</ds:SignatureValue>"
        f'<ds:KeyInfo><wsse:SecurityTokenReference><wsse:Reference URI="#BinarySecurityToken"'
        f' ValueType="{n.X509_TOKEN}"></wsse:Reference></wsse:SecurityTokenReference></ds:KeyInfo></ds:Signature>'
    )
