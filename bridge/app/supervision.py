"""How others see whether this process is well: a service manager, a container's probes, a collector of metrics."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from datetime import timedelta

from bridge.adapters.service_manager import ServiceManager
from bridge.app.bridge import Bridge
from bridge.domain.errors import ConfigError
from bridge.observe import LogEvent, log
from bridge.web.app import Health, create_monitor
from bridge.web.health import liveness, readiness
from bridge.web.server import WebServer

_STEP_LIMIT = timedelta(seconds=120)
_BEATS = 3  # in the time that a service manager waits
_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+):(?P<port>\d{1,5})")


def alive(bridge: Bridge) -> Health:
    """Whether every loop of this process comes round."""
    return liveness(dict(bridge.pulse), bridge.clock.monotonic(), _STEP_LIMIT)


def ready(bridge: Bridge) -> Health:
    """Whether this process can do its work now."""
    return readiness(bridge.store, bridge.live_targets)


def monitor(bridge: Bridge, address: str | None) -> WebServer | None:
    """Health and metrics of this process, for whoever may reach the address. Raises `ConfigError`."""
    if address is None:
        return None
    told = _ADDRESS.fullmatch(address)
    if told is None or int(told["port"]) > 65_535:
        raise ConfigError(f"--monitor: {address!r} is no address; write it like 127.0.0.1:8601 or [::]:8601")
    app = create_monitor(lambda: alive(bridge), lambda: ready(bridge), bridge.metrics.exposition)
    return WebServer(app, told["host"].strip("[]"), int(told["port"]), "monitor")


def supervised(bridge: Bridge) -> Supervised:
    """The link to the service manager that has started us. Raises `ConfigError`."""
    return Supervised(ServiceManager.of(os.environ), lambda: alive(bridge))


class Supervised:
    """Tells a service manager `ready` and `stopping`; between them it beats while every loop comes round.

    Without a beat for as long as it is patient the manager starts this process anew.
    """

    def __init__(self, manager: ServiceManager, health: Callable[[], Health]) -> None:
        self._manager = manager
        self._health = health
        self._was_well = True
        self._over = threading.Event()

    def ready(self) -> None:
        self._manager.tell("READY=1")
        if self._manager.patience is not None:
            pause = self._manager.patience / _BEATS
            threading.Thread(target=self._repeat, args=(pause,), name="watchdog", daemon=True).start()

    def stopping(self) -> None:
        """It waits from now on as long as it does for an end."""
        self._over.set()
        self._manager.tell("STOPPING=1")

    def beat(self) -> None:
        """One sign of life, unless a loop hangs."""
        health = self._health()
        if health.ok:
            self._manager.tell("WATCHDOG=1")
        elif self._was_well:
            log.emit(LogEvent.LOOP_HUNG, reason="; ".join(health.reasons))
        self._was_well = health.ok

    def _repeat(self, pause: timedelta) -> None:
        self.beat()
        while not self._over.wait(pause.total_seconds()):
            self.beat()
