"""Which of the configured targets say what their system will make of the state, and what they say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from bridge.app.parts import Parts
from bridge.connector import Reports
from bridge.domain.errors import ConfigError
from bridge.engine.report import Report, report


def reports(parts: Parts, wanted: str | None, since: datetime | None) -> Iterator[tuple[Report, Reports]]:
    """Yield what each target reports that can, or the one that is wanted. Raises `ConfigError`, `Compacted`."""
    known = [
        (home, target, rendering)
        for home in parts.settings.municipalities
        for target, rendering in zip(home.targets, parts.renderings(home), strict=True)
    ]
    parts.settings.named(wanted)
    for home, target, rendering in known:
        if wanted not in (None, target.id):
            continue
        built = parts.lane(home, target, rendering).target
        if isinstance(built, Reports):
            yield report(parts.store, rendering, built, since), built
        elif wanted is not None:
            raise ConfigError(f"{wanted} has nothing to report: only a target that is observed has, such as Aula")
