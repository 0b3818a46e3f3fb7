"""Everything that a sync needs is tried once, and each failure says what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bridge.app.bridge import Bridge
from bridge.config import MunicipalitySettings, TargetSettings
from bridge.domain.errors import BridgeError, ConfigError
from bridge.engine.desire import Rendering


@dataclass(frozen=True, slots=True)
class Checked:
    """One thing that was tried: whether it works, and what to do if not."""

    name: str
    ok: bool
    text: str


def _tried(name: str, attempt: Callable[[], object]) -> Checked:
    try:
        attempt()
    except ConfigError:
        raise  # a mistake in the file ends every verb in the same way
    except BridgeError as error:
        return Checked(name, False, str(error))
    return Checked(name, True, "works")


def check(bridge: Bridge, *, is_offline: bool) -> list[Checked]:
    """Try configuration, state, sources and targets, one result each; changes nothing, sends no data.

    Raises `ConfigError`.
    """
    settings = bridge.settings
    found = [Checked("configuration", True, str(settings.path)), _tried("state", bridge.store.check)]
    for municipality in settings.municipalities:
        found.append(_tried(f"source {municipality.code}", partial(bridge.intake, municipality)))
        for target, rendering in zip(municipality.targets, bridge.renderings(municipality), strict=True):
            probe = partial(_probe, bridge, municipality, target, rendering, is_offline)
            found.append(_tried(f"target {target.id}", probe))
    return found


def _probe(
    bridge: Bridge,
    municipality: MunicipalitySettings,
    target: TargetSettings,
    rendering: Rendering,
    is_offline: bool,
) -> None:
    lane = bridge.lane(municipality, target, rendering)
    if not is_offline:
        lane.target.probe()
