"""Who reads which target back, and how often: only those targets that can be read back."""

from __future__ import annotations

from bridge.app.parts import Parts
from bridge.connector import ReadsBack
from bridge.domain.ids import TargetId
from bridge.engine.reconcile import Reconciler


def reconcilers(parts: Parts) -> list[Reconciler]:
    """One for each target that can be read back and is sent anything, each over connections of its own.

    Raises `ConfigError` when a secret cannot be read.
    """
    sections = {target.id: target.reconcile for target in parts.settings.targets}
    return [
        Reconciler(lane, sections[lane.rendering.target].repair, sections[lane.rendering.target].every)
        for lane in parts.lanes()
        if isinstance(lane.target, ReadsBack)
    ]


def name_of(reconciler: Reconciler) -> TargetId:
    return reconciler.lane.rendering.target
