"""What an operator says of STIL: mistakes are sentences, and what nobody may guess has to be said."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from bridge.connector import ConnectorConfig, Duration
from connectors.stil.filters import WITH_CONTACTS, WITHOUT_NUMBERS, Actor, Filters, Level
from connectors.stil.parse import ProtectedNames
from connectors.stil.services import HOST, SizeName
from connectors.stil.strict import UnknownCodes


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError("is not a time zone of the IANA database") from error
    return name


ZoneName = Annotated[str, AfterValidator(_known_zone)]


class StilConfig(ConnectorConfig):
    """How STIL's services are reached, and what is asked of them.

    `udbydersystem_id` is the id of the provider system at tilslutning.stil.dk, `certificate_file` its OCES3
    certificate: PKCS#12 with the key in it, or PEM with the key in `key_file`; `password_file` opens either.
    `oces_ca_files` are the authorities that STIL's signatures must chain to, `signer` attributes that the subject
    of its certificate must have; `clock_skew` is how far its clock may be from ours. `ca_file` replaces the public
    authorities for TLS, and `tls_client_certificate` shows our certificate there too.

    `size` is the export that the agreements are for; `actors` and `levels` narrow it. CPR numbers are asked for
    only with a `legal_basis`. `protected_names` has to be said for every size but fuldmyndighed: whether the name
    of a protected person is the real one there, or the alias. `unknown_codes`: whether a record with a code that
    the contract does not have is used ("note") or set aside ("quarantine"). `institution_data_interval` is how
    often wsiINST is asked (never by default: it takes a connection agreement of its own).

    `timeout` is that of a whole export; at most `concurrency` are fetched at a time, and no more than
    `calls_per_minute` calls are made. `times_in` is the zone of times that the export gives without one.
    """

    base_url: str = HOST
    udbydersystem_id: str = Field(min_length=1)
    certificate_file: Path | None = None
    key_file: Path | None = None
    password_file: Path | None = None
    oces_ca_files: list[Path] = Field(default_factory=list)
    signer: dict[str, str] | None = None
    clock_skew: Duration = Field(default=timedelta(minutes=5), ge=timedelta(0), le=timedelta(hours=1))
    ca_file: Path | None = None
    tls_client_certificate: bool = False
    size: SizeName = "fuldmyndighed"
    actors: frozenset[Actor] | None = None
    levels: tuple[Level, ...] | None = None
    include_civil_registration_number: bool = False
    legal_basis: str | None = None
    protected_names: ProtectedNames | None = None
    unknown_codes: UnknownCodes = "note"
    institution_data_interval: Duration | None = Field(default=None, ge=timedelta(minutes=15))
    timeout: Duration = Field(default=timedelta(seconds=120), gt=timedelta(0))
    concurrency: int = Field(default=4, ge=1, le=16)
    calls_per_minute: int = Field(default=120, ge=1, le=6000)
    times_in: ZoneName = "Europe/Copenhagen"

    @property
    def filters(self) -> Filters:
        return Filters(self.actors, self.levels, self.include_civil_registration_number)

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        if self.udbydersystem_id == "CHANGE-ME":
            raise ValueError("udbydersystem_id: still CHANGE-ME; set it to the provider system's id at STIL")
        if self.certificate_file is None and (self.key_file or self.password_file or self.oces_ca_files):
            raise ValueError("certificate_file: missing, though other parts of the message security are given")
        if self.certificate_file is not None and not self.oces_ca_files:
            raise ValueError("oces_ca_files: missing; name the OCES CA certificates that STIL's answers chain to")
        if self.tls_client_certificate and self.certificate_file is None:
            raise ValueError("tls_client_certificate: needs certificate_file")
        return self

    @model_validator(mode="after")
    def _check_wishes(self) -> Self:
        if self.include_civil_registration_number and not (self.legal_basis or "").strip():
            raise ValueError("legal_basis: missing; CPR numbers are asked for only with a legal basis in words")
        if self.include_civil_registration_number and self.size in WITHOUT_NUMBERS:
            raise ValueError(f"include_civil_registration_number: size {self.size} holds no CPR numbers")
        if "contacts" in (self.actors or ()) and self.size not in WITH_CONTACTS:
            raise ValueError(f"actors: size {self.size} holds no contacts")
        if self.actors is not None and not self.actors:
            raise ValueError("actors: nobody is left; name at least one, or leave the key out")
        if self.levels is not None and not self.levels:
            raise ValueError("levels: nobody is left; name at least one, or leave the key out")
        if self.size != "fuldmyndighed" and self.protected_names is None:
            raise ValueError(
                f"protected_names: missing; say whether the names of protected persons in size {self.size} are"
                " real (then everybody whose protection it does not state counts as protected) or alias"
            )
        return self


class FolderConfig(ConnectorConfig):
    """Where the files are dropped; an incomplete file is reported once it has not changed for `settle`.

    `protected_names` and `unknown_codes` as for `StilConfig`: without the first, documents of the three smaller
    sizes are refused.
    """

    folder: Path
    settle: Duration = Field(default=timedelta(seconds=60), ge=timedelta(0))
    times_in: ZoneName = "Europe/Copenhagen"
    protected_names: ProtectedNames | None = None
    unknown_codes: UnknownCodes = "note"
