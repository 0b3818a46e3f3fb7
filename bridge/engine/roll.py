"""What a school-year roll does, in the words of a school: classes move up, some leave, others start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.domain.changes import Change, Operation
from bridge.domain.entities import Affiliation, Group, Role

CLASSES, LEAVERS, STARTERS = "classes", "leavers", "starters"
NEW_GROUPS, CLOSED_GROUPS = "new_groups", "closed_groups"


NameOf = Mapping[str, str]
"""The names of groups by their ids."""


@dataclass(slots=True)
class _Told:
    moves: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)
    people: dict[str, list[str]] = field(default_factory=lambda: {LEAVERS: [], STARTERS: []})
    groups: dict[str, list[Group]] = field(default_factory=lambda: {NEW_GROUPS: [], CLOSED_GROUPS: []})


def roll_summary(changes: Iterable[Change], before: NameOf, after: NameOf) -> Mapping[str, tuple[str, ...]]:
    """Return class moves ("3A -> 4A: 24"), and who comes and goes by user id, and which groups by name.

    A pupil moves with the main group, whether its id is new or another class's of last year. `before` and `after`
    name the groups as they are stored and as the snapshot tells them; where two have one name, the id says which.
    """
    told = _Told()
    for change in changes:
        entity = change.after or change.before
        match entity:
            case Affiliation(role=Role.STUDENT):
                _pupil(change, entity, told)
            case Group() if change.operation is not Operation.UPDATED:
                heading = NEW_GROUPS if change.operation is Operation.CREATED else CLOSED_GROUPS
                told.groups[heading].append(entity)
            case _:
                pass
    return {
        CLASSES: _moves(told.moves, before, after),
        **{heading: tuple(sorted(keys)) for heading, keys in told.people.items()},
        **{heading: _groups(groups) for heading, groups in told.groups.items()},
    }


def main_groups(changes: Iterable[Change]) -> set[str]:
    """The ids of the groups that pupils move from and to."""
    worn = [one for change in changes for one in (change.before, change.after) if isinstance(one, Affiliation)]
    return {one.main_group for one in worn if one.main_group is not None}


def told_once(summary: Mapping[str, Sequence[str]], people: Collection[str]) -> dict[str, list[str]]:
    """A summary to be read beside the `people` who would go: of leavers who are among them, only their number."""
    told = {heading: list(keys) for heading, keys in summary.items() if keys}
    leavers = told.get(LEAVERS, [])
    listed = [key for key in leavers if key not in people]
    if len(listed) < len(leavers):
        told[LEAVERS] = [*listed, f"{len(leavers) - len(listed)} of those who would go"]
    return told


def _pupil(change: Change, pupil: Affiliation, told: _Told) -> None:
    if change.operation is Operation.CREATED:
        told.people[STARTERS].append(pupil.user_id)
    elif change.operation is Operation.DELETED:
        told.people[LEAVERS].append(pupil.user_id)
    elif isinstance(change.before, Affiliation) and change.before.main_group != pupil.main_group:
        told.moves[change.before.main_group, pupil.main_group] += 1


def _moves(moves: Mapping[tuple[str | None, str | None], int], before: NameOf, after: NameOf) -> tuple[str, ...]:
    old = _shown({one for one, _ in moves if one is not None}, before)
    new = _shown({one for _, one in moves if one is not None}, after)
    told = []
    for (left, came), number in moves.items():
        names = (old[left] if left is not None else "none", new[came] if came is not None else "none")
        if names[0] == names[1]:
            names = (f"{names[0]} ({left})", f"{names[1]} ({came})")
        told.append(f"{names[0]} -> {names[1]}: {number}")
    return tuple(sorted(told))


def _groups(groups: Sequence[Group]) -> tuple[str, ...]:
    shown = _shown({one.group_id for one in groups}, {one.group_id: one.name for one in groups})
    return tuple(sorted(shown.values()))


def _shown(ids: Collection[str], names: NameOf) -> dict[str, str]:
    """Each group by its name; with its id where another one is called the same."""
    called = Counter(names.get(one) or one for one in ids)
    return {
        one: name if called[name] == 1 else f"{name} ({one})" for one in ids for name in (names.get(one) or one,)
    }
