"""What a municipality sets for itslearning."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from bridge.connector import ConnectorConfig, Duration
from bridge.shelving import FileConfig, check_name

_PATH = r"^/[^?#\s]+$"


class ImsEnterpriseConfig(FileConfig):
    """`source` stands beside every id and names us as `datasource` (default: the code of the municipality).

    `name` may hold {municipality}, {number} and {date}. `recstatus` is written at every person and group where it
    is set (1 add, 2 update): receivers differ in what they want of it in a file that is all there is.
    """

    name: str = "ims-enterprise-{municipality}.xml"
    source: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]{1,32}$")
    recstatus: Literal["1", "2"] | None = None

    @field_validator("name")
    @classmethod
    def _is_a_file_name(cls, value: str) -> str:
        return check_name(value)


class ImsEsConfig(ConnectorConfig):
    """`base_url`, `user` and the password are what itslearning shows when the integration is made.

    The paths are those of its documentation, below the base URL.
    """

    base_url: str
    user: str = Field(min_length=1)
    password_file: Path
    person_path: str = Field("/PersonManagementServiceSync.svc", pattern=_PATH)
    group_path: str = Field("/GroupManagementServiceSync.svc", pattern=_PATH)
    membership_path: str = Field("/MembershipManagementServiceSync.svc", pattern=_PATH)
    timeout: Duration = Field(timedelta(seconds=120), gt=timedelta(0))

    @property
    def system(self) -> str:
        return self.base_url

    @field_validator("base_url")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("expected the URL of the services, such as https://…/WCFServiceLibrary")
        if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError("a password is not sent in the clear: base_url must begin with https://")
        return value.rstrip("/")
