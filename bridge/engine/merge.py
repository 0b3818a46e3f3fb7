"""One person from what several institutions say of them (events.md, "One person, several institutions")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from bridge.domain.entities import ROLE_RANK, Contribution, Person
from bridge.domain.privacy import united
from bridge.engine.words import protection

SourceTimes = Mapping[str, Mapping[str, datetime]]
"""Institution number -> name of the import source -> its sourceDateTime in the last recorded snapshot."""


def merge(contributions: Iterable[Contribution], times: SourceTimes) -> Person | None:
    """Return the person as the best contribution tells it, None where nothing but a protection is known.

    Best is student before employee, external, contact; then the newest sourceDateTime; then the lowest
    institution number. A protection, of the person or of a number, holds if anyone states it.
    """
    heard = list(contributions)
    best = min(
        (one for one in heard if not one.is_protection_only), key=lambda one: rank(one, times), default=None
    )
    return united(best.person, protection(heard)) if best else None


def rank(one: Contribution, times: SourceTimes) -> tuple[int, float, str]:
    """Return the place of a contribution in the merge; the smallest is believed."""
    time = times.get(one.institution_number, {}).get(one.source or "")
    return (ROLE_RANK[one.role], -time.timestamp() if time else 0.0, one.institution_number)
