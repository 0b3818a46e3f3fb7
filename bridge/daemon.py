"""`skolebro run`: every stage in its loop until a signal, then a stop that finishes what is in flight."""

from __future__ import annotations

import gc
from collections.abc import Collection, Sequence
from threading import Event
from time import monotonic

from bridge import __version__
from bridge.app import Bridge, serve, supervision
from bridge.app.crew import at_work
from bridge.config import explained
from bridge.domain.errors import ConfigError, StaleLease
from bridge.engine.lane import Lane
from bridge.engine.loop import Loop, Stage
from bridge.engine.members import ROLES, WEB, Crew
from bridge.engine.tell import Teller
from bridge.observe import LogEvent, log
from bridge.ports import Bus
from bridge.signals import until_signal

_GRACE = 45.0


class _Heart(Teller):
    """Tells, and keeps the pulse by which liveness is judged."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge.metrics, bridge.clock.now)
        self._bridge = bridge

    def ticked(self, loop: str) -> None:
        super().ticked(loop)
        self._bridge.pulse[loop] = self._bridge.clock.monotonic()


def run_daemon(bridge: Bridge, roles: Collection[str] = ROLES, monitor: str | None = None) -> None:
    """Run until SIGTERM or SIGINT; `monitor` is where health and metrics of this process answer, if anywhere.

    Raises `AlreadyRunning`, and `ConfigError` before anything has begun.
    Raises `StaleLease` when another process has taken over from this one.
    """
    if bridge.settings.database is None and set(roles) != ROLES:
        raise ConfigError(
            f"{bridge.settings.path}: roles need a database that several processes share; give database.url_file, "
            "or run without --role"
        )
    manager = supervision.supervised(bridge)
    stopping = until_signal(bridge.stopping)
    bus = serve.bus(bridge)
    heart = _Heart(bridge)
    lost = Event()

    def lose() -> None:
        lost.set()
        stopping.set()

    with at_work(bridge, roles, lost=lose) as crew:
        lanes = bridge.lanes()
        loops = [
            Loop(stage, bus, bridge.clock, heart) for stage in _stages(bridge, heart, bus, lanes, roles, crew)
        ]
        web = serve.web_server(bridge, heart, lanes) if WEB in roles else None
        servers = [one for one in (web, supervision.monitor(bridge, monitor)) if one is not None]
        for server in servers:
            with explained(bridge.settings.path):
                server.start()
        gc.collect()
        gc.freeze()  # what is loaded by now stays: nobody has to walk through it in the middle of a snapshot
        for loop in loops:
            loop.start()
        log.emit(LogEvent.APP_STARTED, version=__version__, count=len(loops))
        manager.ready()
        stopping.wait()
        manager.stopping()
        log.emit(LogEvent.APP_STOPPING)
        _stop(loops)
        for server in servers:
            server.stop()
    bus.close()
    bridge.store.close()
    log.emit(LogEvent.APP_STOPPED)
    if lost.is_set():
        raise StaleLease("another process has taken over from this one; it may be started again")


def _stages(
    bridge: Bridge, heart: Teller, bus: Bus, lanes: Sequence[Lane], roles: Collection[str], crew: Crew | None
) -> list[Stage]:
    """The stages of these roles; where others share the state, what must be single only while it is ours."""
    found = serve.stages(bridge, heart, bus, lanes, roles)
    if crew is None:
        return [stage for stages in found.values() for stage in stages]
    made: list[Stage] = []
    singles: dict[str, str] = {}
    for role, stages in found.items():
        for stage in stages:
            if role in (serve.LOCAL, WEB) or serve.is_shared(stage, lanes):
                made.append(stage)
            else:
                singles[stage.name] = role
                made.append(serve.one_at_a_time(stage, crew))
    crew.singles = singles
    crew.tend()
    return made


def _stop(loops: Sequence[Loop]) -> None:
    for loop in loops:
        loop.stop()
    until = monotonic() + _GRACE  # for all of them together: a service manager does not wait for ever
    for loop in loops:
        if not loop.join(max(0.0, until - monotonic())):
            log.emit(LogEvent.LOOP_LEFT, loop=loop.name)
