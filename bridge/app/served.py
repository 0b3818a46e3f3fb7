"""Which targets are fetched from, and where: told to the web server, to whoever checks and to whoever looks."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from bridge.app.parts import Parts
from bridge.connector import Serves
from bridge.domain.errors import ConfigError
from bridge.domain.ids import TargetId
from bridge.engine.handover import may_be_fetched
from bridge.engine.lane import Lane
from bridge.engine.shelf import SERVED
from bridge.web.served import path_of

_PLAIN = re.compile(r"[\w~-][\w.~-]*/[\w~-][\w.~-]*", re.ASCII)


def place_of(parts: Parts, lane: Lane) -> str | None:
    """The path under which a target is served; None for one that is not.

    Raises `ConfigError` where nobody could fetch from it.
    """
    name = lane.rendering.target
    if not isinstance(lane.target, Serves):
        return None
    if parts.settings.web.listen is None:
        raise ConfigError(f"{parts.settings.path}: web.listen: {name} is fetched from, so an address is needed")
    if not _PLAIN.fullmatch(name):
        raise ConfigError(
            f"{parts.settings.path}: {name} is fetched from, and its name is part of the address: use "
            "letters a to z, digits, and - . _ ~ only"
        )
    return path_of(name)


def applications(parts: Parts, lanes: Sequence[Lane]) -> dict[TargetId, Callable[..., Any]]:
    """What these targets serve; where is written down for whoever shows the state. Raises `ConfigError`."""
    places = {lane.rendering.target: place_of(parts, lane) for lane in lanes}
    with parts.store.write() as uow:
        for target, place in places.items():
            if (uow.shelf_note(target, SERVED) or "") != (place or ""):
                uow.set_shelf_note(target, SERVED, place or "")
    return {
        lane.rendering.target: lane.target.application(partial(may_be_fetched, lane))
        for lane in lanes
        if isinstance(lane.target, Serves)
    }
