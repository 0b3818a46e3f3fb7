"""The stand-in for STIL as it is in production: over TLS, requests verified, answers signed."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bridge.testing.stil_authority import Issued, StilAuthority, tls_certificate
from bridge.testing.stil_forgery import FORGERIES
from bridge.testing.stil_municipality import Municipality
from bridge.testing.stil_sealing import WsSealing
from bridge.testing.stil_server import StilServer

SYSTEM_ID = "AB123456"
_PASSWORD = "skolebro-test"  # noqa: S105 - of a certificate that no service but this one knows


@dataclass(frozen=True, slots=True)
class SignedStil:
    """The server, and what a client of it needs: a certificate that is registered, and the authorities."""

    server: StilServer
    authority: StilAuthority
    signer: Issued
    client: Issued
    tls_ca: bytes = field(repr=False)

    def write_files(self, folder: Path) -> None:
        """Write everything that a client needs into a folder, secrets for their owner only."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = {
            **self.authority.files,
            "tls-ca.pem": self.tls_ca,
            "client.p12": self.client.pkcs12(_PASSWORD, [self.authority.issuing.certificate]),
            "client-password": _PASSWORD.encode(),
            "client.pem": self.client.pem,
            "client.key": self.client.key_pem,
        }
        for name, content in files.items():
            path = folder / name
            path.touch(mode=0o600)
            path.write_bytes(content)


def signed_stil(
    municipality: Municipality, port: int = 0, day_seconds: float | None = None, *, with_tls: bool = True
) -> SignedStil:
    """Return a server that is not started yet, with an authority made on the spot."""
    authority = StilAuthority.make(_now())
    sealing = WsSealing(authority, authority.issue("SkoleGrunddata", bits=3072), _now)
    client = authority.issue("Skolebro test", organisation="Eksempel Kommune")
    sealing.register(SYSTEM_ID, client)
    tls_ca, certificate = tls_certificate(_now())
    server = StilServer(
        municipality,
        port=port,
        day_seconds=day_seconds,
        sealing=sealing,
        forgeries={name: partial(forge, sealing) for name, forge in FORGERIES.items()},
        tls=_context(certificate) if with_tls else None,
    )
    return SignedStil(server, authority, sealing.signer, client, tls_ca)


def _context(certificate: Issued) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.NamedTemporaryFile() as file:  # the library reads files only
        file.write(certificate.pem + certificate.key_pem)
        file.flush()
        context.load_cert_chain(file.name)
    return context


def _now() -> datetime:
    return datetime.now(UTC)
