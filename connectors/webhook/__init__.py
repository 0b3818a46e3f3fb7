"""Webhooks: a vendor's endpoint gets Skolebro's events, CloudEvents 1.0 signed as Standard Webhooks says."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from bridge.connector import ConfigError, Connector, ConnectorConfig, Duration, Services
from bridge.webhooks import RECOMMENDED_BYTES, EventTarget, Signer

__all__ = ["WebhookConfig", "connector"]


class WebhookConfig(ConnectorConfig):
    """`url` is the whole address of the endpoint.

    `secret_file` holds one Standard Webhooks secret; while it is changed, the new one and the old one, in lines of
    their own: each message is signed by both. `client_certificate_file` and `client_key_file` are shown to an
    endpoint that asks for them (mTLS); `ca_file` replaces the public authorities. An event of more than
    `max_event_bytes` is not sent, and shown as rejected.
    """

    url: str
    secret_file: Path
    timeout: Duration = Field(timedelta(seconds=20), gt=timedelta(0))
    max_event_bytes: int = Field(RECOMMENDED_BYTES, ge=1_000)
    ca_file: Path | None = None
    client_certificate_file: Path | None = None
    client_key_file: Path | None = None

    @property
    def system(self) -> str:
        return self.url

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(
                "expected the address of the endpoint, such as https://vendor.example/skolebro/events"
            )
        if parts.username is not None:
            raise ValueError("a log-in does not belong into the address: messages are signed with secret_file")
        return value

    @model_validator(mode="after")
    def _certificate_has_a_key(self) -> Self:
        if (self.client_certificate_file is None) is not (self.client_key_file is None):
            raise ValueError("client_certificate_file and client_key_file belong together: name both or neither")
        return self


def _target(config: WebhookConfig, services: Services) -> EventTarget:
    try:
        signer = Signer(services.secret(config.secret_file), services.now)
    except ValueError as error:
        raise ConfigError(f"secret_file {config.secret_file}: {error}") from None
    parts = urlsplit(config.url)
    certificate, key = config.client_certificate_file, config.client_key_file
    http = services.http(
        f"{parts.scheme}://{parts.netloc}",
        timeout=config.timeout,
        ca_file=config.ca_file,
        client_cert=(certificate, key) if certificate and key else None,
    )
    return EventTarget(http, signer, parts.path or "/", config.max_event_bytes)


connector = Connector("webhook", WebhookConfig, target=_target, default_mapping="webhook/events")
