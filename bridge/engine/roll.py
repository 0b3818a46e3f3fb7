"""What a school-year roll does, in the words of a school: classes move up, some leave, others start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bridge.domain.changes import Change, Operation
from bridge.domain.entities import Affiliation, Group, Role

CLASSES, LEAVERS, STARTERS = "classes", "leavers", "starters"
NEW_GROUPS, CLOSED_GROUPS = "new_groups", "closed_groups"


@dataclass(slots=True)
class _Told:
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    lists: dict[str, list[str]] = field(
        default_factory=lambda: {name: [] for name in (LEAVERS, STARTERS, NEW_GROUPS, CLOSED_GROUPS)}
    )


def roll_summary(changes: Iterable[Change]) -> Mapping[str, tuple[str, ...]]:
    """Return class moves ("3A -> 4A: 24"), and who and what comes and goes by user id or institution and group id.

    A pupil moves with the main group, whether its id is new or another class's of last year.
    """
    told = _Told()
    for change in changes:
        entity = change.after or change.before
        match entity:
            case Affiliation(role=Role.STUDENT):
                _pupil(change, entity, told)
            case Group() if change.operation is not Operation.UPDATED:
                heading = NEW_GROUPS if change.operation is Operation.CREATED else CLOSED_GROUPS
                told.lists[heading].append("/".join(entity.key))
            case _:
                pass
    classes = tuple(f"{old} -> {new}: {number}" for (old, new), number in sorted(told.moves.items()))
    return {CLASSES: classes, **{heading: tuple(sorted(keys)) for heading, keys in told.lists.items()}}


def _pupil(change: Change, pupil: Affiliation, told: _Told) -> None:
    if change.operation is Operation.CREATED:
        told.lists[STARTERS].append(pupil.user_id)
    elif change.operation is Operation.DELETED:
        told.lists[LEAVERS].append(pupil.user_id)
    elif isinstance(change.before, Affiliation) and change.before.main_group != pupil.main_group:
        told.moves[change.before.main_group or "none", pupil.main_group or "none"] += 1
