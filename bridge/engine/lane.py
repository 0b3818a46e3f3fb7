"""What one target's deliveries need, and who is told how they went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from bridge.connector import Target
from bridge.domain.outcomes import Outcome
from bridge.engine.audit import AuditBook
from bridge.engine.brake import AT_TARGETS
from bridge.engine.breaker import Breaker
from bridge.engine.desire import Rendering
from bridge.engine.guard import GuardPolicy
from bridge.engine.leavers import Leaving
from bridge.engine.retry import RetryPolicy
from bridge.ports import (
    Delivery,
    Store,
    TargetState,
)


@dataclass(frozen=True, slots=True)
class Lane:
    """All that one target's deliveries need."""

    rendering: Rendering
    target: Target
    store: Store
    book: AuditBook
    retry: RetryPolicy
    breaker: Breaker
    now: Callable[[], datetime]
    chance: Callable[[], float]
    new_id: Callable[[], str]
    may_delete: Callable[[], bool] = lambda: True
    policy: GuardPolicy = AT_TARGETS
    leaving: Leaving = field(default_factory=Leaving)
    member: str = ""  # the process that claims what it sends, where several do
    vendor: str = ""  # whose target it is


class DeliveryWitness(Protocol):
    """Whoever is told how deliveries went (logs, metrics, a progress line)."""

    def delivered(self, target: str, delivery: Delivery, outcome: Outcome, at: datetime) -> None: ...

    def paused(self, before: TargetState, after: TargetState) -> None: ...

    def resumed(self, before: TargetState) -> None: ...

    def crashed(self, target: str, error: Exception) -> None: ...
