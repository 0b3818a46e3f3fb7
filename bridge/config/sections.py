"""The settings as frozen values, and the sections of the file as strict models: unknown keys are refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bridge.config.fields import Institutions
from bridge.config.notices import NoticeSettings
from bridge.config.vendors import VendorSettings
from bridge.connector import Connector, ConnectorConfig, Duration
from bridge.domain.anomalies import AnomalyCode
from bridge.domain.errors import ConfigError
from bridge.domain.ids import TargetId
from bridge.mapping import TargetMapping

_HOST_NAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?")


def _loopback(listen: str | None) -> str | None:
    host, _, port = (listen or "127.0.0.1:0").rpartition(":")
    try:
        is_here = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        is_here = False
    if not is_here:
        raise ValueError(
            f"{host} can be reached from other machines, and there is no login yet; "
            "use 127.0.0.1 and put a reverse proxy with a login before it"
        )
    if int(port) > 65_535:
        raise ValueError("a port is a number from 0 to 65535")
    return listen


def _host_names(names: list[str]) -> list[str]:
    for name in names:
        if not _HOST_NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is no name of a server; write it like skolebro.kommune.example, without a port"
            )
    return [name.lower() for name in names]


def _positive(span: timedelta | None) -> timedelta | None:
    if span is not None and span <= timedelta(0):
        raise ValueError("should be greater than 0 seconds")
    return span


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class WebSection(_Section):
    listen: Annotated[str | None, AfterValidator(_loopback)] = Field(
        default="127.0.0.1:8600", pattern=r"^[^:]+:\d{1,5}$"
    )
    public_hosts: Annotated[list[str], AfterValidator(_host_names)] = Field(default_factory=list)


class LogSection(_Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


Percent = Annotated[float | None, Field(ge=0)]
Share = Annotated[float | None, Field(ge=0, le=100)]
Number = Annotated[int | None, Field(ge=0)]
AtLeast = Annotated[int, Field(ge=1)]
_KINDS = ("group", "affiliation", "membership", "guardianship", "contribution", "person")
_LABELS = frozenset((*_KINDS, *(f"affiliation.{role}" for role in ("student", "employee", "external"))))


class LimitsSection(_Section):
    """How much may change at once; what is not given is as one floor up. `null`: no such limit.

    More than `max_..._percent` of what is stored, and at least `min_...`, is held; more than `max_...` always.
    """

    max_deleted_percent: Share = None
    min_deleted: AtLeast = 1
    max_deleted: Number = None
    max_created_percent: Percent = None
    min_created: AtLeast = 1
    max_created: Number = None
    max_updated_percent: Share = None
    min_updated: AtLeast = 1
    max_updated: Number = None
    max_unprotected: Number = None

    @property
    def given(self) -> dict[str, Any]:
        """The limits that stand in the file."""
        return {name: getattr(self, name) for name in LimitsSection.model_fields if name in self.model_fields_set}


class TargetGuardSection(LimitsSection):
    """Limits of a target; `kinds` are limits of one kind of entity ("person", "group", "membership")."""

    kinds: Annotated[dict[str, LimitsSection], AfterValidator(lambda kinds: _known(kinds))] = Field(
        default_factory=dict
    )


class GuardSection(TargetGuardSection):
    """Limits of a municipality's institutions, and how what they hold is decided."""

    institutions: dict[str, LimitsSection] = Field(default_factory=dict)
    window: Duration = Field(default=timedelta(hours=24), ge=timedelta(0))
    max_roll_leavers_percent: float = Field(default=35.0, ge=0, le=100)
    two_people: bool = False
    approval_lifetime: Duration = Field(default=timedelta(hours=24), gt=timedelta(0))
    deletion_grace: Duration = Field(default=timedelta(hours=24), ge=timedelta(0))


def _known(kinds: dict[str, LimitsSection]) -> dict[str, LimitsSection]:
    if strangers := sorted(kinds.keys() - _LABELS):
        raise ValueError(f"there is no kind {strangers[0]!r}; allowed are {', '.join(sorted(_LABELS))}")
    return kinds


def _codes(value: Any) -> frozenset[AnomalyCode]:
    known = [code.value for code in AnomalyCode]
    if not isinstance(value, list):
        raise ValueError(f"expected a list of rules; there are {', '.join(known)}")
    if strangers := [str(each) for each in value if each not in known]:
        raise ValueError(f"there is no rule {strangers[0]!r}; there are {', '.join(known)}")
    return frozenset(map(AnomalyCode, value))


Codes = Annotated[frozenset[AnomalyCode], BeforeValidator(_codes)]


class AnomalyRulesSection(_Section):
    """What one school is not told of."""

    off: Codes = frozenset()


