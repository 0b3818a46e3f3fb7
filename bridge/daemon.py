"""`skolebro run`: every stage in its loop until a signal, then a stop that finishes what is in flight."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from bridge import __version__
from bridge.app import Bridge, serve
from bridge.config import explained
from bridge.engine.loop import Loop
from bridge.engine.tell import Teller
from bridge.observe import LogEvent, log
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


def run_daemon(bridge: Bridge) -> None:
    """Run until SIGTERM or SIGINT. Raises `AlreadyRunning`, and `ConfigError` before anything has begun."""
    stopping = until_signal(bridge.stopping)
    bus = serve.bus()
    heart = _Heart(bridge)
    with bridge.alone():
        lanes = bridge.lanes()
        loops = [Loop(stage, bus, bridge.clock, heart) for stage in serve.stages(bridge, heart, bus, lanes)]
        web = serve.web_server(bridge, heart, lanes)
        if web is not None:
            with explained(bridge.settings.path):
                web.start()
        for loop in loops:
            loop.start()
        log.emit(LogEvent.APP_STARTED, version=__version__, count=len(loops))
        stopping.wait()
        log.emit(LogEvent.APP_STOPPING)
        _stop(loops)
        if web is not None:
            web.stop()
    bus.close()
    bridge.store.close()
    log.emit(LogEvent.APP_STOPPED)


def _stop(loops: Sequence[Loop]) -> None:
    for loop in loops:
        loop.stop()
    until = monotonic() + _GRACE  # for all of them together: a service manager does not wait for ever
    for loop in loops:
        if not loop.join(max(0.0, until - monotonic())):
            log.emit(LogEvent.LOOP_LEFT, loop=loop.name)
