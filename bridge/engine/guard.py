"""Before anything is written: would this snapshot do harm that only a person should allow?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.domain.records import Header
from bridge.engine.detect import Detection
from bridge.engine.normalise import Normalised
from bridge.ports import InstitutionState

WRONG_INSTITUTION = "wrong_institution"
OLDER = "older"
EMPTY = "empty"
SHRUNKEN = "shrunken"
FROM_FUTURE = "from_future"
MAPPING_REMOVES = "mapping_removes"
OTHER_SYSTEM = "other_system"
OF_THE_TIME = frozenset({OLDER, FROM_FUTURE})
"""Why the very content may be good at another time: it says nothing of the content."""
REJECTED = "rejected"
"""Why a snapshot is refused that a person has rejected: nobody needs to be told again."""

_ABSURD = timedelta(days=730)  # generous: a rehearsal of whole school years must pass

REASON_TEXTS: Mapping[str, str] = {
    WRONG_INSTITUTION: "the snapshot is of another institution than was asked for or configured",
    OLDER: "the snapshot is older than the last one that was recorded",
    EMPTY: "the snapshot has no persons at all, but the institution had some",
    SHRUNKEN: "more would be deleted than the threshold allows",
    FROM_FUTURE: "the snapshot says that it was made years from now: after it every real one would be older",
    OTHER_SYSTEM: "the target is another system now: everything would be sent to it anew",
    MAPPING_REMOVES: "the changed mapping or scope would remove more from the target than the threshold allows",
}


@dataclass(frozen=True, slots=True)
class GuardPolicy:
    """Thresholds of one municipality: hold when `max_deleted_percent` of a kind, and at least
    `min_deleted` of it, would be deleted."""

    max_deleted_percent: float = 25.0
    min_deleted: int = 3

    def exceeded_by(self, gone: int, stored: int) -> bool:
        return gone >= self.min_deleted and gone * 100 > self.max_deleted_percent * stored


def held_for(
    policy: GuardPolicy,
    found: Normalised,
    expected: str | None,
    configured: frozenset[str] | None,
    last: InstitutionState | None,
    detection: Detection,
    now: datetime,
) -> tuple[str, ...]:
    """Return the reasons to hold this snapshot, none when it may pass.

    The first snapshot of an institution is exempt from comparisons: there is nothing to compare with.
    """
    reasons = []
    number = found.header.institution_number
    if (expected is not None and expected != number) or (configured is not None and number not in configured):
        reasons.append(WRONG_INSTITUTION)
    if last is not None and is_older(found.header, last):
        reasons.append(OLDER)
    if any(is_from_future(at, now) for at in (found.header.export_time, *found.header.source_times.values())):
        reasons.append(FROM_FUTURE)
    if detection.stored["contribution"] and not found.has_people:
        reasons.append(EMPTY)
    if any(policy.exceeded_by(gone, detection.stored[label]) for label, gone in detection.gone.items()):
        reasons.append(SHRUNKEN)
    return tuple(reasons)


def is_older(header: Header, last: InstitutionState) -> bool:
    """Whether the export, or any of its import sources, goes back in time."""
    return header.export_time < last.export_time or any(
        time < last.source_times.get(name, time) for name, time in header.source_times.items()
    )


def is_from_future(made_at: datetime, now: datetime) -> bool:
    """Whether an export, or what is in it, was made so late that after it every real one would be older."""
    return made_at > now + _ABSURD