class AnomaliesSection(AnomalyRulesSection):
    """What no school of a municipality is told of; `institutions` are told of less still."""

    institutions: dict[str, AnomalyRulesSection] = Field(default_factory=dict)

    def off_at(self, institution: str) -> frozenset[AnomalyCode]:
        """The rules that are switched off at one institution."""
        own = self.institutions.get(institution)
        return self.off | own.off if own is not None else self.off


class LeaversSection(_Section):
    """How long an account sleeps at a target that can put it to sleep, before it is deleted; 0s: not at all."""

    retention: Duration = Field(default=timedelta(days=30), ge=timedelta(0))


class ReconcileSection(_Section):
    """How often a target that can be read back is (null: only when it is asked for), and whether what differs is
    only reported or set right."""

    every: Annotated[Duration | None, AfterValidator(_positive)] = timedelta(hours=24)
    repair: Literal["report", "restore"] = "report"


class RetrySection(_Section):
    base: Duration = Field(default=timedelta(seconds=5), gt=timedelta(0))
    ceiling: Duration = Field(default=timedelta(hours=6), gt=timedelta(0))
    retry_after_cap: Duration = Field(default=timedelta(hours=1), gt=timedelta(0))


class BreakerSection(_Section):
    """How long a target as a whole pauses: `patience` in an outage, `person` when somebody must mend it."""

    patience_base: Duration = Field(default=timedelta(seconds=2), gt=timedelta(0))
    patience_ceiling: Duration = Field(default=timedelta(minutes=10), gt=timedelta(0))
    person_base: Duration = Field(default=timedelta(minutes=5), gt=timedelta(0))
    person_ceiling: Duration = Field(default=timedelta(hours=1), gt=timedelta(0))


def _short_name(name: str) -> str:
    if not name or len(name.encode()) > 200 or name.startswith("amq."):
        raise ValueError("a name has 1 to 200 bytes and does not begin with amq., which is the broker's own")
    return name


def _binding_keys(keys: list[str]) -> list[str]:
    for key in keys:
        if len(key.encode()) > 255 or not all(key.split(".")):
            raise ValueError(f"{key!r} is no binding key; write one like 0101.person.* or 0101.#")
    return keys


class QueueSection(_Section):
    """A queue that the bridge makes for one consumer, and what that consumer gets.

    `delivery_limit`: an event that comes back so often goes to the queue `dead_letters` (default: the queue's name
    and ".dead"). `kind` stream: nothing is taken out; who reads begins where it likes within `keep`.
    """

    keys: Annotated[list[str], Field(min_length=1), AfterValidator(_binding_keys)]
    kind: Literal["quorum", "stream"] = "quorum"
    delivery_limit: int | None = Field(default=None, ge=1, le=1_000_000)
    dead_letters: Annotated[str, AfterValidator(_short_name)] | None = None
    keep: Annotated[Duration, Field(ge=timedelta(minutes=1))] | None = None

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.kind == "stream" and (self.delivery_limit is not None or self.dead_letters is not None):
            raise ValueError("kind: a stream has neither a delivery_limit nor dead_letters")
        if self.kind == "quorum" and self.keep is not None:
            raise ValueError("kind: only a stream has keep")
        return self


class BrokerSection(_Section):
    url_file: Path
    exchange: Annotated[str, AfterValidator(_short_name)] = "skolebro.events"
    queues: dict[Annotated[str, AfterValidator(_short_name)], QueueSection] = Field(default_factory=dict)

    @property
    def dead_letters(self) -> frozenset[str]:
        """The names of all queues of dead letters."""
        quorum = {name: one for name, one in self.queues.items() if one.kind == "quorum"}
        return frozenset(one.dead_letters or f"{name}.dead" for name, one in quorum.items())

    @property
    def names(self) -> frozenset[str]:
        """The names of all queues and exchanges by which events go."""
        return frozenset({self.exchange, *self.queues, *self._fills}) | self.dead_letters

    @property
    def _fills(self) -> frozenset[str]:
        return frozenset(f"{name}.fill" for name in self.queues)

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        dead = self.dead_letters
        if both := sorted(dead & self.queues.keys()):
            raise ValueError(f"queues: {both[0]} is named as a queue and as the dead letters of one")
        if both := sorted(dead & self._fills):
            raise ValueError(f"queues: {both[0]} fills a queue and is named as the dead letters of one")
        if self.exchange in dead | self._fills:
            raise ValueError("exchange: it has the name of the dead letters or of the .fill of a queue")
        return self


class HistorySection(_Section):
    """How long the event log tells every change; of what is older only the last of each living entity is kept."""

    retention: Duration = Field(default=timedelta(days=30), gt=timedelta(0), le=timedelta(days=36_500))


