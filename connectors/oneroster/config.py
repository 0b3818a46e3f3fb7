"""What a municipality sets for its OneRoster provider."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from bridge.connector import ConnectorConfig, Duration
from connectors.oneroster.roster import RosterSettings
from connectors.oneroster.schooling import CourseOf
from connectors.oneroster.shapes import Booleans

ScopeName = Literal["roster.readonly", "roster-core.readonly", "roster-demographics.readonly"]


class ClientConfig(ConnectorConfig):
    """One client that may fetch. `signatures` are the methods of OAuth 1.0a that it may use for version 1.1.

    `secret_file` holds at least 32 characters, such as ``openssl rand -hex 32`` gives: nothing else slows down
    somebody who guesses.
    """

    client_id: str = Field(pattern=r"^[A-Za-z0-9._~-]{1,100}$")
    secret_file: Path
    versions: tuple[Literal["1.1", "1.2"], ...] = Field(("1.2",), min_length=1)
    scopes: tuple[ScopeName, ...] = Field(("roster.readonly", "roster-core.readonly"), min_length=1)
    signatures: tuple[Literal["HMAC-SHA256", "HMAC-SHA1"], ...] = ("HMAC-SHA256",)


class RosterConfig(ConnectorConfig):
    """What is the same for a OneRoster that is fetched and one that goes out as files."""

    district_name: str | None = Field(None, min_length=1)
    course: CourseOf = "school"
    school_year_starts: str = "08-01"

    @field_validator("school_year_starts")
    @classmethod
    def _is_a_day_of_every_year(cls, value: str) -> str:
        try:
            date.fromisoformat(f"2025-{value}")  # not a leap year
        except ValueError:
            raise ValueError("expected a month and a day of every year, such as 08-01") from None
        return value

    def settings(self, municipality: str, tombstones: timedelta) -> RosterSettings:
        """What a roster is made by."""
        return RosterSettings(
            municipality=municipality,
            district_name=self.district_name or f"Kommune {municipality}",
            course=self.course,
            school_year_starts=self.school_year_starts,
            tombstones=tombstones,
        )


class OneRosterConfig(RosterConfig):
    """`public_url` is where clients find us; they sign for it, and it stands in every link.

    `tombstones` is how long what is deleted is told as ``tobedeleted``. `booleans` are written as 1.1 and 1.2 say
    (texts, and JSON) where nothing is set. `max_page_size` is the most that a client gets at once.
    """

    public_url: str
    clients: tuple[ClientConfig, ...] = Field(min_length=1)
    token_path: str = Field("/token", pattern=r"^(/[A-Za-z0-9._~-]+)+$")
    token_lifetime: Duration = Field(timedelta(hours=1), ge=timedelta(minutes=1), le=timedelta(days=1))
    tombstones: Duration = Field(timedelta(days=90), ge=timedelta(days=1))
    page_size: int = Field(100, ge=1)
    max_page_size: int = Field(10_000, ge=1)
    booleans: Booleans | None = None

    @field_validator("public_url")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(
                "expected the URL under which clients find us, such as https://bro.kommune.dk/oneroster"
            )
        if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError("personal data is not served in the clear: public_url must begin with https://")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _each_client_once(self) -> Self:
        if len({client.client_id for client in self.clients}) != len(self.clients):
            raise ValueError("two clients have the same client_id")
        if self.page_size > self.max_page_size:
            raise ValueError("page_size is more than max_page_size")
        return self
