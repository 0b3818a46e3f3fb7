"""A configured bridge over its state: the work that verbs and loops ask for."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from bridge.adapters.clock import SystemClock
from bridge.adapters.state_folder import DATABASE, has_database, prepare, sole_use
from bridge.adapters.store_sql import SqlStore, open_postgres, open_sqlite
from bridge.app.parts import Parts
from bridge.config import MunicipalitySettings, Settings, secret_reader
from bridge.config import explained as explained_config
from bridge.connector import HandsOver, ReadsBack
from bridge.domain.errors import SourceUnauthorised, SourceUnavailable, StoreUnavailable
from bridge.engine.anomalies import Findings, with_anomalies
from bridge.engine.apply import apply_approved, expire
from bridge.engine.asking import GoOn, always
from bridge.engine.attention import StaleAt, a_day_later
from bridge.engine.brake import release
from bridge.engine.breaker import unpause
from bridge.engine.compact import Compaction, compact, foresee_compaction
from bridge.engine.decide import NotOpen
from bridge.engine.deliver import deliver
from bridge.engine.facts import describe_step
from bridge.engine.fetch import fetch
from bridge.engine.handover import hand_over
from bridge.engine.holding import DRIFT, parts_of
from bridge.engine.intake import Intake
from bridge.engine.lane import Lane
from bridge.engine.members import DELIVER, INGEST, PUBLISH
from bridge.engine.plan import Plan, foresee, plan
from bridge.engine.publish import cursor_name
from bridge.engine.reconcile import Reconciler
from bridge.engine.reconcile_foresee import foresee_drift
from bridge.engine.refresh import announce, refresh
from bridge.engine.shelf import STOPPED
from bridge.engine.status import read_status
from bridge.engine.subscribe import ask_now, forget_institutions, try_mended
from bridge.engine.tell import Teller
from bridge.engine.whole import forget_whole, narrow_whole
from bridge.observe import LogEvent, Status, explained, log
from bridge.ports import Hold, Store, UnitOfWork

_KEY = "subject_key"


def open_bridge(settings: Settings) -> Bridge:
    """Open the state that the settings name. Raises `StoreUnavailable`."""
    clock = SystemClock()
    key = prepare(settings.state_folder, clock.new_key)
    store = open_store(settings)
    store.check()
    if settings.database is not None:
        _require_key(store, key, settings)
    return Bridge(settings, store, key, clock)


def open_store(settings: Settings) -> SqlStore:
    """Open the database that the settings name, or the file in the state folder. Raises `StoreUnavailable`."""
    if settings.database is None:
        return open_sqlite(settings.state_folder / DATABASE)
    with explained_config(settings.path, "database", settings.database):
        return open_postgres(secret_reader(settings.database)(settings.database.url_file))


def _require_key(store: Store, key: bytes, settings: Settings) -> None:
    """All machines make the same references in the audit chain. Raises `StoreUnavailable`."""
    mark = sha256(b"skolebro/subject.key" + key).hexdigest()[:32]
    with store.read() as reader:
        known = reader.property(_KEY)
    if known is None:
        with store.write() as uow:
            known = uow.property(_KEY) or mark
            uow.set_property(_KEY, known)
    if known != mark:
        raise StoreUnavailable(
            f"{settings.state_folder / 'subject.key'} is not the key with which this database was begun; nothing "
            "was changed: copy the file subject.key from the state folder of the machine that was first"
        )


def open_if_any(settings: Settings) -> Bridge | None:
    """Open the state that the settings name if there is one, and make none. Raises `StoreUnavailable`."""
    is_there = settings.database is not None or has_database(settings.state_folder)
    return open_bridge(settings) if is_there else None


@dataclass(slots=True)
class Bridge(Parts):
    """A configured bridge over its state: what the verbs of the command line and the loops of the daemon share."""

    def status(self) -> Status:
        digests = {rendering.target: rendering.digest for rendering in self.all_renderings()}
        expected = {one.code: one.institutions for one in self.settings.municipalities}
        policies = {one.code: self.policy(one) for one in self.settings.municipalities}
        now = self.clock.now()
        status = read_status(
            self.store,
            self.live_targets,
            now,
            self._stale_at(),
            digests,
            expected,
            policies,
            publishes=self.settings.broker is not None,
            roles=self._roles(),
        )
        status = with_anomalies(status, self.findings())
        self.metrics.refresh(status)
        return status

    def _roles(self) -> frozenset[str]:
        """The roles that some process must have; none where one process has them all."""
        if self.settings.database is None:
            return frozenset()
        wanted = {INGEST: True, DELIVER: bool(self.live_targets), PUBLISH: self.settings.broker is not None}
        return frozenset(role for role, is_wanted in wanted.items() if is_wanted)

    def look_for_anomalies(self, go_on: GoOn = always) -> int:
        """Look at what schools can mend, wherever something changed; returns at how many.

        Raises `StoreUnavailable`.
        """
        looked = 0
        for one in self.settings.municipalities:
            today = self.clock.now().astimezone(self.schedule(one).zone).date().isoformat()
            looked += self.anomalies.look(self.store, one.code, today, go_on)
        return looked

    def findings(self) -> list[Findings]:
        """What the last look found at the institutions that are configured, by the rules that are not off."""
        return [
            found.but(one.anomalies.off_at(found.institution))
            for one in self.settings.municipalities
            for found in self.anomalies.found.get(one.code, ())
            if one.institutions is None or found.institution in one.institutions
        ]

    def hold(self, number: int) -> Hold | None:
        """Find a hold by its number. Raises `StoreUnavailable`."""
        with self.store.read() as reader:
            return reader.hold(number)

    def parts(self, number: int) -> list[Hold]:
        """Find the parts of a hold that were carried out by themselves. Raises `StoreUnavailable`."""
        with self.store.read() as reader:
            return parts_of(reader, number)

    def _stale_at(self) -> StaleAt:
        schedules = {one.code: self.schedule(one) for one in self.settings.municipalities}

        def stale_at(municipality: str, fresh_at: datetime) -> datetime:
            schedule = schedules.get(municipality)
            return schedule.stale_at(fresh_at) if schedule else a_day_later(municipality, fresh_at)

        return stale_at

    # ------------------------------------------------------------ verbs

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the state for this process and close what a crash left open. Raises `AlreadyRunning`."""
        with sole_use(self.settings.state_folder):
            with self.store.write() as uow:
                closed = self.book().close_open(uow)
            if closed:
                log.emit(LogEvent.AUDIT_RESOLVED, count=closed)
            self.begin()
            yield

    def begin(self) -> None:
        """Forget what the configuration no longer names, and try again what somebody may have mended."""
        with self.store.write() as uow:
            self._forget_sources(uow)
            self._forget_whole(uow)
        try_mended(self.store)

    def _forget_sources(self, uow: UnitOfWork) -> None:
        """How a source fares that nobody has configured any more needs nobody."""
        configured = {municipality.code for municipality in self.settings.municipalities}
        for code in {row.municipality for row in uow.subscriptions()} - configured:
            uow.forget_subscriptions(code)

    def _forget_whole(self, uow: UnitOfWork) -> None:
        """A target misses what happens while it, or a school, is not configured: it was whole of that no more."""
        scopes = {one.target: one.scope for one in self.all_renderings()}
        for state in uow.target_states():
            if state.target in scopes:
                narrow_whole(uow, state.target, scopes[state.target], self.clock.now())
            else:
                forget_whole(uow, state.target)

    def plan(self) -> Plan:
        municipalities = self.settings.municipalities
        found = plan(self.store, [self.intake(m) for m in municipalities], self.lanes())
        return replace(found, observed=self._observed(municipalities))

    @staticmethod
    def _observed(municipalities: Sequence[MunicipalitySettings]) -> tuple[str, ...]:
        return tuple(one.id for home in municipalities for one in home.targets if not one.config.discloses)

    def foresee(self, number: int) -> Plan:
        """What approving a hold would do in each target of its municipality. Raises `NotOpen`."""
        with self.store.read() as reader:
            hold = reader.hold(number)
        code = hold.municipality if hold is not None else None
        here = [m for m in self.settings.municipalities if m.code == code]
        if not here:
            raise NotOpen(f"there is no hold {number} of a municipality that is configured")
        lanes = [lane for lane in self.lanes() if lane.rendering.scope.municipality == code]
        if hold is not None and hold.subject == DRIFT:
            drifted = [lane for lane in lanes if lane.rendering.target == hold.target]
            if not drifted:
                raise NotOpen(f"hold {number} is of {hold.target}, which is not configured any more")
            with self.store.read() as reader:
                return foresee_drift(reader, drifted[0], hold)
        found = foresee(self.store, [self.intake(m) for m in here], lanes, number)
        return replace(found, observed=self._observed(here))

    def take_in(self, municipality: MunicipalitySettings, teller: Teller) -> int:
        """One pass of intake: changed mappings, approved holds, then the source."""
        intake = self.intake(municipality)
        subscriber = self.subscriber(municipality, intake)
        self.settle(intake, teller)
        if subscriber is not None:
            asked = ask_now(subscriber, teller)
            describer = self.describer(municipality, intake)
            if describer is not None and describe_step(describer):
                asked += ask_now(subscriber, teller, is_turn=False)  # what the register says goes with a snapshot
            return asked
        forget_institutions(intake)
        return fetch(intake, teller)

    def settle(self, intake: Intake, teller: Teller) -> int:
        """Carry out what a person changed or decided: mappings, scopes, approved holds."""
        done = 0
        expire(self.store, intake)
        for rendering in intake.renderings:
            refresh(self.store, rendering, intake.policy, intake.book, self.clock.now)
            done += announce(self.store, rendering, self.clock.now)
            done += release(self.store, rendering, intake.policy, intake.book, self.clock.now())
        return done + apply_approved(intake, teller)

    def compact(self, code: str, go_on: GoOn = always) -> Compaction:
        """Compact a municipality's log as far as its retention and its readers allow."""
        return compact(self.store, code, *self._age(), gone=self._gone(code), go_on=go_on)

    def foresee_compaction(self, code: str) -> Compaction:
        """What `compact` would do; nothing is changed."""
        return foresee_compaction(self.store, code, *self._age(), gone=self._gone(code))

    def _age(self) -> tuple[timedelta, datetime]:
        return self.settings.history.retention, self.clock.now()

    def _gone(self, code: str) -> frozenset[str]:
        """The readers of a log that are not configured any more."""
        return frozenset() if self.settings.broker is not None else frozenset({cursor_name(code)})

    def sync(self) -> list[str]:
        """One pass until nothing is due; returns plain sentences for what could not be done.

        A target that waits for a person is tried again: whoever starts this may have mended it.
        """
        teller, problems = self.teller, []
        lanes = self.lanes()  # before anything is taken in: a bad secret shall not be found half way
        with self.store.write() as uow:
            unpause(uow)
        for municipality in self.settings.municipalities:
            try:
                self.take_in(municipality, teller)
            except (SourceUnavailable, SourceUnauthorised) as error:
                problems.append(f"municipality {municipality.code}: {explained(error)}")
        failed: list[BaseException] = []
        threads = [threading.Thread(target=_drain, args=(lane, teller, failed)) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        return problems + self._set_right(lanes, teller) + self._hand_over(lanes, teller)

    def _set_right(self, lanes: Sequence[Lane], teller: Teller) -> list[str]:
        """Read those targets again that a person has approved to set right, and send what that takes."""
        problems = []
        for lane in lanes:
            one = Reconciler(lane, "report", None)  # every None: it reads only what was approved
            if isinstance(lane.target, ReadsBack) and one.step(teller):
                while deliver(lane, teller):
                    pass
            elif one.failures:
                problems.append(
                    f"{lane.rendering.target} could not be read back, so what was approved there is not set right "
                    "yet; the next sync or the daemon tries again"
                )
        return problems

    def _hand_over(self, lanes: Sequence[Lane], teller: Teller) -> list[str]:
        """Let those targets have what they keep that are given all at once."""
        for lane in lanes:
            hand_over(lane, teller)
        names = [lane.rendering.target for lane in lanes if isinstance(lane.target, HandsOver)]
        with self.store.read() as reader:
            failed = [state for name in names if (state := reader.target_state(name)).failures]
            why = {
                state.target: reader.shelf_note(state.target, STOPPED) or state.pause_reason for state in failed
            }
        return [
            f"{name} could not be given its files ({reason}); what they are made of is kept, "
            "and the next sync or the daemon tries again"
            for name, reason in why.items()
        ]


def _drain(lane: Lane, teller: Teller, failed: list[BaseException]) -> None:
    try:
        while deliver(lane, teller):
            pass
    except Exception as error:  # told by the thread that waits for this one
        failed.append(error)
