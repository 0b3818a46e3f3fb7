"""A configured bridge: every port with its adapter, and the work that verbs and loops ask for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from bridge import __version__
from bridge.adapters.clock import SystemClock
from bridge.adapters.state_folder import DATABASE, prepare, sole_use
from bridge.adapters.store_sql import open_sqlite
from bridge.config import (
    MunicipalitySettings,
    Settings,
    TargetSettings,
    credential_reader,
    explained,
    secret_reader,
)
from bridge.connector import ConnectorConfig, Http, Services, Subscribes
from bridge.domain.errors import ConfigError, SourceUnauthorised, SourceUnavailable
from bridge.domain.ids import TargetId
from bridge.engine.attention import StaleAt, a_day_later
from bridge.engine.audit import AuditBook
from bridge.engine.breaker import Breaker
from bridge.engine.deliver import Lane, deliver
from bridge.engine.desire import Rendering
from bridge.engine.fetch import Intake, apply_approved, fetch
from bridge.engine.guard import GuardPolicy
from bridge.engine.plan import Plan, plan
from bridge.engine.refresh import refresh
from bridge.engine.retry import RetryPolicy
from bridge.engine.schedule import Schedule
from bridge.engine.status import read_status
from bridge.engine.subscribe import Subscriber, ask_now
from bridge.engine.tell import Teller
from bridge.engine.views import Scope
from bridge.observe import LogEvent, Metrics, Status, log
from bridge.ports import Store, UnitOfWork

# A source is asked a few times a day; one that fails is given minutes, then hours.
_PATIENCE, _PERSON, _LONGEST = timedelta(minutes=2), timedelta(minutes=30), timedelta(hours=6)


def open_bridge(settings: Settings) -> Bridge:
    """Open the state that the settings name. Raises `StoreUnavailable`."""
    clock = SystemClock()
    key = prepare(settings.state_folder, clock.new_key)
    store = open_sqlite(settings.state_folder / DATABASE)
    store.check()
    return Bridge(settings, store, key, clock)


@dataclass(slots=True)
class Bridge:
    """A configured bridge over its state: what the verbs of the command line and the loops of the daemon share."""

    settings: Settings
    store: Store
    key: bytes
    clock: SystemClock
    metrics: Metrics = field(default_factory=lambda: Metrics(__version__))
    pulse: dict[str, float] = field(default_factory=dict)
    in_pass: set[str] = field(default_factory=set)

    # ------------------------------------------------------------ parts

    @property
    def teller(self) -> Teller:
        return Teller(self.metrics, self.clock.now)

    def book(self, actor: str = "skolebro") -> AuditBook:
        return AuditBook(self.key, actor, self.clock.now, self.metrics.audited)

    def status(self) -> Status:
        digests = {rendering.target: rendering.digest for rendering in self.all_renderings()}
        status = read_status(self.store, self.live_targets, self.clock.now(), self._stale_at(), digests)
        self.metrics.refresh(status)
        return status

    def _stale_at(self) -> StaleAt:
        schedules = {one.code: self.schedule(one) for one in self.settings.municipalities}

        def stale_at(municipality: str, fresh_at: datetime) -> datetime:
            schedule = schedules.get(municipality)
            return schedule.stale_at(fresh_at) if schedule else a_day_later(municipality, fresh_at)

        return stale_at

    @property
    def live_targets(self) -> list[TargetId]:
        """The targets that are sent anything."""
        return [target.id for target in self.settings.targets if target.config.discloses]

    def renderings(self, municipality: MunicipalitySettings) -> list[Rendering]:
        return [
            Rendering(
                target.id, Scope(municipality.code, target.institutions), target.mapping, target.config.system
            )
            for target in municipality.targets
        ]

    def all_renderings(self) -> list[Rendering]:
        return [r for municipality in self.settings.municipalities for r in self.renderings(municipality)]

    def intake(self, municipality: MunicipalitySettings) -> Intake:
        at, config = f"municipalities.{municipality.code}.source", municipality.source.config
        services = self._services(municipality, municipality.institutions, f"{municipality.code}/source", config)
        make = municipality.source.connector.source
        assert make is not None  # noqa: S101 - the configuration has checked that it is a source
        with explained(self.settings.path, at, config):
            source = make(config, services)
        return Intake(
            municipality=municipality.code,
            institutions=municipality.institutions,
            store=self.store,
            source=source,
            policy=self._policy(municipality),
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

    def subscriber(self, municipality: MunicipalitySettings, intake: Intake) -> Subscriber | None:
        """The intake from a source that can be asked institution by institution; None for any other."""
        schedule = self.schedule(municipality)
        if not isinstance(intake.source, Subscribes):
            return None
        cap = self.settings.retry.retry_after_cap
        return Subscriber(
            intake=intake,
            source=intake.source,
            schedule=schedule,
            patience=RetryPolicy(_PATIENCE, _LONGEST, cap),
            person=RetryPolicy(_PERSON, _LONGEST, cap),
            chance=self.clock.random,
        )

    def lane(self, municipality: MunicipalitySettings, target: TargetSettings, rendering: Rendering) -> Lane:
        make = target.connector.target
        assert make is not None  # noqa: S101 - the configuration has checked that it is a target
        retry, at = self.settings.retry, f"municipalities.{municipality.code}.targets.{target.name}"
        services = self._services(municipality, target.institutions, target.id, target.config)
        with explained(self.settings.path, at, target.config):
            built = make(target.config, services)
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
        )

    def lanes(self) -> list[Lane]:
        """The lane of every target that is sent anything; their secrets are read. Raises `ConfigError`."""
        return [
            self.lane(municipality, target, rendering)
            for municipality in self.settings.municipalities
            for target, rendering in zip(municipality.targets, self.renderings(municipality), strict=True)
            if target.config.discloses
        ]

    def _breaker(self) -> Breaker:
        waits, cap = self.settings.breaker, self.settings.retry.retry_after_cap
        return Breaker(
            patience=RetryPolicy(waits.patience_base, waits.patience_ceiling, cap),
            person=RetryPolicy(waits.person_base, waits.person_ceiling, cap),
        )

    def _policy(self, municipality: MunicipalitySettings) -> GuardPolicy:
        return GuardPolicy(municipality.guard.max_deleted_percent, municipality.guard.min_deleted)

    def _services(
        self,
        municipality: MunicipalitySettings,
        institutions: frozenset[str] | None,
        name: str,
        config: ConnectorConfig,
    ) -> Services:
        def http(base_url: str, **options: Any) -> Http:
            from bridge.adapters.http import HttpEdge  # half of the verbs call nobody and start sooner without

            return HttpEdge(base_url, observer=partial(self._observe, name), **options)

        return Services(
            municipality.code, institutions, http, secret_reader(config), self.clock.now, credential_reader(config)
        )

    def _observe(self, name: str, method: str, status_class: str, seconds: float) -> None:
        self.metrics.responded(name, int(status_class[0]) * 100 if status_class[:1].isdigit() else 0)
        self.metrics.delivery_took(name, timedelta(seconds=seconds))

    # ------------------------------------------------------------ verbs

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the state for this process and close what a crash left open. Raises `AlreadyRunning`."""
        with sole_use(self.settings.state_folder):
            with self.store.write() as uow:
                closed = self.book().close_open(uow)
                self._forget_renderings(uow)
            if closed:
                log.emit(LogEvent.AUDIT_RESOLVED, count=closed)
            yield

    def _forget_renderings(self, uow: UnitOfWork) -> None:
        """A target that is not configured misses changes: should it come back, all of it is rendered anew."""
        configured = {target.id for target in self.settings.targets}
        for state in uow.target_states():
            if state.target not in configured and state.rendering is not None:
                uow.put_target_state(replace(state, rendering=None))

    def plan(self) -> Plan:
        municipalities = self.settings.municipalities
        return plan(self.store, [self.intake(m) for m in municipalities], self.all_renderings())

    def take_in(self, municipality: MunicipalitySettings, teller: Teller) -> int:
        """One pass of intake: changed mappings, approved holds, then the source."""
        intake = self.intake(municipality)
        subscriber = self.subscriber(municipality, intake)
        self.settle(intake, teller)
        return ask_now(subscriber, teller) if subscriber else fetch(intake, teller)

    def settle(self, intake: Intake, teller: Teller) -> int:
        """Carry out what a person changed or decided: mappings, scopes, approved holds."""
        for rendering in intake.renderings:
            refresh(self.store, rendering, intake.policy, intake.book, self.clock.now)
        return apply_approved(intake, teller)

    def _try_mended(self) -> None:
        with self.store.write() as uow:
            for state in uow.target_states():
                if state.pause_reason in ("unauthorised", "contract_broken"):
                    uow.put_target_state(replace(state, paused_until=None))

    def sync(self) -> list[str]:
        """One pass until nothing is due; returns plain sentences for what could not be done.

        A target that waits for a person is tried again: whoever starts this may have mended it.
        """
        teller, problems = self.teller, []
        lanes = self.lanes()  # before anything is taken in: a bad secret shall not be found half way
        self._try_mended()
        for municipality in self.settings.municipalities:
            try:
                self.take_in(municipality, teller)
            except (SourceUnavailable, SourceUnauthorised) as error:
                problems.append(f"municipality {municipality.code}: {error}")
        failed: list[BaseException] = []
        threads = [threading.Thread(target=_drain, args=(lane, teller, failed)) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        return problems


def _drain(lane: Lane, teller: Teller, failed: list[BaseException]) -> None:
    try:
        while deliver(lane, teller):
            pass
    except Exception as error:  # told by the thread that waits for this one
        failed.append(error)
