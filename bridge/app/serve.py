"""The parts that only the daemon needs: loops, the bus between them, the status page, the publisher."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from bridge.adapters.bus_kombu import KombuBus
from bridge.adapters.publish_pika import PikaPublisher
from bridge.app.bridge import Bridge
from bridge.config import explained, secret_reader
from bridge.engine.deliver import deliver
from bridge.engine.fetch import Intake, fetch
from bridge.engine.loop import Stage
from bridge.engine.publish import publish_step
from bridge.engine.tell import Teller
from bridge.web.app import WebDeps, create_app
from bridge.web.health import liveness, readiness
from bridge.web.server import WebServer

_STEP_LIMIT = timedelta(seconds=120)
_WINDOW = 1_000


def bus() -> KombuBus:
    """Nudges between the loops of this process."""
    return KombuBus()


def web_server(bridge: Bridge) -> WebServer | None:
    """The status page, None when it is switched off."""
    if bridge.settings.web.listen is None:
        return None
    host, _, port = bridge.settings.web.listen.rpartition(":")
    deps = WebDeps(
        status=bridge.status,
        exposition=bridge.metrics.exposition,
        liveness=lambda: liveness(dict(bridge.pulse), bridge.clock.monotonic(), _STEP_LIMIT),
        readiness=lambda: readiness(bridge.store, bridge.live_targets),
    )
    return WebServer(create_app(deps), host, int(port))


def stages(bridge: Bridge, teller: Teller) -> list[Stage]:
    """Everything that runs in a loop of its own. Raises `ConfigError` when a secret cannot be read."""
    bridge.in_pass.update(municipality.code for municipality in bridge.settings.municipalities)
    found = [Stage("watch", partial(_watch, bridge), timedelta(seconds=5), is_steady=True)]
    for municipality in bridge.settings.municipalities:
        intake, code = bridge.intake(municipality), municipality.code
        wakes = (*(f"deliver/{target.id}" for target in municipality.targets), f"publish/{code}")
        settle, take = partial(bridge.settle, intake, teller), partial(_take, bridge, intake, teller)
        found.append(Stage(f"decide/{code}", settle, timedelta(seconds=2), wakes))
        found.append(Stage(f"intake/{code}", take, municipality.interval, wakes, is_steady=True))
        if bridge.settings.broker is not None:
            publish = partial(publish_step, bridge.store, _publisher(bridge), code, _WINDOW, bridge.metrics)
            found.append(Stage(f"publish/{code}", publish, timedelta(seconds=5)))
    lanes = [(f"deliver/{lane.rendering.target}", partial(deliver, lane, teller)) for lane in bridge.lanes()]
    return found + [Stage(name, step, timedelta(seconds=1)) for name, step in lanes]


def _take(bridge: Bridge, intake: Intake, teller: Teller) -> int:
    """One whole pass over the source; deletions wait until it has come to its end."""
    bridge.in_pass.add(intake.municipality)
    seen = fetch(intake, teller)
    bridge.in_pass.discard(intake.municipality)
    return seen


def _watch(bridge: Bridge) -> int:
    bridge.status()
    return 1


def _publisher(bridge: Bridge) -> PikaPublisher:
    broker = bridge.settings.broker
    assert broker is not None  # noqa: S101 - asked for only with a broker
    with explained(bridge.settings.path, "broker", broker):
        return PikaPublisher(secret_reader(broker)(broker.url_file), broker.exchange)
