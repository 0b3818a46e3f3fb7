"""STIL's exports as snapshots: `connector` fetches them by SOAP, `folder` reads files that others fetched."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from bridge.connector import ConfigError, Connector, Services
from connectors.stil.client import MessageSecurity, StilClient
from connectors.stil.config import FolderConfig, StilConfig
from connectors.stil.folder import FolderSource
from connectors.stil.gate import Limits
from connectors.stil.institutions import DescribingSource
from connectors.stil.pace import Pace
from connectors.stil.soap import SoapSource, Wanted
from connectors.stil.wsse import Identity, OcesSecurity, PlainSecurity, Trust, load_identity

__all__ = ["FolderConfig", "StilConfig", "connector", "folder"]

_USUAL = timedelta(hours=6)
"""Schools import once or twice a day (stil.md §4); STIL closes access to who asks needlessly often (§5)."""


def _soap_source(config: StilConfig, services: Services) -> SoapSource:
    """Build the SOAP source. Raises `ConfigError` for credentials that cannot be used, or an address that unsigned
    messages must not go to."""
    identity = _identity(config, services)
    limits = Limits()
    options: dict[str, Any] = {"timeout": config.timeout, "max_body": limits.document_bytes}
    if config.ca_file is not None:
        options["ca_file"] = config.ca_file
    if config.tls_client_certificate and identity is not None:
        options["client_identity"] = identity.pem()
    client = StilClient(
        [services.http(config.base_url, **options) for _ in range(config.concurrency)],
        _security(config, identity, services),
        base_url=config.base_url,
        system_id=config.udbydersystem_id,
        pace=services.shared(
            # STIL counts the calls of a provider system, whichever municipality they are for.
            ("stil", config.base_url, config.udbydersystem_id, config.calls_per_minute),
            lambda: Pace(config.calls_per_minute),
        ),
        limits=limits,
    )
    wanted = Wanted(
        ZoneInfo(config.times_in), config.size, config.filters, config.protected_names, config.unknown_codes
    )
    if config.institution_data_interval is None:
        return SoapSource(client, services.institutions, wanted, config.concurrency)
    interval = config.institution_data_interval
    return DescribingSource(client, services.institutions, wanted, config.concurrency, interval)


def _identity(config: StilConfig, services: Services) -> Identity | None:
    if config.certificate_file is None:
        return None
    return load_identity(
        services.credential(config.certificate_file),
        services.credential(config.key_file) if config.key_file else None,
        services.secret(config.password_file) if config.password_file else None,
    )


def _security(config: StilConfig, identity: Identity | None, services: Services) -> MessageSecurity:
    if identity is not None:
        authorities = [path.read_bytes() for path in config.oces_ca_files]
        return OcesSecurity(identity, Trust(authorities, config.signer), services.now, config.clock_skew)
    if not _is_loopback(config.base_url):
        raise ConfigError(
            "certificate_file: missing; STIL takes signed messages only. Name the provider system's OCES3"
            " certificate; without one only a simulator on a loopback address can be asked"
        )
    return PlainSecurity()


def _is_loopback(base_url: str) -> bool:
    try:
        host = urlsplit(base_url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _folder_source(config: FolderConfig, services: Services) -> FolderSource:
    """Build the folder source. Raises `ConfigError` when the folder is not there."""
    if not config.folder.is_dir():
        raise ConfigError(f"folder: {config.folder} is not a folder")
    zone = ZoneInfo(config.times_in)
    return FolderSource(
        config.folder,
        config.settle,
        zone,
        services.now,
        protected_names=config.protected_names,
        unknown_codes=config.unknown_codes,
    )


connector = Connector("stil", StilConfig, source=_soap_source, default_interval=_USUAL)
folder = Connector("stil-folder", FolderConfig, source=_folder_source)