class FeedSection(_Section):
    """Where others leave export documents, or the news that an institution changed.

    `queue` is declared by us with `dead_letters` behind it (default: the queue's name and ".dead"), and bound
    to `exchange`, if one is named, by each of `routing_keys`. `ca_file` replaces the public authorities;
    `certificate_file` and `key_file` are the client's, for an amqps URL.
    """

    url_file: Path
    queue: str = Field(min_length=1)
    exchange: str | None = None
    routing_keys: list[str] = Field(default_factory=lambda: ["#"], min_length=1)
    dead_letters: str | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    @property
    def names(self) -> frozenset[str]:
        """The names of the queues and exchanges by which documents go, with all that they say."""
        dead = self.dead_letters or f"{self.queue}.dead"
        return frozenset({self.queue, dead, *filter(None, [self.exchange])})


class DatabaseSection(_Section):
    """A PostgreSQL database that several processes share: its URL, with the password, is in a file."""

    url_file: Path


class Top(_Section):
    state_folder: Path
    database: Any = None
    municipalities: dict[str, Any] = Field(min_length=1)
    web: Any = None
    log: Any = None
    retry: Any = None
    breaker: Any = None
    broker: Any = None
    history: Any = None
    notices: Any = None
    vendors: dict[str, Any] | None = None


class MunicipalitySection(_Section):
    name: str
    institutions: Institutions
    interval: Annotated[Duration | None, AfterValidator(_positive)] = None
    cron: str | None = None
    zone: str = "Europe/Copenhagen"
    jitter: Duration = Field(default=timedelta(0), ge=timedelta(0))
    quiet_hours: list[str] = Field(default_factory=list)
    source: dict[str, Any]
    feed: Any = None
    targets: dict[str, Any] | None = None
    guard: Any = None
    notices: Any = None
    anomalies: Any = None

    @model_validator(mode="after")
    def _check_schedule(self) -> Self:
        if self.cron is not None and self.interval is not None:
            raise ValueError("cron: and interval are both given; keep the one that counts")
        return self


class TargetCommon(_Section):
    connector: str
    mapping: str | None = None
    institutions: Institutions = None
    guard: Any = None
    leavers: Any = None
    reconcile: Any = None
    groups_early: Annotated[Duration | None, Field(ge=timedelta(0))] = None
    start: Literal["active", "shadow"] = "active"


@dataclass(frozen=True, slots=True)
class SourceSettings:
    connector: Connector
    config: ConnectorConfig


@dataclass(frozen=True, slots=True)
class TargetSettings:
    id: TargetId
    name: str
    connector: Connector
    config: ConnectorConfig
    mapping: TargetMapping
    institutions: frozenset[str] | None
    guard: TargetGuardSection = field(default_factory=TargetGuardSection)
    leavers: LeaversSection = field(default_factory=LeaversSection)
    reconcile: ReconcileSection = field(default_factory=ReconcileSection)
    groups_early: timedelta | None = None
    start: str = "active"


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """When a source is read: every `interval`, or by the `cron` expression in `zone`.

    Each time is put off by a part of `jitter`, by chance; what falls into `quiet_hours` ("22:00-05:30" each) waits
    for their end, and as much again, so that not all ask at that moment.
    """

    interval: timedelta
    cron: str | None = None
    zone: str = "Europe/Copenhagen"
    jitter: timedelta = timedelta(0)
    quiet_hours: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MunicipalitySettings:
    code: str
    name: str
    institutions: frozenset[str] | None
    schedule: ScheduleSettings
    guard: GuardSection
    source: SourceSettings
    feed: FeedSection | None
    targets: tuple[TargetSettings, ...]
    recipients: tuple[str, ...] | None = None  # of notices, instead of those at the top
    anomalies: AnomaliesSection = field(default_factory=AnomaliesSection)


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration, checked: files exist, connectors and mappings are known."""

    path: Path
    state_folder: Path
    database: DatabaseSection | None
    web: WebSection
    log: LogSection
    retry: RetrySection
    breaker: BreakerSection
    broker: BrokerSection | None
    history: HistorySection
    municipalities: tuple[MunicipalitySettings, ...]
    notices: NoticeSettings | None = None
    vendors: tuple[VendorSettings, ...] = ()

    def named(self, wanted: str | None) -> list[TargetId]:
        """The target of this id, or all where none is wanted. Raises `ConfigError` for one that there is not."""
        known = [target.id for target in self.targets]
        if wanted is not None and wanted not in known:
            raise ConfigError(f"no target {wanted!r}; there are {', '.join(known) or 'none'}")
        return [TargetId(wanted)] if wanted is not None else known

    def vendor_of(self, target: TargetId) -> str:
        """The name of the vendor to whom a target belongs, "" where there is none."""
        return next((one.name for one in self.vendors if target in one.section.targets), "")

    @property
    def institutions(self) -> frozenset[str] | None:
        """The institutions that are listed, of whichever municipality; None where one takes all that there are."""
        found: set[str] = set()
        for municipality in self.municipalities:
            if municipality.institutions is None:
                return None
            found |= municipality.institutions
        return frozenset(found)

    @property
    def targets(self) -> tuple[TargetSettings, ...]:
        return tuple(target for municipality in self.municipalities for target in municipality.targets)
