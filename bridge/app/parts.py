"""Every port with its adapter and every part of the line with its configuration, built when it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

from bridge import __version__
from bridge.adapters.clock import SystemClock
from bridge.config import (
    GuardSection,
    MunicipalitySettings,
    Settings,
    TargetGuardSection,
    TargetSettings,
    credential_reader,
    explained,
    secret_reader,
)
from bridge.connector import ConnectorConfig, Describes, Drop, DropConfig, Http, Requires, Services, Subscribes
from bridge.domain.errors import ConfigError
from bridge.domain.ids import TargetId
from bridge.engine.anomalies import AnomalyBook
from bridge.engine.asking import GoOn, always
from bridge.engine.audit import AuditBook
from bridge.engine.brake import AT_TARGETS
from bridge.engine.breaker import Breaker
from bridge.engine.desire import Early, Rendering
from bridge.engine.drop import AuditedDrop
from bridge.engine.facts import Describer
from bridge.engine.guard import GuardPolicy, Limits
from bridge.engine.intake import Intake
from bridge.engine.lane import Lane
from bridge.engine.leavers import Leaving
from bridge.engine.retry import RetryPolicy
from bridge.engine.schedule import Schedule
from bridge.engine.shelf import StoreShelf
from bridge.engine.subscribe import LONGEST, Subscriber
from bridge.engine.tell import Teller
from bridge.engine.views import Scope
from bridge.observe import Metrics
from bridge.ports import Store

# A source is asked a few times a day; one that fails is given minutes, then hours.
_PATIENCE, _PERSON = timedelta(minutes=2), timedelta(minutes=30)


class InPass(Protocol):
    """Which municipalities are being read now."""

    def add(self, code: str, /) -> None: ...

    def discard(self, code: str, /) -> None: ...

    def __contains__(self, code: object, /) -> bool: ...


@dataclass(slots=True)
class Parts:
    """What a configured bridge is made of.

    `pulse` is when each loop last came round, `in_pass` which municipalities are being read, `shared` what
    connectors share in this process. Where several processes share the state, `member` is this one's name there,
    and `guard` raises `StoreUnavailable` while it may send nothing.
    """

    settings: Settings
    store: Store
    key: bytes
    clock: SystemClock
    metrics: Metrics = field(default_factory=lambda: Metrics(__version__))
    pulse: dict[str, float] = field(default_factory=dict)
    in_pass: InPass = field(default_factory=set[str])
    member: str = ""
    guard: Callable[[], None] = lambda: None
    stopping: threading.Event = field(default_factory=threading.Event)
    shared: dict[Hashable, Any] = field(default_factory=dict)
    anomalies: AnomalyBook = field(init=False)

    def __post_init__(self) -> None:
        self.anomalies = AnomalyBook(self.key)

    @property
    def teller(self) -> Teller:
        return Teller(self.metrics, self.clock.now)

    def book(self, actor: str = "skolebro") -> AuditBook:
        return AuditBook(self.key, actor, self.clock.now, self.metrics.audited, self.member)

    @property
    def live_targets(self) -> list[TargetId]:
        """The targets that are sent anything."""
        return [target.id for target in self.settings.targets if target.config.discloses]

    def renderings(self, municipality: MunicipalitySettings) -> list[Rendering]:
        return [
            Rendering(
                target.id,
                Scope(municipality.code, target.institutions, municipality.name),
                target.mapping,
                target.config.system,
                Early(target.groups_early, self.clock.now) if target.groups_early is not None else None,
                in_shadow=target.start == "shadow",
            )
            for target in municipality.targets
        ]

    def all_renderings(self) -> list[Rendering]:
        return [r for municipality in self.settings.municipalities for r in self.renderings(municipality)]

    def intake(self, municipality: MunicipalitySettings) -> Intake:
        at, config = f"municipalities.{municipality.code}.source", municipality.source.config
        services = self._services(municipality, municipality.institutions, None, config)
        make = municipality.source.connector.source
        assert make is not None  # noqa: S101 - the configuration has checked that it is a source
        with explained(self.settings.path, at, config):
            source = make(config, services)
        return Intake(
            municipality=municipality.code,
            institutions=municipality.institutions,
            store=self.store,
            source=source,
            policy=self.policy(municipality),
            renderings=self.renderings(municipality),
            book=self.book(),
            now=self.clock.now,
            new_id=self.clock.new_id,
        )

    def schedule(self, municipality: MunicipalitySettings) -> Schedule:
        """When the municipality's source is asked. Raises `ConfigError`."""
        told = municipality.schedule
        try:
            return Schedule.read(
                municipality.code,
                interval=told.interval,
                cron=told.cron,
                zone=told.zone,
                jitter=told.jitter,
                quiet_hours=told.quiet_hours,
            )
        except ConfigError as error:
            raise ConfigError(f"{self.settings.path}: municipalities.{municipality.code}.{error}") from error

    def subscriber(
        self, municipality: MunicipalitySettings, intake: Intake, go_on: GoOn = always
    ) -> Subscriber | None:
        """The intake from a source that can be asked institution by institution; None for any other."""
        schedule = self.schedule(municipality)
        if not isinstance(intake.source, Subscribes):
            return None
        return Subscriber(
            intake=intake,
            source=intake.source,
            schedule=schedule,
            patience=self.patience(_PATIENCE),
            person=self.patience(_PERSON),
            chance=self.clock.random,
            go_on=go_on,
        )

    def describer(
        self, municipality: MunicipalitySettings, intake: Intake, go_on: GoOn = always
    ) -> Describer | None:
        """The intake from a register of institutions; None where the source has none."""
        if not isinstance(intake.source, Describes):
            return None
        return Describer(intake, intake.source, self.schedule(municipality), self.patience(_PERSON), go_on)

    def patience(self, first: timedelta) -> RetryPolicy:
        """How a source is tried again that did not answer."""
        return RetryPolicy(first, LONGEST, min(self.settings.retry.retry_after_cap, LONGEST))

    def lane(self, municipality: MunicipalitySettings, target: TargetSettings, rendering: Rendering) -> Lane:
        make = target.connector.target
        assert make is not None  # noqa: S101 - the configuration has checked that it is a target
        retry, at = self.settings.retry, f"municipalities.{municipality.code}.targets.{target.name}"
        services = self._services(municipality, target.institutions, target.id, target.config)
        services = replace(services, drop=partial(self._drop, rendering, services))
        with explained(self.settings.path, at, target.config):
            built = make(target.config, services)
        if isinstance(built, Requires):
            built.require([resource.name for resource in target.mapping.resources])
        return Lane(
            rendering=rendering,
            target=built,
            store=self.store,
            book=self.book(),
            retry=RetryPolicy(retry.base, retry.ceiling, retry.retry_after_cap),
            breaker=self._breaker(),
            now=self.clock.now,
            chance=self.clock.random,
            new_id=self.clock.new_id,
            may_delete=lambda: municipality.code not in self.in_pass,
            policy=_limited(_decided(AT_TARGETS, municipality.guard), target.guard),
            leaving=Leaving(
                target.leavers.retention, built.capabilities.inactive, municipality.guard.deletion_grace
            ),
            member=self.member,
            vendor=self.settings.vendor_of(target.id),
        )

    def lanes(self, *, every: bool = False) -> list[Lane]:
        """The lane of every target that is sent anything, or of `every` one; secrets are read.

        Raises `ConfigError`.
        """
        return [
            self.lane(municipality, target, rendering)
            for municipality in self.settings.municipalities
            for target, rendering in zip(municipality.targets, self.renderings(municipality), strict=True)
            if every or target.config.discloses
        ]

    def _breaker(self) -> Breaker:
        waits, cap = self.settings.breaker, self.settings.retry.retry_after_cap
        return Breaker(
            patience=RetryPolicy(waits.patience_base, waits.patience_ceiling, cap),
            person=RetryPolicy(waits.person_base, waits.person_ceiling, cap),
        )

    def policy(self, municipality: MunicipalitySettings) -> GuardPolicy:
        guard = municipality.guard
        base = replace(
            _limited(_decided(GuardPolicy(), guard), guard),
            window=guard.window,
            max_roll_leavers_percent=guard.max_roll_leavers_percent,
            deletion_grace=guard.deletion_grace,
        )
        own = {number: replace(base, **limits.given) for number, limits in guard.institutions.items()}
        return replace(base, institutions=own)

    def _services(
        self,
        municipality: MunicipalitySettings,
        institutions: frozenset[str] | None,
        target: TargetId | None,
        config: ConnectorConfig,
    ) -> Services:
        def http(base_url: str, **options: Any) -> Http:
            from bridge.adapters.http import HttpEdge  # half of the verbs call nobody and start sooner without

            observer = partial(self._observe, municipality.code, target)
            return HttpEdge(base_url, observer=observer, before=self.guard, **options)

        here = Services(
            municipality.code,
            institutions,
            http,
            secret_reader(config),
            self.clock.now,
            credential_reader(config),
            self._shared,
        )
        if target is None:
            return here
        return replace(here, shelf=partial(StoreShelf, self.store, target, self.clock.now))

    def _drop(self, rendering: Rendering, services: Services, config: DropConfig) -> Drop:
        from bridge.adapters.drops import open_drop  # few targets leave files

        def tick() -> None:  # a large file on a slow line is no loop that hangs
            self.pulse[f"deliver/{rendering.target}"] = self.clock.monotonic()

        there = open_drop(config, services.secret, services.credential, tick)
        return AuditedDrop(there, rendering, self.store, self.book(), self.clock.new_id)

    def _shared(self, key: Hashable, make: Callable[[], Any]) -> Any:
        if key not in self.shared:
            self.shared[key] = make()
        return self.shared[key]

    def _observe(self, code: str, target: TargetId | None, method: str, status_class: str, seconds: float) -> None:
        """Count a call to a target, or to the municipality's source where there is none."""
        took, status = timedelta(seconds=seconds), int(status_class[0]) * 100 if status_class[:1].isdigit() else 0
        self.metrics.responded(target or f"{code}/source", status)
        if target is None:
            self.metrics.source_took(code, took)
        else:
            self.metrics.delivery_took(target, took)


def _decided(base: GuardPolicy, section: GuardSection) -> GuardPolicy:
    """The policy with how a municipality decides, at its institutions and at its targets."""
    needed = 2 if section.two_people else 1
    return replace(base, people_needed=needed, approval_lifetime=section.approval_lifetime)


def _limited(base: GuardPolicy, section: TargetGuardSection) -> GuardPolicy:
    """The policy with the limits that a section of the configuration gives."""
    known = replace(base, **section.given)
    common = {limit.name: getattr(known, limit.name) for limit in fields(Limits)}
    return replace(known, kinds={label: Limits(**(common | own.given)) for label, own in section.kinds.items()})
