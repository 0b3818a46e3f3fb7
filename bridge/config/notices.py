"""How people are told that something waits: the sections `notices` of the file, and what they come to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bridge.connector import Duration

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_PORTS = {"starttls": 587, "tls": 465, "none": 25}


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError("expected a plain mail address such as it@kommune.example")
    return text


Address = Annotated[str, AfterValidator(_address)]
Recipients = Annotated[list[Address], Field(min_length=1)]
Timeout = Annotated[Duration, Field(gt=timedelta(0), le=timedelta(seconds=45))]
"""Well below what the health check allows a step of a loop: mail and webhook may both be slow."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class MailSection(_Section):
    """`security`: starttls, tls from the first byte, or none, which is for a server on this machine only.

    `port` is 587, 465 or 25 then. `ca_file` replaces the system's authorities.
    """

    server: str = Field(pattern=r"^[A-Za-z0-9.:-]+$")
    port: Annotated[int | None, Field(ge=1, le=65_535)] = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: Address
    to: Recipients
    user_name: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    timeout: Timeout = timedelta(seconds=30)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.user_name is None) is not (self.password_file is None):
            raise ValueError("user_name and password_file belong together: give both or neither")
        if self.security == "none" and not _is_here(self.server):
            raise ValueError(f"security none: {self.server} is another machine; allowed are starttls and tls")
        if self.security == "none" and self.user_name is not None:
            raise ValueError("security none sends no password: use starttls or tls, or leave user_name out")
        return self

    @property
    def at_port(self) -> int:
        return self.port or _PORTS[self.security]


class WebhookSection(_Section):
    """`secret_file` holds one Standard Webhooks secret, or the new and the old one while they are changed."""

    base_url: str
    path: str = Field(default="/", pattern=r"^/[^?#\s]*$")
    secret_file: Path
    ca_file: Path | None = None
    timeout: Timeout = timedelta(seconds=30)


class NoticesSection(_Section):
    mail: Any = None
    webhook: Any = None
    remind_after: Annotated[Duration | None, Field(gt=timedelta(0))] = timedelta(hours=24)
    console_url: str | None = Field(default=None, pattern=r"^https?://[^\s@]+$")

    @model_validator(mode="after")
    def _has_a_way(self) -> Self:
        if not (self.mail or self.webhook):
            raise ValueError("nobody would be told: give mail, webhook or both")
        return self


class RecipientsSection(_Section):
    """Who is told of one municipality instead of those at the top."""

    to: Recipients


@dataclass(frozen=True, slots=True)
class NoticeSettings:
    """How people are told. `remind_after` None: they are not reminded."""

    mail: MailSection | None
    webhook: WebhookSection | None
    remind_after: timedelta | None
    console_url: str | None


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
