"""The parts that only the daemon needs: loops, the bus between them, the status page, the publisher."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from starlette.types import ASGIApp

from bridge.adapters.bus_kombu import KombuBus
from bridge.app.bridge import Bridge
from bridge.app.events import publisher, queues
from bridge.app.feeds import make_feed
from bridge.app.notices import make_notices, unhurried
from bridge.app.reconcile import reconcilers
from bridge.app.served import applications
from bridge.app.supervision import alive, ready
from bridge.app.vendors import vendor_api
from bridge.config import MunicipalitySettings, explained, secret_reader
from bridge.connector import HandsOver
from bridge.domain.errors import ConfigError, ContractBroken, TargetUnauthorised, TargetUnavailable
from bridge.engine.asking import GoOn
from bridge.engine.deliver import deliver
from bridge.engine.facts import describe_step
from bridge.engine.feed import Inlet, feed_step
from bridge.engine.fetch import fetch
from bridge.engine.handover import HandingOver
from bridge.engine.intake import Intake
from bridge.engine.lane import Lane
from bridge.engine.loop import Stage
from bridge.engine.members import DELIVER, INGEST, PUBLISH, ROLES, WEB, Crew
from bridge.engine.notices import tell_holds
from bridge.engine.publishing import Publishing
from bridge.engine.subscribe import forget_institutions, subscribe_step
from bridge.engine.tell import Teller
from bridge.observe import LogEvent, log
from bridge.ports import Bus
from bridge.web.app import WebDeps, create_app
from bridge.web.served import with_served
from bridge.web.server import WebServer

LOCAL = ""
"""What every process does for itself."""

_LOOK = timedelta(seconds=5)
_ASK = timedelta(minutes=1)
_TELL = timedelta(minutes=1)
_LISTEN = timedelta(seconds=1)
_DAY = timedelta(days=1)
_PUBLISH = "publish"
_LOOKERS = ("notices", "anomalies")
_BREATH = 0.1  # seconds between two slices, in which other processes find their turn at the database
_A_STEP = 5_000  # events; only at the end of a step nothing is on its way to the broker


def bus(bridge: Bridge) -> KombuBus:
    """Nudges between the loops of this process, or of all that share its state where there is a broker."""
    broker = bridge.settings.broker
    if broker is None or bridge.settings.database is None:
        return KombuBus()
    with explained(bridge.settings.path, "broker", broker):
        return KombuBus(secret_reader(broker)(broker.url_file))


def web_server(bridge: Bridge, teller: Teller, lanes: Sequence[Lane]) -> WebServer | None:
    """The status page and what targets serve, None when it is switched off. Raises `ConfigError`."""
    served, vendors = applications(bridge, lanes), vendor_api(bridge, teller)
    if bridge.settings.web.listen is None:
        return None
    host, _, port = bridge.settings.web.listen.rpartition(":")
    deps = WebDeps(
        status=bridge.status,
        exposition=bridge.metrics.exposition,
        liveness=lambda: alive(bridge),
        readiness=lambda: ready(bridge),
        hold=bridge.hold,
        parts=bridge.parts,
    )
    pages = create_app(deps)
    app: ASGIApp = pages
    if served or vendors is not None:
        app = with_served(pages, served, bridge.settings.web.public_hosts, teller, vendors)
    return WebServer(app, host, int(port))


def stages(
    bridge: Bridge, teller: Teller, bus: Bus, lanes: Sequence[Lane], roles: Collection[str] = ROLES
) -> dict[str, list[Stage]]:
    """All that runs in loops of its own, `lanes` too, by the role that it belongs to.

    Raises `ConfigError` when a secret cannot be read.
    """
    made = {
        INGEST: _ingesting,
        PUBLISH: lambda bridge, teller, _: _publishing(bridge, teller),
        DELIVER: lambda bridge, teller, _: [
            *_readings(bridge, teller),
            *(_delivery(one, teller) for one in lanes),
        ],
        WEB: _looking,
    }
    found = {role: made[role](bridge, teller, bus) for role in sorted(roles)}
    watch = Stage("watch", partial(_watch, bridge), timedelta(seconds=5), is_steady=True)
    return {**found, LOCAL: [watch]}


def _looking(bridge: Bridge, teller: Teller, _bus: Bus) -> list[Stage]:
    """What the pages show that stands in no table."""
    find = partial(bridge.look_for_anomalies, _patiently(bridge, teller, "anomalies"))
    return [Stage("anomalies", find, _ASK, is_steady=True)]


def _publishing(bridge: Bridge, teller: Teller) -> list[Stage]:
    if bridge.settings.broker is None:
        return []
    made = queues(bridge)
    with suppress(TargetUnavailable), explained(bridge.settings.path, "broker"):
        try:
            made.verify()
        except (ContractBroken, TargetUnauthorised) as error:
            raise ConfigError(str(error)) from error
    codes = [one.code for one in bridge.settings.municipalities]
    publishing = Publishing(
        store=bridge.store,
        publisher=publisher(bridge),
        queues=made,
        municipalities=codes,
        limit=_A_STEP,
        monotonic=bridge.clock.monotonic,
        metrics=bridge.metrics,
        go_on=_patiently(bridge, teller, _PUBLISH),
    )
    return [Stage(_PUBLISH, publishing.step, timedelta(seconds=5))]


def _ingesting(bridge: Bridge, teller: Teller, bus: Bus) -> list[Stage]:
    if not bridge.member:  # else it may be another process that reads
        for municipality in bridge.settings.municipalities:
            bridge.in_pass.add(municipality.code)
    found: list[Stage] = []
    notices = make_notices(bridge, teller, _patiently(bridge, teller, "notices"))
    if notices is not None:
        found.append(Stage("notices", partial(tell_holds, unhurried(bridge, notices)), _TELL, is_steady=True))
    for municipality in bridge.settings.municipalities:
        intake, code = bridge.intake(municipality), municipality.code
        wakes = (*(f"deliver/{target.id}" for target in municipality.targets), _PUBLISH, *_LOOKERS)
        settle, step = partial(bridge.settle, intake, teller), _intake_step(bridge, municipality, intake, teller)
        look = min(_LOOK, municipality.schedule.interval)
        found.append(Stage(f"decide/{code}", settle, timedelta(seconds=2), wakes))
        found.append(Stage(f"intake/{code}", partial(_in_pass, bridge, code, step), look, wakes, is_steady=True))
        describer = bridge.describer(municipality, intake, _patiently(bridge, teller, f"facts/{code}"))
        if describer is not None:
            ask = partial(describe_step, describer)
            found.append(Stage(f"facts/{code}", ask, _ASK, (f"intake/{code}",), is_steady=True))
        if municipality.feed is not None:
            inlet = Inlet(make_feed(bridge, municipality, municipality.feed), intake, bus)
            heed = partial(feed_step, inlet, teller, _LISTEN.total_seconds())
            found.append(Stage(f"feed/{code}", heed, timedelta(milliseconds=100), wakes))
        forget = partial(_compact, bridge, code, _patiently(bridge, teller, f"history/{code}"))
        found.append(Stage(f"history/{code}", forget, _DAY, is_steady=True))
    return found


def one_at_a_time(stage: Stage, crew: Crew) -> Stage:
    """The stage as one process among several runs it: only where it is its own."""

    def step() -> int:
        with crew.single(stage.name) as may:
            return stage.step() if may else 0

    return replace(stage, step=step)


def is_shared(stage: Stage, lanes: Sequence[Lane]) -> bool:
    """Whether several processes may run a stage at once: each claims what it sends."""
    sent = {f"deliver/{lane.rendering.target}" for lane in lanes if not isinstance(lane.target, HandsOver)}
    return stage.name in sent


def _delivery(lane: Lane, teller: Teller) -> Stage:
    step = HandingOver(lane).step if isinstance(lane.target, HandsOver) else partial(deliver, lane)
    return Stage(f"deliver/{lane.rendering.target}", partial(step, teller), timedelta(seconds=1))


def _readings(bridge: Bridge, teller: Teller) -> list[Stage]:
    """Each target that can be read back is, in its turn or when a person has decided."""
    found = []
    for one in reconcilers(bridge):
        name = one.lane.rendering.target
        one.go_on = _patiently(bridge, teller, f"reconcile/{name}")
        step, wakes = partial(one.step, teller), (f"deliver/{name}", "notices")
        found.append(Stage(f"reconcile/{name}", step, _ASK, wakes, is_steady=True))
    return found


def _intake_step(
    bridge: Bridge, municipality: MunicipalitySettings, intake: Intake, teller: Teller
) -> Callable[[], int]:
    """The step that asks the source when it is due, and does nothing otherwise."""
    go_on = _patiently(bridge, teller, f"intake/{municipality.code}")
    subscriber = bridge.subscriber(municipality, intake, go_on)
    if subscriber is not None:
        return partial(subscribe_step, subscriber, teller)
    forget_institutions(intake)
    schedule = bridge.schedule(municipality)
    last: datetime | None = None  # not remembered: to look into a folder again costs nobody anything

    def poll() -> int:
        nonlocal last
        now = bridge.clock.now()
        if schedule.is_quiet(now) or now < schedule.due_after(last, now):
            return 0
        last = now
        return fetch(intake, teller)

    return poll


def _patiently(bridge: Bridge, teller: Teller, loop: str) -> GoOn:
    """While somebody is waited for the loop lives, until the bridge is to stop."""

    def go_on() -> bool:
        teller.ticked(loop)
        return not bridge.stopping.is_set()

    return go_on


def _in_pass(bridge: Bridge, code: str, step: Callable[[], int]) -> int:
    """Take one step of intake; deletions wait for its end, so that a move within it is no goodbye."""
    bridge.in_pass.add(code)
    try:
        return step()
    finally:
        bridge.in_pass.discard(code)


def _watch(bridge: Bridge) -> int:
    bridge.status()
    return 1


def _compact(bridge: Bridge, code: str, go_on: GoOn) -> int:
    def breathe() -> bool:
        return go_on() and not bridge.stopping.wait(_BREATH)

    found = bridge.compact(code, breathe)
    if found.floor > found.before:
        log.emit(LogEvent.HISTORY_COMPACTED, municipality=code, sequence=found.floor, count=found.removed)
    return found.removed
