"""STIL's exports as snapshots: `connector` fetches them by SOAP, `folder` reads files that others fetched."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from bridge.connector import ConfigError, Connector, ConnectorConfig, Duration, Services
from connectors.stil.folder import FolderSource
from connectors.stil.gate import Limits
from connectors.stil.soap import PlainSecurity, SoapSource, StilClient

__all__ = ["FolderConfig", "StilConfig", "connector", "folder"]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError("is not a time zone of the IANA database") from error
    return name


ZoneName = Annotated[str, AfterValidator(_known_zone)]


class StilConfig(ConnectorConfig):
    """How STIL's wsiEKSPORT v7 is reached.

    `udbydersystem_id` is the id of the provider system at tilslutning.stil.dk. `timeout` is that of a
    whole export. `times_in` is the zone of times that the export gives without one.
    """

    base_url: str
    udbydersystem_id: str = Field(min_length=1)
    timeout: Duration = Field(default=timedelta(seconds=120), gt=timedelta(0))
    ca_file: Path | None = None
    times_in: ZoneName = "Europe/Copenhagen"
    include_civil_registration_number: bool = False


class FolderConfig(ConnectorConfig):
    """Where the files are dropped; an incomplete file is reported once it has not changed for `settle`."""

    folder: Path
    settle: Duration = Field(default=timedelta(seconds=60), ge=timedelta(0))
    times_in: ZoneName = "Europe/Copenhagen"


def _soap_source(config: StilConfig, services: Services) -> SoapSource:
    """Build the SOAP source. Raises `ConfigError` for a base URL that unsigned messages must not go to."""
    security = PlainSecurity(config.base_url)
    limits = Limits()
    options: dict[str, Any] = {"timeout": config.timeout, "max_body": limits.document_bytes}
    if config.ca_file is not None:
        options["ca_file"] = config.ca_file
    client = StilClient(
        services.http(config.base_url, **options),
        security,
        base_url=config.base_url,
        system_id=config.udbydersystem_id,
        limits=limits,
    )
    return SoapSource(
        client,
        services.institutions,
        ZoneInfo(config.times_in),
        with_civil_registration_number=config.include_civil_registration_number,
    )


def _folder_source(config: FolderConfig, services: Services) -> FolderSource:
    """Build the folder source. Raises `ConfigError` when the folder is not there."""
    if not config.folder.is_dir():
        raise ConfigError(f"folder: {config.folder} is not a folder")
    return FolderSource(config.folder, config.settle, ZoneInfo(config.times_in), services.now)


connector = Connector("stil", StilConfig, source=_soap_source)
folder = Connector("stil-folder", FolderConfig, source=_folder_source)
