"""Aula, honestly: no public interface by which a machine may provision Aula exists, so nothing is sent
unless an agreement says where to.

Aula reads its users from STIL itself. In mode `observe` (the default) this connector sends nothing and says what
Aula will see (`skolebro report`). In mode `agreement` it sends Skolebro's own published contract, CloudEvents
signed by Standard Webhooks, to the address that such an agreement names; it is proven against a stand-in only.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from bridge.connector import ConfigError, Connector, ConnectorConfig, Duration, Services
from bridge.webhooks import EventTarget, Signer
from connectors.aula.target import ObserveTarget


class AulaConfig(ConnectorConfig):
    """Mode `agreement` needs `agreement` (a text that names it: number and date), `base_url`, `secret_file`, and
    the client's certificate and key, because the other side is to know us by more than a signature (mTLS).

    Only without TLS, which the HTTP edge allows to loopback addresses alone, is there no certificate to show: so a
    stand-in on this machine can be talked to. `secret_file` holds one Standard Webhooks secret, or the new and the
    old one while they are changed. `contract` is what is sent; there is no other yet.
    """

    mode: Literal["observe", "agreement"] = "observe"
    agreement: str | None = Field(None, pattern=r"\S")
    contract: Literal["bridge-v1"] = "bridge-v1"
    base_url: str | None = None
    secret_file: Path | None = None
    path: str = Field("/events", pattern=r"^/[^?#]*$")
    timeout: Duration = Field(timedelta(seconds=30), gt=timedelta(0))
    ca_file: Path | None = None
    client_certificate_file: Path | None = None
    client_key_file: Path | None = None

    @property
    def system(self) -> str:
        return f"{(self.base_url or '').rstrip('/')}{self.path}"

    @property
    def discloses(self) -> bool:
        return self.mode == "agreement"

    @property
    def default_mapping(self) -> str:
        return f"aula/{self.mode}"

    @model_validator(mode="after")
    def _agreement_is_complete(self) -> Self:
        if (self.client_certificate_file is None) is not (self.client_key_file is None):
            raise ValueError("client_certificate_file and client_key_file belong together: name both or neither")
        needed = ["agreement", "base_url", "secret_file"]
        if urlsplit(self.base_url or "").scheme != "http":
            needed += ["client_certificate_file", "client_key_file"]
        missing = [key for key in needed if getattr(self, key) is None]
        if self.mode == "agreement" and missing:
            raise ValueError(f"mode agreement needs {', '.join(missing)} too: what the agreement with Aula says")
        return self


def _target(config: AulaConfig, services: Services) -> EventTarget | ObserveTarget:
    if config.mode == "observe" or config.base_url is None or config.secret_file is None:
        return ObserveTarget()
    try:
        signer = Signer(services.secret(config.secret_file), services.now)
    except ValueError as error:
        raise ConfigError(f"secret_file {config.secret_file}: {error}") from None
    certificate, key = config.client_certificate_file, config.client_key_file
    http = services.http(
        config.base_url,
        timeout=config.timeout,
        ca_file=config.ca_file,
        client_cert=(certificate, key) if certificate and key else None,
    )
    return EventTarget(http, signer, config.path)


connector = Connector("aula", AulaConfig, target=_target)
